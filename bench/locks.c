/*
 * locks: what a lock costs.
 *
 *     locks alone COUNT                COUNT times lock and unlock; the program has one thread, and glibc leaves out atomic
 *                                      instructions then
 *     locks pair COUNT                 the same with a second thread, which sleeps
 *     locks alone-stamped|pair-stamped COUNT    with one reading of the processor's counter in between: what no tracer is
 *                                      below
 *     locks contended THREADS COUNT    the same by several threads, each with a little to do inside and outside
 *
 * Prints nanoseconds a pair by the wall clock, the best of a few: what is lost to other processes is nobody's.
 */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/now.h"

/* of a millisecond or so: many end before another process has its turn */
#define TIMES         300
#define TIMES_OF_MANY 30 /* where threads contend: that takes longer */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static volatile uint64_t inside;
static long count;

static double pairs(void)
{
	double begun = now_ns();

	for (long i = 0; i < count; i++) {
		pthread_mutex_lock(&mutex);
		inside++;
		pthread_mutex_unlock(&mutex);
	}
	return (now_ns() - begun) / (double)count;
}

static double stamped(void)
{
	double begun = now_ns();

	for (long i = 0; i < count; i++) {
		pthread_mutex_lock(&mutex);
#ifdef __x86_64__
		inside = __builtin_ia32_rdtsc();
#else
		inside++;
#endif
		pthread_mutex_unlock(&mutex);
	}
	return (now_ns() - begun) / (double)count;
}

static void *sleeps(void *unused)
{
	for (;;)
		pause();
	return unused;
}

/* Some 50 ns inside, 100 outside. */
static void *contends(void *arg)
{
	volatile uint64_t outside = 0;

	for (long i = 0; i < count; i++) {
		pthread_mutex_lock(&mutex);
		for (int j = 0; j < 25; j++)
			inside++;
		pthread_mutex_unlock(&mutex);
		for (int j = 0; j < 50; j++)
			outside++;
	}
	return arg;
}

static double contended(int threads)
{
	pthread_t ids[64];
	double begun = now_ns();

	for (int i = 0; i < threads; i++)
		if (pthread_create(&ids[i], NULL, contends, NULL) != 0)
			abort();
	for (int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	return (now_ns() - begun) / (double)count / threads;
}

int main(int argc, char **argv)
{
	int threads = argc > 3 ? atoi(argv[2]) : 1, times = TIMES;
	double best = 0;
	pthread_t other;
	cpu_set_t here;

	if (argc < 3 || threads < 1 || threads > 64)
		return 2;
	count = atol(argv[argc - 1]);
	if (strcmp(argv[1], "contended") == 0) {
		times = TIMES_OF_MANY;
	} else { /* by itself: who reads a trace meanwhile has the other one */
		CPU_ZERO(&here);
		CPU_SET(0, &here);
		sched_setaffinity(0, sizeof(here), &here);
	}
	if (strncmp(argv[1], "pair", 4) == 0 && pthread_create(&other, NULL, sleeps, NULL) != 0)
		return 1;
	for (int i = 0; i < times; i++) {
		double ns = strstr(argv[1], "stamped") != NULL  ? stamped()
			    : strcmp(argv[1], "contended") == 0 ? contended(threads)
								: pairs();

		if (i == 0 || ns < best)
			best = ns;
	}
	printf("%.3f\n", best);
	return 0;
}
