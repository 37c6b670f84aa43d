/*
 * symbolize: a trace with the names of all its places in code, so that it can be read where their files are not.
 *
 * Blocks are copied as they are; behind them stand the symbols, and the strings that they need and the trace has not. Symbols
 * that were there are replaced, those of files that cannot be read now are kept. A damaged trace is repaired on the way.
 */
#pragma once

#include "viewer/repair.h"
#include "viewer/resolve.h"

struct symbolize {
	struct repair copied;
	uint64_t frames;      /* that stacks, objects and starts of threads refer to */
	uint64_t named, kept; /* by a file; by the symbols that were there */
	uint64_t left_out;    /* frames beyond those that there is room for */
	uint64_t bytes;
};

/*
 * @v has gone through @r. Names come from @x. 0, -EINTR (the watch), or a negative errno with @why.
 */
int symbolize_write(struct symbolize *ret, struct reader *r, const struct streams *s,
		    const struct tables *t, const struct verify *v, struct resolver *x, int fd,
		    const struct watch *watch, struct why *why);
