/*
 * guest: programs that notice when somebody else is in their process. Each prints one line of JSON that must be the same
 * with and without cprof, but for counts that depend on time.
 *
 *     guest WHAT [ARGUMENT…]
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/host.h"

BURNER(burn_a)
BURNER(burn_b)

static volatile int stop;

static void *burn_on(void *arg)
{
	(void)arg;
	while (!stop)
		burn_b(5 * MS);
	return NULL;
}

/* Every waiting call that the kernel does not restart, while this thread and two others work. */
static int eintr(int64_t for_ms)
{
	enum { SLEEP, POLL, EPOLL, SELECT, SEM, READ, FUTEX, CLOCK, KINDS };
	static const char *const names[] = {"nanosleep", "poll",           "epoll_wait",
					    "select",    "sem_timedwait",  "read",
					    "futex",     "clock_nanosleep"};
	int counts[KINDS] = {0}, errors = 0, pipes[2], epoll = epoll_create1(0), word = 0;
	int64_t end;
	pthread_t id[2];
	sem_t sem;

	if (pipe(pipes) != 0 || sem_init(&sem, 0, 0) != 0)
		return 1;
	for (int i = 0; i < 2; i++)
		pthread_create(&id[i], NULL, burn_on, NULL);
	end = host_clock(CLOCK_MONOTONIC) + for_ms * MS;
	for (int i = 0; host_clock(CLOCK_MONOTONIC) < end; i++) {
		struct timespec two_ms = {0, 2 * MS}, at;
		struct timeval tv = {0, 2000};
		struct pollfd p = {pipes[0], POLLIN, 0};
		struct epoll_event event;
		fd_set set;
		char c;
		int kind = i % KINDS, r = 0;

		burn_a(MS); /* so that this thread's own timer comes due around the wait */
		errno = 0;
		switch (kind) {
		case SLEEP:
			r = nanosleep(&two_ms, NULL);
			break;
		case CLOCK:
			errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &two_ms, NULL);
			r = errno ? -1 : 0;
			break;
		case POLL:
			r = poll(&p, 1, 2);
			break;
		case EPOLL:
			r = epoll_wait(epoll, &event, 1, 2);
			break;
		case SELECT:
			FD_ZERO(&set);
			FD_SET(pipes[0], &set);
			r = select(pipes[0] + 1, &set, NULL, NULL, &tv);
			break;
		case SEM:
			clock_gettime(CLOCK_REALTIME, &at);
			at.tv_nsec += 2 * MS;
			if (at.tv_nsec >= 1000000000) {
				at.tv_nsec -= 1000000000;
				at.tv_sec++;
			}
			r = sem_timedwait(&sem, &at);
			if (r < 0 && errno == ETIMEDOUT)
				r = 0;
			break;
		case READ:
			r = write(pipes[1], "x", 1) == 1 && read(pipes[0], &c, 1) == 1 ? 0 : -1;
			break;
		case FUTEX:
			r = (int)syscall(SYS_futex, &word, 128 /* FUTEX_WAIT_PRIVATE */, 0, &two_ms,
					 NULL, 0);
			if (r < 0 && errno == ETIMEDOUT)
				r = 0;
			break;
		}
		if (r < 0 && errno == EINTR)
			counts[kind]++;
		else
			errors += r < 0;
	}
	stop = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(id[i], NULL);
	printf("{");
	for (int i = 0; i < KINDS; i++)
		printf("\"%s\": %d, ", names[i], counts[i]);
	printf("\"errors\": %d}\n", errors);
	return 0;
}

/* Threads that sleep while others burn: signals must find their own thread. */
static int sleepers(void)
{
	pthread_t id[2];
	int interrupted = 0;

	for (int i = 0; i < 2; i++)
		pthread_create(&id[i], NULL, burn_on, NULL);
	for (int i = 0; i < 4; i++) {
		struct timespec quarter = {0, 250 * MS};

		interrupted += nanosleep(&quarter, NULL) != 0;
	}
	stop = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(id[i], NULL);
	printf("{\"interrupted\": %d}\n", interrupted);
	return 0;
}

static int keeps_errno(void)
{
	int wrong = 0;

	for (int i = 0; i < 300; i++) {
		int64_t end = thread_ns() + 2 * MS;

		errno = 4000 + i;
		do
			host_spin();
		while (thread_ns() < end);
		wrong += errno != 4000 + i;
	}
	printf("{\"wrong\": %d}\n", wrong);
	return 0;
}

static volatile sig_atomic_t hits, wrong_info;

static void on_signal(int sig)
{
	(void)sig;
	hits++;
}

static void on_info(int sig, siginfo_t *info, void *context)
{
	hits++;
	wrong_info += info->si_signo != sig || context == NULL;
	errno = 77; /* the host's affair */
}

static volatile sig_atomic_t virtual_hits;

static void on_virtual(int sig)
{
	(void)sig;
	virtual_hits++;
}

/*
 * A profiler of the host's own. Beside it the interval timer that counts user time only, which is nearly all of it: both go
 * by the ticks that met the process, and on a busy machine these are few.
 */
static int own_profiler(void)
{
	struct itimerval every = {{0, 10000}, {0, 10000}}, off = {{0, 0}, {0, 0}};
	struct sigaction action = {0}, before, seen, beside = {0};
	int same, mask_kept;

	action.sa_sigaction = on_info;
	action.sa_flags = SA_SIGINFO | SA_RESTART;
	sigaddset(&action.sa_mask, SIGUSR1);
	sigaction(SIGPROF, &action, &before);
	sigaction(SIGPROF, NULL, &seen);
	same = seen.sa_sigaction == on_info && (seen.sa_flags & SA_SIGINFO) &&
	       (seen.sa_flags & SA_RESTART);
	mask_kept = sigismember(&seen.sa_mask, SIGUSR1) == 1 &&
		    sigismember(&seen.sa_mask, SIGUSR2) == 0;
	beside.sa_handler = on_virtual;
	beside.sa_flags = SA_RESTART;
	sigaction(SIGVTALRM, &beside, NULL);
	setitimer(ITIMER_VIRTUAL, &every, NULL);
	setitimer(ITIMER_PROF, &every, NULL);
	burn_a(1000 * MS);
	setitimer(ITIMER_PROF, &off, NULL);
	setitimer(ITIMER_VIRTUAL, &off, NULL);
	printf("{\"default_before\": %d, \"same\": %d, \"mask\": %d, \"wrong\": %d, \"hits\": "
	       "%d, \"virtual\": %d}\n",
	       before.sa_handler == SIG_DFL, same, mask_kept, (int)wrong_info, (int)hits,
	       (int)virtual_hits);
	return 0;
}

static int by_signal(void)
{
	int first = signal(SIGPROF, on_signal) == SIG_DFL, second, third;

	for (int i = 0; i < 100; i++) {
		burn_a(2 * MS);
		raise(SIGPROF);
	}
	second = signal(SIGPROF, SIG_IGN) == on_signal;
	burn_a(100 * MS);
	raise(SIGPROF);
	kill(getpid(), SIGPROF);
	third = signal(SIGPROF, SIG_DFL) == SIG_IGN;
	burn_a(100 * MS);
	printf("{\"first\": %d, \"second\": %d, \"third\": %d, \"hits\": %d}\n", first, second,
	       third, (int)hits);
	return 0;
}

/* As many signals as can be, each handled before the next is sent. */
static int raises(long n)
{
	long lost = 0, lost_by_thread = 0;

	signal(SIGPROF, on_signal);
	for (long i = 0; i < n; i++) {
		int before = hits;

		raise(SIGPROF);
		lost += hits != before + 1;
		before = hits;
		pthread_kill(pthread_self(), SIGPROF);
		lost_by_thread += hits != before + 1;
	}
	printf("{\"raise\": %ld, \"pthread_kill\": %ld}\n", lost, lost_by_thread);
	return 0;
}

/* Waits for SIGPROF in a thread that blocks it, as servers do with all their signals. */
static int waits_for_it(int by_fd)
{
	sigset_t set, seen;
	int sent = 0, got = 0, strange = 0, fd = -1, pending, blocked;
	siginfo_t info;

	sigemptyset(&set);
	sigaddset(&set, SIGPROF);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &seen);
	blocked = sigismember(&seen, SIGPROF);
	if (by_fd)
		fd = signalfd(-1, &set, SFD_NONBLOCK);
	for (int i = 0; i < 50; i++) {
		struct timespec now = {0, 0};
		struct signalfd_siginfo other;

		burn_a(5 * MS);
		kill(getpid(), SIGPROF);
		sent++;
		if (by_fd)
			while (read(fd, &other, sizeof(other)) == (ssize_t)sizeof(other))
				other.ssi_code == SI_USER ? got++ : strange++;
		else
			while (sigtimedwait(&set, &info, &now) == SIGPROF)
				info.si_code == SI_USER ? got++ : strange++;
	}
	sigpending(&seen);
	pending = sigismember(&seen, SIGPROF);
	printf("{\"blocked\": %d, \"sent\": %d, \"got\": %d, \"strange\": %d, \"pending\": %d}\n",
	       blocked, sent, got, strange, pending);
	return 0;
}

/* Everything that shows what is pending, while SIGPROF and SIGTRAP, or one of them, are blocked, in @threads threads. */
static int pending_seen, sent_lost, cut_short;

static void *looks_at_pending(void *set_of)
{
	const sigset_t *set = set_of;
	int fd = signalfd(-1, set, SFD_NONBLOCK);
	struct pollfd readable = {fd, POLLIN, 0};
	struct timespec now = {0, 0}, five_ms = {0, 5 * MS};
	sigset_t seen, suspended;
	siginfo_t info;

	for (int i = 0; i < 40; i++) {
		burn_a(5 * MS);
		sigpending(&seen);
		pending_seen += sigismember(&seen, SIGPROF) || sigismember(&seen, SIGTRAP);
		pending_seen += poll(&readable, 1, 0) != 0;
		/* one of its own is there once, as sent */
		pthread_kill(pthread_self(), SIGPROF);
		sent_lost += sigtimedwait(set, &info, &now) != SIGPROF || info.si_code != SI_USER;
		pending_seen += sigtimedwait(set, &info, &now) != -1 || errno != EAGAIN;
		/* and a wait with all of them let in lasts as long as it should */
		sigemptyset(&suspended);
		errno = 0;
		cut_short += ppoll(NULL, 0, &five_ms, &suspended) != 0;
	}
	close(fd);
	return NULL;
}

static int nothing_pending(int with_trap)
{
	sigset_t set;
	pthread_t id;

	sigemptyset(&set);
	sigaddset(&set, SIGPROF);
	if (with_trap)
		sigaddset(&set, SIGTRAP);
	burn_b(100 * MS);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	looks_at_pending(&set);
	pthread_create(&id, NULL, looks_at_pending, &set); /* which inherits the mask */
	pthread_join(id, NULL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	burn_b(300 * MS);
	printf("{\"pending\": %d, \"lost\": %d, \"cut_short\": %d}\n", pending_seen, sent_lost,
	       cut_short);
	return 0;
}

static void *lets_all_in(void *arg)
{
	uint64_t none = 0;

	(void)arg;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
	burn_b(300 * MS);
	return NULL;
}

/* As the sanitizers' runtimes create threads: everything is blocked around it, by system calls that nobody sees. */
static int blocks_unseen(void)
{
	uint64_t all = ~UINT64_C(0), before = 0;
	pthread_t id;

	burn_a(50 * MS);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
	pthread_create(&id, NULL, lets_all_in, NULL);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
	pthread_join(id, NULL);
	printf("{}\n");
	return 0;
}

/* Breakpoints of its own. */
static int traps(void)
{
	struct sigaction action = {0}, seen;

	action.sa_sigaction = on_info;
	action.sa_flags = SA_SIGINFO;
	sigaction(SIGTRAP, &action, NULL);
	sigaction(SIGTRAP, NULL, &seen);
	for (int i = 0; i < 200; i++) {
		burn_a(2 * MS);
		__asm__ volatile("int3");
	}
	raise(SIGTRAP);
	printf("{\"same\": %d, \"hits\": %d, \"wrong\": %d}\n", seen.sa_sigaction == on_info,
	       (int)hits, (int)wrong_info);
	return 0;
}

/* What a daemon does at its start, and threads after it. */
static int closes_files(void)
{
	int first, second;
	pthread_t id;

	burn_a(100 * MS);
	syscall(SYS_close_range, 3u, ~0u, 0u);
	for (int fd = 3; fd < 4096; fd++)
		close(fd);
	first = open("/dev/null", O_RDONLY);
	second = open("/dev/null", O_RDONLY);
	burn_a(400 * MS);
	stop = 0;
	pthread_create(&id, NULL, burn_on, NULL);
	burn_a(500 * MS);
	stop = 1;
	pthread_join(id, NULL);
	printf("{\"first\": %d, \"second\": %d}\n", first, second);
	fprintf(stdout, "{\"process_ns\": %lld}\n", (long long)process_ns());
	return fcntl(first, F_GETFD) < 0 || fcntl(second, F_GETFD) < 0;
}

static volatile int64_t in_handler;

static void burn_in_handler(int sig)
{
	(void)sig;
	in_handler += burn_a(100 * MS);
}

/* Signal stacks with room for a frame or two and no more. */
static int small_altstack(void)
{
	size_t least = getauxval(AT_MINSIGSTKSZ);
	/* the kernel's frame, once for the host's handler and once for ours, and 2 KiB for each to run in */
	size_t size = 2 * (least > 1024 ? least : 2048) + 4096;
	char *memory =
		mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t stack = {.ss_sp = memory + 16384, .ss_size = size}, none = {.ss_flags = SS_DISABLE};
	struct sigaction action = {0};
	int damaged = 0, r;

	memset(memory, 0x5a, 65536);
	r = sigaltstack(&stack, NULL);
	action.sa_handler = burn_in_handler;
	action.sa_flags = SA_ONSTACK;
	sigaction(SIGUSR1, &action, NULL);
	burn_a(200 * MS);
	for (int i = 0; i < 3; i++)
		raise(SIGUSR1);
	sigaltstack(&none, NULL);
	for (size_t i = 0; i < 16384; i++)
		damaged += memory[i] != 0x5a;
	printf("{\"set\": %d, \"damaged\": %d, \"burnt\": %d}\n", r, damaged,
	       in_handler > 290 * MS);
	return 0;
}

static int drops_rights(char **program)
{
	pid_t child;
	int status = 0;

	burn_a(200 * MS);
	if (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
		return 77;
	if (*program != NULL) {
		execv(*program, program);
		return 127;
	}
	burn_a(200 * MS);
	child = fork();
	if (child == 0) {
		burn_b(200 * MS);
		_exit(11);
	}
	waitpid(child, &status, 0);
	printf("{\"uid\": %d, \"status\": %d}\n", (int)getuid(), WEXITSTATUS(status));
	return 0;
}

static int changes_root(const char *directory)
{
	pthread_t id;

	if (chroot(directory) != 0 || chdir("/") != 0)
		return 77;
	stop = 0;
	pthread_create(&id, NULL, burn_on, NULL);
	burn_a(300 * MS);
	stop = 1;
	pthread_join(id, NULL);
	printf("{\"proc\": %d}\n", access("/proc/self", F_OK));
	return 0;
}

/* Libraries come and go, and are run in between. */
static int libraries(char **paths, int64_t for_ms)
{
	int64_t end = thread_ns() + for_ms * MS;
	int rounds = 0, failed = 0;
	pthread_t id;

	stop = 0;
	pthread_create(&id, NULL, burn_on, NULL);
	while (thread_ns() < end) {
		for (int i = 0; i < 2; i++) {
			void *library = dlopen(paths[i], RTLD_NOW), *function;
			int64_t (*burn)(int64_t);

			function = library ? dlsym(library, "plugin_burn") : NULL;
			if (function == NULL) {
				failed++;
				continue;
			}
			memcpy(&burn, &function, sizeof(burn));
			burn(MS / 2);
			failed += dlclose(library) != 0;
		}
		rounds++;
	}
	stop = 1;
	pthread_join(id, NULL);
	fprintf(stderr, "rounds %d\n", rounds);
	printf("{\"failed\": %d}\n", failed);
	return 0;
}

/* A library by its bare name: found by this program's own DT_RUNPATH only. */
static int by_runpath(void)
{
	void *library = dlopen("libplugin_one.so", RTLD_NOW);
	void *nowhere = dlopen("libplugin_nowhere.so", RTLD_NOW);

	if (library == NULL)
		fprintf(stderr, "%s\n", dlerror());
	printf("{\"found\": %d, \"nowhere\": %d}\n", library != NULL, nowhere != NULL);
	return 0;
}

/* Resources as the program sees them: numbers of its next files, its limits, its children, its environment. */
static int resources(void)
{
	int fd = open("/dev/null", O_RDONLY), files = 0;
	struct rlimit limit;

	burn_a(100 * MS);
	for (int i = 0; i < 256; i++)
		files += fcntl(i, F_GETFD) >= 0;
	getrlimit(RLIMIT_NOFILE, &limit);
	errno = 0;
	printf("{\"fd\": %d, \"files\": %d, \"limit\": %lld, \"wait\": %d, \"errno\": %d, "
	       "\"ppid_ok\": %d}\n",
	       fd, files, (long long)limit.rlim_cur, (int)wait(NULL), errno, getppid() > 1);
	return 0;
}

/* A number of KiB, by its name in /proc/self/status. */
static long status_kb(const char *name)
{
	char text[4096];
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	const char *at;

	close(fd);
	text[n > 0 ? n : 0] = '\0';
	at = strstr(text, name);
	return at != NULL ? atol(at + strlen(name) + 1) : -1;
}

static int pages_there(const void *memory, size_t size)
{
	unsigned char there[1024];
	int n = 0;

	mincore((void *)(uintptr_t)memory, size, there);
	for (size_t i = 0; i < size / 4096; i++)
		n += there[i] & 1;
	return n;
}

static void *some_memory(void)
{
	return mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* All of its memory is to be there. */
static int locks_memory(int flags)
{
	const void *before = some_memory(), *after;
	int r, error, there, there_after;
	pthread_t id;

	burn_a(100 * MS);
	errno = 0;
	r = mlockall(flags);
	error = errno;
	there = pages_there(before, 4 << 20);
	after = some_memory();
	there_after = after != MAP_FAILED ? pages_there(after, 4 << 20) : -1;
	printf("{\"r\": %d, \"errno\": %d, \"there\": %d, \"there_after\": %d, \"much_locked\": "
	       "%d, "
	       "\"much_shared\": %d}\n",
	       r, error, there, there_after, status_kb("VmLck:") > 48 << 10,
	       status_kb("RssShmem:") > 16 << 10);
	fflush(stdout);
	stop = 0;
	if (pthread_create(&id, NULL, burn_on, NULL) == 0) {
		burn_a(200 * MS);
		stop = 1;
		pthread_join(id, NULL);
	}
	munlockall();
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "eintr") == 0)
		return eintr(argc > 2 ? atoll(argv[2]) : 2000);
	if (strcmp(what, "sleepers") == 0)
		return sleepers();
	if (strcmp(what, "errno") == 0)
		return keeps_errno();
	if (strcmp(what, "profiler") == 0)
		return own_profiler();
	if (strcmp(what, "signal") == 0)
		return by_signal();
	if (strcmp(what, "raises") == 0)
		return raises(argc > 2 ? atol(argv[2]) : 100000);
	if (strcmp(what, "sigwait") == 0)
		return waits_for_it(0);
	if (strcmp(what, "signalfd") == 0)
		return waits_for_it(1);
	if (strcmp(what, "pending") == 0)
		return nothing_pending(0);
	if (strcmp(what, "pendingboth") == 0)
		return nothing_pending(1);
	if (strcmp(what, "blocksunseen") == 0)
		return blocks_unseen();
	if (strcmp(what, "traps") == 0)
		return traps();
	if (strcmp(what, "closes") == 0)
		return closes_files();
	if (strcmp(what, "altstack") == 0)
		return small_altstack();
	if (strcmp(what, "drops") == 0)
		return drops_rights(argv + 2);
	if (strcmp(what, "chroot") == 0 && argc > 2)
		return changes_root(argv[2]);
	if (strcmp(what, "libraries") == 0 && argc > 4)
		return libraries(argv + 2, atoll(argv[4]));
	if (strcmp(what, "mlockall") == 0 && argc > 2)
		return locks_memory(atoi(argv[2]));
	if (strcmp(what, "runpath") == 0)
		return by_runpath();
	if (strcmp(what, "resources") == 0)
		return resources();
	return 2;
}
