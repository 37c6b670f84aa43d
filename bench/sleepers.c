/*
 * sleepers: what it costs to watch threads that sleep.
 *
 *     sleepers THREADS KIND SECONDS [PEER HZ]
 *
 *     libc       all sleep in poll()
 *     waking     the same, but ten of them wake 100 times a second and work for some 10 microseconds
 *     raw        all sleep in poll, by an instruction of the program: not in the C library's code
 *     wakingraw  both
 *
 * PEER is what profilers do that know no better: a thread of its own signals all of them HZ times a second, and the handler
 * does nothing ("empty") or takes a stack ("walk").
 *
 * After a second to settle, prints what SECONDS of it took: CPU time of the process, waits that ended early, signals sent.
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 20000
#define WAKING      10

static int is_raw, is_waking, threads;
static int tids[THREADS_MAX];
static _Atomic int ready;
static _Atomic uint64_t interrupted, sent, walked;
static volatile uint64_t sink;
static int (*take_stack)(void **buffer, int size);

static int64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void sleep_until(int64_t ns)
{
	struct timespec t = {ns / 1000000000, ns % 1000000000};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

static long poll_raw(long ms)
{
#ifdef __x86_64__
	long r;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "0"((long)SYS_poll), "D"(0L), "S"(0L), "d"(ms)
			 : "rcx", "r11", "memory");
	return r;
#else
	return syscall(SYS_poll, NULL, 0, ms) < 0 ? -errno : 0;
#endif
}

static void wait_ms(int ms)
{
	if (is_raw)
		interrupted += poll_raw(ms) == -EINTR;
	else
		interrupted += poll(NULL, 0, ms) < 0 && errno == EINTR;
}

static void *sleeper_main(void *arg)
{
	int i = (int)(intptr_t)arg;

	tids[i] = (int)syscall(SYS_gettid);
	ready++;
	for (;;) {
		wait_ms(is_waking && i < WAKING ? 10 : 3600 * 1000);
		for (int k = 0; i < WAKING && k < 6000; k++)
			sink = sink * 3 + 1;
	}
	return NULL;
}

static void do_nothing(int sig)
{
	(void)sig;
}

static void walk(int sig)
{
	void *frames[64];
	int saved = errno;

	walked += take_stack(frames, 64) > 0;
	errno = saved;
	(void)sig;
}

static void *peer_main(void *arg)
{
	int64_t period = *(int64_t *)arg, next = clock_ns(CLOCK_MONOTONIC), now;
	int pid = getpid();

	for (;;) {
		next += period;
		now = clock_ns(CLOCK_MONOTONIC);
		if (next < now)
			next = now; /* as often as it can */
		sleep_until(next);
		for (int i = 0; i < threads; i++)
			sent += syscall(SYS_tgkill, pid, tids[i], SIGUSR1) == 0;
	}
	return NULL;
}

static int start_peer(const char *how, double hz)
{
	static int64_t period;
	struct sigaction action = {.sa_handler = do_nothing, .sa_flags = SA_RESTART};
	void *libunwind = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
	pthread_t id;

	if (strcmp(how, "walk") == 0) {
		action.sa_handler = walk;
		if (libunwind != NULL)
			*(void **)&take_stack = dlsym(libunwind, "unw_backtrace");
		if (take_stack == NULL)
			take_stack = backtrace;
	}
	sigaction(SIGUSR1, &action, NULL);
	period = (int64_t)(1e9 / hz);
	return pthread_create(&id, NULL, peer_main, &period);
}

int main(int argc, char **argv)
{
	pthread_attr_t attr;
	int64_t wall, cpu;
	uint64_t interrupted_before, sent_before;

	if (argc < 4 || atoi(argv[1]) > THREADS_MAX)
		return 2;
	is_waking = strncmp(argv[2], "waking", 6) == 0;
	is_raw = strstr(argv[2], "raw") != NULL;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	for (int i = 0; i < atoi(argv[1]); i++, threads++) {
		pthread_t id;

		if (pthread_create(&id, &attr, sleeper_main, (void *)(intptr_t)i) != 0)
			return 1;
	}
	while (ready < threads)
		usleep(1000);
	if (argc > 5 && start_peer(argv[4], atof(argv[5])) != 0)
		return 1;
	wall = clock_ns(CLOCK_MONOTONIC);
	sleep_until(wall + 1000000000);
	interrupted_before = interrupted;
	sent_before = sent;
	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	wall = clock_ns(CLOCK_MONOTONIC);
	sleep_until(wall + (int64_t)(atof(argv[3]) * 1e9));
	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	wall = clock_ns(CLOCK_MONOTONIC) - wall;
	printf("cpu_ns %lld\nwall_ns %lld\ninterrupted %llu\nsignals %llu\n", (long long)cpu,
	       (long long)wall, (unsigned long long)(interrupted - interrupted_before),
	       (unsigned long long)(sent - sent_before));
	fflush(stdout);
	_exit(0);
}
