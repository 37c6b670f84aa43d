#include "cli/job.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIGNALS 65

/* What launcher and witness share. */
struct page {
	_Atomic unsigned seen[SIGNALS];   /* stored by the witness: how often each reached it */
	_Atomic int64_t seen_ms[SIGNALS]; /* and when, the last time */
	_Atomic unsigned answered;        /* the last question that all above is older than */
	_Atomic bool is_stopped; /* stored by the launcher: it stops for the program's sake */
	_Atomic bool was_woken;  /* stored by the witness: it was not the shell */
};

static struct job {
	pid_t program, witness; /* 0 none */
	struct page *page;
	int answers; /* a pipe from the witness: a byte for each question */
	unsigned asked, taken[SIGNALS];
	int kept; /* a signal that is for the launcher, 0 none */
	void (*on_kept)(void);
	sigset_t mask; /* as it was before */
	struct sigaction before[SIGNALS];
} job;

#define QUESTION SIGRTMAX /* the last that a process takes in: all before it is taken in then */
#define ANSWER_MS \
	200 /* a witness that does not answer is stopped, or gone, or waits for a processor */
#define ANSWERS_MAX 25 /* so often it is given more time for the last reason */
#define LOOK_MS     50
#define SAME_MS     1000 /* what reached the witness longer ago was another one */

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/*
 * Signals that a program may be sent. Not those that tell of the launcher's own faults and children, nor those by which a
 * terminal stops whoever writes.
 */
static bool is_passed_on(int sig)
{
	static const int not_these[] = {SIGKILL, SIGSTOP, SIGCHLD, SIGSEGV, SIGBUS,  SIGFPE,
					SIGILL,  SIGTRAP, SIGSYS,  SIGPIPE, SIGTTOU, SIGXFSZ};

	for (size_t i = 0; i < sizeof(not_these) / sizeof(not_these[0]); i++)
		if (sig == not_these[i])
			return false;
	return sig < 32 || sig >= SIGRTMIN; /* the C library keeps those between to itself */
}

/* True when the program is neither stopped nor held by a debugger, or is gone. */
static bool program_goes_on(pid_t program)
{
	char path[64], stat[512];
	const char *state;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)program);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	n = read(fd, stat, sizeof(stat) - 1);
	close(fd);
	stat[n > 0 ? n : 0] = '\0';
	state = strrchr(stat, ')'); /* behind the name, which may hold anything */
	return state == NULL || state[1] != ' ' || (state[2] != 'T' && state[2] != 't');
}

/* Whoever ends the launcher by name, or by its words, must not reach the witness, too: that would look like a group. */
static void take_another_name(char **argv)
{
	char *first = program_invocation_name, *end = first;

	prctl(PR_SET_NAME, "witness");
	while (*argv != NULL)
		end = *argv++;
	if (end > first)
		memset(first, 0, (size_t)(end - first) + strlen(end));
}

static _Noreturn void be_witness(pid_t launcher, pid_t program, int answers)
{
	struct page *page = job.page;
	const struct timespec look = {0, LOOK_MS * 1000000};
	sigset_t all;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != launcher || dup2(answers, 0) < 0 || chdir("/") < 0)
		_exit(1);
	/* whoever waits for the end of a pipe waits for every copy of it */
	if (syscall(SYS_close_range, 1u, ~0u, 0u) < 0)
		for (int fd = 1; fd < 1024; fd++)
			close(fd);
	sigfillset(&all);
	for (;;) {
		bool is_stopped = atomic_load(&page->is_stopped);
		siginfo_t info;
		int sig = sigtimedwait(&all, &info, is_stopped ? &look : NULL);

		if (sig == QUESTION && info.si_code == SI_QUEUE && info.si_pid == launcher) {
			atomic_store(&page->answered, (unsigned)info.si_value.sival_int);
			if (write(0, "", 1) != 1)
				_exit(1);
		} else if (sig > 0 && info.si_pid != launcher) {
			atomic_store(&page->seen_ms[sig], now_ms());
			atomic_fetch_add(&page->seen[sig], 1);
		} else if (sig < 0 && is_stopped && program_goes_on(program)) {
			atomic_store(&page->was_woken, true);
			kill(launcher, SIGCONT);
		}
	}
}

/* True when the witness has taken in all that reached it until now. */
static bool ask_witness(void)
{
	union sigval ticket = {.sival_int = (int)++job.asked};
	struct pollfd answer = {job.answers, POLLIN, 0};
	unsigned late = 0;
	char bytes[64];

	if (job.witness == 0)
		return false;
	/*
	 * A signal to the group may still be on its way to some of it. This call changes nothing, and waits for the lock that
	 * the sender holds.
	 */
	setpgid(0, getpgrp());
	if (sigqueue(job.witness, QUESTION, ticket) < 0)
		return false;
	while (atomic_load(&job.page->answered) != job.asked) {
		int n = poll(&answer, 1, ANSWER_MS);

		if (n == 0) {
			if (++late < ANSWERS_MAX && program_goes_on(job.witness))
				continue;
			kill(job.witness, SIGCONT); /* for the next time */
			return false;
		}
		if (n > 0 && read(job.answers, bytes, sizeof(bytes)) == 0) {
			job.witness = 0;
			return false;
		}
	}
	return true;
}

/* True when @sig, which has just reached us, was sent to the whole group. */
static bool reached_all(int sig, const siginfo_t *info)
{
	unsigned seen;

	if (!ask_witness())
		return info->si_code > 0 && sig != SIGALRM; /* alarm() is for one process */
	seen = atomic_load(&job.page->seen[sig]);
	if (seen == job.taken[sig])
		return false;
	/* queued ones come one by one, the others melt into one */
	job.taken[sig] = sig >= SIGRTMIN ? job.taken[sig] + 1 : seen;
	return now_ms() - atomic_load(&job.page->seen_ms[sig]) < SAME_MS;
}

static void pass_on(int sig, siginfo_t *info, void *unused)
{
	int saved = errno;
	/* what the program sends to its parent is for ours */
	pid_t to = info->si_code <= 0 && info->si_pid == job.program ? getppid() : job.program;

	if (job.program > 0 && to > 1 && (job.witness == 0 || info->si_pid != job.witness) &&
	    !reached_all(sig, info)) {
		if (sig == job.kept)
			job.on_kept();
		else if (info->si_code != SI_QUEUE ||
			 syscall(SYS_rt_sigqueueinfo, to, sig, info) < 0)
			kill(to, sig);
	}
	errno = saved;
}

/* So that a wait for anything else ends when the program stops or ends. */
static void notice_child(int sig)
{
	(void)sig;
}

void job_hold(void)
{
	struct sigaction by_default = {.sa_handler = SIG_DFL};
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &job.mask);
	for (int sig = 1; sig < SIGNALS; sig++)
		sigaction(sig, NULL, &job.before[sig]);
	/* whoever ignores SIGCHLD never learns how a child ended */
	sigaction(SIGCHLD, &by_default, NULL);
}

void job_restore(void)
{
	sigaction(SIGCHLD, &job.before[SIGCHLD], NULL);
	sigprocmask(SIG_SETMASK, &job.mask, NULL);
}

static void start_witness(char **argv)
{
	pid_t launcher = getpid();
	int answers[2];

	job.page = mmap(NULL, sizeof(*job.page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	if (job.page == MAP_FAILED || pipe2(answers, O_CLOEXEC) < 0)
		return;
	job.witness = fork();
	if (job.witness == 0) {
		take_another_name(argv);
		be_witness(launcher, job.program, answers[1]);
	}
	close(answers[1]);
	/* a handler of ours may read what a question that it interrupts was told of */
	fcntl(answers[0], F_SETFL, O_NONBLOCK);
	job.answers = answers[0];
	if (job.witness < 0) {
		close(answers[0]);
		job.witness = 0;
	}
}

void job_begin(pid_t program, char **argv)
{
	struct sigaction action = {.sa_sigaction = pass_on, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct sigaction child = {.sa_handler = notice_child};
	sigset_t mask;

	job.program = program;
	start_witness(argv);
	sigfillset(&action.sa_mask);
	for (int sig = 1; sig < SIGNALS; sig++)
		/* without a witness a stop that the terminal sends must stop us, or nobody would notice */
		if (is_passed_on(sig) && (job.witness != 0 || (sig != SIGTSTP && sig != SIGTTIN)))
			sigaction(sig, &action, NULL);
	sigaction(SIGCHLD, &child, NULL);
	/* our own writes to a closed pipe, or of a large file, must not end us before the profiles are written */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_SETMASK, &mask, NULL);
}

void job_keep(int sig, void (*ours)(void))
{
	job.on_kept = ours;
	job.kept = sig;
}

/* The program has ended, and what it recorded is being written: it is lost only to somebody who insists. */
static void ask_again(int sig)
{
	static const char text[] =
		"cprof: the profiles are being written; once more to give them up\n";
	int saved = errno;

	(void)sig;
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	errno = saved;
}

void job_end(void)
{
	struct sigaction once = {.sa_handler = ask_again,
				 .sa_flags = (int)SA_RESETHAND | SA_RESTART};

	job.program = 0;
	for (int sig = 1; sig < SIGNALS; sig++) {
		bool ends = sig == SIGINT || sig == SIGTERM || sig == SIGHUP || sig == SIGQUIT;

		if (is_passed_on(sig))
			sigaction(sig,
				  ends && job.before[sig].sa_handler == SIG_DFL ? &once
										: &job.before[sig],
				  NULL);
	}
	if (job.witness > 0) {
		kill(job.witness, SIGKILL);
		waitpid(job.witness, NULL, 0);
		close(job.answers);
		job.witness = 0;
	}
}

/* Stops as the program did. The handler, if there is one, is back afterwards. */
static void stop_like(int sig)
{
	struct sigaction by_default = {.sa_handler = SIG_DFL}, handler;

	if (sig != SIGSTOP)
		sigaction(sig, &by_default, &handler);
	kill(getpid(), sig);
	if (sig != SIGSTOP)
		sigaction(sig, &handler, NULL);
}

void job_stopped(int sig)
{
	pid_t group = getpgid(job.program), own = getpgrp(), front;
	siginfo_t gone_on = {0};
	int tty;

	/* Somebody lets the whole group go on at this moment: was the program's turn after ours? */
	if (!ask_witness() ||
	    waitid(P_PID, (id_t)job.program, &gone_on, WCONTINUED | WNOHANG) < 0 ||
	    gone_on.si_pid != 0)
		return;
	tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	front = tty >= 0 ? tcgetpgrp(tty) : -1;
	if ((sig == SIGTTIN || sig == SIGTTOU) && group > 0 && group != own && front == own) {
		/* a shell, say, that wants the terminal, which is ours to give */
		tcsetpgrp(tty, group);
		kill(-group, SIGCONT);
	} else {
		atomic_store(&job.page->was_woken, false);
		atomic_store(&job.page->is_stopped, true);
		ask_witness(); /* so that it looks up */
		stop_like(sig);
		atomic_store(&job.page->is_stopped, false);
		/* the shell speaks to our group, and puts that in front */
		if (group > 0 && group != own && !atomic_load(&job.page->was_woken)) {
			if (front == group && tcgetpgrp(tty) == own)
				tcsetpgrp(tty, group);
			kill(job.program, SIGCONT);
		}
	}
	if (tty >= 0)
		close(tty);
}
