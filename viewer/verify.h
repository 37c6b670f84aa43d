/*
 * verify: reads all of a trace, in the order of the file, and accounts for everything in it and for what is missing.
 */
#pragma once

#include "viewer/streams.h"
#include "viewer/tables.h"

struct verify {
	uint64_t events, by_type[256];
	uint64_t
		unreadable; /* events of blocks that are damaged, or behind a type that is not known */
	uint64_t blocks, blocks_bad;
	uint64_t
		undeclared; /* blocks that are good, and end for us at a type that nothing tells of */
	char undeclared_what[160];
	uint64_t lost, lost_told; /* by the blocks' headers; by events "lost" */
	uint64_t needs_missing
		[NEEDS]; /* blocks that need identifiers which no table before them has */
	uint64_t listed_missing, listed_missing_events; /* what the footer lists and is not there */
	bool is_footer_wrong;                           /* the trailer leads to no footer */
	uint64_t first_ns, last_ns; /* of all blocks of events; 0 when there are none */
	uint32_t generations;
	bool is_interrupted;
};

/* Fills @t, which is new. 0, -ENOMEM, or what reading said; an interrupted one has what was seen so far. */
int verify_trace(struct verify *v, struct reader *r, struct streams *s, struct tables *t,
		 const struct watch *watch, struct why *why);

/* Bytes that cannot be used, or blocks that are gone and nobody wrote so. */
bool verify_is_damaged(const struct verify *v, const struct reader *r, const struct streams *s);
/* That, or anything that was lost: what the trace itself tells, too. */
bool verify_has_loss(const struct verify *v, const struct reader *r, const struct streams *s);
