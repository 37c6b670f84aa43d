/*
 * counted: the rows of a profile at one moment, and what they stand for.
 *
 * Blocks of the heap are counted as they were sampled. What they stand for is worked out for each reading by itself, before
 * one is subtracted from the other, as pprof does it with two profiles: the factor follows from the mean size of a row's
 * blocks, and is another one for each reading.
 */
#pragma once

#include <stddef.h>

#include "core/profile.h"
#include "core/segment.h"
#include "core/table.h"

struct counted_row {
	struct table_row row;             /* as it was counted */
	int64_t shown[TABLE_COLUMNS_MAX]; /* as profiles have it */
};

struct counted {
	struct counted_row *rows; /* sorted by generation, stack, labels, kind; each once */
	size_t n, room;
};

/*
 * Rows of @ops as they are now. @as_sampled: blocks are shown as they were counted. 0 or -ENOMEM; @ret is good for
 * counted_fini() either way.
 */
int counted_read(const struct segment *s, const struct profile_ops *ops, bool as_sampled,
		 struct counted *ret);
void counted_fini(struct counted *c); /* a zeroed one is fine */

/*
 * @now less what @before has of it; what is gone since counts below zero. Rows of a generation whose serial is another one
 * by now have nothing to subtract. 0 or -ENOMEM.
 */
int counted_subtract(struct counted *now, const uint64_t now_serials[SEGMENT_SETS],
		     const struct counted *before, const uint64_t before_serials[SEGMENT_SETS]);

/* Calls @each for every row, as table_read() does. */
int counted_each(const struct segment *s, const struct profile_ops *ops,
		 int (*each)(void *user, const struct table_row *row), void *user);

/* How large the blocks of a row are, on average; of those that were only freed since then, these. 0: not known. */
int64_t counted_block_size(const struct table_row *row);
