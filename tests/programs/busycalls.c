/*
 * Threads that make system calls all the time, of which each result is known, while the code of these calls is changed under
 * them: handlers that come in between and make calls, too, threads that are cancelled in a call, threads and children that come
 * and go. It says how much of everything it has done: a line for each line that it reads. At the end of its input it ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/programs/host.h"

enum call { GETPPID, READ, WRITE, CLOSE, CALLS };
static const char *const names[CALLS] = {"getppid", "read", "write", "close"};

static struct counts {
	atomic_uint_fast64_t begun, done;
} counts[CALLS];
static atomic_bool is_over;
static atomic_ulong wrong, signals, cancelled, cleaned, joined, children;
static int zero, null, never[2];
static pid_t parent;

/* Whatever lies in the registers that a call leaves alone is there after it: the compiler keeps @a to @d in some. */
#define COUNTED(which, expression, expected)                                      \
	do {                                                                      \
		uint64_t a = i * 3, b = i ^ 0x55, c = ~i, d = i + 11;             \
                                                                                  \
		__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));        \
		atomic_fetch_add(&counts[which].begun, 1);                        \
		wrong += (expression) != (expected);                              \
		atomic_fetch_add(&counts[which].done, 1);                         \
		__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));        \
		wrong += a != i * 3 || b != (i ^ 0x55) || c != ~i || d != i + 11; \
	} while (0)

static int pause_us; /* between two rounds of calls */

static void *call(void *unused)
{
	for (uint64_t i = 0; !is_over; i++) {
		char byte = 1;

		COUNTED(GETPPID, getppid(), parent);
		COUNTED(READ, read(zero, &byte, 1), 1);
		wrong += byte != 0;
		COUNTED(WRITE, write(null, &byte, 1), 1);
		errno = 0;
		COUNTED(CLOSE, close(-1), -1);
		wrong += errno != EBADF;
		if (pause_us > 0)
			usleep((useconds_t)pause_us);
	}
	return unused;
}

/* It is interrupted, and makes a call. */
static void on_signal(int sig)
{
	int saved = errno;

	wrong += getpid() == parent || sig != SIGALRM;
	signals++;
	errno = saved;
}

static void clean(void *unused)
{
	(void)unused;
	cleaned++;
}

static void *wait_for_ever(void *unused)
{
	char byte;

	pthread_cleanup_push(clean, NULL);
	wrong += read(never[0], &byte, 1) != -2; /* it never comes back */
	pthread_cleanup_pop(0);
	return unused;
}

static void *come_and_go(void *unused)
{
	while (!is_over) {
		pthread_t thread;
		void *result;

		if (pthread_create(&thread, NULL, wait_for_ever, NULL) != 0)
			continue;
		usleep(300);
		pthread_cancel(thread);
		pthread_join(thread, &result);
		cancelled++;
		wrong += result != PTHREAD_CANCELED;
		joined++;
	}
	return unused;
}

static void *make_children(void *unused)
{
	while (!is_over) {
		pid_t child = fork();
		int status = -1;

		if (child == 0)
			_exit(getppid() == parent ? 4 : 3);
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
		wrong += !WIFEXITED(status) || WEXITSTATUS(status) != 3;
		children++;
		usleep(5000);
	}
	return unused;
}

/* Not by read() and write(), which are counted. */
static int send_line(const char *line, size_t n)
{
	return syscall(SYS_writev, STDOUT_FILENO, &(struct iovec){(void *)(uintptr_t)line, n}, 1) ==
			       (long)n
		       ? 0
		       : -1;
}

static int recv_byte(char *to)
{
	long r;

	while ((r = syscall(SYS_readv, STDIN_FILENO, &(struct iovec){to, 1}, 1)) < 0 &&
	       errno == EINTR)
		;
	return (int)r;
}

static void say(void)
{
	char line[512];
	int n = snprintf(line, sizeof(line), "{\"pid\": %d", (int)getpid());

	for (int w = 0; w < CALLS; w++) {
		unsigned long long done = atomic_load(&counts[w].done);
		unsigned long long begun = atomic_load(&counts[w].begun);

		n += snprintf(line + n, sizeof(line) - (size_t)n, ", \"%s\": [%llu, %llu]",
			      names[w], done, begun);
	}
	n += snprintf(line + n, sizeof(line) - (size_t)n, "}\n");
	if (send_line(line, (size_t)n) != 0)
		_exit(2);
}

int main(int argc, char **argv)
{
	const struct itimerval often = {{0, 700}, {0, 700}}, off = {{0, 0}, {0, 0}};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	int callers = argc > 1 ? atoi(argv[1]) : 4, n = 0;
	pthread_t threads[32];
	char line;

	pause_us = argc > 2 ? atoi(argv[2]) : 0;
	parent = getppid();
	zero = open("/dev/zero", O_RDONLY);
	null = open("/dev/null", O_WRONLY);
	if (zero < 0 || null < 0 || pipe(never) < 0)
		return 2;
	sigaction(SIGALRM, &action, NULL);
	for (int i = 0; i < callers && i < 30; i++)
		n += pthread_create(&threads[n], NULL, call, NULL) == 0;
	n += pthread_create(&threads[n], NULL, come_and_go, NULL) == 0;
	n += pthread_create(&threads[n], NULL, make_children, NULL) == 0;
	setitimer(ITIMER_REAL, &often, NULL);
	say();
	while (recv_byte(&line) == 1)
		if (line == '\n')
			say();
	is_over = true;
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	setitimer(ITIMER_REAL, &off, NULL);
	printf("{\"wrong\": %lu, \"same\": %d, \"some\": %d}\n", wrong,
	       cancelled == cleaned && cancelled == joined, signals > 0 && children > 0);
	return 17;
}
