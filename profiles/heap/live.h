/*
 * live: the sampled blocks that are in use, by address.
 *
 * Whoever allocates puts a block in, whoever frees it takes it out: any thread, in any context, and one of them may have
 * interrupted the other in the middle. So there are no locks, and nothing is ever moved.
 *
 *     sets:  [ passed │ address what │ address what │ … ]  [ … ]  [ … ]
 *              how many blocks belong here or before, and found their place further on
 *
 * A block's address names its set, by a hash where many blocks are sampled. Where few are, memory is cut into regions in
 * which one or two samples are expected, and sixteen regions in a row have sets in a row: those of a heap of some megabytes
 * lie in a few lines of cache. By hash each block was at a page of the segment that nobody had been at for long, if ever:
 * a microsecond.
 *
 * When a set is full its block goes to the next, at most LIVE_REACH further, and each set it
 * passes counts it. Who looks for a block goes on only where some have passed.
 *
 * Always true:
 *   - An address is in the table once: its block is the owner's until it is freed, and is taken out before that.
 *   - @what was complete before its address was stored.
 *   - A full neighbourhood refuses the block; the caller counts it.
 */
#pragma once

#include "core/segment.h"

#define LIVE_WAYS  7u
#define LIVE_REACH 16u

#define LIVE_SPARSE 65536u /* bytes between samples from which regions count */

struct live_entry {
	_Atomic uint64_t address; /* 0: free, 1: changing */
	uint64_t what;            /* the caller's word */
};

struct live_set {
	_Atomic uint32_t passed;
	uint32_t reserved[3];
	struct live_entry entries[LIVE_WAYS];
};
_Static_assert(sizeof(struct live_set) == LIVE_STRIDE, "segment.c lays it out");

/* One sample is taken in @mean bytes. Before the first live_put(); 1 is taken for granted. */
void live_expect(uint64_t mean);

/* @address is above 1. False: there is no room. */
SIGSAFE bool live_put(struct segment *s, uint64_t address, uint64_t what);

/* Takes it out. False: it is not there. */
SIGSAFE bool live_take(struct segment *s, uint64_t address, uint64_t *ret_what);
