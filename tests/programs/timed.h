/*
 * timed: what a thread did and for how long, by its own clocks, and all of it as JSON.
 *
 *     struct timed t = {.name = "A"};
 *     timed_begin(&t);
 *     PHASE(&t, "running", "a_compute", a_compute(ns));
 *     PHASE(&t, "sleep", "a_sleep", a_sleep(ns));
 *     timed_end(&t);
 *
 * A phase that is called "running" counts its CPU time as that, and the rest as "runnable": it waited for a processor. In any
 * other phase the thread waits. What the kernel says it was late to get a processor after waking up is told apart
 * (late_ns): the thread was still in its call, and runnable.
 */
#ifndef TIMED_H
#define TIMED_H

#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/programs/host.h"

#define TIMED_PHASES 6

struct timed_clocks {
	int64_t wall, cpu, delay;
};

struct timed_phase {
	const char *state, *function;
	int64_t ns, late;
	int count;
};

struct timed {
	const char *name;
	int tid, schedstat;
	int64_t begun, ended;
	int64_t delayed; /* in phases, of delays since it began */
	int64_t delay_begun, delay_ended;
	int interrupted; /* waits that a signal cut short */
	int64_t running, runnable;
	struct timed_phase phases[TIMED_PHASES];
};

/* Time that the thread spent waiting for a processor, since its start; 0 where the kernel does not say. */
__attribute__((unused)) static int64_t timed_delay(const struct timed *t)
{
	char text[96];
	ssize_t n = t->schedstat >= 0 ? pread(t->schedstat, text, sizeof(text) - 1, 0) : 0;
	char *at = text;

	if (n <= 0)
		return 0;
	text[n] = '\0';
	strtoll(at, &at, 10);
	return strtoll(at, NULL, 10);
}

__attribute__((unused)) static struct timed_clocks timed_clocks(const struct timed *t)
{
	struct timed_clocks c;

	c.delay = timed_delay(t);
	c.cpu = thread_ns();
	c.wall = host_clock(CLOCK_MONOTONIC);
	return c;
}

__attribute__((unused)) static void timed_begin(struct timed *t)
{
	pthread_setname_np(pthread_self(), t->name);
	t->tid = (int)syscall(SYS_gettid);
	t->begun = host_clock(CLOCK_MONOTONIC);
	t->schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	t->delay_begun = timed_delay(t);
}

__attribute__((unused)) static void timed_end(struct timed *t)
{
	t->delay_ended = timed_delay(t);
	if (t->schedstat >= 0)
		close(t->schedstat);
	t->ended = host_clock(CLOCK_MONOTONIC);
}

__attribute__((unused)) static void timed_add(struct timed *t, const char *state,
					      const char *function, struct timed_clocks begun)
{
	struct timed_clocks now = timed_clocks(t);
	struct timed_phase *p = t->phases;
	int64_t cpu = now.cpu - begun.cpu, rest = now.wall - begun.wall - cpu;

	t->delayed += now.delay - begun.delay;
	t->running += cpu;
	if (strcmp(state, "running") == 0) {
		t->runnable += rest;
		return;
	}
	while (p < t->phases + TIMED_PHASES - 1 && p->state != NULL &&
	       (strcmp(p->state, state) != 0 || strcmp(p->function, function) != 0))
		p++;
	p->state = state;
	p->function = function;
	p->count++;
	p->ns += rest;
	p->late += now.delay - begun.delay;
}

#define PHASE(t, state, function, call)                            \
	do {                                                       \
		struct timed_clocks phase_begun = timed_clocks(t); \
		call;                                              \
		timed_add((t), (state), (function), phase_begun);  \
	} while (0)

/* "A": {…} of a thread, as long as it has lived by now. Returns whether its phases add up to its life. */
__attribute__((unused)) static int timed_print(const struct timed *t, const char *before)
{
	int64_t life = (t->ended ? t->ended : host_clock(CLOCK_MONOTONIC)) - t->begun;
	int64_t sum = t->running + t->runnable, off, between;

	printf("%s\"%s\": {\"tid\": %d, \"life_ns\": %lld, \"running_ns\": %lld, \"runnable_ns\": "
	       "%lld, "
	       "\"interrupted\": %d, \"waits\": [",
	       before, t->name, t->tid, (long long)life, (long long)t->running,
	       (long long)t->runnable, t->interrupted);
	for (int i = 0; i < TIMED_PHASES && t->phases[i].state != NULL; i++) {
		const struct timed_phase *p = &t->phases[i];

		sum += p->ns;
		printf("%s{\"state\": \"%s\", \"function\": \"%s\", \"ns\": %lld, \"late_ns\": "
		       "%lld, \"count\": %d}",
		       i > 0 ? ", " : "", p->state, p->function, (long long)p->ns,
		       (long long)p->late, p->count);
	}
	printf("]}");
	/* between phases clocks are read; a preemption there is nobody's, as long as the kernel says that */
	off = life - sum;
	between = t->delay_ended - t->delay_begun - t->delayed;
	return t->interrupted == 0 &&
	       (t->ended == 0 || (off >= -MS && off <= life / 100 + 20 * MS + between));
}

#endif
