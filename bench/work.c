/*
 * The same work each time, with nobody looking on, or with a clock that strikes at HZ and a handler that does nothing: what
 * any sampler has to pay on this machine.
 *
 *     work none | perf HZ | timer HZ          prints CPU time in ns, and how often it struck
 */
#include <linux/perf_event.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 400000000L

static volatile long strikes;

static void on_strike(int sig)
{
	(void)sig;
	strikes++;
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int strike_by_perf(long hz)
{
	struct perf_event_attr a = {
		.size = sizeof(a),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_TASK_CLOCK,
		.sample_period = (uint64_t)(1000000000 / hz),
		.exclude_kernel = 1,
		.exclude_hv = 1,
		.sigtrap = 1,
		.remove_on_exec = 1,
	};

	signal(SIGTRAP, on_strike);
	return (int)syscall(SYS_perf_event_open, &a, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static int strike_by_timer(long hz)
{
	struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGPROF};
	struct itimerspec when = {.it_interval.tv_nsec = 1000000000 / hz,
				  .it_value.tv_nsec = 1000000000 / hz};
	timer_t timer;

	signal(SIGPROF, on_strike);
	if (timer_create(CLOCK_THREAD_CPUTIME_ID, &how, &timer) < 0)
		return -1;
	return timer_settime(timer, 0, &when, NULL);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "none";
	long hz = argc > 2 ? atol(argv[2]) : 100;
	volatile uint64_t x = 1;
	uint64_t begun;
	int r = 0;

	begun = cpu_ns();
	if (strcmp(how, "perf") == 0)
		r = strike_by_perf(hz);
	else if (strcmp(how, "timer") == 0)
		r = strike_by_timer(hz);
	if (r < 0) {
		perror(how);
		return 1;
	}
	for (long i = 0; i < ROUNDS; i++)
		x = x * 3 + 1;
	printf("%llu %ld\n", (unsigned long long)(cpu_ns() - begun), strikes);
	return 0;
}
