/*
 * chart: a timeline as lines of text, for a page of output and for a full screen:
 *
 *     Running   ▂▅▇▇▇▅▂▁▁▂▅▇▇▅▂▁▁▂▅▇  up to 5.9 of 8
 *               0s        1s        2s
 *     main      RRSSRRRRZZZZZZRRSSRR  run 61 % idle 24 % sys 12 %
 *     worker-1  RRRLLLLRRRRRLLLLLLRR  run 58 % lock 41 %  g_cache.lock
 *
 * Above them is what is rare, and what stands to the right of a row begins with it: ! something was logged, x a call has failed, ?
 * events are missing.
 *
 * A cell's letter is that of the state which it has most of; a small one when that is less than half of it. As r is runnable, less
 * than half of running is +, and of runnable -.
 */
#pragma once

#include "viewer/timeline.h"

struct chart {
	struct out *out;
	const struct tables *tables;
	uint64_t begun_ns; /* of the trace: times are counted from here */
	bool is_ascii;     /* no glyphs beyond ASCII */
	bool has_blocks;   /* the share of the state as a block of its colour, not a letter */
	bool hides_idle;   /* idle cells are blank */
	unsigned width;    /* of a line */
	unsigned name_columns, cells, info_columns; /* by chart_measure() */
	struct out *scratch;                        /* for texts that are to be cut */
};

/* 0 or -ENOMEM. */
int chart_init(struct chart *c, struct out *out, const struct tables *tables, uint64_t begun_ns);
void chart_fini(struct chart *c);

/* Divides @width between names, the longest of which has @name_columns, cells, and what stands to their right. */
void chart_measure(struct chart *c, unsigned width, unsigned name_columns);
/* How many columns a name takes on a terminal, printed so that nothing in it steers one. */
unsigned chart_name_columns(struct chart *c, const struct name *name);

/*
 * A text in at most @columns, with blanks behind it up to @columns when @is_padded. What is cut ends with "…", or "~". Returns
 * the columns it took.
 */
unsigned chart_text(struct chart *c, const char *bytes, size_t size, unsigned columns,
		    bool is_padded);

/*
 * Line @n of the summaries, without a newline: what is rare, heap, resident memory, and how many threads ran, waited … on the average of a
 * column. What there is none of has no line.
 */
void chart_summary(struct chart *c, const struct timeline *t, unsigned n);
unsigned chart_summaries_n(const struct timeline *t);
/* Without a newline. */
void chart_ruler(struct chart *c, const struct timeline *t);
/* @cursor: the cell that is marked; UINT32_MAX: none. Without a newline. */
void chart_cells(struct chart *c, const struct timeline *t, const struct timeline_row *row,
		 uint32_t cursor);
/* "x run 58 % lock 41 %  g_cache.lock", in @columns at most. */
void chart_shares(struct chart *c, const struct timeline_row *row, unsigned columns);
void chart_row(struct chart *c, const struct timeline *t, const struct timeline_row *row);
/* Regions and logs, below the row of their thread. */
void chart_marks(struct chart *c, const struct timeline *t);
/* What the letters mean of those states that there are; a line of at most c->width. */
void chart_legend(struct chart *c, const struct timeline *t);

/* "1.2s": @ns since the trace's beginning, with as many digits as tell steps of @step_ns apart. */
void chart_time(struct chart *c, uint64_t ns, uint64_t step_ns);
