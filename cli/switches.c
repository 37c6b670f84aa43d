#include "cli/switches.h"

#include <errno.h>
#include <stdlib.h>

#include "tracer/sched.h"
#include "tracer/sched_block.h"

#define BLOCK_BYTES (UINT32_C(64) << 10)
#define CPUS_MAX    4096

struct processor {
	struct sched_block block;
	/*
	 * A thread runs before it has written anything, so before it is known: what is told of it, and what comes after that,
	 * waits for the next pass.
	 */
	struct sched_event *waiting;
	uint32_t waiting_n, waiting_room;
};

struct switches {
	struct sched *sched;
	pid_t pid;
	struct drain *drain; /* during a pass */
	struct processor *processors;
	uint32_t processors_n; /* those that were seen */
};

int switches_open(struct switches **ret, pid_t pid, struct why *why)
{
	struct switches *w = calloc(1, sizeof(*w));
	int r;

	if (w == NULL)
		return -ENOMEM;
	w->pid = pid;
	r = sched_open(pid, SCHED_THREADS, 0, &w->sched, why);
	if (r < 0) {
		free(w);
		return r;
	}
	*ret = w;
	return 0;
}

/* NULL: no memory. */
static struct processor *processor_of(struct switches *w, uint32_t cpu)
{
	struct processor *processors;
	uint8_t *bytes;

	if (cpu >= CPUS_MAX)
		return NULL;
	if (cpu >= w->processors_n) {
		processors = realloc(w->processors, (cpu + 1) * sizeof(*processors));
		if (processors == NULL)
			return NULL;
		w->processors = processors;
		while (w->processors_n <= cpu)
			w->processors[w->processors_n++] = (struct processor){0};
	}
	if (w->processors[cpu].block.bytes == NULL) {
		bytes = malloc(BLOCK_BYTES);
		if (bytes == NULL)
			return NULL;
		sched_block_begin(&w->processors[cpu].block, bytes, BLOCK_BYTES);
	}
	return &w->processors[cpu];
}

static void hand_over(struct switches *w, uint32_t cpu)
{
	struct sched_block *block = &w->processors[cpu].block;
	struct trace_block_header header;

	if (block->events == 0)
		return;
	sched_block_describe(block, cpu, 0, &header);
	drain_add_block(w->drain, &header, block->bytes, block->used);
	sched_block_begin(block, block->bytes, BLOCK_BYTES);
}

static void put(struct switches *w, struct processor *p, const struct sched_event *event,
		uint32_t thread)
{
	if (sched_block_add(&p->block, event, thread) == -ENOSPC) {
		hand_over(w, event->cpu);
		sched_block_add(&p->block, event, thread);
	}
}

/* False: no memory. */
static bool keep_waiting(struct processor *p, const struct sched_event *event)
{
	struct sched_event *grown = p->waiting;
	uint32_t room = p->waiting_room;

	if (p->waiting_n == room) {
		room = room * 2 + 64;
		grown = realloc(grown, room * sizeof(*grown));
		if (grown == NULL)
			return false;
		p->waiting = grown;
		p->waiting_room = room;
	}
	p->waiting[p->waiting_n++] = *event;
	return true;
}

/* Whoever is not known by now never will be; threads of ours are nobody's business. */
static void put_waiting(struct switches *w, struct processor *p)
{
	for (uint32_t i = 0; i < p->waiting_n; i++) {
		const struct sched_event *e = &p->waiting[i];
		uint32_t thread =
			e->kind != SCHED_LOST ? drain_thread_of(w->drain, (int)e->tid) : 0;

		if (thread != 0 || e->kind == SCHED_LOST || !drain_is_ours(w->drain, (int)e->tid))
			put(w, p, e, thread);
	}
	p->waiting_n = 0;
}

static void add(void *user, const struct sched_event *event)
{
	struct switches *w = user;
	struct processor *p;
	uint32_t thread = 0;

	if (event->kind != SCHED_LOST && event->pid != (uint32_t)w->pid)
		return;
	if (event->kind == SCHED_BORN || event->kind == SCHED_NAMED) /* nothing to the log */
		return;
	p = processor_of(w, event->cpu);
	if (p == NULL)
		return;
	if (event->kind != SCHED_LOST)
		thread = drain_thread_of(w->drain, (int)event->tid);
	if (p->waiting_n > 0 || (event->kind != SCHED_LOST && thread == 0)) {
		if (keep_waiting(p, event))
			return;
		put_waiting(w, p);
	}
	put(w, p, event, thread);
}

void switches_pass(struct switches *w, struct drain *d, bool is_last)
{
	if (w == NULL)
		return;
	w->drain = d;
	for (uint32_t cpu = 0; cpu < w->processors_n; cpu++)
		put_waiting(w, &w->processors[cpu]);
	sched_drain(w->sched, add, w);
	for (uint32_t cpu = 0; cpu < w->processors_n; cpu++) {
		if (is_last)
			put_waiting(w, &w->processors[cpu]);
		hand_over(w, cpu);
	}
}

void switches_close(struct switches *w)
{
	if (w == NULL)
		return;
	sched_close(w->sched);
	for (uint32_t cpu = 0; cpu < w->processors_n; cpu++) {
		free(w->processors[cpu].block.bytes);
		free(w->processors[cpu].waiting);
	}
	free(w->processors);
	free(w);
}

void switches_forget(struct switches *w)
{
	if (w == NULL)
		return;
	sched_forked(w->sched); /* closes it */
	w->sched = NULL;
	switches_close(w);
}
