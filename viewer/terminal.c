#include "viewer/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "output/tty.h"

#define QUIET_NS UINT64_C(500000000) /* before the first line of progress */
#define AGAIN_NS UINT64_C(100000000)

static volatile sig_atomic_t interrupted;
static pid_t pager;

bool terminal_has_colour(int fd, enum terminal_colour wish)
{
	return wish == COLOUR_AUTO ? tty_has_colour(fd) : wish == COLOUR_ALWAYS;
}

static void run_pager(int from, const char *command)
{
	dup2(from, STDIN_FILENO);
	signal(SIGINT, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	/* colours go through, and what fits on a screen needs no key */
	setenv("LESS", "FRX", 0);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

int terminal_begin_pager(void)
{
	const char *command = getenv("PAGER");
	int ends[2];

	if (!isatty(STDOUT_FILENO) || (command != NULL && command[0] == '\0'))
		return STDOUT_FILENO;
	if (command == NULL)
		command = "command -v less >/dev/null && exec less; exec cat";
	if (strcmp(command, "cat") == 0 || pipe2(ends, O_CLOEXEC) < 0)
		return STDOUT_FILENO;
	pager = fork();
	if (pager == 0)
		run_pager(ends[0], command);
	close(ends[0]);
	if (pager > 0)
		return ends[1];
	close(ends[1]);
	pager = 0;
	return STDOUT_FILENO;
}

void terminal_end_pager(int fd)
{
	if (pager <= 0)
		return;
	close(fd);
	while (waitpid(pager, NULL, 0) < 0 && errno == EINTR)
		;
	pager = 0;
}

static void note_interrupt(int signo)
{
	(void)signo;
	interrupted = 1;
}

bool terminal_was_interrupted(void)
{
	return interrupted != 0;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static bool step(void *context, uint64_t done, uint64_t total)
{
	struct terminal_progress *p = context;
	uint64_t now;
	double share, spent_s;

	if (interrupted)
		return true;
	if (p->is_quiet)
		return false;
	now = now_ns();
	if (now - p->begun_ns < QUIET_NS || now - p->shown_ns < AGAIN_NS || done == 0 || total == 0)
		return false;
	p->shown_ns = now;
	p->is_shown = true;
	share = (double)done / (double)total;
	spent_s = (double)(now - p->begun_ns) / 1e9;
	fprintf(stderr, "\r\033[Kcprof-trace: %s: %.0f %%, %.0f MiB/s, %.0f s left", p->what,
		share * 100, (double)done / spent_s / 1048576, spent_s / share - spent_s);
	return false;
}

void terminal_watch(struct terminal_progress *p, const char *what, bool is_quiet)
{
	/* One is noted; the next does what it always does. */
	struct sigaction action = {.sa_handler = note_interrupt,
				   .sa_flags = (int)(SA_RESETHAND | SA_RESTART)};

	*p = (struct terminal_progress){.watch = {step, p}, .what = what, .begun_ns = now_ns()};
	p->is_quiet = is_quiet || !isatty(STDERR_FILENO);
	sigaction(SIGINT, &action, NULL);
}

void terminal_watch_end(struct terminal_progress *p)
{
	if (p->is_shown)
		fputs("\r\033[K", stderr);
	p->is_shown = false;
}
