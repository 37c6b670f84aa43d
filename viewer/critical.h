/*
 * critical: the way through the threads that took as long as it took: what would have had to be shorter for the end to come sooner.
 *
 *     begin                                                                        end
 *       │  main     ██ running ██┐ signal      ┊                 ┌ release ██ running ██│
 *       │  worker-1              └██ running ██░░ lock ░░░░░░░░░░│                      │
 *       │  worker-2 ·····················████ running ████████████┘                      │
 *       │           main ────────→ worker-1 → worker-2 ──────────→ main
 *
 * Walked from the end backward. While a thread runs, the time is its own. Where it waited and another one made it go on, the way
 * goes to that one, at the moment when it did. Where nobody did, the time belongs to what it waited for: a disk, a peer, a timer.
 *
 * Always true: the segments follow one another without a gap from the beginning to the end of the span.
 *
 * A story goes forward and the walk backward, so all intervals and edges of the span are kept, up to a limit: beyond it nothing
 * is found at all, and the caller says so.
 */
#pragma once

#include "viewer/story.h"

#define CRITICAL_KEPT UINT64_C(3000000) /* 56 to 72 bytes each */

struct critical_segment {
	uint64_t begin_ns, end_ns;
	struct interval interval; /* what the thread did; without one its state is unknown */
	/* who made the thread of the segment behind it go on by what, and where; kind: enum story_edge_kind + 1, 0: the same goes on */
	uint8_t edge;
	uint8_t edge_certainty;
	uint32_t edge_object, edge_stack;
};

enum critical_kind {
	CRITICAL_RUN,  /* a thread */
	CRITICAL_LOCK, /* or anything else that is waited for: an object */
	CRITICAL_JOIN,
	CRITICAL_CALL,      /* a system call, of a file */
	CRITICAL_PROCESSOR, /* there was none for the thread */
	CRITICAL_START,     /* a thread that is made */
	CRITICAL_UNKNOWN,
};

struct critical_cause {
	uint8_t kind, state, wait;
	uint32_t thread;     /* of RUN */
	uint32_t object;     /* of LOCK */
	uint32_t call, file; /* of CALL: the number + 1 */
	uint64_t n, ns;      /* segments, and how long they are */
	uint64_t waits,
		most_ns; /* waits that the way leads over, and how much less it could be at the very most */
	uint64_t counted_ns; /* what is before is not in most_ns yet */
};

struct critical {
	/* set before: */
	uint64_t from_ns, to_ns;
	uint64_t limit;

	/* found: in the order of time, and the causes by how long */
	struct critical_segment *segments;
	uint32_t segments_n;
	struct critical_cause *causes;
	uint32_t causes_n;
	uint64_t full_at_ns; /* where the limit was reached; 0: it was not */

	/* its own: in the order in which they came, each with the one before of the same thread */
	struct interval *intervals;
	struct story_edge *edges;
	uint32_t *intervals_before, *edges_before;
	uint32_t intervals_n, edges_n, intervals_room, edges_room;
	struct map interval_of, edge_of; /* the last of each thread */
	struct map made_of;              /* the edge to each thread's beginning */
	struct map causes_of;
	uint32_t segments_room, causes_room;
};

/*
 * A zeroed one but for what is set before. For a story of the same time; -E2BIG from story_tell() is
 * the limit.
 */
struct story_listener critical_listener(struct critical *c);
/* The way to what @thread did at the end. 0 or -ENOMEM. */
int critical_walk(struct critical *c, uint32_t thread);
void critical_fini(struct critical *c);

/* When the thread's last interval ends; 0: it has none. */
uint64_t critical_thread_end_ns(const struct critical *c, uint32_t thread);
