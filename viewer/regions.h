/*
 * regions: how long each stretch that the program gave a name to took (cprof_region_begin()), and what its thread did in it.
 *
 *     thread     ├────────── parse ──────────┤
 *                    ├ read ─┤   ├ read ─┤
 *     intervals  ██████░ syscall ██░░████████
 *
 * A region's total is all of its time, self what is in no region inside it. One inside another of the same name counts, but its
 * time is in the outer one's already. States are those of the total.
 *
 * Ends belong to the innermost open region of their name. Where that is not the innermost of all, those inside it were closed out
 * of order: they end with it, and are counted. What was never closed ends with its thread.
 *
 * Memory is in proportion to names, threads, regions that are open, and what is still to be told of a thread.
 */
#pragma once

#include "viewer/histogram.h"
#include "viewer/select.h"
#include "viewer/story.h"

#define REGIONS_NAMES_MAX 4096 /* each with a histogram of 2 KB */
#define REGIONS_DEPTH_MAX 256  /* on a thread; deeper ones are counted */
#define REGIONS_OPEN_MAX  (UINT32_C(1) << 18)

struct region {
	uint64_t begin_ns, end_ns, self_ns;
	uint64_t state_ns[TRACE_STATES];
	uint64_t task;
	uint32_t name; /* a str */
	uint32_t thread, stack, depth;
	bool has_begin, has_end; /* in this trace */
	bool is_disordered;      /* an outer one was closed before it */
	bool is_inner;           /* it is in another one of the same name */
};

struct region_name {
	uint32_t name; /* a str */
	bool is_rest;  /* of the names beyond REGIONS_NAMES_MAX */
	uint64_t count, open, disordered;
	uint64_t ended; /* ends that nothing was open for; they are not in the count */
	uint64_t total_ns, self_ns;
	uint64_t state_ns[TRACE_STATES];
	uint64_t threads;
	struct histogram length; /* of those that are not open */
};

struct region_lane;
struct region_open;

struct regions {
	/* set before: */
	uint64_t from_ns, to_ns;        /* only those that were there at some time between */
	struct select_threads *threads; /* NULL: all */
	uint64_t task;                  /* only those that belong to it; 0: all */
	bool (*is_wanted)(void *context, const struct region *region); /* NULL: all */
	void *context;
	uint32_t slowest_max;
	uint64_t min_ns;

	/* found: */
	struct region_name *names;
	uint32_t names_n;
	struct region *slowest; /* after regions_end() the slowest first */
	uint32_t slowest_n;
	uint64_t ended; /* ends that nothing was open for, of all names */
	uint64_t too_deep, left_out;

	/* its own */
	struct map names_of, lanes_of, seen;
	uint32_t rest;
	struct region_lane *lanes;
	uint32_t lanes_n;
	struct region_open *opens;
	uint32_t opens_n, free;
};

/* A zeroed one but for what is set before. For a story of all of the trace. */
struct story_listener regions_listener(struct regions *r);
/* 0 or -ENOMEM. */
int regions_end(struct regions *r, uint64_t end_ns);
void regions_fini(struct regions *r);
