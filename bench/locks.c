/*
 * locks: what a lock costs.
 *
 *     locks pair COUNT                 COUNT times lock and unlock, and nobody else wants it
 *     locks contended THREADS COUNT    the same by several threads, each with a little to do inside and outside
 *
 * Prints nanoseconds a pair by the wall clock, the best of a few: what is lost to other processes is nobody's.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TIMES 30 /* of some milliseconds each: many end before another process has its turn */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static volatile uint64_t inside;
static long count;

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

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
	int threads = argc > 3 ? atoi(argv[2]) : 1;
	double best = 0;

	if (argc < 3 || threads < 1 || threads > 64)
		return 2;
	count = atol(argv[argc - 1]);
	/* a process of several threads: glibc leaves out atomic instructions for one alone */
	for (int i = 0; i < TIMES; i++) {
		double ns = strcmp(argv[1], "pair") == 0 ? pairs() : contended(threads);

		if (i == 0 || ns < best)
			best = ns;
	}
	printf("%.3f\n", best);
	return 0;
}
