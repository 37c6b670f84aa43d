/*
 * table: rows of what an analysis found, as columns of text, JSON or CSV.
 *
 * Text is for people: durations with a unit and three digits, counts with commas, as wide as the terminal, and a line at the
 * end that says what is not in it. JSON and CSV have whole numbers, ns and bytes, under names that stay.
 */
#pragma once

#include "core/why.h"
#include "output/out.h"
#include "viewer/args.h"

enum column_kind {
	COLUMN_TEXT,
	COLUMN_COUNT,
	COLUMN_ID, /* a number that is a name: no commas */
	COLUMN_SIGNED,
	COLUMN_NS,   /* a duration */
	COLUMN_TIME, /* since the trace's beginning: 1.204118233 */
	COLUMN_BYTES,
	COLUMN_SHARE, /* of 1, a double: "12.3 %"; JSON 0.123 */
	COLUMN_BOOL,
};

struct column {
	/*
	 * the name in JSON and CSV: "total_ns"; NULL: text only. With a point, "states.lock_ns", JSON has an object, of the
	 * columns side by side that have the same before the point
	 */
	const char *key;
	const char *title; /* over the column; NULL: in JSON and CSV only */
	enum column_kind kind;
	bool is_ascending; /* when it is sorted by; else the largest comes first; text always ascends */
	bool is_wide;      /* is the first to be cut where there is no room; then other text is */
};

struct cell {
	union {
		uint64_t n; /* also 0 and 1 of COLUMN_BOOL */
		int64_t s;
		double share;
		const char *
			text; /* copied by table_row(); may have any bytes up to a NUL; NULL is is_none */
	};
	bool is_none; /* not known: "-", null, an empty field; behind all others when sorted */
};

struct table;

/* @columns and @what stay the caller's. @what: "locks", for a table of none and for messages. 0 or -ENOMEM. */
int table_create(struct table **ret, const char *what, const struct column *columns, unsigned n);
void table_destroy(struct table *t); /* NULL is fine */

/* Adds a row of @cells, as many as there are columns. 0 or -ENOMEM. */
int table_row(struct table *t, const struct cell *cells);
uint64_t table_rows(const struct table *t);

/*
 * Sorts by the column with @key or @title, else (NULL) by @otherwise; @reverse the other way round. Rows that are equal there
 * stay in their order. -EINVAL when there is no such column, with @why naming those that there are. Both NULL: as it is.
 */
int table_sort(struct table *t, const char *key, const char *otherwise, bool reverse,
	       struct why *why);

/* A line below the text, such as "0.4 % of the time is unknown"; nothing in JSON and CSV. Copied. 0 or -ENOMEM. */
__attribute__((format(printf, 2, 3))) int table_note(struct table *t, const char *format, ...);

/* In text, @under is called below each row with its cells, and may write more lines. */
void table_under(struct table *t,
		 void (*under)(void *context, struct out *o, const struct cell *cells),
		 void *context);

/* The notes alone, a line for each. */
void table_out_notes(const struct table *t, struct out *o);

/*
 * Writes the first @limit rows, 0 for all; in text, what was left out is said below. JSON is an array of objects. @width: of
 * text; 0: as it comes.
 */
void table_out(struct table *t, struct out *o, enum args_format format, uint64_t limit,
	       unsigned width);
