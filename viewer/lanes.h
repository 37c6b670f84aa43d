/*
 * lanes: what each thread did as slices that nest, in the order of time: its regions, waits and calls.
 *
 *     region  ┌─────────────────────────────┐
 *     wait        ┌──────────┐
 *     call           ┌────┐       ┌──────┐
 *
 * The story tells of waits and calls when they are over, so what is within one comes before it. They are kept until the thread is
 * in neither: an interval without a wait and a call says that whatever began before its end has been told. What does not
 * nest is made to: a region that goes on behind a wait, or a wait behind a region, is in two parts; where two clocks disagree
 * by a little about a call and the wait that it is part of, the call is cut.
 */
#pragma once

#include "viewer/story.h"

#define LANES_PENDING_MAX \
	4096 /* of a thread; beyond, the first of them go out, and what contains them begins behind them */
#define LANES_DEPTH_MAX 64

enum lane_kind { LANE_REGION, LANE_WAIT, LANE_CALL };

struct lane_region {
	uint64_t task;
	uint32_t name, stack;
};

struct lane_item {
	uint64_t begin_ns, end_ns; /* UINT64_MAX: it is not known */
	uint64_t number;           /* in the order of being told */
	uint8_t kind;
	bool is_open;  /* the trace has no end of it */
	bool is_rest;  /* a part behind the first */
	bool has_edge; /* somebody made it go on */
	union {
		struct lane_region region;
		struct story_wait wait;
		struct story_call call;
	};
	struct story_edge edge;
};

/* Who gets them. What is returned other than 0 is lanes.error. */
struct lanes_sink {
	void *context;
	int (*open)(void *context, uint32_t thread, const struct lane_item *item, uint64_t ns);
	/* @has_end false: the trace ends, it goes on. */
	int (*close)(void *context, uint32_t thread, const struct lane_item *item, uint64_t ns,
		     bool has_end);
	/* An edge that leads to no slice. */
	int (*edge)(void *context, const struct story_edge *edge);
};

struct lanes {
	struct lanes_sink sink;
	uint64_t from_ns, to_ns;
	struct map lane_of;
	struct lane *lanes;
	uint32_t lanes_n, lanes_room;
	uint64_t numbers;
	uint64_t cut;     /* that did not nest, and are shorter now */
	uint64_t dropped; /* nothing is left of them */
	int error;
};

void lanes_init(struct lanes *l, const struct lanes_sink *sink, uint64_t from_ns, uint64_t to_ns);
void lanes_fini(struct lanes *l);

/* What the story tells. 0 or what is in lanes.error. */
int lanes_event(struct lanes *l, const struct merged *m); /* regions */
int lanes_interval(struct lanes *l, const struct interval *i);
int lanes_wait(struct lanes *l, const struct story_wait *w);
int lanes_call(struct lanes *l, const struct story_call *c);
int lanes_edge(struct lanes *l, const struct story_edge *e);
int lanes_life(struct lanes *l, const struct story_life *life);
