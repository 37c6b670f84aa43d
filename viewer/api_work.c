/* What may have to read the trace. Each runs in a process of its own, which may do to tables what it likes. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/api_private.h"
#include "viewer/frames.h"
#include "viewer/look.h"
#include "viewer/sentence.h"

#define EDGES_MAX 2000
#define NEAR      4096 /* spans that are looked at for one of the same kind */

/* Behind a span, for whom it woke: a tenth of a second. Who wakes nobody so long wakes nobody. */
#define EFFECT_EVENTS 500000

/* The last of @n events may be written a little behind what they are about. */
#define SLACK_NS UINT64_C(1000000)

static struct look look_for(struct api *a)
{
	return (struct look){.reader = a->reader,
			     .streams = a->streams,
			     .tables = a->tables,
			     .index = a->index,
			     .events_max = EFFECT_EVENTS};
}

/* ---- stacks ---- */

static void put_frame(struct api *a, const struct frame *frame, uint32_t line)
{
	const struct frame_line *l = line < frame->n ? &frame->lines[line] : NULL;
	char address[24];
	struct name name;

	api_open(a, NULL, '{');
	name_clear(&name);
	name_frame(&name, a->tables, frame->word, line);
	api_put_name(a, "text", &name);
	api_put_text(a, "function", l != NULL ? l->function : NULL);
	api_put_text(a, "file", l != NULL && l->file[0] != '\0' ? l->file : NULL);
	api_put_id(a, "line", l != NULL && l->line > 0 ? (uint64_t)l->line : 0);
	api_put_text(a, "module",
		     frame->module != NULL ? tables_text(a->tables, frame->module->path) : NULL);
	snprintf(address, sizeof(address), "%#" PRIx64, TRACE_FRAME_ADDRESS(frame->word));
	api_put_text(a, "address", address);
	api_put_bool(a, "inlined", line + 1 < frame->n);
	api_close(a, '}');
}

/* "frames": [ … ] */
static int put_frames(struct api *a, uint32_t stack)
{
	struct frames *frames;
	const struct frame *frame;
	const uint64_t *words;
	uint32_t n;
	int r = frames_create(&frames, a->tables);

	if (r < 0)
		return r;
	api_open(a, "frames", '[');
	n = stack != 0 ? frames_stack(frames, stack, &words) : 0;
	for (uint32_t i = 0; i < n && r == 0; i++) {
		frame = frames_get(frames, words[i]);
		if (frame == NULL)
			r = -ENOMEM;
		for (uint32_t k = 0; r == 0 && k < (frame->n > 0 ? frame->n : 1); k++)
			put_frame(a, frame, k);
	}
	api_close(a, ']');
	frames_destroy(frames);
	return r;
}

static int answer_stack(struct api *a, const struct api_request *q, struct answer *ret,
			struct why *why)
{
	uint64_t id;
	int r;

	if (!api_digits(q->rest, q->rest + strlen(q->rest), UINT32_MAX, &id) ||
	    tables_stack(a->tables, id) == NULL) {
		why_set(why, "there is no stack %.40s", q->rest);
		return -ENOENT;
	}
	api_open(a, NULL, '{');
	api_put_u64(a, "stack", id);
	r = put_frames(a, (uint32_t)id);
	api_close(a, '}');
	return r;
}

/* ---- edges ---- */

static void put_edge(struct api *a, const char *key, const struct story_edge *e)
{
	struct name name;

	api_open(a, key, '{');
	api_put_text(a, "kind", story_edge_name(e->kind));
	api_put_text(a, "certainty", story_certainty_name(e->certainty));
	api_put_u64(a, "from", e->from);
	api_put_u64(a, "from_ns", api_since(a, e->from_ns));
	api_put_u64(a, "to", e->to);
	api_put_u64(a, "to_ns", api_since(a, e->to_ns));
	api_put_u64(a, "begun_ns", api_since(a, e->begun_ns));
	api_put_u64(a, "ran_ns", api_since(a, e->ran_ns));
	api_put_id(a, "object", e->object);
	name_clear(&name);
	if (e->object != 0 && e->kind == EDGE_PIPE)
		name_file(&name, a->tables, e->object);
	else if (e->object != 0)
		name_object(&name, a->tables, e->object);
	if (name.n > 0)
		api_put_name(a, "label", &name);
	else
		api_put_null(a, "label");
	api_put_id(a, "stack", e->stack);
	api_put_id(a, "to_stack", e->to_stack);
	api_close(a, '}');
}

/* Those that were waited for longest: a heap, the least of them first. */
struct edges {
	const struct api *api;
	uint64_t from_ns, to_ns, max, n, left_out;
	uint64_t object;
	uint32_t tracks[API_TRACKS], tracks_n;
	struct story_edge *list;
};

static uint64_t edge_ns(const struct story_edge *e)
{
	return e->to_ns > e->begun_ns ? e->to_ns - e->begun_ns : 0;
}

static bool is_wanted(const struct edges *w, const struct story_edge *e)
{
	uint64_t begin = e->begun_ns < e->from_ns ? e->begun_ns : e->from_ns,
		 end = e->to_ns > e->ran_ns ? e->to_ns : e->ran_ns;

	if (begin > w->to_ns || end < w->from_ns || (w->object != 0 && e->object != w->object))
		return false;
	for (uint32_t i = 0; i < w->tracks_n; i++) {
		uint32_t thread = w->api->tracks[w->tracks[i]].thread;

		if (thread == e->from || thread == e->to)
			return true;
	}
	return w->tracks_n == 0;
}

/* Puts @e where the first one was, and down to its place. */
static void sink(struct edges *w, const struct story_edge *e)
{
	uint64_t at = 0, below;

	while ((below = 2 * at + 1) < w->n) {
		if (below + 1 < w->n && edge_ns(&w->list[below + 1]) < edge_ns(&w->list[below]))
			below++;
		if (edge_ns(e) <= edge_ns(&w->list[below]))
			break;
		w->list[at] = w->list[below];
		at = below;
	}
	w->list[at] = *e;
}

static int on_edge(void *context, const struct story_edge *e)
{
	struct edges *w = context;
	uint64_t at, above;

	if (!is_wanted(w, e))
		return 0;
	if (w->n == w->max) {
		w->left_out++;
		if (edge_ns(e) > edge_ns(&w->list[0]))
			sink(w, e);
		return 0;
	}
	for (at = w->n++; at > 0 && edge_ns(&w->list[above = (at - 1) / 2]) > edge_ns(e);
	     at = above)
		w->list[at] = w->list[above];
	w->list[at] = *e;
	return 0;
}

static int compare_edges(const void *x, const void *y)
{
	const struct story_edge *a = x, *b = y;
	uint64_t m = edge_ns(a), n = edge_ns(b);

	if (m != n)
		return m > n ? -1 : 1;
	return a->to_ns < b->to_ns ? -1 : a->to_ns > b->to_ns;
}

/* When the first of what is waited for at @ns began; what is idle may have been so since the beginning, and does not count. */
static uint64_t waits_since(struct api *a, const struct edges *w, uint64_t ns)
{
	uint64_t since = ns;
	struct interval i;
	uint32_t n;

	if (a->state != API_INDEX_READY)
		return a->begin_ns;
	for (uint32_t k = 0; k < (w->tracks_n > 0 ? w->tracks_n : a->tracks_n); k++) {
		uint32_t track = w->tracks_n > 0 ? w->tracks[k] : k;

		if (index_spans(a->index, a->tracks[track].at, ns, ns + 1, &i, 1, &n) >= 0 &&
		    n == 1 && i.state != TRACE_IDLE && i.begin_ns < since)
			since = i.begin_ns;
	}
	return since;
}

static int answer_edges(struct api *a, const struct api_request *q, struct answer *ret,
			struct why *why)
{
	struct edges w = {.api = a};
	struct story_listener listener = {.context = &w, .edge = on_edge, .may_seek = true};
	struct story_counts counts;
	int r = api_range(a, q, &w.from_ns, &w.to_ns, why);

	if (r == 0)
		r = api_number(q, "max", 1, EDGES_MAX, 200, &w.max, why);
	if (r == 0)
		r = api_number(q, "object", 1, UINT32_MAX, 0, &w.object, why);
	if (r == 0)
		r = api_tracks(a, q, w.tracks, API_TRACKS, &w.tracks_n, why);
	if (r < 0)
		return r;
	w.list = malloc(w.max * sizeof(*w.list));
	if (w.list == NULL)
		return -ENOMEM;
	r = story_tell(a->reader, a->streams, a->tables, waits_since(a, &w, w.from_ns),
		       w.to_ns + SLACK_NS, &listener, &counts, NULL, why);
	if (r == 0) {
		qsort(w.list, w.n, sizeof(*w.list), compare_edges);
		api_open(a, NULL, '{');
		api_put_u64(a, "left_out", w.left_out);
		api_open(a, "edges", '[');
		for (uint64_t i = 0; i < w.n; i++)
			put_edge(a, NULL, &w.list[i]);
		api_close(a, ']');
		api_close(a, '}');
	}
	free(w.list);
	return r;
}

/* ---- a span ---- */

static void put_id(struct api *a, const char *key, const struct interval *i)
{
	char text[48];

	snprintf(text, sizeof(text), "%" PRIu32 ".%" PRIu64, i->thread, api_since(a, i->begin_ns));
	api_put_text(a, key, text);
}

static bool is_same(const struct interval *x, const struct interval *y)
{
	return x->state == y->state && x->object == y->object && x->call == y->call;
}

/* The next of the same kind, either way, among NEAR. */
struct same {
	const struct interval *of;
	struct interval found;
	unsigned seen;
	bool is_found;
};

static int on_near(void *context, const struct interval *i)
{
	struct same *s = context;

	if (s->seen++ == NEAR)
		return 1;
	if (i->begin_ns == s->of->begin_ns || !is_same(i, s->of))
		return 0;
	s->found = *i;
	s->is_found = true;
	return 1;
}

static void put_same(struct api *a, const char *key, uint32_t track, const struct interval *i,
		     bool is_back)
{
	struct same same = {.of = i};

	index_each(a->index, a->tracks[track].at, is_back ? 0 : i->end_ns,
		   is_back ? i->begin_ns : UINT64_MAX, is_back, on_near, &same);
	if (same.is_found)
		put_id(a, key, &same.found);
	else
		api_put_null(a, key);
}

static void put_neighbours(struct api *a, uint32_t track, const struct interval *i)
{
	const struct api_track *t = &a->tracks[track];
	struct interval other;
	uint32_t n;

	if (i->begin_ns > t->begin_ns &&
	    index_spans(a->index, t->at, i->begin_ns - 1, i->begin_ns, &other, 1, &n) >= 0 &&
	    n == 1)
		put_id(a, "previous", &other);
	else
		api_put_null(a, "previous");
	if (i->end_ns < t->end_ns &&
	    index_spans(a->index, t->at, i->end_ns, i->end_ns + 1, &other, 1, &n) >= 0 && n == 1)
		put_id(a, "next", &other);
	else
		api_put_null(a, "next");
	put_same(a, "previous_same", track, i, true);
	put_same(a, "next_same", track, i, false);
}

static void put_sentence(struct api *a, const struct interval *i)
{
	struct name name;

	name_clear(&name);
	sentence_interval(&name, a->tables, i, i->begin_ns, i->end_ns, false);
	api_put_name(a, "sentence", &name);
}

static bool is_wait(const struct interval *i)
{
	return i->state == TRACE_LOCK || i->state == TRACE_WAIT || i->state == TRACE_SPIN;
}

static void put_edge_or_null(struct api *a, const char *key, const struct story_edge *e, bool is)
{
	if (is)
		put_edge(a, key, e);
	else
		api_put_null(a, key);
}

/* Who made it go on, whom it made go on, and whom it waits for: in the middle, or near the end of what is long. */
static int put_around(struct api *a, const struct interval *i, struct why *why)
{
	const struct look look = look_for(a);
	bool is_off = i->state != TRACE_RUNNING && i->state != TRACE_UNKNOWN;
	uint64_t half = (i->end_ns - i->begin_ns) / 2;
	struct look_around around;
	struct name chain;
	int r = look_around(&look, i, is_off, true, &around, why);

	put_edge_or_null(a, "cause", &around.cause, around.has_cause);
	put_edge_or_null(a, "effect", &around.effect, around.has_effect);
	name_clear(&chain);
	if (r >= 0 && is_wait(i))
		r = look_chain(&look, i->thread,
			       i->end_ns - (half < LOOK_NEAR_NS ? half : LOOK_NEAR_NS), i->end_ns,
			       &chain, why);
	if (chain.n > 0)
		api_put_name(a, "chain", &chain);
	else
		api_put_null(a, "chain");
	return r < 0 ? r : 0;
}

static int answer_span(struct api *a, const struct api_request *q, struct answer *ret,
		       struct why *why)
{
	const char *dot = strchrnul(q->rest, '.');
	const struct table_thread *thread;
	uint64_t index, begin;
	struct interval i;
	uint32_t track = MAP_NONE, n = 0;
	int r = 0;

	if (*dot == '.' && api_digits(q->rest, dot, UINT32_MAX, &index) &&
	    api_digits(dot + 1, dot + strlen(dot), UINT64_MAX - a->begun_ns - 1, &begin))
		track = map_get(&a->track_of, index);
	if (track != MAP_NONE)
		r = index_spans(a->index, a->tracks[track].at, a->begun_ns + begin,
				a->begun_ns + begin + 1, &i, 1, &n);
	if (r < 0) {
		why_set(why, "the index was changed by somebody; start again");
		return r;
	}
	if (n == 0) {
		why_set(why, "there is no span %.60s", q->rest);
		return -ENOENT;
	}
	thread = tables_thread(a->tables, i.thread);
	api_open(a, NULL, '{');
	api_open(a, "span", '{');
	api_put_span(a, &i);
	api_close(a, '}');
	api_put_thread(a, "thread", i.thread);
	api_put_id(a, "tid", thread != NULL ? thread->tid : 0);
	put_neighbours(a, track, &i);
	r = put_around(a, &i, why);
	/* behind what was read: a file may have its name from that */
	put_sentence(a, &i);
	if (r == 0)
		r = put_frames(a, i.stack);
	api_close(a, '}');
	return r;
}

static int answer_find(struct api *a, const struct api_request *q, struct answer *ret,
		       struct why *why)
{
	const char *text = api_text(q, "q"), *direction = api_text(q, "direction");
	const struct look look = look_for(a);
	bool is_back = direction != NULL && strcmp(direction, "previous") == 0;
	struct interval i;
	uint64_t at;
	int r = api_number(q, "at", 0, UINT64_MAX - a->begun_ns, 0, &at, why);

	if (r == 0 && (text == NULL || text[0] == '\0')) {
		why_set(why, "q=TEXT was expected");
		r = -EINVAL;
	}
	if (r == 0 && direction != NULL && !is_back && strcmp(direction, "next") != 0) {
		why_set(why, "direction=%.40s: next or previous was expected", direction);
		r = -EINVAL;
	}
	if (r == 0)
		r = look_name(&look, text, a->begun_ns + at, is_back, &i, why);
	if (r < 0)
		return r;
	api_open(a, NULL, '{');
	if (r > 0) {
		api_open(a, "span", '{');
		api_put_span(a, &i);
		api_close(a, '}');
		api_put_thread(a, "thread", i.thread);
		put_sentence(a, &i);
	} else {
		api_put_null(a, "span");
	}
	api_close(a, '}');
	return 0;
}

/* ---- columns ---- */

/* Adds a track's to @sums, by column. */
static int add_columns(struct api *a, uint32_t track, const struct timeline_ask *ask,
		       struct timeline_cell *sums)
{
	const struct api_track *t = &a->tracks[track];
	uint64_t last[TRACE_STATES], now[TRACE_STATES];
	uint32_t column = timeline_column(ask, t->begin_ns);
	struct index_sweep w;

	if (t->end_ns <= ask->from_ns || t->begin_ns >= ask->to_ns)
		return 0;
	if (index_sweep_begin(&w, a->index, t->at, timeline_column_begin(ask, column), last) < 0)
		return -EBADMSG;
	for (uint32_t until = timeline_column(ask, t->end_ns); column <= until; column++) {
		if (index_sweep_to(&w, timeline_column_begin(ask, column + 1), now) < 0)
			return -EBADMSG;
		for (unsigned k = 0; k < TRACE_STATES; k++)
			sums[column].ns[k] += now[k] - last[k];
		memcpy(last, now, sizeof(last));
	}
	return 0;
}

/* Of all tracks, as the index has them together. 1: it has not, and they are to be added up. */
static int take_columns(const struct api *a, const struct timeline_ask *ask,
			struct timeline_cell *sums)
{
	uint64_t last[TRACE_STATES], now[TRACE_STATES];

	for (uint32_t i = 0; i <= ask->columns; i++) {
		if (index_all_before(a->index, timeline_column_begin(ask, i), now) != 0) {
			memset(sums, 0, ask->columns * sizeof(*sums));
			return 1;
		}
		for (unsigned k = 0; k < TRACE_STATES && i > 0; k++)
			sums[i - 1].ns[k] = now[k] - last[k];
		memcpy(last, now, sizeof(last));
	}
	return 0;
}

#define COLUMNS_AT_LEAST 100
#define COLUMNS_AT_MOST  1400   /* of a wide screen */
#define COLUMNS_IN_ALL   150000 /* times threads: less than a second, should there be no index */

/*
 * Where nobody says how many, of all of the trace: as many as a page has room for, or the threads allow, of 2^n ns each, of which the
 * index has the sums.
 */
static int columns_asked(const struct api *a, const struct api_request *q, struct timeline_ask *ret,
			 struct why *why)
{
	uint64_t most = COLUMNS_IN_ALL / (a->tracks_n + 1), from, to, width = 1;
	int r = api_columns(a, q, ret, why);

	if (r < 0 || api_text(q, "columns") != NULL)
		return r;
	most = most < COLUMNS_AT_LEAST  ? COLUMNS_AT_LEAST
	       : most > COLUMNS_AT_MOST ? COLUMNS_AT_MOST
					: most;
	from = api_since(a, ret->from_ns);
	to = api_since(a, ret->to_ns);
	while ((to - from) / width >= most)
		width *= 2;
	from -= from % width;
	ret->columns = (uint32_t)((to - from - 1) / width + 1);
	ret->from_ns -= api_since(a, ret->from_ns) - from;
	if (ret->columns * width > UINT64_MAX - ret->from_ns) {
		why_set(why, "to=%" PRIu64 ": a time in the trace was expected", to);
		return -EINVAL;
	}
	ret->to_ns = ret->from_ns + ret->columns * width;
	return 0;
}

static bool is_on_grid(const struct api *a, const struct timeline_ask *ask)
{
	uint64_t unused[TRACE_STATES];

	return (ask->to_ns - ask->from_ns) % ask->columns == 0 &&
	       index_all_before(a->index, ask->from_ns, unused) == 0 &&
	       index_all_before(a->index, timeline_column_begin(ask, 1), unused) == 0;
}

/* Before there is an index: what is known of the whole trace will do where it is no coarser than what is wanted. */
static bool is_estimated(const struct api *a, const struct timeline_ask *ask)
{
	const struct timeline_ask *whole = &a->estimate.ask;

	return (whole->to_ns - whole->from_ns) / whole->columns <=
	       (ask->to_ns - ask->from_ns) / ask->columns * 2;
}

#define LEAVES_SOON 4096 /* some 10 ms */

/* Columns that the index has, or nearly; or that the estimate has. */
static bool are_columns_soon(const struct api *a, const struct api_request *q)
{
	struct timeline_ask ask = {0};
	uint64_t leaves = 0;
	struct why why;

	if (columns_asked(a, q, &ask, &why) < 0)
		return false;
	if (a->state != API_INDEX_READY)
		return is_estimated(a, &ask);
	if (api_text(q, "tracks") == NULL && is_on_grid(a, &ask))
		return true;
	for (uint32_t i = 0; i < a->tracks_n && leaves <= LEAVES_SOON; i++) {
		uint64_t n = index_leaves(a->index, a->tracks[i].at, ask.from_ns, ask.to_ns);

		leaves += n < ask.columns + 1 ? n : ask.columns + 1;
	}
	return leaves <= LEAVES_SOON;
}

static void put_sums(struct api *a, const struct timeline_cell *sums, uint32_t columns)
{
	char key[32];

	api_open(a, "states", '{');
	for (unsigned k = 0; k < TRACE_STATES; k++) {
		snprintf(key, sizeof(key), "%s_ns", story_state_name(api_state(k)));
		api_open(a, key, '[');
		for (uint32_t i = 0; i < columns; i++)
			api_put_u64(a, NULL, sums[i].ns[api_state(k)]);
		api_close(a, ']');
	}
	api_close(a, '}');
}

static int answer_columns(struct api *a, const struct api_request *q, struct answer *ret,
			  struct why *why)
{
	uint32_t *tracks = malloc(((size_t)a->tracks_n + 1) * sizeof(*tracks)), n = 0;
	bool is_exact = a->state == API_INDEX_READY;
	struct timeline_ask ask = {.cells_max = 1};
	struct timeline t = {0};
	int r = tracks != NULL ? columns_asked(a, q, &ask, why) : -ENOMEM;

	if (r == 0)
		r = api_tracks(a, q, tracks, a->tracks_n, &n, why);
	if (r == 0 && !is_exact && n > 0) {
		why_set(why, "tracks= needs the index, which is not there yet");
		r = -EAGAIN;
	}
	if (r == 0)
		r = timeline_init(&t, &ask, a->tables);
	if (r == 0 && !is_exact)
		r = is_estimated(a, &ask) ? timeline_stretch(&t, &a->estimate)
					  : timeline_estimate(&t, a->reader, a->streams, NULL, why);
	if (r == 0 && is_exact && n == 0 && take_columns(a, &ask, t.sums) != 0)
		for (; n < a->tracks_n; n++)
			tracks[n] = n;
	for (uint32_t i = 0; i < n && r == 0 && is_exact; i++)
		r = add_columns(a, tracks[i], &ask, t.sums);
	ret->is_immutable = is_exact;
	if (r == 0) {
		api_open_columns(a, &ask);
		api_put_bool(a, "is_exact", is_exact);
		put_sums(a, t.sums, ask.columns);
		api_close(a, '}');
	}
	timeline_fini(&t);
	free(tracks);
	return r;
}

const struct api_path api_paths_work[] = {
	{.name = "span",
	 .takes = "",
	 .has_rest = true,
	 .is_work = true,
	 .needs_index = true,
	 .answer = answer_span},
	{.name = "edges",
	 .takes = "from to tracks object max",
	 .is_work = true,
	 .answer = answer_edges},
	{.name = "stack", .takes = "", .has_rest = true, .is_work = true, .answer = answer_stack},
	{.name = "find",
	 .takes = "q at direction",
	 .is_work = true,
	 .needs_index = true,
	 .answer = answer_find},
	{.name = "columns",
	 .takes = "from to columns tracks",
	 .is_work = true,
	 .is_soon = are_columns_soon,
	 .answer = answer_columns},
	{.name = NULL},
};
