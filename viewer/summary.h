/*
 * summary: what a run was, and what is wrong with it: a little of everything, in one pass.
 *
 * A listener of a story. What it keeps is in proportion to threads, locks and files, up to SUMMARY_ROWS_MAX of each.
 */
#pragma once

#include "viewer/calls.h"
#include "viewer/listeners.h"
#include "viewer/lock_order.h"
#include "viewer/locks.h"
#include "viewer/parallel.h"
#include "viewer/regions.h"
#include "viewer/tasks.h"
#include "viewer/threads.h"

#define SUMMARY_ROWS_MAX (1u << 16)

/* By their numbers. */
struct summary_rows {
	void *list;
	uint32_t n, room;
	struct map of;
};

/* What is more than locks.h has of it. */
struct summary_object {
	uint32_t object;
	uint64_t waits, again;           /* for what is no lock; of those: woken in vain */
	uint64_t long_n, long_ns;        /* held for LONG_HOLD_NS or longer, and somebody waited */
	uint64_t io_n, io_ns, io_max_ns; /* held across system calls of IO_NS or longer */
	uint32_t io_call;                /* the longest of them: its number + 1 */
};

struct summary_file {
	uint32_t file;
	uint64_t reads, writes, small_reads,
		small_writes;  /* that moved something; below SMALL_BYTES */
	uint64_t tries, again; /* calls; EAGAIN right after EAGAIN */
	bool was_again;
};

#define LONG_HOLD_NS UINT64_C(10000000)
#define IO_NS        UINT64_C(1000000)
#define SMALL_BYTES  64

#define SUMMARY_SLOWEST 5 /* tasks, and regions */

struct summary {
	/* set by who asks; the rest is zero */
	const struct tables *tables;
	struct select_threads *threads; /* NULL: all */
	uint64_t from_ns, to_ns;

	uint64_t events; /* in that range, of all threads and processors */
	uint64_t state_ns[TRACE_STATES];
	struct calls calls;  /* by number */
	struct tally prompt; /* by number, those that wait for nobody else */
	struct parallel parallel;
	struct interval worst;   /* the worst wait; of no length: there is none */
	struct interval pending; /* a wait that may become it */
	struct map waits_of;     /* by thread: how many there were, for what is no lock */

	struct threads by_thread;
	struct locks locks; /* by lock */
	struct lock_order lock_order;
	struct tasks tasks;
	struct regions regions;

	struct summary_rows by_object, by_file;
	uint64_t left_out; /* what was told of locks and files beyond SUMMARY_ROWS_MAX */

	uint64_t polls, polls_empty; /* with a timeout of zero; and nothing was there */

	struct listeners listeners;
};

static inline struct summary_object *summary_object(const struct summary *s, uint32_t i)
{
	return (struct summary_object *)s->by_object.list + i;
}

static inline struct summary_file *summary_file(const struct summary *s, uint32_t i)
{
	return (struct summary_file *)s->by_file.list + i;
}

/* @s must stay where it is. */
struct story_listener summary_listener(struct summary *s);
/* The story has ended at @end_ns. 0 or -ENOMEM. */
int summary_end(struct summary *s, uint64_t end_ns);
void summary_fini(struct summary *s);

/* How many threads ran at once. */
struct summary_parallel {
	uint64_t ns[PARALLEL_MAX + 1]; /* none, one, two … */
	uint64_t all_ns, running_ns;   /* from the first moment to the last; of all threads */
	uint64_t serial_ns;            /* one ran alone */
	uint32_t most;
	double mean;
	double serial_share; /* of the running time */
	double bound; /* Amdahl's: with as many processors as one likes, against one; 0: not known */
};
/* 0 or -ENOMEM. */
int summary_parallel(struct summary *s, struct summary_parallel *ret);
