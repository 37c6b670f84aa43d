/*
 * timeline: what threads did, by columns of time: all that a picture in text is drawn from.
 *
 *              column    0        1        2
 *     main             │ R 90   │ R 40   │        │     each cell: the ns of each state
 *                      │ S 10   │ L 60   │        │     none: the thread did not live then
 *     worker*           │ R 150  │ R 200  │ L 200  │     a group: those of its threads, added up
 *
 * Exact, from a story's intervals or from the index of them: the cells of a row add up to its intervals, to the nanosecond. Or from
 * the headers of the blocks alone, where each block's states are spread evenly over its time: that needs no event, and a few bytes of
 * each block.
 *
 * What is rare (enum index_flag) is kept besides, by column and by row, so that one event among any number of others is seen.
 *
 * Memory is in proportion to rows and columns, up to TIMELINE_CELLS_MAX cells; threads beyond that are counted in the sums only.
 */
#pragma once

#include "viewer/index.h"
#include "viewer/names.h"
#include "viewer/select.h"

#define TIMELINE_CELLS_MAX   (UINT32_C(2) << 20) /* 128 MiB */
#define TIMELINE_COLUMNS_MAX 2000
#define TIMELINE_MARKS_MAX   4096
#define TIMELINE_LOCKS       8 /* of a row; with more, which one it waited for most is an estimate */
#define TIMELINE_LABEL       64 /* bytes of a group's name */
#define TIMELINE_EXACT_MAX \
	UINT64_C(          \
		5000000) /* events that are read for a picture without being asked to: a few seconds */

struct timeline_cell {
	uint64_t ns[TRACE_STATES];
};

struct timeline_row {
	uint32_t thread;            /* its index; of a group that of the first one met */
	uint32_t members;           /* threads */
	char label[TIMELINE_LABEL]; /* of a group with several: "worker"; else "" */
	uint64_t begin_ns, end_ns;  /* of its intervals */
	uint64_t state_ns[TRACE_STATES];
	struct {
		uint32_t object;
		uint64_t ns;
	} locks[TIMELINE_LOCKS];
	struct timeline_cell *cells; /* by column */
	uint8_t rare;                /* of all its cells */
	bool is_rough; /* from the index, as timeline_index() has it of many threads */
};

/* A log message, or a region. */
struct timeline_mark {
	uint64_t begin_ns, end_ns;
	uint32_t name, message; /* str */
	uint8_t depth;          /* of regions within one another */
	bool is_region;
};

struct timeline_ask {
	uint64_t from_ns, to_ns; /* from < to */
	uint32_t columns;
	bool by_group;     /* threads whose names differ by their number only are one row */
	uint32_t marks_of; /* the thread whose logs and regions are wanted, or TRACE_ALL */
	struct select_threads *threads; /* NULL: all */
	uint32_t cells_max;             /* 0: TIMELINE_CELLS_MAX */
};

enum timeline_key { TIMELINE_BY_START, TIMELINE_BY_NAME, TIMELINE_BY_LOCK, TIMELINE_BY_RUN };

struct timeline {
	struct timeline_ask ask;
	const struct tables *tables;
	bool is_estimate; /* from headers */
	bool is_rough;    /* some of the sums are off by less than a leaf of the index */
	uint64_t
		events; /* of the threads that are wanted; of an estimate, in blocks that are there at least partly */

	struct timeline_row *rows;
	uint32_t rows_n, rows_room;
	uint32_t threads;  /* of all rows, and of those that have none */
	uint32_t left_out; /* threads without a row, for want of memory */
	struct map row_of, group_of;

	struct timeline_cell *sums; /* by column, of all threads */
	uint8_t *rare;              /* by column, of all threads; from headers, only what is lost */
	uint8_t rare_all;
	uint64_t state_ns[TRACE_STATES];

	/* by column, the last value there was; NULL without events of it */
	uint64_t *heap_live, *heap_resident;
	uint64_t live_max, resident_max;

	struct timeline_mark *marks;
	uint32_t marks_n, marks_left_out;
	struct {
		uint64_t begin_ns;
		uint32_t name;
	} open[16]; /* regions */
	uint32_t open_n;
	bool knows_regions;

	struct story_counts counts;
};

/* How many events the blocks have that are between these times, at least partly. */
uint64_t timeline_events(const struct reader *r, uint64_t from_ns, uint64_t to_ns);
/* From the first event to the last; 0 and 1 when there are none. */
void timeline_range(const struct reader *r, uint64_t *ret_from_ns, uint64_t *ret_to_ns);

/* Begins an empty one. 0, -EINVAL (no columns, no time) or -ENOMEM. timeline_fini() is fine for a zeroed one. */
int timeline_init(struct timeline *t, const struct timeline_ask *ask, const struct tables *tables);
void timeline_fini(struct timeline *t);
/* In bytes, roughly. */
uint64_t timeline_bytes(const struct timeline *t);

/*
 * Fills one that timeline_init() began: by a story, or from headers. What story_tell() returns; after -EINTR it has what was known
 * by then.
 */
int timeline_tell(struct timeline *t, struct reader *r, const struct streams *s,
		  struct tables *tables, const struct watch *watch, struct why *why);
int timeline_estimate(struct timeline *t, struct reader *r, const struct streams *s,
		      const struct watch *watch, struct why *why);

/*
 * The same from the index; there are no intervals and marks then. @leaves_max: as many leaves of it are read, which takes some
 * microseconds each. Where that is not enough, all rows are rough, until timeline_sharpen() makes one exact. 0, -EINVAL (there are
 * marks to be had), -ENOMEM or -EBADMSG, with @why.
 */
int timeline_index(struct timeline *t, struct reader *r, const struct streams *s, struct index *x,
		   uint64_t leaves_max, struct why *why);
int timeline_sharpen(struct timeline *t, struct index *x, uint32_t row);

/* Rows for these threads, in this order, whether or not they do something. Before it is filled. 0 or -ENOMEM. */
int timeline_seed(struct timeline *t, const uint32_t *threads, uint32_t n);
/* Fills one with what another has of the same time, its cells stretched or squeezed: an estimate until it is known. 0 or -ENOMEM. */
int timeline_stretch(struct timeline *t, const struct timeline *from);

/* What a story tells; for tests. 0 or -ENOMEM. */
int timeline_add(struct timeline *t, const struct interval *i);

/* The largest first, or by name, or who was there first. */
void timeline_sort(struct timeline *t, enum timeline_key key, bool is_reverse);
/* The row of a thread, or MAP_NONE. */
uint32_t timeline_row_of(const struct timeline *t, uint32_t thread);
/* The lock that was waited for most; 0: none. */
uint32_t timeline_top_lock(const struct timeline_row *row);

/* "worker-3"; of a group "worker*". */
void timeline_name(const struct timeline *t, const struct timeline_row *row, struct name *name);

/* Which state a cell has most of, and its share of the time that the cell knows; TRACE_STATES and 0 for an empty one. */
unsigned timeline_dominant(const struct timeline_cell *cell, double *ret_share);

/* @n * @part / @whole: the product may have more than 64 bits. */
static inline uint64_t timeline_part(uint64_t n, uint64_t part, uint64_t whole)
{
	__extension__ typedef unsigned __int128 wide;

	return (uint64_t)((wide)n * part / whole);
}

static inline uint64_t timeline_column_begin(const struct timeline_ask *ask, uint64_t column)
{
	return ask->from_ns + timeline_part(ask->to_ns - ask->from_ns, column, ask->columns);
}

/* The column of a time within the range; the last one for its end. */
uint32_t timeline_column(const struct timeline_ask *ask, uint64_t ns);
