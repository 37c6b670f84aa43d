/*
 * diff: two runs, side by side: what takes longer, and what happens more often, under names that both have.
 *
 *     trace A ──→ diff_side ┐
 *                           ├→ diff_pair … ──→ rows, conditions
 *     trace B ──→ diff_side ┘
 *
 * Numbers of threads, locks and files mean nothing in another run, nor do addresses: everything is added up under a text.
 */
#pragma once

#include "compare/limit.h"
#include "core/why.h"
#include "viewer/calls.h"
#include "viewer/listeners.h"
#include "viewer/regions.h"
#include "viewer/tasks.h"
#include "viewer/threads.h"

enum diff_kind {
	DIFF_THREADS, /* and the state: TRACE_STATES of them */
	DIFF_LOCK_WAIT = TRACE_STATES,
	DIFF_LOCK_HOLD,
	DIFF_CALLS,
	DIFF_TASKS,
	DIFF_REGIONS,
	DIFF_OTHERS, /* of any kind, beyond TALLY_ROWS_MAX */
	DIFF_KINDS,
};

/* One of the two. */
struct diff_side {
	/* set by who asks; the rest is zero */
	const struct tables *tables;
	struct select_threads *threads; /* NULL: all */
	uint64_t from_ns, to_ns;

	struct tally rows; /* by kind and name; value: enum diff_kind */
	char **names;      /* of the rows */
	uint32_t names_room;

	struct map row_of_wait, row_of_hold; /* by object */
	struct map row_of_call;              /* by number and path */
	struct threads by_thread;
	struct tasks tasks;
	struct regions regions;
	struct listeners listeners;

	double unit; /* how many seconds, or tasks, totals and counts are divided by; set by who asks */
};

/* @side must stay where it is. */
struct story_listener diff_listener(struct diff_side *side);
/* The row of a name, for what else is to be compared. NULL: no memory. */
struct tally_row *diff_row(struct diff_side *side, enum diff_kind kind, const struct name *name);
/* The story has ended at @end_ns. 0 or -ENOMEM. */
int diff_end(struct diff_side *side, uint64_t end_ns);
/* How many tasks have ended. */
uint64_t diff_tasks(const struct diff_side *side);
void diff_fini(struct diff_side *side);

/* "worker-3" and "worker-12" are "worker-*". */
void diff_group(struct name *name);
/* "threads.running", "locks.wait", "calls" … */
const char *diff_kind_name(unsigned kind);

struct diff_pair {
	uint8_t kind;
	const char *name;
	const struct tally_row *rows[2]; /* NULL: it has none */
};

/* Of all names that either has, from malloc. 0 or -ENOMEM. */
int diff_pairs(const struct diff_side *a, const struct diff_side *b, struct diff_pair **ret,
	       uint32_t *ret_n);

enum diff_measure {
	DIFF_TOTAL,
	DIFF_COUNT,
	DIFF_P50,
	DIFF_P99,
	DIFF_MAX,
	DIFF_ERRORS,
	DIFF_MEASURES
};
/* Totals and counts by the side's unit. */
double diff_value(const struct tally_row *row, enum diff_measure measure, double unit);

/*
 * What --fail-if asks: conditions by commas, of which one is enough:
 *
 *     KIND[.MEASURE][[PATTERN]] > or < N% | Nx | DURATION | N
 *
 * KIND: threads.running and the other states, locks.wait, locks.hold, calls, tasks, regions. MEASURE: total, which is meant
 * where there is none, count, p50, p99, max, errors. PATTERN is one of a shell, of the names that are taken together; of a call,
 * its name alone will do. N%: by so much more, or less, than in A; Nx: so many times as much; else it is B's own.
 */
struct diff_condition {
	uint8_t kind, measure;
	struct limit limit; /* never of points */
	char pattern[200];  /* "": all */
	char text[240];     /* as it was written */
};

#define DIFF_CONDITIONS_MAX 32

/* How many there are in @text, or -EINVAL with @why. */
int diff_parse(const char *text, struct diff_condition ret[DIFF_CONDITIONS_MAX], struct why *why);
/* Is it true? The two values that were compared are in @ret. */
bool diff_is_true(const struct diff_condition *c, const struct diff_side sides[2],
		  const struct diff_pair *pairs, uint32_t n, double ret[2]);
