/*
 * tasks: what became of each piece of work that the program gave a number (cprof_task_begin()), whoever did it.
 *
 *     worker-1    ──██ running ██░░ lock ░░██────────────────────────
 *     worker-2    ──────────────────────────────────██ running ██────
 *     task 17       ├ begin                gap                  end ┤
 *
 * Always true of a task: its states - overlap + gap = its latency. The states are the time of each thread that worked for it
 * or for a part of it; overlap is what of that several did at once; gap is when nobody did. What a thread does for it before
 * it began or after it ended does not count.
 *
 * Memory is in proportion to the tasks that are open, of which there are TASKS_OPEN_MAX at most: then the oldest that nobody
 * works for is given up, and stays one without an end. So do threads, types, and the slowest that are asked for.
 */
#pragma once

#include "viewer/histogram.h"
#include "viewer/select.h"
#include "viewer/story.h"

#define TASKS_OPEN_MAX    (UINT32_C(1) << 17) /* 40 MB */
#define TASKS_TYPES_MAX   4096                /* each with a histogram of 2 KB */
#define TASKS_THREADS_MAX 16                  /* of a task, that are told apart */

struct task {
	uint64_t id, parent; /* 0: none */
	uint64_t begin_ns, end_ns;
	uint64_t state_ns[TRACE_STATES];
	uint64_t gap_ns, overlap_ns;
	uint32_t type;     /* a str; 0: not known */
	uint32_t stack;    /* where it was begun */
	uint32_t begun_by; /* threads; 0: not known */
	uint32_t ended_by, worked_last;
	uint32_t threads; /* that worked for it, up to TASKS_THREADS_MAX */
	uint32_t at_once; /* at most */
	uint32_t parts;   /* tasks whose parent it is */
	bool has_begin,
		has_end; /* in this trace; else from when it was first seen, until the end */
};

struct task_type {
	uint32_t type;        /* a str; 0: not known */
	bool is_rest;         /* of the types beyond TASKS_TYPES_MAX */
	uint64_t count, open; /* all of them; those without a beginning or an end */
	uint64_t total_ns;
	uint64_t state_ns[TRACE_STATES];
	uint64_t gap_ns, overlap_ns;
	struct histogram latency; /* of those that are not open */
};

struct task_slot;
struct task_worker;

struct tasks {
	/* set before: */
	uint64_t from_ns, to_ns; /* only those that were there at some time between */
	struct select_threads
		*threads; /* only those that one of them worked for, began or ended; NULL: all */
	bool (*is_wanted)(void *context, const struct task *task); /* NULL: all */
	void *context;
	uint32_t slowest_max;
	uint64_t min_ns; /* not those that took less */

	/* found: */
	struct task_type *types;
	uint32_t types_n;
	struct task *slowest; /* after tasks_end() the slowest first */
	uint32_t slowest_n;
	uint64_t ended_unbegun; /* ends of tasks that were not seen to begin */
	uint64_t begun_twice, ended_twice;
	uint64_t given_up; /* open ones, for want of room */
	uint64_t left_out; /* new ones, where nobody could be given up */

	/* its own */
	struct map types_of, workers_of;
	uint32_t rest; /* the row of the rest + 1 */
	struct task_slot *slots;
	uint32_t *heads;
	uint32_t slots_n, heads_n, free, oldest, newest;
	struct task_worker *workers;
	uint32_t workers_n;
};

/* A zeroed one but for what is set before. For a story of all of the trace. */
struct story_listener tasks_listener(struct tasks *t);
/* What is still open goes until @end_ns. 0 or -ENOMEM. */
int tasks_end(struct tasks *t, uint64_t end_ns);
void tasks_fini(struct tasks *t);

/* All of a task's states. */
uint64_t task_work_ns(const uint64_t state_ns[TRACE_STATES]);
