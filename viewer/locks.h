/*
 * locks: what waiting for each other costs: by what was waited for, by where it was waited, or by who had it meanwhile.
 *
 * What lies outside of the range that was asked for is cut off, of waits and of holds alike.
 */
#pragma once

#include "viewer/durations.h"
#include "viewer/holders.h"
#include "viewer/select.h"

enum locks_by { LOCKS_BY_LOCK, LOCKS_BY_SITE, LOCKS_BY_HOLDER };

#define LOCKS_ROWS_MAX (UINT32_C(1) << 20) /* what is beyond as many is counted only */

/*
 * A convoy: threads queue up for a lock that is hardly used, for most of the time nobody has it: it is on its way from one to
 * the next. A queue is one when it was never empty for as long, or for as many hand-overs, and they took longer than the
 * holds between them.
 */
#define LOCKS_CONVOY_NS        UINT64_C(10000000)
#define LOCKS_CONVOY_HANDOVERS 16

struct locks_convoys {
	uint64_t n, sum_ns;
	/* the longest */
	uint64_t begin_ns, end_ns, handovers, handover_ns, hold_ns;
};

struct locks_row {
	uint32_t
		object; /* by site and by holder: the first that was met; 0: it is the end of a thread */
	bool has_others;   /* and there are more */
	uint8_t mode;      /* of a rwlock, by lock: 1 writers, 2 readers */
	uint8_t wait_type; /* of the first wait */
	uint32_t stack;    /* the wait's, the holder's; 0: not known */
	uint32_t thread;   /* by holder without a stack; 0: nobody had it, it was handed over */

	uint64_t acquired;     /* taken, with or without a wait */
	struct durations wait; /* by holder: pieces of waits */
	struct durations hold; /* those that are known */
	struct durations handover;
	uint64_t failed, open; /* of the waits */
	uint64_t futile;       /* of the waits: what ended the one before was for nothing */
	uint32_t queue;        /* the longest */
	uint64_t calls_ns, off_ns, waits_ns; /* of the holds */
	uint64_t longest_call_ns;
	uint32_t longest_call, longest_file; /* call + 1 */
	struct locks_convoys convoys;        /* by lock */
};

struct locks {
	/* set before the story */
	enum locks_by by;
	uint64_t from_ns, to_ns;
	bool with_idle;
	uint64_t min_ns;                /* waits */
	struct select_threads *threads; /* who waits, and who holds; NULL: all */
	bool (*wants_object)(void *context, uint32_t object); /* NULL: all */
	void *context;

	/* after it */
	struct locks_row *rows;
	uint32_t rows_n;
	uint64_t left_out;        /* waits and holds that have no row */
	uint64_t idle_n, idle_ns; /* waits that were not asked for */

	struct map row_of;
	struct holders holders;
	struct map queue_of; /* by object */
	struct locks_queue *queues;
	uint32_t queues_n;
	uint32_t last_row, last_thread; /* of the last wait; row + 1 */
};

struct story_listener locks_listener(struct locks *l);
/* To be called when the story is told; @end_ns is where it ended. */
void locks_finish(struct locks *l, uint64_t end_ns);
void locks_fini(struct locks *l);
