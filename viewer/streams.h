/*
 * streams: the blocks of events by who wrote them, a thread or (switches) a processor, each in its order; and the holes in
 * their numbers, which are blocks that were lost.
 */
#pragma once

#include "viewer/reader.h"

struct stream {
	uint32_t thread;
	bool is_switches;
	uint32_t first, n; /* of streams.order[] */
	uint64_t lost;     /* sum of lost_before */
};

struct stream_hole {
	uint32_t thread;
	bool is_switches, is_tables; /* @thread is TRACE_ALL for tables */
	bool is_known;               /* the block behind it says that there is a gap */
	uint32_t first, n;           /* numbers */
	uint64_t from_ns, to_ns;     /* between which times; 0 and 0 for tables */
};

struct streams {
	struct stream *streams;
	uint32_t streams_n;
	uint32_t *order; /* blocks of events, into reader.blocks */
	uint32_t blocks_n;
	struct stream_hole *holes; /* at most STREAM_HOLES_KEPT */
	uint64_t holes_n, holes_kept;
	uint64_t holes_blocks,
		holes_unknown; /* blocks that are missing; holes that nobody knew of */
	uint64_t lost_events;  /* what the blocks say was lost before them */
};

#define STREAM_HOLES_KEPT 1000

/* Blocks whose number comes twice are damage, and left out. 0 or -ENOMEM. */
int streams_init(struct streams *s, struct reader *r);
void streams_fini(struct streams *s);
