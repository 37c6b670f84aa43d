#include "viewer/screen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define ESCAPE_MS \
	25 /* the rest of a key's sequence follows its Esc within this, also through a slow line */

static const char take[] = "\033[?1049h\033[?25l\033[2J";
static const char give[] = "\033[0m\033[?25h\033[?1049l";

/* What ends the program unless somebody handles it. */
static const int fatal[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGILL,  SIGTRAP,   SIGABRT, SIGBUS,
			    SIGFPE,  SIGUSR1, SIGSEGV, SIGUSR2, SIGALRM,   SIGTERM, SIGXCPU,
			    SIGXFSZ, SIGSYS,  SIGPROF, SIGIO,   SIGVTALRM, SIGPWR};

static struct termios before, raw;
static int keys = -1; /* where they come from */
static bool is_own;   /* it was opened for that */
static volatile sig_atomic_t is_taken, has_changed;
static sigset_t usual;           /* signals that are blocked while it waits for a key */
static char alternate[16 << 10]; /* a stack for a handler whose thread has used up its own */

static unsigned char bytes[256]; /* typed, and not looked at */
static size_t bytes_n;
static bool is_closed;
static int peeked = KEY_NONE;

/* ---- in handlers, too ---- */

static void put(const char *text, size_t n)
{
	while (n > 0) {
		ssize_t done = write(STDOUT_FILENO, text, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return;
		text += done;
		n -= (size_t)done;
	}
}

static void take_it(void)
{
	tcsetattr(keys, TCSANOW, &raw);
	put(take, sizeof(take) - 1);
	is_taken = 1;
}

static void give_back(void)
{
	if (!is_taken)
		return;
	is_taken = 0;
	put(give, sizeof(give) - 1);
	tcsetattr(keys, TCSANOW, &before);
}

static void on_fatal(int signo)
{
	int error = errno;

	give_back();
	signal(signo, SIG_DFL);
	raise(signo); /* when this handler is left */
	errno = error;
}

static void on_change(int signo)
{
	(void)signo;
	has_changed = 1;
}

/* Goes on in the background: not before it has the terminal again. */
static void await_foreground(void)
{
	for (;;) {
		pid_t has_it = tcgetpgrp(keys);

		if (has_it < 0 || has_it == getpgrp())
			return;
		raise(SIGSTOP);
	}
}

/* Whoever stopped it, a shell has used the terminal since. */
static void on_continue(int signo)
{
	int error = errno;

	(void)signo;
	await_foreground();
	if (is_taken)
		take_it();
	has_changed = 1;
	errno = error;
}

static void on_stop(int signo)
{
	struct sigaction usually = {.sa_handler = SIG_DFL}, mine;
	bool was_taken = is_taken;
	int error = errno;
	sigset_t it;

	give_back();
	sigaction(signo, &usually, &mine);
	raise(signo);
	sigemptyset(&it);
	sigaddset(&it, signo);
	sigprocmask(SIG_UNBLOCK, &it, NULL); /* stops here */
	sigprocmask(SIG_BLOCK, &it, NULL);
	sigaction(signo, &mine, NULL);
	await_foreground();
	if (was_taken)
		take_it();
	has_changed = 1;
	errno = error;
}

/* ---- */

static void handle(int signo, void (*handler)(int), int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags}, old;

	/* what somebody wants ignored stays so */
	if (sigaction(signo, NULL, &old) == 0 && old.sa_handler == SIG_IGN)
		return;
	sigfillset(&action.sa_mask);
	sigaction(signo, &action, NULL);
}

static int find_terminal(struct why *why)
{
	const char *term = getenv("TERM");

	if (!isatty(STDOUT_FILENO) || term == NULL || strcmp(term, "dumb") == 0) {
		why_set(why, "--interactive needs a terminal on standard output; without it, "
			     "timeline --text prints the same");
		return -ENOTTY;
	}
	keys = STDIN_FILENO;
	if (!isatty(STDIN_FILENO)) {
		/* the trace comes from there */
		keys = open("/dev/tty", O_RDWR | O_CLOEXEC);
		is_own = keys >= 0;
	}
	if (keys < 0 || tcgetattr(keys, &before) < 0) {
		why_set(why, "--interactive: there is no terminal to read keys from: %s",
			strerror(errno));
		return -ENOTTY;
	}
	return 0;
}

int screen_begin(struct why *why)
{
	const stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
	static bool is_registered;
	sigset_t late;
	int r = find_terminal(why);

	if (r < 0)
		return r;
	raw = before;
	/* Ctrl-C and Ctrl-Z stay signals: they work in the middle of anything */
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | IEXTEN);
	raw.c_iflag &= ~(tcflag_t)(IXON | ICRNL | INLCR | IGNCR | ISTRIP);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	sigaltstack(&stack, NULL);
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		handle(fatal[i], on_fatal, SA_ONSTACK);
	handle(SIGTSTP, on_stop, 0);
	handle(SIGWINCH, on_change, 0);
	handle(SIGCONT, on_continue, 0);
	/* these come in only where it waits for keys, so none is missed just before */
	sigemptyset(&late);
	sigaddset(&late, SIGWINCH);
	sigaddset(&late, SIGCONT);
	sigprocmask(SIG_BLOCK, &late, &usual);
	if (!is_registered)
		atexit(screen_end);
	is_registered = true;
	take_it();
	return 0;
}

void screen_end(void)
{
	give_back();
	if (is_own)
		close(keys);
	is_own = false;
	keys = -1;
}

void screen_size(unsigned *ret_columns, unsigned *ret_rows)
{
	struct winsize size;
	bool is_known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;

	*ret_columns = is_known && size.ws_col > 0 ? size.ws_col : 80;
	*ret_rows = is_known && size.ws_row > 0 ? size.ws_row : 24;
}

/* Waits for bytes and adds them. Returns how many are new; 0 after the time, or a signal. */
static size_t fill(int timeout_ms)
{
	struct timespec timeout = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000};
	struct pollfd fd = {.fd = keys, .events = POLLIN};
	ssize_t n;

	if (is_closed || bytes_n == sizeof(bytes) ||
	    ppoll(&fd, 1, timeout_ms >= 0 ? &timeout : NULL, &usual) <= 0)
		return 0;
	n = read(keys, bytes + bytes_n, sizeof(bytes) - bytes_n);
	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		is_closed = true;
	if (n <= 0)
		return 0;
	bytes_n += (size_t)n;
	return (size_t)n;
}

static void drop(size_t n)
{
	memmove(bytes, bytes + n, bytes_n - n);
	bytes_n -= n;
}

/* "[1;2D" behind an Esc: letter, its first number and the second, which is 2 with shift. */
static int of_sequence(unsigned char last, unsigned first, unsigned second)
{
	bool is_shift = second == 2;

	switch (last) {
	case 'A':
		return is_shift ? KEY_SHIFT_UP : KEY_UP;
	case 'B':
		return is_shift ? KEY_SHIFT_DOWN : KEY_DOWN;
	case 'C':
		return is_shift ? KEY_SHIFT_RIGHT : KEY_RIGHT;
	case 'D':
		return is_shift ? KEY_SHIFT_LEFT : KEY_LEFT;
	case 'H':
		return KEY_HOME;
	case 'F':
		return KEY_END;
	case '~':
		return first == 1 || first == 7   ? KEY_HOME
		       : first == 4 || first == 8 ? KEY_END
		       : first == 5               ? KEY_PAGE_UP
		       : first == 6               ? KEY_PAGE_DOWN
						  : KEY_NONE;
	}
	return KEY_NONE;
}

/* A key that begins with Esc: all of it is dropped, also one that means nothing. */
static int take_sequence(void)
{
	unsigned numbers[2] = {0, 0}, n = 0;
	size_t at = 2;

	while (bytes_n < 2 && fill(ESCAPE_MS) > 0)
		;
	if (bytes_n < 2 || (bytes[1] != '[' && bytes[1] != 'O')) {
		drop(1);
		return KEY_ESCAPE;
	}
	for (;; at++) {
		while (at >= bytes_n && fill(ESCAPE_MS) > 0)
			;
		if (at >= bytes_n) {
			drop(bytes_n);
			return KEY_NONE;
		}
		if (bytes[at] >= '0' && bytes[at] <= '9' && n < 2 && numbers[n] < 1000)
			numbers[n] = numbers[n] * 10 + (bytes[at] - '0');
		else if (bytes[at] == ';')
			n++;
		else if (bytes[at] >= 0x40 && bytes[at] < 0x7f)
			break;
	}
	n = bytes[at];
	drop(at + 1);
	return of_sequence((unsigned char)n, numbers[0], numbers[1]);
}

int screen_key(int timeout_ms)
{
	int key = peeked;

	peeked = KEY_NONE;
	if (key != KEY_NONE)
		return key;
	if (bytes_n == 0 && !has_changed)
		fill(timeout_ms);
	if (has_changed) {
		has_changed = 0;
		return KEY_CHANGED;
	}
	if (bytes_n == 0)
		return is_closed ? KEY_CLOSED : KEY_NONE;
	if (bytes[0] == KEY_ESCAPE)
		return take_sequence();
	key = bytes[0] == '\n' ? KEY_ENTER : bytes[0];
	drop(1);
	return key;
}

int screen_peek(void)
{
	if (peeked == KEY_NONE)
		peeked = screen_key(0);
	return peeked;
}
