/* What is answered at once: from memory and the index. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "viewer/api_private.h"
#include "viewer/look.h"
#include "viewer/threads.h"

#define SPANS_MAX  4096
#define SPANS_ALL  65536 /* of an answer: some 20 MB */
#define SUMS_MAX   1000  /* tracks that are listed */
#define NAMES_MAX  1000
#define TRACKS_MAX 10000

/* ---- meta, progress ---- */

static void put_index(struct api *a)
{
	static const char *const states[] = {[API_INDEX_MAKING] = "making",
					     [API_INDEX_READY] = "ready",
					     [API_INDEX_FAILED] = "failed"};

	api_put_text(a, "state", states[a->state]);
	out_format(a->out, ",\"done\":%.3f", a->state == API_INDEX_READY ? 1.0 : a->done);
	if (a->state == API_INDEX_FAILED)
		api_put_text(a, "error", a->why.text);
}

static void put_words(struct api *a, const char *key, uint32_t bits)
{
	const char *word;

	api_open(a, key, '[');
	for (unsigned i = 0; (word = name_has(bits, i)) != NULL; i++)
		api_put_text(a, NULL, word);
	api_close(a, ']');
}

static void put_began(struct api *a)
{
	const struct reader *r = a->reader;
	uint64_t ns = r->has_header ? r->header.begun_realtime_ns : 0;
	time_t seconds = (time_t)(ns / 1000000000);
	char text[80] = "", *to = NULL;
	struct tm tm;
	size_t n;

	if (ns != 0 && gmtime_r(&seconds, &tm) != NULL) {
		n = strftime(text, 40, "%Y-%m-%dT%H:%M:%S", &tm);
		snprintf(text + n, sizeof(text) - n, ".%09" PRIu64 "Z", ns % 1000000000);
		to = n > 0 ? text : NULL;
	}
	api_put_text(a, "began", to);
}

static const char *base_of(const char *path)
{
	const char *slash = path != NULL ? strrchr(path, '/') : NULL;

	return slash != NULL ? slash + 1 : path;
}

static int answer_meta(struct api *a, const struct api_request *q, struct answer *ret,
		       struct why *why)
{
	const struct reader *r = a->reader;
	uint32_t has = r->has_header ? r->header.flags : 0,
		 level = r->has_header ? r->header.level : 0;
	struct name program;

	ret->is_immutable = false;
	api_open(a, NULL, '{');
	api_put_u64(a, "api", 1);
	api_put_text(a, "version", CPROF_VERSION);
	api_put_text(a, "file", base_of(r->name));
	name_clear(&program);
	if (name_program(&program, a->tables))
		api_put_name(a, "program", &program);
	else
		api_put_null(a, "program");
	api_put_id(a, "pid", r->has_header ? r->header.pid : 0);
	put_began(a);
	api_put_u64(a, "begin_ns", api_since(a, a->begin_ns));
	api_put_u64(a, "end_ns", api_since(a, a->end_ns));
	api_put_u64(a, "origin", a->origin);
	api_put_u64(a, "from_ns", api_since(a, a->from_ns));
	api_put_u64(a, "to_ns", api_since(a, a->to_ns));
	api_put_u64(a, "threads", a->tracks_n);
	api_put_u64(a, "events", timeline_events(r, 0, UINT64_MAX));
	api_put_u64(a, "lost_events", a->streams->lost_events);
	api_put_bool(a, "is_damaged", r->damages_n > 0 || a->streams->holes_unknown > 0);
	api_put_bool(a, "is_complete", r->has_trailer);
	put_words(a, "has", has);
	put_words(a, "missing", names_missing(has, level));
	api_open(a, "states", '[');
	for (unsigned i = 0; i < TRACE_STATES; i++) {
		const char letter[2] = {story_state_letter(api_state(i)), '\0'};

		api_open(a, NULL, '{');
		api_put_text(a, "name", story_state_name(api_state(i)));
		api_put_text(a, "letter", letter);
		api_close(a, '}');
	}
	api_close(a, ']');
	api_open(a, "tables", '[');
	for (const struct api_path *p = api_paths_table; p->name != NULL; p++)
		if (strncmp(p->name, "table/", 6) == 0)
			api_put_text(a, NULL, p->name + 6);
	api_close(a, ']');
	api_open(a, "index", '{');
	put_index(a);
	api_close(a, '}');
	api_close(a, '}');
	return 0;
}

static int answer_progress(struct api *a, const struct api_request *q, struct answer *ret,
			   struct why *why)
{
	ret->is_immutable = false;
	api_open(a, NULL, '{');
	put_index(a);
	api_close(a, '}');
	return 0;
}

/* ---- tracks ---- */

static void put_group(struct api *a, const struct api_track *t)
{
	struct name name;

	name_clear(&name);
	name_thread(&name, a->tables, t->thread);
	name.n = threads_group_length(name.text, name.n);
	if (name.n > 0 && map_get(&a->groups, t->group) > 1)
		api_put_name(a, "group", &name);
	else
		api_put_null(a, "group");
}

static void put_track(struct api *a, const struct api_track *t)
{
	const struct table_thread *thread = tables_thread(a->tables, t->thread);

	api_open(a, NULL, '{');
	api_put_u64(a, "track", t->thread);
	api_put_thread(a, "name", t->thread);
	put_group(a, t);
	api_put_id(a, "tid", thread != NULL ? thread->tid : 0);
	api_put_id(a, "parent", thread != NULL ? thread->parent : 0);
	api_put_u64(a, "begin_ns", api_since(a, t->begin_ns));
	api_put_u64(a, "end_ns", api_since(a, t->end_ns));
	if (a->state == API_INDEX_READY)
		api_put_u64(a, "intervals", t->intervals);
	else
		api_put_null(a, "intervals");
	api_put_states(a, "states", t->state_ns);
	api_close(a, '}');
}

static int answer_tracks(struct api *a, const struct api_request *q, struct answer *ret,
			 struct why *why)
{
	uint64_t limit, cursor;
	int r = api_number(q, "limit", 1, TRACKS_MAX, 1000, &limit, why);

	if (r == 0)
		r = api_number(q, "cursor", 0, UINT32_MAX, 0, &cursor, why);
	if (r < 0)
		return r;
	ret->is_immutable = a->state == API_INDEX_READY;
	api_open(a, NULL, '{');
	api_put_bool(a, "is_exact", a->state == API_INDEX_READY);
	if (cursor + limit < a->tracks_n)
		api_put_u64(a, "next", cursor + limit);
	else
		api_put_null(a, "next");
	api_open(a, "tracks", '[');
	for (uint64_t i = cursor; i < a->tracks_n && i < cursor + limit; i++)
		put_track(a, &a->tracks[i]);
	api_close(a, ']');
	api_close(a, '}');
	return 0;
}

/* ---- tiles ---- */

struct tile {
	uint32_t track; /* in api.tracks */
	unsigned level;
	uint64_t number;
};

/* "4/12/7" or "4.12.7", up to @end. */
static int read_tile(const struct api *a, const char *text, const char *end, char between,
		     struct tile *ret, struct why *why)
{
	const char *level = memchr(text, between, (size_t)(end - text)),
		   *number = level != NULL ? memchr(level + 1, between, (size_t)(end - level - 1))
					   : NULL;
	uint64_t thread, n;

	if (number == NULL || !api_digits(text, level, UINT32_MAX, &thread) ||
	    !api_digits(level + 1, number, API_LEVEL_MAX, &n) ||
	    !api_digits(number + 1, end, (UINT64_C(1) << 53 >> n) / INDEX_BUCKETS, &ret->number)) {
		why_set(why, "%.*s: TRACK%cLEVEL%cINDEX was expected, with a LEVEL up to %d",
			(int)(end - text < 60 ? end - text : 60), text, between, between,
			API_LEVEL_MAX);
		return -EINVAL;
	}
	ret->level = (unsigned)n;
	ret->track = map_get(&a->track_of, thread);
	if (ret->track != MAP_NONE)
		return 0;
	why_set(why, "there is no track %" PRIu64, thread);
	return -ENOENT;
}

/* Its shares, from the cells of the estimate that it overlaps. */
static void estimate_tile(const struct api *a, const struct tile *tile, uint64_t begin_ns,
			  struct index_tile *ret)
{
	const struct timeline *t = &a->estimate;
	const struct timeline_row *row = &t->rows[a->tracks[tile->track].at];
	uint64_t sum[TRACE_STATES], from = begin_ns, to;

	memset(ret, 0, sizeof(*ret));
	for (unsigned i = 0; i < INDEX_BUCKETS; i++, from = to) {
		to = from + (UINT64_C(1) << tile->level);
		if (to <= row->begin_ns || from >= row->end_ns || to <= t->ask.from_ns)
			continue;
		memset(sum, 0, sizeof(sum));
		for (uint32_t column = timeline_column(&t->ask, from),
			      last = timeline_column(&t->ask, to - 1);
		     column <= last; column++)
			for (unsigned k = 0; k < TRACE_STATES; k++)
				sum[k] += row->cells[column].ns[k];
		index_shares(sum, ret->shares[i]);
	}
}

static void put_little(uint8_t *to, uint64_t n, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = (uint8_t)(n >> (8 * i));
}

static int put_tile(struct api *a, const struct tile *tile, struct why *why)
{
	static const struct {
		uint8_t index, tile;
	} flags[] = {{INDEX_LOST, 2}, {INDEX_ERROR, 4}, {INDEX_MARK, 8}};
	/* of the trace's clock: the first that begins at or before the origin's zero is number 0 */
	unsigned shift = tile->level + 9;
	uint64_t number = tile->number + ((a->begun_ns - a->origin) >> shift);
	bool is_exact = a->state == API_INDEX_READY;
	uint8_t bytes[API_TILE_BYTES] = {
		API_TILE_VERSION,
		!is_exact,
		TRACE_STATES,
		(uint8_t)tile->level,
	};
	struct index_tile shares;
	unsigned rare = 0;

	if (is_exact) {
		if (index_tile(a->index, a->tracks[tile->track].at, tile->level, number, &shares) <
		    0) {
			why_set(why, "the index was changed by somebody; start again");
			return -EBADMSG;
		}
	} else {
		estimate_tile(a, tile, number << shift, &shares);
	}
	for (unsigned i = 0; i < INDEX_BUCKETS; i++)
		rare |= shares.flags[i];
	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		bytes[1] |= rare & flags[i].index ? flags[i].tile : 0;
	put_little(bytes + 4, INDEX_BUCKETS, 4);
	put_little(bytes + 8, a->tracks[tile->track].thread, 4);
	put_little(bytes + 16, tile->number, 8);
	put_little(bytes + 24, (tile->number << shift) - a->origin, 8);
	for (unsigned i = 0; i < INDEX_BUCKETS; i++)
		for (unsigned k = 0; k < TRACE_STATES; k++)
			bytes[32 + i * TRACE_STATES + k] = shares.shares[i][api_state(k)];
	out_bytes(a->out, (const char *)bytes, sizeof(bytes));
	return 0;
}

static int answer_tile(struct api *a, const struct api_request *q, struct answer *ret,
		       struct why *why)
{
	struct tile tile;
	int r = read_tile(a, q->rest, q->rest + strlen(q->rest), '/', &tile, why);

	ret->type = ANSWER_BYTES;
	ret->is_immutable = a->state == API_INDEX_READY;
	return r == 0 ? put_tile(a, &tile, why) : r;
}

static int answer_tiles(struct api *a, const struct api_request *q, struct answer *ret,
			struct why *why)
{
	const char *at = api_text(q, "list"), *end;
	struct tile tiles[API_TILES];
	unsigned n = 0;
	int r = 0;

	for (; r == 0 && at != NULL && *at != '\0'; at = *end == ',' ? end + 1 : end) {
		end = strchrnul(at, ',');
		if (n == API_TILES) {
			why_set(why, "list=: %d tiles at most were expected", API_TILES);
			return -EINVAL;
		}
		r = read_tile(a, at, end, '.', &tiles[n++], why);
	}
	if (r == 0 && n == 0) {
		why_set(why, "list=TRACK.LEVEL.INDEX,... was expected");
		return -EINVAL;
	}
	ret->type = ANSWER_BYTES;
	ret->is_immutable = a->state == API_INDEX_READY;
	for (unsigned i = 0; i < n && r == 0; i++)
		r = put_tile(a, &tiles[i], why);
	return r;
}

/* ---- spans, sums ---- */

static int answer_spans(struct api *a, const struct api_request *q, struct answer *ret,
			struct why *why)
{
	uint32_t tracks[API_TRACKS], tracks_n, n, left = SPANS_ALL;
	uint64_t from, to, max;
	struct interval *spans = NULL;
	int r = api_range(a, q, &from, &to, why);

	if (r == 0)
		r = api_number(q, "max", 1, SPANS_MAX, 512, &max, why);
	if (r == 0)
		r = api_tracks(a, q, tracks, API_TRACKS, &tracks_n, why);
	if (r == 0 && tracks_n == 0) {
		why_set(why, "tracks=TRACK,... was expected");
		return -EINVAL;
	}
	if (r < 0)
		return r;
	spans = malloc(max * sizeof(*spans));
	if (spans == NULL)
		return -ENOMEM;
	api_open(a, NULL, '{');
	api_open(a, "tracks", '[');
	for (uint32_t i = 0; i < tracks_n && r >= 0; i++) {
		r = index_spans(a->index, a->tracks[tracks[i]].at, from, to, spans,
				max < left ? (uint32_t)max : left, &n);
		if (r < 0)
			break;
		left -= n;
		api_open(a, NULL, '{');
		api_put_u64(a, "track", a->tracks[tracks[i]].thread);
		api_put_bool(a, "more", r == 1);
		api_open(a, "spans", '[');
		for (uint32_t k = 0; k < n; k++) {
			api_open(a, NULL, '{');
			api_put_span(a, &spans[k]);
			api_close(a, '}');
		}
		api_close(a, ']');
		api_close(a, '}');
	}
	api_close(a, ']');
	api_close(a, '}');
	free(spans);
	if (r < 0)
		why_set(why, "the index was changed by somebody; start again");
	return r < 0 ? r : 0;
}

/* One track's, 1 when it lives in the range. */
static int sum_track(struct api *a, uint32_t track, uint64_t from, uint64_t to,
		     uint64_t ret[TRACE_STATES])
{
	const struct api_track *t = &a->tracks[track];

	memset(ret, 0, TRACE_STATES * sizeof(*ret));
	if (t->end_ns <= from || t->begin_ns >= to)
		return 0;
	return index_sum(a->index, t->at, from, to, ret) < 0 ? -EBADMSG : 1;
}

static int answer_sums(struct api *a, const struct api_request *q, struct answer *ret,
		       struct why *why)
{
	uint64_t from, to, sum[TRACE_STATES], all[TRACE_STATES] = {0};
	uint32_t *tracks = malloc(((size_t)a->tracks_n + 1) * sizeof(*tracks)), n = 0, listed = 0;
	int r = tracks != NULL ? api_range(a, q, &from, &to, why) : -ENOMEM;

	if (r == 0)
		r = api_tracks(a, q, tracks, a->tracks_n, &n, why);
	if (r == 0 && n == 0)
		for (; n < a->tracks_n; n++)
			tracks[n] = n;
	if (r == 0) {
		api_open(a, NULL, '{');
		api_put_u64(a, "from_ns", api_since(a, from));
		api_put_u64(a, "to_ns", api_since(a, to));
		api_open(a, "tracks", '[');
	}
	for (uint32_t i = 0; i < n && r >= 0; i++) {
		r = sum_track(a, tracks[i], from, to, sum);
		for (unsigned k = 0; k < TRACE_STATES; k++)
			all[k] += sum[k];
		if (r != 1 || listed++ >= SUMS_MAX)
			continue;
		api_open(a, NULL, '{');
		api_put_u64(a, "track", a->tracks[tracks[i]].thread);
		api_put_states(a, "states", sum);
		api_close(a, '}');
	}
	free(tracks);
	if (r == -EBADMSG)
		why_set(why, "the index was changed by somebody; start again");
	if (r < 0)
		return r;
	api_close(a, ']');
	api_put_states(a, "states", all);
	api_close(a, '}');
	return 0;
}

/* ---- memory ---- */

#define COUNTERS_MAX 12 /* more are too many to be looked at */

/* The last value in each column, as far as there was one by then. */
static int put_series(struct api *a, const char *key, uint32_t series,
		      const struct timeline_ask *ask)
{
	struct index_values values;

	api_open(a, key, '[');
	for (uint32_t i = 0; i < ask->columns; i++) {
		if (index_values(a->index, series, timeline_column_begin(ask, i),
				 timeline_column_begin(ask, i + 1), &values) < 0)
			return -EBADMSG;
		if (values.has_last)
			api_put_s64(a, NULL, values.last);
		else
			api_put_null(a, NULL);
	}
	api_close(a, ']');
	return 0;
}

static int put_values(struct api *a, const char *key, enum index_kind kind,
		      const struct timeline_ask *ask)
{
	uint32_t series = index_series_of(a->index, kind, 0);

	if (series != MAP_NONE)
		return put_series(a, key, series, ask);
	api_put_null(a, key);
	return 0;
}

/* The program's own, in the order in which they came first. */
static int put_counters(struct api *a, const struct timeline_ask *ask)
{
	uint32_t n = index_series_n(a->index), put = 0, counters = 0;
	struct name name;
	int r = 0;

	api_open(a, "counters", '[');
	for (uint32_t i = 0; i < n && r == 0; i++) {
		const struct index_series *series = index_series(a->index, i);

		if (series->kind != INDEX_COUNTER || counters++ >= COUNTERS_MAX)
			continue;
		name_clear(&name);
		name_counter(&name, a->tables, series->name);
		api_open(a, NULL, '{');
		api_put_name(a, "name", &name);
		api_put_bool(a, "is_bytes", name_counts_bytes(&name));
		r = put_series(a, "values", i, ask);
		api_close(a, '}');
		put++;
	}
	api_close(a, ']');
	api_put_u64(a, "left_out", counters - put);
	return r;
}

static int answer_memory(struct api *a, const struct api_request *q, struct answer *ret,
			 struct why *why)
{
	struct timeline_ask ask = {0};
	int r = api_columns(a, q, &ask, why);

	if (r < 0)
		return r;
	api_open_columns(a, &ask);
	r = put_values(a, "live", INDEX_HEAP_LIVE, &ask);
	if (r == 0)
		r = put_values(a, "resident", INDEX_HEAP_RESIDENT, &ask);
	if (r == 0)
		r = put_counters(a, &ask);
	api_close(a, '}');
	if (r < 0)
		why_set(why, "the index was changed by somebody; start again");
	return r;
}

/* ---- names ---- */

enum kind { KIND_THREAD, KIND_OBJECT, KIND_STRING, KINDS };

struct names {
	struct api *api;
	const char *text;
	uint64_t max, n;
	bool is_more;
};

static void offer(struct names *names, const char *kind, const struct name *name, uint64_t id)
{
	struct api *a = names->api;

	if (names->is_more || !look_has(name->text, name->n, names->text))
		return;
	if (names->n == names->max) {
		names->is_more = true;
		return;
	}
	names->n++;
	api_open(a, NULL, '{');
	api_put_text(a, "kind", kind);
	api_put_name(a, "name", name);
	api_put_u64(a, "id", id);
	api_close(a, '}');
}

static void offer_kind(struct names *names, enum kind kind)
{
	const struct tables *t = names->api->tables;
	struct name name;

	for (uint32_t i = 0; kind == KIND_THREAD && i < names->api->tracks_n; i++) {
		name_clear(&name);
		name_thread(&name, t, names->api->tracks[i].thread);
		offer(names, "thread", &name, names->api->tracks[i].thread);
	}
	for (uint32_t i = 0; kind == KIND_OBJECT && i < t->objects_n; i++) {
		name_clear(&name);
		name_object(&name, t, t->objects[i].id);
		offer(names, "object", &name, t->objects[i].id);
	}
	for (uint32_t i = 0; kind == KIND_STRING && i < t->strings_n; i++) {
		name_clear(&name);
		name_add(&name, t->strings[i].text, t->strings[i].length);
		offer(names, "string", &name, t->strings[i].id);
	}
}

static int answer_names(struct api *a, const struct api_request *q, struct answer *ret,
			struct why *why)
{
	static const char *const kinds[] = {"thread", "object", "string"};
	const char *wanted = api_text(q, "kind");
	struct names names = {.api = a, .text = api_text(q, "q")};
	unsigned first = 0, last = KINDS;
	int r = api_number(q, "max", 1, NAMES_MAX, 50, &names.max, why);

	if (r == 0 && (names.text == NULL || names.text[0] == '\0')) {
		why_set(why, "q=TEXT was expected");
		r = -EINVAL;
	}
	if (r == 0 && wanted != NULL) {
		while (first < KINDS && strcmp(kinds[first], wanted) != 0)
			first++;
		last = first + 1;
		if (first == KINDS) {
			why_set(why, "kind=%.40s: thread, object or string was expected", wanted);
			r = -EINVAL;
		}
	}
	if (r < 0)
		return r;
	ret->is_immutable = a->state == API_INDEX_READY;
	api_open(a, NULL, '{');
	api_open(a, "names", '[');
	for (unsigned i = first; i < last; i++)
		offer_kind(&names, (enum kind)i);
	api_close(a, ']');
	api_put_bool(a, "more", names.is_more);
	api_close(a, '}');
	return 0;
}

const struct api_path api_paths_now[] = {
	{.name = "meta", .takes = "", .answer = answer_meta},
	{.name = "progress", .takes = "", .answer = answer_progress},
	{.name = "tracks", .takes = "limit cursor", .answer = answer_tracks},
	{.name = "tile", .takes = "", .has_rest = true, .answer = answer_tile},
	{.name = "tiles", .takes = "list", .answer = answer_tiles},
	{.name = "spans",
	 .takes = "tracks from to max",
	 .needs_index = true,
	 .answer = answer_spans},
	{.name = "sums", .takes = "tracks from to", .needs_index = true, .answer = answer_sums},
	{.name = "memory",
	 .takes = "from to columns",
	 .needs_index = true,
	 .answer = answer_memory},
	{.name = "names", .takes = "q kind max", .answer = answer_names},
	{.name = NULL},
};
