/*
 * views: the index of a trace, and what looks at it take
 *
 *     views tiles FILE COUNT                       what a page asks for
 *     views screens FILE COUNT [COLUMNS [ROWS]]    what a terminal draws
 *
 *     opened  ns of index_open(), new or found
 *     making  peak of resident memory by then, KB
 *     views   ns of the median of COUNT views, of the 99th percentile and of the slowest
 *     memory  peak of resident memory in all, KB
 *
 * A view is a place anywhere in the trace at any zoom, from all of it, which is the first one, down to SHORTEST_NS, as likely at each
 * power of two. The page's has all threads: their intervals one by one where these are few, else the tiles that it touches, as if none
 * were kept from before. The terminal's is drawn as keys make one: all threads for the sums, exact on ROWS of them from any row on, and
 * what is under the cursor. What came through the page cache of the system is what it is for anybody who has looked at the trace
 * just now.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/now.h"
#include "viewer/pictures.h"

#define SHORTEST_NS 10000
#define FEW         (INDEX_BUCKETS / 2) /* intervals; less than one in two buckets is drawn one by one */

struct opened {
	const char *path;
	struct reader *reader;
	struct streams streams;
	struct tables tables;
	struct index *index;
	struct pictures pictures;
	uint32_t columns, rows;
};

typedef void (*view_function)(struct opened *o, uint64_t from_ns, uint64_t span_ns);

static uint64_t seed;

static uint64_t below(uint64_t n)
{
	uint64_t x = seed += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (x ^ x >> 31) % n;
}

static void fail(const char *path, const char *text)
{
	fprintf(stderr, "views: %s: %s\n", path, text);
	exit(1);
}

/* The peak so far. getrusage() would tell that of who started this, too. */
static unsigned long resident_kb(void)
{
	unsigned long kb = 0;
	char line[128];
	FILE *f = fopen("/proc/self/status", "r");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "VmHWM: %lu", &kb) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return kb;
}

static void view_tiles(struct opened *o, uint64_t from_ns, uint64_t span_ns)
{
	static struct interval spans[FEW];
	static struct index_tile tile;
	struct index *x = o->index;
	unsigned level = 0;
	uint32_t n;
	int r = 0;

	while (span_ns >> level > (uint64_t)INDEX_BUCKETS * 2)
		level++;
	for (uint32_t track = 0; track < index_tracks(x) && r >= 0; track++) {
		uint64_t first = (from_ns >> level) / INDEX_BUCKETS;
		uint64_t last = ((from_ns + span_ns) >> level) / INDEX_BUCKETS;

		r = index_spans(x, track, from_ns, from_ns + span_ns, spans, FEW, &n);
		for (uint64_t i = first; r == 1 && i <= last; i++)
			if (index_tile(x, track, level, i, &tile) < 0)
				r = -1;
	}
	if (r < 0)
		fail(o->path, "the index is not what was written");
}

static void view_screen(struct opened *o, uint64_t from_ns, uint64_t span_ns)
{
	struct timeline_ask ask = {.from_ns = from_ns,
				   .to_ns = from_ns + span_ns,
				   .columns = o->columns,
				   .marks_of = TRACE_ALL};
	struct pictures *p = &o->pictures;
	const struct timeline *t;
	struct why why = {""};
	struct interval under;
	uint32_t row;

	if (pictures_make(p, &ask, TIMELINE_BY_START, false, NULL, &why) < 0)
		fail(o->path, why.text);
	t = pictures_have(p, &ask);
	row = (uint32_t)below(t->rows_n);
	if (pictures_sharpen(p, t, row, o->rows) < 0 ||
	    index_longest(o->index, index_track_of(o->index, t->rows[row].thread), from_ns,
			  from_ns + span_ns / o->columns, &under) < 0)
		fail(o->path, "the index is not what was written");
}

static int by_length(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void look(struct opened *o, unsigned count, view_function view)
{
	double *took = calloc(count, sizeof(*took));
	uint64_t begin, end, whole;
	unsigned zooms;

	timeline_range(o->reader, &begin, &end);
	whole = end - begin;
	if (took == NULL || whole < 2 * SHORTEST_NS)
		fail(o->path, "nothing to look at");
	zooms = 64 - (unsigned)__builtin_clzll(whole / SHORTEST_NS);
	for (unsigned i = 0; i < count; i++) {
		uint64_t span = i == 0 ? whole : whole >> below(zooms),
			 from = begin + below(whole - span + 1);
		double begun = now_ns();

		view(o, from, span);
		took[i] = now_ns() - begun;
	}
	qsort(took, count, sizeof(*took), by_length);
	printf("views %.0f %.0f %.0f\n", took[count / 2], took[count - 1 - count / 100],
	       took[count - 1]);
	free(took);
}

int main(int argc, char **argv)
{
	bool is_screens = argc >= 2 && strcmp(argv[1], "screens") == 0;
	unsigned count = argc >= 4 ? (unsigned)atoi(argv[3]) : 0;
	struct opened o = {.path = argc >= 3 ? argv[2] : NULL,
			   .columns = argc >= 5 ? (uint32_t)atoi(argv[4]) : 200,
			   .rows = argc >= 6 ? (uint32_t)atoi(argv[5]) : 50};
	struct why why = {""};
	double begun;

	if (count < 1 || o.columns < 1 || o.rows < 1 ||
	    (!is_screens && (argc != 4 || strcmp(argv[1], "tiles") != 0))) {
		fputs("usage: views tiles FILE COUNT | views screens FILE COUNT [COLUMNS [ROWS]]\n",
		      stderr);
		return 2;
	}
	tables_init(&o.tables);
	if (reader_open(&o.reader, o.path, NULL, &why) < 0 ||
	    streams_init(&o.streams, o.reader) < 0 || tables_load(&o.tables, o.reader, &why) < 0)
		fail(o.path, why.text);
	begun = now_ns();
	if (index_open(&o.index, o.reader, &o.streams, &o.tables, true, NULL, &why) < 0)
		fail(o.path, why.text);
	printf("opened %.0f %s\n", now_ns() - begun, index_is_new(o.index) ? "new" : "found");
	printf("making %lu\n", resident_kb());
	if (is_screens) {
		o.pictures.reader = o.reader;
		o.pictures.streams = &o.streams;
		o.pictures.tables = &o.tables;
		pictures_set_index(&o.pictures, o.index);
	}
	look(&o, count, is_screens ? view_screen : view_tiles);
	printf("memory %lu\n", resident_kb());
	if (is_screens)
		pictures_fini(&o.pictures);
	index_close(o.index);
	tables_fini(&o.tables);
	streams_fini(&o.streams);
	reader_close(o.reader);
	return 0;
}
