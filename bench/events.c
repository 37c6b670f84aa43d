/*
 * events: what one event of a trace costs, and loads whose traces are weighed.
 *
 *     events stamp COUNT            a reading of the processor's counter
 *     events counter|log|region COUNT      cprof.h's, which are nothing where no cprof is; a region is two events
 *     events tracepoint COUNT       LTTng-UST's with two numbers; in a build with -DHAS_LTTNG
 *     events handover COUNT         two threads that take turns, by a mutex and a condition
 *     events mixed COUNT            a lock and an unlock, a counter or a tracepoint, a system call; each 16th time a region
 *
 * Prints nanoseconds a time by the wall clock, the best of a few: what is lost to other processes is nobody's. Of the last two
 * all of it, once.
 */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CPROF_WEAK
#include "bench/now.h"
#include "cprof/cprof.h"

#ifdef HAS_LTTNG
#define LTTNG_UST_TRACEPOINT_DEFINE
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#include "bench/lttng_event.h"
#endif

#define TIMES \
	150 /* of a tenth of a millisecond and more: many end before another process has its turn */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static volatile uint64_t kept;
static long turn;

static void event(long i)
{
#ifdef HAS_LTTNG
	lttng_ust_tracepoint(bench, event, (int)i, (int)i);
#else
	cprof_counter("counter", i);
#endif
}

static void stamps(long count)
{
	for (long i = 0; i < count; i++)
#ifdef __x86_64__
		kept = __builtin_ia32_rdtsc();
#else
		kept++;
#endif
}

static void counters(long count)
{
	for (long i = 0; i < count; i++)
		cprof_counter("counter", i);
}

static void logs(long count)
{
	for (long i = 0; i < count; i++)
		cprof_log("bench", "number %ld", i);
}

static void regions(long count)
{
	for (long i = 0; i < count; i++) {
		cprof_region_begin("region");
		cprof_region_end();
	}
}

#ifdef HAS_LTTNG
static void tracepoints(long count)
{
	for (long i = 0; i < count; i++)
		event(i);
}
#endif

struct player {
	long who, count;
};

static void *plays(void *arg)
{
	const struct player *p = arg;

	for (long i = 0; i < p->count; i++) {
		pthread_mutex_lock(&mutex);
		while (turn % 2 != p->who)
			pthread_cond_wait(&turned, &mutex);
		turn++;
		pthread_cond_signal(&turned);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

static void handovers(long count)
{
	struct player players[2] = {{0, count / 2}, {1, count / 2}};
	pthread_t other;

	if (pthread_create(&other, NULL, plays, &players[1]) != 0)
		abort();
	plays(&players[0]);
	pthread_join(other, NULL);
}

static void mixed(long count)
{
	for (long i = 0; i < count; i++) {
		if (i % 16 == 0)
			cprof_region_begin("region");
		pthread_mutex_lock(&mutex);
		for (int j = 0; j < 50; j++)
			kept++;
		pthread_mutex_unlock(&mutex);
		event(i % 100);
		getppid();
		if (i % 16 == 15)
			cprof_region_end();
	}
}

static const struct load {
	const char *name;
	void (*run)(long count);
	int times;
} loads[] = {
	{"stamp", stamps, TIMES},           {"counter", counters, TIMES}, {"log", logs, TIMES},
	{"region", regions, TIMES},
#ifdef HAS_LTTNG
	{"tracepoint", tracepoints, TIMES},
#endif
	{"handover", handovers, 1},         {"mixed", mixed, 1},
};

int main(int argc, char **argv)
{
	long count = argc == 3 ? atol(argv[2]) : 0;
	const struct load *load = NULL;
	double best = 0;
	cpu_set_t here;

	for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]) && argc == 3; i++)
		if (strcmp(argv[1], loads[i].name) == 0)
			load = &loads[i];
	if (load == NULL || count < 1)
		return 2;
	if (load->run != handovers) { /* by itself: who reads a trace meanwhile has the other one */
		CPU_ZERO(&here);
		CPU_SET(0, &here);
		sched_setaffinity(0, sizeof(here), &here);
	}
	for (int i = 0; i < load->times; i++) {
		double begun = now_ns(), ns;

		load->run(count);
		ns = (now_ns() - begun) / (double)count;
		if (i == 0 || ns < best)
			best = ns;
	}
	printf("%.2f\n", best);
	return 0;
}
