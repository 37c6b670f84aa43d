/*
 * index: the intervals and counters of a trace in a file beside it, so that any stretch of any thread is found again at once, at
 * any zoom, without going through the trace.
 *
 *     intervals of a thread   ├──┬────┬─┬──┬─ … ─┤├─┬──── … ─┤├── … ─┤       a leaf has 128 of them, some bytes each
 *     what was before a leaf     0                  ns by state   ns by state
 *
 * Each leaf knows when it begins, and how long its thread had been in each state by then. So the sum over any stretch is the
 * difference of two such rows and a part of two leaves, whether it is a microsecond or the whole run, and it is exact. The rows
 * are kept in memory, the leaves are read when they are needed. A row also knows the longest interval of its leaf, the lock that
 * was waited for longest, and whether there is something rare in it. Values of the heap and of counters are kept in the same way.
 * Tiles of many leaves are kept, too, so that the widest picture reads no more of them than a narrow one; and what all threads did together, up
 * to each border of a grid, so that a picture of their sums reads none.
 *
 * The file is a convenience: $XDG_CACHE_HOME/cprof, named after the trace's uuid and size, and made anew when that has changed, or when
 * anything in it is not what was written. Where it cannot be written, it has no name and is gone at the end.
 */
#pragma once

#include "viewer/story.h"

#define INDEX_LEAF    128
#define INDEX_BUCKETS 512
#define INDEX_LEVELS  64

struct index;

/* What is rare in an interval, and worth a place in a picture however short it is. */
enum index_flag {
	INDEX_ERROR = 1, /* a call that failed */
	INDEX_MARK = 2,  /* the program has logged something */
	INDEX_LOST = 4,  /* events of it are missing */
};

struct index_track {
	uint32_t thread;
	uint64_t begin_ns, end_ns, intervals;
	uint64_t state_ns[TRACE_STATES];
};

/*
 * Shares of each state in a bucket: they add up to 255, or are all 0 where the thread did not live. And enum index_flag, of what
 * overlaps it.
 */
struct index_tile {
	uint8_t shares[INDEX_BUCKETS][TRACE_STATES];
	uint8_t flags[INDEX_BUCKETS];
};

enum index_kind { INDEX_HEAP_LIVE, INDEX_HEAP_RESIDENT, INDEX_COUNTER };

/* The values of one thing over time. */
struct index_series {
	uint32_t kind, name; /* enum index_kind; of a counter, a str */
	uint64_t begin_ns, end_ns, points;
	int64_t min, max, last;
};

struct index_values {
	uint64_t points; /* in the stretch; 0: min and max are not set */
	int64_t min, max;
	int64_t last; /* there was up to its end, also before it */
	bool has_last;
};

/*
 * The index of the trace, from its file, or made now in one pass. @is_kept false: no file is looked for or left. Files have the
 * names in @t then that they have at the end of the trace. 0, -EINTR (the watch ended it), -ENOMEM, or what reading or writing
 * said, with @why.
 */
int index_open(struct index **ret, struct reader *r, const struct streams *s, struct tables *t,
	       bool is_kept, const struct watch *watch, struct why *why);
void index_close(struct index *x); /* NULL is fine */

/*
 * One that another process has opened, handed over: by its file, which becomes the index's. 0, -EBADMSG (it is not of this trace,
 * or damaged) or -ENOMEM.
 */
int index_load(struct index **ret, int fd, const struct reader *r, struct tables *t);
int index_file(const struct index *x);

/* index_open() when there is a file of it; -ENOENT when there is none that can be believed. */
int index_find(struct index **ret, struct reader *r, struct tables *t);

/*
 * Making one meanwhile, in a process of its own. index_step() returns -EAGAIN as long as that is at work, and how far it is, else
 * what index_open() does. index_give_up() ends it, and is for after index_step() has returned something else, too. NULL is fine.
 */
struct index_making;
int index_begin(struct index_making **ret, struct reader *r, const struct streams *s,
		struct tables *t, bool is_kept, struct why *why);
int index_step(struct index_making *m, struct index **ret, double *ret_share, struct why *why);
void index_give_up(struct index_making *m);

/* Whether it had to be made. */
bool index_is_new(const struct index *x);
/* What the story of the whole trace knew besides. */
const struct story_counts *index_counts(const struct index *x);

uint32_t index_tracks(const struct index *x);
const struct index_track *index_track(const struct index *x, uint32_t track);
/* The track of a thread, or MAP_NONE. */
uint32_t index_track_of(const struct index *x, uint32_t thread);

/* How long the thread was in each state from @from_ns to @to_ns. 0, or -EBADMSG: the file is not what was written. */
int index_sum(struct index *x, uint32_t track, uint64_t from_ns, uint64_t to_ns,
	      uint64_t ret[TRACE_STATES]);

/*
 * The same from its begin up to @ns. @is_rough: by rows alone, so at once; as far off as a leaf is long, and as much less as its
 * thread does the same all the time.
 */
int index_before(struct index *x, uint32_t track, uint64_t ns, bool is_rough,
		 uint64_t ret[TRACE_STATES]);
/*
 * The same up to borders that rise, as those of columns and buckets do: what is between two of them is gone through once, and what
 * has none is passed over. index_sweep_begin() has the first; then nobody else may ask the index until the last one. sweep.flags:
 * enum index_flag, of what there is from the border before. 0 or -EBADMSG.
 */
struct index_sweep {
	struct index *x;
	uint32_t track;
	unsigned flags;
	/* the leaf that is open, and the interval in it; where the next begins, and how many there are */
	uint64_t row, begin_ns, end_ns;
	uint32_t at, left;
	uint8_t state, interval_flags;
	bool is_over; /* no leaf is */
	uint64_t before_ns[TRACE_STATES];
};
int index_sweep_begin(struct index_sweep *w, struct index *x, uint32_t track, uint64_t from_ns,
		      uint64_t ret[TRACE_STATES]);
int index_sweep_to(struct index_sweep *w, uint64_t ns, uint64_t ret[TRACE_STATES]);

/*
 * The same of all threads together, at once: at the borders of a grid, whose distance, a power of two, and begin index_grid() says. 0, or
 * 1: @ns is no such border. A trace of few events has no grid, and a distance of 0.
 */
int index_all_before(const struct index *x, uint64_t ns, uint64_t ret[TRACE_STATES]);
uint64_t index_grid(const struct index *x, uint64_t *ret_begin_ns);

/* How many leaves that stretch is in. */
uint64_t index_leaves(const struct index *x, uint32_t track, uint64_t from_ns, uint64_t to_ns);

/* INDEX_BUCKETS of 2^@level ns each, from @number * INDEX_BUCKETS * 2^@level ns of the trace's clock on. 0 or -EBADMSG. */
int index_tile(struct index *x, uint32_t track, unsigned level, uint64_t number,
	       struct index_tile *ret);

/* Shares of these times that add up to 255; all 0 where there is none. */
void index_shares(const uint64_t state_ns[TRACE_STATES], uint8_t ret[TRACE_STATES]);

/*
 * The intervals that overlap @from_ns to @to_ns, whole, the first @max of them into @ret. *@ret_n: how many that are. 0, 1 (there
 * are more), or -EBADMSG.
 */
int index_spans(struct index *x, uint32_t track, uint64_t from_ns, uint64_t to_ns,
		struct interval *ret, uint32_t max, uint32_t *ret_n);

/* The interval that has most of the stretch, the first of equals, whole. 0, 1 (there is none), or -EBADMSG. */
int index_longest(struct index *x, uint32_t track, uint64_t from_ns, uint64_t to_ns,
		  struct interval *ret);
/*
 * Each interval that overlaps it, whole, in the order of time or the other way round, until @take returns other than 0. That, 0, or
 * -EBADMSG.
 */
int index_each(struct index *x, uint32_t track, uint64_t from_ns, uint64_t to_ns, bool is_backwards,
	       int (*take)(void *context, const struct interval *i), void *context);
/* enum index_flag of all intervals that overlap it. 0 or -EBADMSG. */
int index_flags(struct index *x, uint32_t track, uint64_t from_ns, uint64_t to_ns, unsigned *ret);
/*
 * Where something rare is: @take is told of each leaf that has any, up to where the next begins; where it returns 1, of the intervals
 * of that leaf that have and overlap the stretch. 0 or -EBADMSG.
 */
int index_rare(struct index *x, uint32_t track, uint64_t from_ns, uint64_t to_ns,
	       int (*take)(void *context, bool is_leaf, uint64_t begin_ns, uint64_t end_ns,
			   unsigned flags),
	       void *context);
/*
 * The locks that were waited for in the stretch, and how long. Of a leaf that is all in it, only the one that was waited for
 * longest, unless there are few. 0 or -EBADMSG.
 */
int index_locks(struct index *x, uint32_t track, uint64_t from_ns, uint64_t to_ns, bool is_rough,
		void (*take)(void *context, uint32_t object, uint64_t ns), void *context);

uint32_t index_series_n(const struct index *x);
const struct index_series *index_series(const struct index *x, uint32_t series);
/* Of @kind and, of a counter, @name; or MAP_NONE. */
uint32_t index_series_of(const struct index *x, enum index_kind kind, uint32_t name);
/* From @from_ns to before @to_ns. 0 or -EBADMSG. */
int index_values(struct index *x, uint32_t series, uint64_t from_ns, uint64_t to_ns,
		 struct index_values *ret);
