/*
 * parallel: for how long none, one, two … threads ran at once.
 *
 *     thread 1   ├──── running ────┤├ lock ┤├─ running ─┤
 *     thread 2   ├───────── sleeps, and who knows until when ──────→
 *     stretches  │                 │       │            │
 *                ^ thread 2 is told up to here           ^ thread 1, and so now
 *
 * A thread's intervals are told when they end, others have gone on by then. Where one that ran begins and ends is noted, and when there
 * are many such edges they are put in order and swept over what is there: stretches of time, each with how many ran in it. One begins
 * wherever that changes, and where some thread is told up to; those of which all threads are told become one, which has for how long
 * how many ran.
 *
 * Where one thread is told of after very long, so many others may have begun that older ones have to become one before it is. Such a
 * stretch is parted in proportion: how long threads ran altogether is exact, and at once as exact as it is short.
 */
#pragma once

#include "viewer/map.h"
#include "viewer/story.h"

#define PARALLEL_MAX       1024 /* as many and more are one */
#define PARALLEL_STRETCHES 4096 /* and two for each thread: 128 KiB */
#define PARALLEL_EDGES     8192 /* 128 KiB: a sweep is cheaper for each, the more there are */

struct parallel_edge {
	uint64_t ns;
	int32_t more; /* threads that run from there on */
	bool is_told; /* some thread is told up to there */
};

struct parallel_stretch {
	uint64_t begin_ns; /* up to where the next one begins */
	uint64_t *ns;      /* by how many ran; NULL: as many all the time, */
	uint32_t running;  /* namely these */
	uint32_t room;
	bool is_told; /* some thread is, up to where it begins */
};

struct parallel {
	struct parallel_stretch *stretches;
	uint32_t n;
	uint64_t swept_ns; /* where the last one ends */
	struct parallel_edge *edges;
	uint32_t edges_n;

	uint64_t begin_ns, now_ns; /* of all that was told */
	uint64_t first_ns;         /* where the first interval begins that is no moment */
	bool has_begun, has_first;

	struct map thread_of;
	uint64_t *told_ns; /* by thread: up to where */
	uint32_t threads_n, threads_room;
};

/*
 * A zeroed one is empty. @is_running: from @begin_ns to @end_ns. A moment says that the thread will be told of from there on. 0 or
 * -ENOMEM.
 */
int parallel_add(struct parallel *p, uint32_t thread, uint64_t begin_ns, uint64_t end_ns,
		 bool is_running);
/* The thread has ended: all is told. */
void parallel_end(struct parallel *p, uint32_t thread);

/* For how long none, one … ran, PARALLEL_MAX + 1 of them, from the first interval to the last. 0 or -ENOMEM. */
int parallel_sum(struct parallel *p, uint64_t *ret_ns);
void parallel_fini(struct parallel *p);
