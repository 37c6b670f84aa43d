/*
 * table: (stack id, label set) → counters, added to in place from any context.
 *
 * Open addressing. A slot is taken by one compare-and-swap of its key, after which its counters are only added to, so
 * a reader needs no lock and sees at worst a sum that is one sample old.
 */
#pragma once

#include "core/segment.h"

#define TABLE_COLUMNS_MAX 4

/* A table's slots have as many columns as its profile needs; the stride of its part says how many. */
struct table_slot {
	_Atomic uint64_t key; /* label set << 32 | stack id; 0 free: no stack has id 0 */
	_Atomic uint64_t values[];
};

#define TABLE_STRIDE(columns) ((uint32_t)(sizeof(struct table_slot) + (columns) * sizeof(uint64_t)))

/* Adds one value for each column; false when there is no room. Signal safe. */
SIGSAFE bool table_add(struct segment *s, enum segment_part table, unsigned generation,
		       uint32_t stack, uint32_t labels, const uint64_t *values);

/* A slot for the pair, its own or one that was free; NULL when there is no room. Signal safe. */
SIGSAFE struct table_slot *table_slot(struct segment *s, enum segment_part table,
				      unsigned generation, uint32_t stack, uint32_t labels);

struct table_row {
	unsigned generation;
	uint32_t stack, labels;
	uint32_t
		kind; /* what else tells apart rows with the same two: of the heap, the size class */
	uint64_t values[TABLE_COLUMNS_MAX]; /* zero beyond the table's columns */
};

/*
 * One record with its stack and labels, in the generation that is written now, or in the next when that is full.
 * What finds no room is counted as lost. With SEGMENT_NO_TABLE it is the stack alone. Tells where the record is; stack 0
 * when it is lost. Signal safe; the caller holds the generation by thread_enter().
 */
SIGSAFE struct table_row table_record(struct segment *s, enum segment_part table,
				      const uint64_t *frames, uint32_t depth, uint32_t labels,
				      const uint64_t *values);

/* Calls @each for every row until it returns non-zero, and returns that. */
int table_read(const struct segment *s, enum segment_part table,
	       int (*each)(void *user, const struct table_row *row), void *user);
