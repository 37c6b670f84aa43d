/*
 * The model that timelines are drawn from: its cells against those of a slower and simpler count, for traces made by hand, random
 * ranges and widths; what headers alone tell; order, groups, and what is left out.
 */
#include <errno.h>
#include <stdio.h>

#include "tests/tap.h"
#include "tests/unit/trace_timeline.h"
#include "viewer/timeline.h"

static uint64_t seed = 1;

static uint64_t roll(uint64_t n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (seed >> 20) % n;
}

struct opened {
	struct reader *reader;
	struct streams streams;
	struct tables tables;
	struct why why;
};

static void open_made(struct opened *o, struct made *m)
{
	memset(o, 0, sizeof(*o));
	tables_init(&o->tables);
	if (reader_open_bytes(&o->reader, "made", m->file.at, m->file.n, &o->why) < 0 ||
	    streams_init(&o->streams, o->reader) < 0 ||
	    tables_load(&o->tables, o->reader, &o->why) < 0) {
		printf("Bail out! %s\n", o->why.text);
		exit(1);
	}
}

static void close_made(struct opened *o)
{
	tables_fini(&o->tables);
	streams_fini(&o->streams);
	reader_close(o->reader);
}

/* ---- cells against intervals ---- */

#define KEPT 1000

struct kept {
	struct interval list[KEPT];
	unsigned n;
};

static int keep(void *context, const struct interval *i)
{
	struct kept *k = context;

	if (k->n < KEPT)
		k->list[k->n++] = *i;
	return 0;
}

/* How much of an interval is in a column, said in another way than the model has it. */
static uint64_t in_column(const struct timeline_ask *ask, const struct interval *i, uint32_t column)
{
	long double width = (long double)(ask->to_ns - ask->from_ns) / ask->columns;
	/* a border is where the ns begins that it falls into; half a ns may not decide about rounding */
	uint64_t begin = ask->from_ns + (uint64_t)(width * column + 1e-7L),
		 end = ask->from_ns + (uint64_t)(width * (column + 1) + 1e-7L);

	return story_within(i->begin_ns, i->end_ns, begin, end);
}

/* Compares all cells. Returns how many are wrong. */
static unsigned wrong_cells(const struct timeline *t, const struct kept *k)
{
	unsigned wrong = 0;

	for (uint32_t row = 0; row < t->rows_n; row++) {
		for (uint32_t column = 0; column < t->ask.columns; column++) {
			uint64_t ns[TRACE_STATES] = {0};

			for (unsigned i = 0; i < k->n; i++)
				if (timeline_row_of(t, k->list[i].thread) == row)
					ns[k->list[i].state] +=
						in_column(&t->ask, &k->list[i], column);
			wrong += memcmp(ns, t->rows[row].cells[column].ns, sizeof(ns)) != 0;
		}
	}
	return wrong;
}

/* Do rows and sums have what their cells have? */
static bool adds_up(const struct timeline *t)
{
	uint64_t all[TRACE_STATES] = {0}, sums[TRACE_STATES] = {0};

	for (uint32_t column = 0; column < t->ask.columns; column++)
		for (unsigned s = 0; s < TRACE_STATES; s++)
			sums[s] += t->sums[column].ns[s];
	for (uint32_t row = 0; row < t->rows_n; row++) {
		uint64_t ns[TRACE_STATES] = {0};

		for (uint32_t column = 0; column < t->ask.columns; column++)
			for (unsigned s = 0; s < TRACE_STATES; s++)
				ns[s] += t->rows[row].cells[column].ns[s];
		if (memcmp(ns, t->rows[row].state_ns, sizeof(ns)) != 0)
			return false;
		for (unsigned s = 0; s < TRACE_STATES; s++)
			all[s] += ns[s];
	}
	return memcmp(sums, t->state_ns, sizeof(sums)) == 0 &&
	       (t->left_out > 0 || memcmp(sums, all, sizeof(sums)) == 0);
}

/* Columns follow one another without a gap, and each time is in the one that it is in. */
static bool columns_are_right(const struct timeline_ask *ask)
{
	if (timeline_column_begin(ask, 0) != ask->from_ns ||
	    timeline_column_begin(ask, ask->columns) != ask->to_ns)
		return false;
	for (unsigned i = 0; i < 50; i++) {
		uint64_t ns = ask->from_ns + roll(ask->to_ns - ask->from_ns);
		uint32_t column = timeline_column(ask, ns);

		if (timeline_column_begin(ask, column) > ns ||
		    timeline_column_begin(ask, column + 1) <= ns)
			return false;
	}
	return true;
}

/* Is @b, which is from the index, what @a is, from the story? Returns how many rows are not. */
static unsigned other_rows(const struct timeline *a, const struct timeline *b)
{
	size_t cells = a->ask.columns * sizeof(struct timeline_cell);
	unsigned wrong = a->rows_n != b->rows_n || a->threads != b->threads;

	for (uint32_t i = 0; i < a->rows_n && wrong == 0; i++) {
		uint32_t at = timeline_row_of(b, a->rows[i].thread);
		const struct timeline_row *x = &a->rows[i], *y = &b->rows[at];

		wrong += at == MAP_NONE || memcmp(x->cells, y->cells, cells) != 0 ||
			 memcmp(x->state_ns, y->state_ns, sizeof(x->state_ns)) != 0 ||
			 x->begin_ns != y->begin_ns || x->end_ns != y->end_ns ||
			 x->members != y->members || timeline_top_lock(x) != timeline_top_lock(y);
	}
	return wrong;
}

/*
 * The same range from the index: at once, and roughly first. It has what the story of the whole trace has there; one that is told of a
 * range alone does not know what calls it ends in.
 */
static void from_index(const struct opened *o, struct index *x, const struct kept *all,
		       const struct timeline *told, unsigned wrong[5])
{
	size_t heap = told->ask.columns * sizeof(uint64_t);
	struct timeline t, added;
	struct why why;

	timeline_init(&added, &told->ask, &o->tables);
	for (unsigned i = 0; i < all->n; i++)
		timeline_add(&added, &all->list[i]);
	timeline_init(&t, &told->ask, &o->tables);
	wrong[0] += timeline_index(&t, o->reader, &o->streams, x, UINT64_MAX, &why) != 0;
	wrong[1] += other_rows(&added, &t);
	wrong[2] += memcmp(added.sums, t.sums, t.ask.columns * sizeof(*t.sums)) != 0 ||
		    memcmp(added.state_ns, t.state_ns, sizeof(t.state_ns)) != 0;
	wrong[3] += t.live_max != told->live_max || t.resident_max != told->resident_max ||
		    (told->heap_live != NULL &&
		     (memcmp(t.heap_live, told->heap_live, heap) != 0 ||
		      memcmp(t.heap_resident, told->heap_resident, heap) != 0));
	timeline_fini(&t);

	timeline_init(&t, &told->ask, &o->tables);
	wrong[0] += timeline_index(&t, o->reader, &o->streams, x, 0, &why) != 0;
	for (uint32_t i = 0; i < t.rows_n; i++)
		wrong[0] += timeline_sharpen(&t, x, i) != 0;
	wrong[4] += other_rows(&added, &t);
	timeline_fini(&t);
	timeline_fini(&added);
}

static void test_cells(void)
{
	unsigned wrong = 0, sums = 0, columns = 0, failed = 0, intervals = 0, other[5] = {0};
	static struct kept all;
	const struct story_listener teller = {.context = &all, .interval = keep};
	struct story_counts counts;
	struct index *x = NULL;
	struct made m = {0};
	struct opened o;

	make_timeline(&m);
	open_made(&o, &m);
	failed += story_tell(o.reader, &o.streams, &o.tables, 0, UINT64_MAX, &teller, &counts, NULL,
			     &o.why) != 0;
	failed += index_open(&x, o.reader, &o.streams, &o.tables, false, NULL, &o.why) != 0;
	for (unsigned round = 0; round < 200; round++) {
		uint64_t from = MADE_BEGUN + roll(4700 * MS), most = round % 3 == 0   ? 1000
								     : round % 3 == 1 ? MS
										      : 5000 * MS;
		struct timeline_ask ask = {.from_ns = round < 2 ? MADE_BEGUN : from,
					   .to_ns = round < 2 ? MADE_BEGUN + 4800 * MS
							      : from + 1 + roll(most),
					   .columns = 1 + (uint32_t)roll(300),
					   .by_group = round % 5 == 4,
					   .marks_of = TRACE_ALL};
		const struct story_listener listener = {.context = &(struct kept){.n = 0},
							.interval = keep};
		struct kept *k = listener.context;
		struct timeline t;

		failed += story_tell(o.reader, &o.streams, &o.tables, ask.from_ns, ask.to_ns,
				     &listener, &counts, NULL, &o.why) != 0;
		failed += timeline_init(&t, &ask, &o.tables) != 0;
		failed += timeline_tell(&t, o.reader, &o.streams, &o.tables, NULL, &o.why) != 0;
		wrong += wrong_cells(&t, k);
		sums += !adds_up(&t);
		columns += !columns_are_right(&ask);
		intervals += k->n;
		from_index(&o, x, &all, &t, other);
		timeline_fini(&t);
	}
	ok(failed == 0, "200 ranges are told");
	ok(intervals > 2000, "of %u intervals", intervals);
	is_u64(wrong, 0, "each cell has what its intervals have in it");
	is_u64(sums, 0, "rows and sums are those of their cells");
	is_u64(columns, 0, "columns have no gaps");
	is_u64(other[0], 0, "all of them from the index, too");
	is_u64(other[1], 0, "with the same rows");
	is_u64(other[2], 0, "and sums");
	is_u64(other[3], 0, "and the heap");
	is_u64(other[4], 0, "rows that were rough become exact");
	index_close(x);
	close_made(&o);
	made_free(&m);
}

static void test_known(void)
{
	struct timeline_ask ask = {.from_ns = MADE_BEGUN,
				   .to_ns = MADE_BEGUN + 4800 * MS,
				   .columns = 48,
				   .marks_of = 1};
	struct made m = {0};
	struct opened o;
	struct timeline t;
	unsigned logs = 0, outer = 0, inner = 0;
	double share;

	make_timeline(&m);
	open_made(&o, &m);
	timeline_init(&t, &ask, &o.tables);
	is_u64(timeline_tell(&t, o.reader, &o.streams, &o.tables, NULL, &o.why), 0, "it is told");
	is_u64(t.rows_n, 5, "five threads");
	is_u64(t.events, 131, "all their events");
	is_u64(t.rows[0].state_ns[TRACE_IDLE], 8 * 350 * MS, "main is idle 350 ms of 600");
	is_u64(t.rows[0].state_ns[TRACE_SYSCALL], 8 * 50 * MS, "and reads 50");
	is_u64(t.rows[0].cells[2].ns[TRACE_RUNNING], 50 * MS,
	       "from 200 to 250 ms it runs: half a column");
	is_u64(timeline_dominant(&t.rows[0].cells[3], &share), TRACE_IDLE, "then it is idle");
	ok(share == 1, "all of the column");
	is_u64(timeline_top_lock(&t.rows[timeline_row_of(&t, 3)]), 1,
	       "worker-1 waits for the lock");
	is_u64(timeline_top_lock(&t.rows[0]), 0, "main for none");
	is_u64(t.heap_live[47], 8 << 20, "the heap at the end");
	is_u64(t.heap_live[0], 0, "before its first value");
	is_u64(t.heap_live[3], 1 << 20, "and after it");
	is_u64(t.live_max, 8 << 20, "the most there was");
	is_u64(t.rows[timeline_row_of(&t, 5)].state_ns[TRACE_UNKNOWN], 500 * MS,
	       "what was lost is unknown");
	for (uint32_t i = 0; i < t.marks_n; i++) {
		logs += !t.marks[i].is_region;
		outer += t.marks[i].is_region && t.marks[i].depth == 0 &&
			 t.marks[i].end_ns - t.marks[i].begin_ns == 230 * MS;
		inner += t.marks[i].is_region && t.marks[i].depth == 1 &&
			 t.marks[i].end_ns - t.marks[i].begin_ns == 70 * MS;
	}
	ok(logs == 8 && outer == 8 && inner == 8 && t.marks_n == 24,
	   "logs and regions, one in another");
	timeline_fini(&t);

	ask.to_ns = ask.from_ns;
	is_u64(timeline_init(&t, &ask, &o.tables), -EINVAL, "no time is none");
	timeline_fini(&t);
	close_made(&o);
	made_free(&m);
}

/* ---- headers ---- */

static void test_estimate(void)
{
	struct timeline_ask ask = {.from_ns = MADE_BEGUN,
				   .to_ns = MADE_BEGUN + 4800 * MS,
				   .columns = 77,
				   .marks_of = TRACE_ALL};
	struct timeline t, narrow, wide;
	struct made m = {0};
	struct opened o;

	make_timeline(&m);
	open_made(&o, &m);
	timeline_init(&t, &ask, &o.tables);
	is_u64(timeline_estimate(&t, o.reader, &o.streams, NULL, &o.why), 0, "from headers");
	ok(adds_up(&t), "its cells add up");
	is_u64(t.rows[0].state_ns[TRACE_IDLE], 8 * 350 * MS, "to what the headers say");
	is_u64(t.rows[timeline_row_of(&t, 3)].state_ns[TRACE_LOCK], 8 * 250 * MS, "of each thread");
	is_u64(t.rows[timeline_row_of(&t, 5)].state_ns[TRACE_UNKNOWN], 500 * MS,
	       "what was lost is unknown");
	is_u64(t.counts.lost_events, 7, "and counted");

	/* a part of it has its part, and a picture of it the same whatever its columns are */
	ask.to_ns = MADE_BEGUN + 1200 * MS;
	timeline_init(&narrow, &ask, &o.tables);
	timeline_estimate(&narrow, o.reader, &o.streams, NULL, &o.why);
	is_u64(narrow.rows[0].state_ns[TRACE_IDLE], 2 * 350 * MS, "a quarter has a quarter");
	ask.columns = 13;
	timeline_init(&wide, &ask, &o.tables);
	is_u64(timeline_stretch(&wide, &narrow), 0, "stretched");
	ok(adds_up(&wide), "it adds up");
	is_u64(wide.rows[0].state_ns[TRACE_IDLE], 2 * 350 * MS, "to the same");
	timeline_fini(&wide);
	timeline_fini(&narrow);
	timeline_fini(&t);
	close_made(&o);
	made_free(&m);
}

/* A header that claims more than there was time for. */
static void test_liar(void)
{
	struct timeline_ask ask = {.from_ns = MADE_BEGUN,
				   .to_ns = MADE_BEGUN + 1000,
				   .columns = 7,
				   .marks_of = TRACE_ALL};
	struct made m = {0};
	struct opened o;
	struct timeline t;

	made_begin(&m);
	made_event(&m, 67, 0, 1, U(0));
	made_event(&m, 67, 1000, 1, U(0));
	made_end_block(&m, (struct made_block){.kind = MADE_EVENTS,
					       .thread = 1,
					       .first_ns = MADE_BEGUN,
					       .last_ns = MADE_BEGUN + 1000,
					       .span = 1000,
					       .has_summary = true,
					       .summary = {5, UINT64_MAX, UINT64_MAX, 3}});
	made_end(&m, 2, 0);
	open_made(&o, &m);
	timeline_init(&t, &ask, &o.tables);
	is_u64(timeline_estimate(&t, o.reader, &o.streams, NULL, &o.why), 0, "a header that lies");
	is_u64(t.rows[0].state_ns[TRACE_RUNNING], 995, "has no more than its time");
	ok(adds_up(&t), "in its cells either");
	timeline_fini(&t);
	close_made(&o);
	made_free(&m);
}

/* ---- rows ---- */

static void tell_threads(struct opened *o, struct timeline *t, bool by_group, uint32_t cells_max)
{
	struct timeline_ask ask = {.from_ns = MADE_BEGUN,
				   .to_ns = MADE_BEGUN + 3 * MS,
				   .columns = 10,
				   .by_group = by_group,
				   .marks_of = TRACE_ALL,
				   .cells_max = cells_max};

	timeline_init(t, &ask, &o->tables);
	timeline_tell(t, o->reader, &o->streams, &o->tables, NULL, &o->why);
}

static const char *name_of(const struct timeline *t, uint32_t row)
{
	static struct name name;

	name_clear(&name);
	timeline_name(t, &t->rows[row], &name);
	name.text[name.n < sizeof(name.text) ? name.n : sizeof(name.text) - 1] = '\0';
	return name.text;
}

static void test_rows(void)
{
	const uint32_t order[] = {7, 3};
	struct timeline_ask ask = {.from_ns = MADE_BEGUN,
				   .to_ns = MADE_BEGUN + 1,
				   .columns = 10,
				   .marks_of = TRACE_ALL};
	struct made m = {0};
	struct opened o;
	struct timeline t;

	make_timeline_threads(&m, 30);
	open_made(&o, &m);
	tell_threads(&o, &t, false, 0);
	is_u64(t.rows_n, 30, "a row for each thread");
	timeline_sort(&t, TIMELINE_BY_NAME, false);
	is_str(name_of(&t, 2), "worker-2", "by name, as people count");
	is_str(name_of(&t, 10), "worker-10", "with more digits behind");
	is_u64(timeline_row_of(&t, 11), 10, "a thread's row is found after it");
	timeline_sort(&t, TIMELINE_BY_LOCK, false);
	is_str(name_of(&t, 0), "worker-29", "who waited longest for locks");
	timeline_sort(&t, TIMELINE_BY_RUN, false);
	is_str(name_of(&t, 0), "worker-0", "who ran longest");
	timeline_sort(&t, TIMELINE_BY_START, true);
	is_str(name_of(&t, 0), "worker-29", "the other way round");
	is_u64(timeline_row_of(&t, 1), 29, "and found there");
	timeline_fini(&t);

	tell_threads(&o, &t, true, 0);
	is_u64(t.rows_n, 1, "one row for a group");
	is_u64(t.rows[0].members, 30, "of 30 threads");
	is_str(name_of(&t, 0), "worker*", "with its name");
	is_u64(t.rows[0].state_ns[TRACE_LOCK], 30 * 31 / 2 * 1000, "and what they did together");
	timeline_fini(&t);

	tell_threads(&o, &t, false, 50);
	is_u64(t.rows_n, 5, "no more cells than are allowed");
	is_u64(t.left_out, 25, "the others are counted");
	is_u64(t.state_ns[TRACE_LOCK], 30 * 31 / 2 * 1000, "and are in the sums");
	ok(adds_up(&t), "which are right");
	timeline_fini(&t);

	timeline_init(&t, &ask, &o.tables);
	timeline_seed(&t, order, 2);
	timeline_tell(&t, o.reader, &o.streams, &o.tables, NULL, &o.why);
	ok(timeline_row_of(&t, 7) == 0 && timeline_row_of(&t, 3) == 1 && t.rows_n == 30,
	   "rows in the order that was asked for, then all others");
	timeline_fini(&t);
	close_made(&o);
	made_free(&m);
}

/* More locks than are kept in mind: the one that counts stays. */
static void test_locks(void)
{
	struct timeline_ask ask = {
		.from_ns = 0, .to_ns = 1 << 20, .columns = 3, .marks_of = TRACE_ALL};
	struct tables tables;
	struct timeline t;
	uint64_t ns = 0;

	tables_init(&tables);
	timeline_init(&t, &ask, &tables);
	for (uint32_t i = 0; i < 1000; i++) {
		struct interval wait = {.begin_ns = ns,
					.end_ns = ns + (i % 2 == 0 ? 300 : 100),
					.thread = 1,
					.state = TRACE_LOCK,
					.object = i % 2 == 0 ? 7 : 100 + i};

		timeline_add(&t, &wait);
		ns = wait.end_ns;
	}
	is_u64(timeline_top_lock(&t.rows[0]), 7, "the lock that was waited for most, among 501");
	timeline_fini(&t);
	tables_fini(&tables);
}

/* ---- what is rare ---- */

#define CALLS  50000
#define FAILED 31234 /* the only one of them */

/* One thread calls all the time and fails once, another says something once, and of a third something is missing. */
static void make_rare(struct made *m)
{
	made_begin(m);
	for (uint32_t i = 0; i < CALLS; i++)
		made_event(m, 18, 1000, 8, U(1), U(600), i == FAILED ? U(3) : U(4), U(0), U(0),
			   U(0), U(0), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_EVENTS,
					      .thread = 1,
					      .first_ns = MADE_BEGUN,
					      .last_ns = MADE_BEGUN + U(1000) * CALLS,
					      .span = U(1000) * CALLS});
	for (uint32_t i = 0; i < CALLS / 10; i++)
		if (i == 777)
			made_event(m, 101, 10000, 3, U(0), U(0), U(0));
		else
			made_event(m, 18, 10000, 8, U(1), U(600), U(4), U(0), U(0), U(0), U(0),
				   U(0));
	made_end_block(m, (struct made_block){.kind = MADE_EVENTS,
					      .thread = 2,
					      .first_ns = MADE_BEGUN,
					      .last_ns = MADE_BEGUN + U(1000) * CALLS,
					      .span = U(1000) * CALLS});
	for (uint32_t i = 0; i < 2; i++) {
		made_event(m, 18, 0, 8, U(1), U(0), U(4), U(0), U(0), U(0), U(0), U(0));
		made_event(m, 18, 10 * MS, 8, U(1), U(0), U(4), U(0), U(0), U(0), U(0), U(0));
		made_end_block(m, (struct made_block){.kind = MADE_EVENTS,
						      .flags = i == 1 ? 2 : 0,
						      .thread = 3,
						      .sequence = i,
						      .lost_before = i == 1 ? 5 : 0,
						      .first_ns = MADE_BEGUN + i * 20 * MS,
						      .last_ns = MADE_BEGUN + (i * 20 + 10) * MS,
						      .span = 10 * MS});
	}
	made_end(m, 2, 0);
}

/* Of the columns that have @flag, is the one of @ns the only one? */
static bool is_only(const struct timeline *t, unsigned flag, uint64_t ns)
{
	bool is_right = true;

	for (uint32_t i = 0; i < t->ask.columns; i++)
		if (((t->rare[i] & flag) != 0) != (i == timeline_column(&t->ask, ns))) {
			note("column %u: %x", i, t->rare[i]);
			is_right = false;
		}
	return is_right;
}

static bool has_row(const struct timeline *t, uint32_t thread, unsigned flags)
{
	uint32_t at = timeline_row_of(t, thread);

	return at != MAP_NONE && t->rows[at].rare == flags;
}

static bool has_rows(const struct timeline *t)
{
	return has_row(t, 1, INDEX_ERROR) && has_row(t, 2, INDEX_MARK) && has_row(t, 3, INDEX_LOST);
}

static unsigned columns_of(const struct timeline *t, unsigned flag)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < t->ask.columns; i++)
		n += (t->rare[i] & flag) != 0;
	return n;
}

static void test_rare(void)
{
	const uint64_t failed_ns = MADE_BEGUN + U(1000) * (FAILED + 1) - 1,
		       logged_ns = MADE_BEGUN + U(10000) * 778;
	struct timeline_ask ask = {.from_ns = MADE_BEGUN,
				   .to_ns = MADE_BEGUN + U(1000) * CALLS,
				   .columns = 97,
				   .marks_of = TRACE_ALL};
	struct index *x = NULL;
	struct made m = {0};
	struct opened o;
	struct timeline t;
	struct why why;

	make_rare(&m);
	open_made(&o, &m);
	if (index_open(&x, o.reader, &o.streams, &o.tables, false, NULL, &why) < 0)
		abort();
	timeline_init(&t, &ask, &o.tables);
	timeline_tell(&t, o.reader, &o.streams, &o.tables, NULL, &o.why);
	ok(is_only(&t, INDEX_ERROR, failed_ns), "one call of %u has failed: it is seen", CALLS);
	ok(is_only(&t, INDEX_MARK, logged_ns), "as is what was said once");
	ok(is_only(&t, INDEX_LOST, MADE_BEGUN + 20 * MS), "and what is missing");
	ok(has_rows(&t), "each in its row");
	timeline_fini(&t);

	timeline_init(&t, &ask, &o.tables);
	timeline_index(&t, o.reader, &o.streams, x, 100, &why);
	ok(is_only(&t, INDEX_ERROR, failed_ns) && is_only(&t, INDEX_MARK, logged_ns),
	   "from the index, too");
	is_u64(t.rare[timeline_column(&ask, MADE_BEGUN + 15 * MS)], INDEX_LOST,
	       "with what is missing all the while");
	ok(has_rows(&t), "in the same rows");
	timeline_fini(&t);
	timeline_init(&t, &ask, &o.tables);
	timeline_index(&t, o.reader, &o.streams, x, 0, &why);
	ok(columns_of(&t, INDEX_ERROR) == 1 && columns_of(&t, INDEX_MARK) == 1 &&
		   columns_of(&t, INDEX_LOST) == 1 && has_rows(&t),
	   "roughly, each is somewhere");
	timeline_fini(&t);
	/* a column for each microsecond around it */
	ask.from_ns = failed_ns - 50000;
	ask.to_ns = ask.from_ns + 97000;
	timeline_init(&t, &ask, &o.tables);
	timeline_index(&t, o.reader, &o.streams, x, 1000, &why);
	ok(is_only(&t, INDEX_ERROR, failed_ns), "near it, it is where it was");
	timeline_fini(&t);
	ask.from_ns = failed_ns + 1000;
	timeline_init(&t, &ask, &o.tables);
	timeline_index(&t, o.reader, &o.streams, x, 1000, &why);
	is_u64(t.rare_all & INDEX_ERROR, 0, "and nowhere else");
	timeline_fini(&t);

	ask.from_ns = MADE_BEGUN;
	ask.to_ns = MADE_BEGUN + U(1000) * CALLS;
	timeline_init(&t, &ask, &o.tables);
	timeline_estimate(&t, o.reader, &o.streams, NULL, &why);
	ok(is_only(&t, INDEX_LOST, MADE_BEGUN + 20 * MS), "headers know what is missing");
	timeline_fini(&t);
	index_close(x);
	close_made(&o);
	made_free(&m);
}

int main(void)
{
	plan_begin();
	test_cells();
	test_known();
	test_estimate();
	test_liar();
	test_rows();
	test_locks();
	test_rare();
	return plan_end();
}
