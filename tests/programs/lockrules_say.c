/* lockrules: saying what came of a call, other threads to make them, and knowing when those sleep. */
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/programs/lockrules.h"

const char *say_before = "";
volatile sig_atomic_t signals_seen;

/* In one piece and at once: some of those that speak die soon. */
static void print_line(const char *what, const char *text)
{
	char line[400];
	int n = snprintf(line, sizeof(line), "%s%s%s: %s\n", say_before, say_before[0] ? ": " : "",
			 what, text);

	if (n > (int)sizeof(line) - 1)
		n = (int)sizeof(line) - 1;
	if (write(1, line, (size_t)n) != n)
		abort();
}

static const char *name_of(int error, char *buffer, size_t size)
{
#if defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 32)
	const char *name = strerrorname_np(error);

	if (name != NULL)
		return name;
#endif
#endif
	snprintf(buffer, size, "%d", error);
	return buffer;
}

void say_text(const char *what, const char *text)
{
	print_line(what, text);
}

void say_number(const char *what, long number)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", number);
	print_line(what, text);
}

void say(const char *what, int r, int error)
{
	char text[120], number[16];
	int n;

	if (r > 0 && r < 134)
		n = snprintf(text, sizeof(text), "%s", name_of(r, number, sizeof(number)));
	else
		n = snprintf(text, sizeof(text), "%d", r);
	if (error != KEPT)
		snprintf(text + n, sizeof(text) - (size_t)n, " %s",
			 name_of(error, number, sizeof(number)));
	print_line(what, text);
}

/* Time */

struct timespec in_ms(clockid_t clock, int64_t ms)
{
	int64_t ns = host_clock(clock) + ms * MS;

	return (struct timespec){ns / 1000000000, ns % 1000000000};
}

int is_past(clockid_t clock, const struct timespec *at)
{
	return host_clock(clock) >= at->tv_sec * INT64_C(1000000000) + at->tv_nsec;
}

struct timespec bad_time(void)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 60000);

	at.tv_nsec = 1000000000;
	return at;
}

static void a_moment(void)
{
	struct timespec t = {0, 300000};

	nanosleep(&t, NULL);
}

/* Other threads: what is told apart from what is tested, by pipes. */

static void *other_main(void *arg)
{
	struct other *o = arg;
	char c;

	o->tid = (int)syscall(SYS_gettid);
	if (write(o->from[1], "", 1) != 1)
		abort();
	while (read(o->to[0], &c, 1) == 1 && c == 1) {
		errno = KEPT;
		o->result = o->what(o->arg);
		o->error = errno;
		if (write(o->from[1], "", 1) != 1)
			abort();
	}
	return NULL;
}

static void wait_for_byte(int fd)
{
	char c;

	while (read(fd, &c, 1) != 1)
		if (errno != EINTR)
			abort();
}

void other_start(struct other *o)
{
	if (pipe(o->to) != 0 || pipe(o->from) != 0 ||
	    pthread_create(&o->id, NULL, other_main, o) != 0)
		abort();
	wait_for_byte(o->from[0]);
}

void other_begin(struct other *o, int (*what)(void *), void *arg)
{
	o->what = what;
	o->arg = arg;
	if (write(o->to[1], "\1", 1) != 1)
		abort();
}

void other_end(struct other *o, const char *about)
{
	wait_for_byte(o->from[0]);
	if (about != NULL)
		say(about, o->result, o->error);
}

void other_do(struct other *o, const char *about, int (*what)(void *), void *arg)
{
	other_begin(o, what, arg);
	other_end(o, about);
}

void other_leave(struct other *o)
{
	if (write(o->to[1], "\2", 1) != 1)
		abort();
	pthread_join(o->id, NULL);
	for (int i = 0; i < 2; i++) {
		close(o->to[i]);
		close(o->from[i]);
	}
}

/* Asleep */

/* A file of /proc, or "" when it may not be read. */
static const char *read_of(int pid, int tid, const char *name, char *text, size_t size)
{
	int fd;
	ssize_t n;

	snprintf(text, size, "/proc/%d/task/%d/%s", pid, tid, name);
	fd = open(text, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, text, size - 1) : 0;
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static int is_in_futex(const char *text, uintptr_t object, size_t size)
{
	char *at;
	long number = strtol(text, &at, 10);
	uintptr_t address;

	if (at == text || number != SYS_futex)
		return 0;
	address = (uintptr_t)strtoull(at, NULL, 16);
	return object == 0 || (address >= object && address < object + size);
}

void until_asleep(const char *about, int pid, int tid, const void *object, size_t size, int answer)
{
	int64_t end = host_clock(CLOCK_MONOTONIC) + 8000 * MS;
	char text[600];
	int times = 0;

	while (host_clock(CLOCK_MONOTONIC) < end) {
		const char *state;

		struct pollfd p = {answer, POLLIN, 0};

		if (answer >= 0 && poll(&p, 1, 0) > 0) {
			say_text(about, "did not wait");
			return;
		}
		if (is_in_futex(read_of(pid, tid, "syscall", text, sizeof(text)), (uintptr_t)object,
				size))
			return;
		/* where the kernel does not say in which call: asleep at each of many looks */
		if (text[0] == '\0') {
			state = strrchr(read_of(pid, tid, "stat", text, sizeof(text)), ')');
			times = state != NULL && state[2] == 'S' ? times + 1 : 0;
			if (times > 40)
				return;
		}
		a_moment();
	}
	say_text(about, "never slept");
}

/* Signals */

static void on_signal(int sig)
{
	(void)sig;
	signals_seen++;
}

void count_signals(int sig, int flags)
{
	struct sigaction action = {0};

	signals_seen = 0;
	action.sa_handler = on_signal;
	action.sa_flags = flags;
	sigaction(sig, &action, NULL);
}

void wait_for_signals(int count)
{
	while (signals_seen < count)
		a_moment();
}
