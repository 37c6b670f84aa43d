/*
 * beneath: what lies beneath the states of a thread in a picture: the tasks that it worked for, its regions, its system calls, the
 * samples of its stack, what it said.
 *
 *     states      ███████░░ syscall ░░░███████
 *     task        ├─────────────── 17 ───────────────┤
 *     region 0    ├────────── parse ───────┤
 *     region 1        ├── read ─────┤
 *     call              ├ pread ┤
 *     samples     |   |             |   |   |
 *     marks                               "cache is full"
 *
 * What begins and ends in one column is nothing to look at by itself: of a column there is one such item, which knows how many it
 * stands for. So memory is in proportion to threads and columns, up to BENEATH_ITEMS_MAX; what is beyond that is counted.
 */
#pragma once

#include "viewer/listeners.h"
#include "viewer/regions.h"
#include "viewer/timeline.h"

#define BENEATH_THREADS_MAX 32
#define BENEATH_DEPTH_MAX   8 /* of regions; those within are left out, and counted */
#define BENEATH_ITEMS_MAX   (UINT32_C(1) << 17)

enum beneath_lane {
	BENEATH_CALLS = BENEATH_DEPTH_MAX, /* below: regions, by depth */
	BENEATH_SAMPLES,
	BENEATH_MARKS,
	BENEATH_TASKS,
	BENEATH_LANES,
};

struct beneath_item {
	uint64_t begin_ns, end_ns; /* whole; of several, from the first to the last */
	uint64_t count;
	uint64_t errors; /* calls that failed */
	uint64_t task;   /* of BENEATH_TASKS */
	uint32_t thread; /* its place in beneath.threads */
	uint8_t lane;
	bool is_mixed; /* they are not all called the same */
	bool is_open;  /* the trace has no beginning or no end of it */
	/* a region's name, a mark's category: str; a call's number + 1; a sample's stack */
	uint32_t name;
	uint32_t message; /* of a mark, a str */
	uint32_t file;    /* of a call */
};

struct beneath {
	/* set before */
	const uint32_t *threads; /* BENEATH_THREADS_MAX at most */
	uint32_t threads_n;
	struct timeline_ask ask; /* range and columns */

	/* after the story: by thread, lane and time */
	struct beneath_item *items;
	uint32_t items_n;
	uint64_t left_out;

	/* its own */
	struct regions regions;
	struct listeners listeners;
	struct map place_of;                               /* by thread */
	uint32_t last[BENEATH_THREADS_MAX][BENEATH_LANES]; /* item + 1 */
};

/* A zeroed one but for what is set before. The listener may seek. 0 or -ENOMEM; beneath_fini() in any case. */
int beneath_begin(struct beneath *b, struct story_listener *ret);
/* After the story, which ended at @end_ns. 0 or -ENOMEM. */
int beneath_end(struct beneath *b, uint64_t end_ns);
void beneath_fini(struct beneath *b);
