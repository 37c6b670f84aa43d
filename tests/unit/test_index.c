/*
 * The index of a trace: the same intervals as in its story, sums over any stretch, tiles at any zoom; kept in a file that is
 * believed only as long as it is of this trace, and whole.
 */
#define TRACE_MAKE_LZ4

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/checksum.h"
#include "tests/tap.h"
#include "tests/unit/story_make.h"
#include "viewer/index_private.h"

#define SPANS 20000
static struct interval told[SPANS], got[SPANS];
static uint32_t told_n;

static int on_interval(void *context, const struct interval *i)
{
	(void)context;
	if (told_n < SPANS)
		told[told_n++] = *i;
	return 0;
}

struct opened {
	struct reader *reader;
	struct streams streams;
	struct tables tables;
};

static char directory[] = "/tmp/index-XXXXXX", path[64];

/* The trace as a file, opened. */
static void open_made(struct opened *o, const struct made *m)
{
	struct why why = {""};
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, m->file.at, m->file.n) != (ssize_t)m->file.n || close(fd) < 0)
		abort();
	memset(o, 0, sizeof(*o));
	tables_init(&o->tables);
	if (reader_open(&o->reader, path, NULL, &why) < 0 ||
	    streams_init(&o->streams, o->reader) < 0 ||
	    tables_load(&o->tables, o->reader, &why) < 0)
		abort();
}

static void close_made(struct opened *o)
{
	tables_fini(&o->tables);
	streams_fini(&o->streams);
	reader_close(o->reader);
}

static struct index *open_index(struct opened *o, bool is_kept)
{
	struct index *x = NULL;
	struct why why = {""};
	int r = index_open(&x, o->reader, &o->streams, &o->tables, is_kept, NULL, &why);

	if (r != 0)
		printf("# %d: %s\n", r, why.text);
	return x;
}

static bool be_killed(void *context, uint64_t done, uint64_t total)
{
	(void)context;
	(void)done;
	(void)total;
	raise(SIGKILL);
	return false;
}

/* Who makes an index is killed in the middle of it. */
static bool is_killed_at_work(struct opened *o)
{
	const struct watch watch = {be_killed, NULL};
	struct index *x = NULL;
	struct why why;
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		index_open(&x, o->reader, &o->streams, &o->tables, true, &watch, &why);
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
	       WTERMSIG(status) == SIGKILL;
}

/* In the cache. */
static unsigned count_files(void)
{
	char cache[80];
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	snprintf(cache, sizeof(cache), "%s/cprof", directory);
	d = opendir(cache);
	while (d != NULL && (e = readdir(d)) != NULL)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	if (d != NULL)
		closedir(d);
	return n;
}

/* What the story has of @thread between two times. */
static void sum_told(uint32_t thread, uint64_t from, uint64_t to, uint64_t ret[TRACE_STATES])
{
	memset(ret, 0, TRACE_STATES * sizeof(*ret));
	for (uint32_t i = 0; i < told_n; i++)
		if (told[i].thread == thread)
			ret[told[i].state] +=
				story_within(told[i].begin_ns, told[i].end_ns, from, to);
}

static bool same(const struct interval *a, const struct interval *b)
{
	return a->begin_ns == b->begin_ns && a->end_ns == b->end_ns && a->thread == b->thread &&
	       a->state == b->state && a->certainty == b->certainty && a->wait == b->wait &&
	       a->object == b->object && a->call == b->call && a->file == b->file &&
	       a->stack == b->stack && a->other == b->other && a->task == b->task;
}

static unsigned check_spans(struct index *x, uint32_t track, uint64_t from, uint64_t to)
{
	uint32_t thread = index_track(x, track)->thread, n, at = 0;
	unsigned wrong = 0;

	wrong += index_spans(x, track, from, to, got, SPANS, &n) != 0;
	for (uint32_t i = 0; i < told_n; i++)
		if (told[i].thread == thread && told[i].end_ns > from && told[i].begin_ns < to) {
			wrong += at >= n || !same(&told[i], &got[at]);
			at++;
		}
	return wrong + (at != n);
}

static unsigned check_tile(struct index *x, uint32_t track, unsigned level, uint64_t number)
{
	const struct index_track *t = index_track(x, track);
	uint64_t sum[TRACE_STATES], begin = (number * INDEX_BUCKETS) << level;
	struct index_tile tile;
	unsigned wrong = 0;

	wrong += index_tile(x, track, level, number, &tile) != 0;
	for (unsigned i = 0; i < INDEX_BUCKETS; i++) {
		uint64_t all = 0;
		unsigned shares = 0;

		sum_told(t->thread, begin, begin + (UINT64_C(1) << level), sum);
		begin += UINT64_C(1) << level;
		for (unsigned k = 0; k < TRACE_STATES; k++) {
			all += sum[k];
			shares += tile.shares[i][k];
		}
		wrong += shares != (all != 0 ? 255u : 0u);
		/* what is lost by rounding is the largest's: up to eight */
		for (unsigned k = 0; k < TRACE_STATES && all != 0; k++) {
			double share = (double)sum[k] / (double)all * 255.0 - tile.shares[i][k];

			wrong += share < -8 || share > 1 || (sum[k] == 0 && tile.shares[i][k] != 0);
		}
	}
	return wrong;
}

struct each {
	uint32_t n;
	bool is_over;
};

static int on_each(void *context, const struct interval *i)
{
	struct each *e = context;

	if (e->is_over)
		abort();
	got[e->n++] = *i;
	e->is_over = e->n == 700;
	return e->is_over ? 5 : 0;
}

/* The longest, and one after the other in both directions, up to the one at which that is ended. */
static unsigned check_each(struct index *x, uint32_t track, uint64_t from, uint64_t to)
{
	uint32_t thread = index_track(x, track)->thread, first = UINT32_MAX, n = 0;
	const struct interval *longest = NULL;
	struct each forward = {0}, backward = {0};
	struct interval i;
	uint64_t most = 0;
	unsigned wrong = 0;
	int r;

	wrong += index_each(x, track, from, to, false, on_each, &forward) !=
		 (forward.is_over ? 5 : 0);
	for (uint32_t k = 0; k < told_n; k++) {
		uint64_t ns = story_within(told[k].begin_ns, told[k].end_ns, from, to);

		if (told[k].thread != thread)
			continue;
		if (ns > most) {
			most = ns;
			longest = &told[k];
		}
		if (told[k].end_ns <= from || told[k].begin_ns >= to)
			continue;
		first = first == UINT32_MAX ? k : first;
		wrong += n < 700 && (n >= forward.n || !same(&told[k], &got[n]));
		n++;
	}
	wrong += forward.n != (n < 700 ? n : 700);
	r = index_each(x, track, from, to, true, on_each, &backward);
	wrong += r != (backward.is_over ? 5 : 0) || backward.n != forward.n;
	for (uint32_t k = first, at = n; k < told_n && n > 0; k++)
		if (told[k].thread == thread && told[k].end_ns > from && told[k].begin_ns < to &&
		    --at < backward.n)
			wrong += !same(&told[k], &got[at]);
	r = index_longest(x, track, from, to, &i);
	return wrong + (longest == NULL ? r != 1 : r != 0 || !same(&i, longest));
}

/* Roughly: not further off than a leaf is long, and never less than before. */
static unsigned check_rough(struct index *x, uint32_t track, uint64_t from, uint64_t to)
{
	uint64_t exact[TRACE_STATES], rough[TRACE_STATES], later[TRACE_STATES], most = 0;
	const struct index_track *t = index_track(x, track);
	unsigned wrong = index_before(x, track, from, true, rough) +
			 index_before(x, track, from, false, exact) +
			 index_before(x, track, to, true, later);

	for (uint32_t i = 0, n = 0; i < told_n; i++)
		if (told[i].thread == t->thread && n++ % INDEX_LEAF == 0) {
			uint64_t end = t->end_ns;

			for (uint32_t k = i, left = INDEX_LEAF; k < told_n; k++)
				if (told[k].thread == t->thread && left-- == 0) {
					end = told[k].begin_ns;
					break;
				}
			most = end - told[i].begin_ns > most ? end - told[i].begin_ns : most;
		}
	for (unsigned i = 0; i < TRACE_STATES; i++) {
		uint64_t off = rough[i] > exact[i] ? rough[i] - exact[i] : exact[i] - rough[i];

		wrong += off > most || later[i] < rough[i];
	}
	return wrong;
}

static void add_ns(void *context, uint32_t object, uint64_t ns)
{
	uint64_t *by_object = context;

	if (object < 16)
		by_object[object] += ns;
}

/* Of few leaves all locks, of more never more than there is. */
static unsigned check_locks(struct index *x, uint32_t track, uint64_t from, uint64_t to)
{
	uint64_t got_ns[16] = {0}, wanted[16] = {0};
	uint32_t thread = index_track(x, track)->thread;
	unsigned wrong = index_locks(x, track, from, to, false, add_ns, got_ns) != 0;

	for (uint32_t i = 0; i < told_n; i++)
		if (told[i].thread == thread && told[i].state == TRACE_LOCK && told[i].object != 0)
			wanted[told[i].object % 16] +=
				story_within(told[i].begin_ns, told[i].end_ns, from, to);
	for (unsigned i = 0; i < 16; i++)
		wrong += index_leaves(x, track, from, to) <= 4 ? got_ns[i] != wanted[i]
							       : got_ns[i] > wanted[i];
	return wrong;
}

/* All threads together at each border of the grid, and between them. *@ret_borders: how many. */
static unsigned check_all(struct index *x, uint64_t end_ns, unsigned *ret_borders)
{
	uint64_t sum[TRACE_STATES], wanted[TRACE_STATES], track_ns[TRACE_STATES], begin_ns,
		width = index_grid(x, &begin_ns);
	unsigned wrong = 0;

	for (uint64_t ns = begin_ns; width > 1 && ns < end_ns + 5 * width; ns += width) {
		memset(wanted, 0, sizeof(wanted));
		for (uint32_t i = 0; i < index_tracks(x); i++) {
			index_before(x, i, ns, false, track_ns);
			for (unsigned k = 0; k < TRACE_STATES; k++)
				wanted[k] += track_ns[k];
		}
		wrong += index_all_before(x, ns, sum) != 0 ||
			 memcmp(sum, wanted, sizeof(sum)) != 0 ||
			 index_all_before(x, ns + 1 + roll((uint32_t)width - 1), sum) != 1;
		++*ret_borders;
	}
	return wrong + (index_all_before(x, begin_ns - 1, sum) != 1);
}

static void test_any(void)
{
	const struct story_listener listener = {.interval = on_interval};
	unsigned wrong_sums = 0, wrong_spans = 0, wrong_tiles = 0, tracks = 0, leaves = 0;
	unsigned wrong_each = 0, wrong_rough = 0, wrong_locks = 0, wrong_all = 0, borders = 0;

	for (unsigned round = 0; round < 30; round++) {
		struct made m = {.flags = round % 2 != 0 ? FLAG_SWITCHES : 0};
		uint64_t sum[TRACE_STATES], wanted[TRACE_STATES];
		struct story_counts counts;
		struct why why = {""};
		struct opened o;
		struct index *x;

		made_begin(&m);
		make_any(&m, 30 + roll(1000), round % 4 > 1);
		made_end(&m, 2, 0);
		open_made(&o, &m);
		told_n = 0;
		story_tell(o.reader, &o.streams, &o.tables, 0, UINT64_MAX, &listener, &counts, NULL,
			   &why);
		x = open_index(&o, false);
		if (x == NULL)
			abort();
		tracks += index_tracks(x);
		for (uint32_t track = 0; track < index_tracks(x); track++) {
			const struct index_track *t = index_track(x, track);

			leaves += t->intervals > INDEX_LEAF;
			for (unsigned i = 0; i < 50; i++) {
				uint64_t from = t->begin_ns - 50 + roll(25000),
					 to = from + roll(9000);

				sum_told(t->thread, from, to, wanted);
				wrong_sums += index_sum(x, track, from, to, sum) != 0 ||
					      memcmp(sum, wanted, sizeof(sum)) != 0;
				wrong_spans += check_spans(x, track, from, to);
				wrong_each += check_each(x, track, from, to);
				wrong_rough += check_rough(x, track, from, to);
				wrong_locks += check_locks(x, track, from, to);
			}
			wrong_tiles += check_tile(x, track, 2, 0) + check_tile(x, track, 2, 1) +
				       check_tile(x, track, 0, 3) + check_tile(x, track, 10, 0) +
				       check_tile(x, track, 53, 0) +
				       check_tile(x, track, 3, UINT64_MAX);
		}
		wrong_all += check_all(x, counts.end_ns, &borders);
		index_close(x);
		close_made(&o);
		made_free(&m);
	}
	is_u64(tracks, 240, "a track for each thread");
	ok(leaves > 0, "%u of more than a leaf", leaves);
	is_u64(wrong_sums, 0, "sums over any stretch are those of the intervals");
	is_u64(wrong_spans, 0, "intervals are those of the story");
	is_u64(wrong_tiles, 0, "tiles have the shares of each bucket");
	is_u64(wrong_each, 0, "the longest of a stretch, and each of it, in both directions");
	is_u64(wrong_rough, 0, "roughly is within a leaf");
	is_u64(wrong_locks, 0, "locks that were waited for");
	ok(borders > 0, "a grid of %u borders", borders);
	is_u64(wrong_all, 0, "all threads together, up to each of them");
}

/* ---- what is rare, and values ---- */

static unsigned flags_of(struct index *x, uint64_t from, uint64_t to)
{
	unsigned flags = 99;

	index_flags(x, 0, from, to, &flags);
	return flags;
}

static void test_rare(void)
{
	struct made m = {0};
	struct index_values v;
	struct opened o;
	struct index *x;
	unsigned wrong = 0;
	uint32_t series;

	made_begin(&m);
	STARTS(&m, 1000);
	/* 500 calls of 4 us, 10 us apart: two leaves and a half an interval each 5 us. One has failed, one thing was logged */
	for (unsigned i = 1; i <= 500; i++) {
		if (i == 300)
			AT(&m, 10000 * i - 8000, 101, 3, U(1), U(2), U(0));
		CALLS_IN(&m, 10000 * i, 1, 4000, i == 100 ? -5 : 0);
	}
	THREAD(&m, 1);
	/* in the middle of 7 ms something is lost */
	CALLS_IN(&m, 10000000, 1, 4000, 0);
	EXITS(&m, 10001000);
	end_of(&m, 1, 1, 0, 7);
	made_end(&m, 2, 0);
	open_made(&o, &m);
	x = open_index(&o, false);
	if (x == NULL)
		abort();
	is_u64(flags_of(x, 0, UINT64_MAX), INDEX_ERROR | INDEX_MARK | INDEX_LOST,
	       "all that is rare");
	is_u64(flags_of(x, 996000, 1000000), INDEX_ERROR, "a call that failed, where it was");
	is_u64(flags_of(x, 986000, 996000), 0, "and not before");
	is_u64(flags_of(x, 1000000, 1006000), 0, "nor behind");
	is_u64(flags_of(x, 2990000, 2993000), INDEX_MARK, "what was logged, in its interval");
	is_u64(flags_of(x, 1000001, 2990000) | flags_of(x, 2996000, 5000000), 0,
	       "and nowhere else");
	is_u64(flags_of(x, 5000001, 9995000), INDEX_LOST, "and what was lost");
	is_u64(index_series_n(x), 0, "no values");
	index_close(x);
	close_made(&o);
	made_free(&m);

	/* a counter that goes up to 999 and down again; the heap each 100 of that */
	m = (struct made){0};
	made_begin(&m);
	STARTS(&m, 1000);
	for (unsigned i = 0; i < 2000; i++) {
		AT(&m, 2000 + 10 * i, 76, 2, U(5), ZIGZAG(i < 1000 ? (int)i : 1999 - (int)i));
		if (i % 100 == 0)
			AT(&m, 2000 + 10 * i, 74, 6, U(i), U(1), U(2), U(3), U(4),
			   U(i == 1900 ? 0 : i + 1));
	}
	AT(&m, 22000, 76, 2, U(6), ZIGZAG(-7));
	THREAD(&m, 1);
	made_end(&m, 2, 0);
	open_made(&o, &m);
	x = open_index(&o, false);
	if (x == NULL)
		abort();
	is_u64(index_series_n(x), 4, "heap, resident memory, two counters");
	series = index_series_of(x, INDEX_COUNTER, 5);
	ok(series != MAP_NONE && index_series(x, series)->max == 999 &&
		   index_series(x, series)->min == 0 && index_series(x, series)->last == 0 &&
		   index_series(x, series)->points == 2000,
	   "what a counter had");
	for (unsigned i = 0; i < 300 && series != MAP_NONE; i++) {
		uint64_t from = 1900 + roll(21000), to = i % 10 != 0 ? from + roll(3000) : from;
		struct index_values wanted = {0};

		for (int k = 0; k < 2000; k++) {
			uint64_t ns = 2000 + 10 * (unsigned)k;
			int64_t value = k < 1000 ? k : 1999 - k;

			if (ns >= to)
				break;
			wanted.last = value;
			wanted.has_last = true;
			if (ns < from)
				continue;
			wanted.min = wanted.points == 0 || value < wanted.min ? value : wanted.min;
			wanted.max = wanted.points == 0 || value > wanted.max ? value : wanted.max;
			wanted.points++;
		}
		wrong += index_values(x, series, from, to, &v) != 0 || v.points != wanted.points ||
			 v.min != wanted.min || v.max != wanted.max ||
			 v.has_last != wanted.has_last || v.last != wanted.last;
	}
	is_u64(wrong, 0, "least, most and last of any stretch");
	series = index_series_of(x, INDEX_HEAP_RESIDENT, 0);
	ok(series != MAP_NONE && index_values(x, series, 0, UINT64_MAX, &v) == 0 &&
		   v.points == 19 && v.last == 1801,
	   "resident memory, but where it was not known");
	series = index_series_of(x, INDEX_COUNTER, 6);
	ok(series != MAP_NONE && index_series(x, series)->min == -7, "one below 0");
	ok(index_series_of(x, INDEX_COUNTER, 7) == MAP_NONE, "no other");
	index_close(x);
	close_made(&o);
	made_free(&m);
}

/* ---- tiles that are kept ---- */

/* A tile as its buckets are, one by one. */
static unsigned check_buckets(struct index *x, unsigned level, uint64_t number)
{
	uint64_t from = (number * INDEX_BUCKETS) << level, to, sum[TRACE_STATES];
	struct index_tile tile;
	unsigned wrong = index_tile(x, 0, level, number, &tile) != 0, flags;
	uint8_t shares[TRACE_STATES];

	for (unsigned i = 0; i < INDEX_BUCKETS; i++, from = to) {
		to = from + (UINT64_C(1) << level);
		wrong += index_sum(x, 0, from, to, sum) != 0 ||
			 index_flags(x, 0, from, to, &flags) != 0;
		index_shares(sum, shares);
		wrong += memcmp(shares, tile.shares[i], sizeof(shares)) != 0 ||
			 tile.flags[i] != flags;
	}
	return wrong;
}

/* 30,000 calls, most of them in two bursts, some of which fail: leaves lie as unevenly as they can. */
static void test_kept(void)
{
	uint64_t ns = 1000;
	unsigned wrong = 0, levels = 0;
	struct made m = {0};
	struct opened o;
	struct index *x;

	made_begin(&m);
	STARTS(&m, ns);
	for (unsigned i = 0; i < 30000; i++) {
		bool is_burst = i % 15000 > 6000;
		uint64_t took = 1 + roll(is_burst ? 40 : 30000);

		ns += took + 1 + roll(is_burst ? 40 : 30000);
		CALLS_IN(&m, ns, 1, took, i % 4000 == 3999 ? -5 : 0);
	}
	EXITS(&m, ns + 5000000);
	THREAD(&m, 1);
	made_end(&m, 2, 0);
	open_made(&o, &m);
	x = open_index(&o, false);
	if (x == NULL)
		abort();
	ok(x->n.tile_rows > 8, "%lu tiles are kept", (unsigned long)x->n.tile_rows);
	for (uint64_t i = 0; i < x->n.tile_rows; i++) {
		unsigned level = (unsigned)(x->tile_rows[i].key >> 56);
		uint64_t number = x->tile_rows[i].key & ((UINT64_C(1) << 56) - 1);

		levels += i > 0 && x->tile_rows[i - 1].key >> 56 != level;
		wrong += check_buckets(x, level, number);
		/* and those beside it, which may have no more than some leaves */
		wrong += check_buckets(x, level, number + 1);
		wrong += check_buckets(x, level + 1, number / 2);
		wrong += level > 0 ? check_buckets(x, level - 1, number * 2 + roll(2)) : 0;
	}
	ok(levels > 3, "on %u levels", levels + 1);
	is_u64(wrong, 0, "they are what the ones that are not kept would be");
	wrong = 0;
	for (uint64_t i = 0; i < x->n.tracks; i++)
		for (unsigned level = 0; level < INDEX_TILE_LEVELS; level++)
			for (unsigned k = 0; k < 3; k++) {
				uint64_t number = (1000 + roll((unsigned)(ns / 2))) >> level >> 9;
				uint64_t begin = (number * INDEX_BUCKETS) << level,
					 leaves = index_leaves(x, 0, begin,
							       begin + (INDEX_BUCKETS << level)),
					 key = INDEX_TILE_KEY(level, number);
				bool is_kept = false;

				for (uint64_t n = 0; n < x->n.tile_rows; n++)
					is_kept |= x->tile_rows[n].key == key;
				wrong += !is_kept && leaves > INDEX_TILE_LEAVES &&
					 ns >> level > INDEX_TILE_LEAVES;
			}
	is_u64(wrong, 0, "none of many leaves is missing");
	index_close(x);
	close_made(&o);
	made_free(&m);
}

static void make_trace(struct made *m)
{
	seed = 7;
	*m = (struct made){.flags = FLAG_SWITCHES};
	made_begin(m);
	make_any(m, 1000, false);
	made_end(m, 2, 0);
}

static void test_file(void)
{
	char name[256];
	struct opened o;
	struct index *x;
	struct made m;
	struct stat st;
	const struct story_listener listener = {.interval = on_interval};
	struct story_counts counts;
	struct why why;
	unsigned wrong = 0, refused = 0, before;
	const struct timespec long_ago[2] = {{1000000000, 0}, {1000000000, 0}};
	char left[256], at_work[256];
	bool is_refused;
	uint8_t byte;
	int fd;

	setenv("XDG_CACHE_HOME", directory, 1);
	make_trace(&m);
	snprintf(name, sizeof(name), "%s/cprof/0123456789abcdef0123456789abcdef-%zx.idx", directory,
		 m.file.n);
	open_made(&o, &m);
	x = open_index(&o, true);
	ok(x != NULL && index_is_new(x), "made when there is none");
	index_close(x);
	ok(stat(name, &st) == 0 && (st.st_mode & 0777) == 0600, "and kept, for this user alone");
	x = open_index(&o, true);
	ok(x != NULL && !index_is_new(x) && index_tracks(x) == 8 && index_counts(x)->threads == 8,
	   "found again");
	is_u64(check_spans(x, 0, 0, 0), 0, "with nothing between two equal times");
	index_close(x);
	told_n = 0;
	story_tell(o.reader, &o.streams, &o.tables, 0, UINT64_MAX, &listener, &counts, NULL, &why);

	/* any byte that is another: it is made anew, at once or after a leaf was refused; it never says something else */
	for (off_t at = 0; at < st.st_size; at += 1 + st.st_size / 500) {
		fd = open(name, O_RDWR);
		if (fd < 0 || pread(fd, &byte, 1, at) != 1)
			abort();
		byte ^= 0x41;
		if (pwrite(fd, &byte, 1, at) != 1)
			abort();
		close(fd);
		x = open_index(&o, true);
		if (x == NULL) {
			wrong++;
			continue;
		}
		is_refused = false;
		for (uint32_t track = 0; track < index_tracks(x) && !is_refused; track++) {
			uint32_t n;

			is_refused = index_spans(x, track, 0, UINT64_MAX, got, SPANS, &n) < 0;
			wrong += !is_refused && check_spans(x, track, 0, UINT64_MAX) != 0;
		}
		refused += is_refused;
		index_close(x);
		x = open_index(&o, true);
		wrong += x == NULL || index_is_new(x) != is_refused ||
			 check_spans(x, 0, 0, UINT64_MAX) != 0;
		index_close(x);
	}
	ok(refused > 100, "a leaf is refused: %u", refused);
	is_u64(wrong, 0, "whatever is damaged in it");
	if (truncate(name, st.st_size / 2) < 0)
		abort();
	x = open_index(&o, true);
	ok(x != NULL && index_is_new(x), "made anew when it is cut");
	index_close(x);
	close_made(&o);
	made_free(&m);

	/* the trace is another one now */
	make_trace(&m);
	made_put(&m.file, "", 1);
	open_made(&o, &m);
	x = open_index(&o, true);
	ok(x != NULL && index_is_new(x) && access(name, F_OK) == 0,
	   "one of another size has its own");
	index_close(x);
	snprintf(name, sizeof(name), "%s/cprof/0123456789abcdef0123456789abcdef-%zx.idx", directory,
		 m.file.n);
	o.reader->source.stamp_ns++;
	x = open_index(&o, true);
	ok(x != NULL && index_is_new(x), "made anew when the trace has changed");
	index_close(x);

	/* one of an older version, of which all else is right */
	fd = open(name, O_RDWR);
	if (fd < 0 || fstat(fd, &st) < 0 || pread(fd, &byte, 1, st.st_size - 8) != 1)
		abort();
	byte--;
	if (pwrite(fd, &byte, 1, st.st_size - 8) != 1)
		abort();
	close(fd);
	x = NULL;
	ok(index_find(&x, o.reader, &o.tables) == -ENOENT && x == NULL,
	   "an older one is not found");
	x = open_index(&o, true);
	ok(x != NULL && index_is_new(x), "and made anew");
	index_close(x);

	/* what somebody left who was killed; and what somebody may be at work on */
	snprintf(left, sizeof(left), "%s/cprof/.1.idx.1.part", directory);
	snprintf(at_work, sizeof(at_work), "%s/cprof/.2.idx.2.part", directory);
	close(open(left, O_WRONLY | O_CREAT, 0600));
	close(open(at_work, O_WRONLY | O_CREAT, 0600));
	if (utimensat(AT_FDCWD, left, long_ago, 0) < 0)
		abort();
	unlink(name);
	index_close(open_index(&o, true));
	ok(access(left, F_OK) < 0 && access(at_work, F_OK) == 0, "what was begun long ago goes");

	/* who is killed in the middle of it */
	unlink(name);
	unlink(at_work);
	before = count_files();
	ok(is_killed_at_work(&o) && count_files() == before,
	   "nothing is left of one whose maker was killed");

	/* somebody's link, or nothing that can be written */
	unlink(name);
	if (symlink("/etc/passwd", name) < 0)
		abort();
	x = open_index(&o, true);
	ok(x != NULL && index_is_new(x), "a link in its place is not followed");
	index_close(x);
	setenv("XDG_CACHE_HOME", "/proc/nothing", 1);
	x = open_index(&o, true);
	ok(x != NULL && index_is_new(x) && index_tracks(x) == 8, "nor is one needed");
	index_close(x);
	close_made(&o);
	made_free(&m);
}

/* A file whose checksums are right, and whose numbers are not: nobody has to believe what it says then, but it harms nobody. */
static void test_liar(void)
{
	struct index_trailer t;
	unsigned refused = 0, believed = 0;
	uint8_t *bytes, *copy;
	struct opened o;
	struct index *x;
	struct made m;
	size_t size;
	FILE *f;

	make_trace(&m);
	open_made(&o, &m);
	x = open_index(&o, false);
	size = (size_t)lseek(index_file(x), 0, SEEK_END);
	bytes = malloc(size);
	copy = malloc(size);
	if (bytes == NULL || copy == NULL || pread(index_file(x), bytes, size, 0) != (ssize_t)size)
		abort();
	index_close(x);
	for (unsigned round = 0; round < 1000; round++) {
		uint64_t data, sum[TRACE_STATES];
		size_t at;

		memcpy(copy, bytes, size);
		memcpy(&t, copy + size - sizeof(t), sizeof(t));
		data = t.data_bytes;
		/* any number of the tables or the trailer, a byte or eight of it */
		at = (size_t)data + roll((unsigned)(size - data - 8));
		if (roll(2) != 0)
			copy[at] ^= (uint8_t)(1 + roll(255));
		else
			memset(copy + at, roll(2) != 0 ? 0xff : 0x7f, 8);
		t.crc = checksum_crc32c(0, copy + data, size - data - sizeof(t.crc));
		memcpy(copy + size - sizeof(t.crc), &t.crc, sizeof(t.crc));
		f = tmpfile();
		if (f == NULL || fwrite(copy, 1, size, f) != size || fflush(f) != 0)
			abort();
		x = NULL;
		if (index_load(&x, dup(fileno(f)), o.reader, &o.tables) < 0) {
			refused++;
			fclose(f);
			continue;
		}
		believed++;
		for (uint32_t track = 0; track < index_tracks(x); track++) {
			uint64_t from = index_track(x, track)->begin_ns + roll(9000),
				 to = from + roll(9000);
			uint64_t locks[16] = {0};
			struct index_tile tile;
			struct interval i;
			struct each each = {0};
			unsigned flags;
			uint32_t n;

			index_spans(x, track, from, to, got, SPANS, &n);
			index_each(x, track, from, to, true, on_each, &each);
			index_tile(x, track, 3, from >> 12, &tile);
			index_before(x, track, from, true, sum);
			index_longest(x, track, from, to, &i);
			index_flags(x, track, from, to, &flags);
			index_locks(x, track, from, to, false, add_ns, locks);
		}
		index_close(x);
		fclose(f);
	}
	ok(refused > 100 && believed > 100, "refused %u, believed %u", refused, believed);
	free(bytes);
	free(copy);
	close_made(&o);
	made_free(&m);
}

/* Made by another process meanwhile. */
static void test_meanwhile(void)
{
	struct index_making *making = NULL;
	struct index *x = NULL;
	struct opened o;
	struct why why = {""};
	struct made m;
	double share = 0;
	unsigned wrong = 0;
	int r;

	setenv("XDG_CACHE_HOME", directory, 1);
	make_trace(&m);
	open_made(&o, &m);
	for (unsigned kept = 0; kept < 2; kept++) {
		r = index_begin(&making, o.reader, &o.streams, &o.tables, kept != 0, &why);
		ok(r == 0, "begun");
		while (r == 0 && (r = index_step(making, &x, &share, &why)) == -EAGAIN) {
			usleep(1000);
			r = 0;
		}
		ok(r == 0, "and there");
		if (x == NULL)
			abort();
		for (uint32_t track = 0; track < index_tracks(x); track++)
			wrong += check_spans(x, track, 0, UINT64_MAX);
		is_u64(wrong, 0, "the same");
		index_give_up(making);
		index_close(x);
		x = NULL;
		ok(index_find(&x, o.reader, &o.tables) == (kept != 0 ? 0 : -ENOENT), "%s",
		   kept != 0 ? "kept" : "not kept");
		index_close(x);
		x = NULL;
	}
	r = index_begin(&making, o.reader, &o.streams, &o.tables, true, &why);
	index_give_up(making);
	ok(r == 0, "given up");
	close_made(&o);
	made_free(&m);
}

static void remove_all(const char *where)
{
	char below[600];
	struct dirent *e;
	DIR *d = opendir(where);

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(below, sizeof(below), "%s/%s", where, e->d_name);
		if (unlink(below) < 0)
			remove_all(below);
	}
	if (d != NULL)
		closedir(d);
	rmdir(where);
}

int main(void)
{
	plan_begin();
	if (mkdtemp(directory) == NULL)
		abort();
	snprintf(path, sizeof(path), "%s/trace.out", directory);
	test_any();
	test_rare();
	test_kept();
	test_file();
	test_liar();
	test_meanwhile();
	remove_all(directory);
	return plan_end();
}
