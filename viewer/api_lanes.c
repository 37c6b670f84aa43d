/* What a picture has besides the states of threads: what lies beneath them, what is rare, and the rows of locks, files and tasks. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/syscalls.h"
#include "viewer/along.h"
#include "viewer/api_private.h"
#include "viewer/beneath.h"
#include "viewer/doing.h"

#define EVENTS_MAX    UINT64_C(1000000) /* that are gone through for a picture: half a second */
#define LOOKS_MAX     UINT64_C(500000)  /* into the index: about as long */
#define CONTENDED_MAX 64
#define COLUMNS_MAX   1000

static int columns_of(const struct api *a, const struct api_request *q, struct timeline_ask *ret,
		      struct why *why)
{
	uint64_t columns;
	int r = api_columns(a, q, ret, why);

	if (r == 0)
		r = api_number(q, "columns", 1, COLUMNS_MAX, 512, &columns, why);
	return r;
}

static int tracks_of(const struct api *a, const struct api_request *q, uint32_t *ret, uint32_t max,
		     uint32_t *ret_n, struct why *why)
{
	int r = api_tracks(a, q, ret, max, ret_n, why);

	if (r == 0 && *ret_n == 0) {
		why_set(why, "tracks=TRACK,... was expected");
		r = -EINVAL;
	}
	return r;
}

/* Too much to be gone through while somebody looks at it? Then "is_whole" is false, and there are no items. */
static bool put_is_whole(struct api *a, const struct timeline_ask *ask)
{
	bool is_whole = timeline_events(a->reader, ask->from_ns, ask->to_ns) <= EVENTS_MAX;

	api_put_bool(a, "is_whole", is_whole);
	return is_whole;
}

static int tell(struct api *a, const struct timeline_ask *ask,
		const struct story_listener *listener, struct story_counts *counts, struct why *why)
{
	return story_tell(a->reader, a->streams, a->tables, ask->from_ns, ask->to_ns, listener,
			  counts, NULL, why);
}

static void put_bounds(struct api *a, uint64_t begin_ns, uint64_t end_ns)
{
	api_put_u64(a, "begin_ns", api_since(a, begin_ns));
	api_put_u64(a, "end_ns", api_since(a, end_ns));
}

static void put_string(struct api *a, const char *key, uint32_t id)
{
	const struct table_text *text = tables_string(a->tables, id);
	struct name name;

	name_clear(&name);
	if (text != NULL)
		name_add(&name, text->text, text->length);
	api_put_name(a, key, &name);
}

/* ---- lanes ---- */

static void put_label(struct api *a, const struct beneath_item *i)
{
	struct name name;

	name_clear(&name);
	if (i->is_mixed || (i->lane == BENEATH_SAMPLES && i->name == 0)) {
		api_put_null(a, "label");
		return;
	}
	if (i->lane == BENEATH_TASKS)
		name_format(&name, "task %" PRIu64, i->task);
	else if (i->lane == BENEATH_CALLS)
		doing_call(&name, a->tables, i->name, i->file);
	else if (i->lane == BENEATH_SAMPLES)
		name_stack_top(&name, a->tables, i->name);
	if (name.n > 0)
		api_put_name(a, "label", &name);
	else
		put_string(a, "label", i->lane == BENEATH_MARKS ? i->message : i->name);
}

static void put_item(struct api *a, const struct beneath_item *i)
{
	api_open(a, NULL, '{');
	put_bounds(a, i->begin_ns, i->end_ns);
	api_put_u64(a, "count", i->count);
	put_label(a, i);
	if (i->lane < BENEATH_CALLS)
		api_put_u64(a, "depth", i->lane);
	if (i->lane <= BENEATH_CALLS)
		api_put_bool(a, "is_open", i->is_open);
	if (i->lane == BENEATH_CALLS)
		api_put_u64(a, "errors", i->errors);
	if (i->lane == BENEATH_SAMPLES)
		api_put_id(a, "stack", i->is_mixed ? 0 : i->name);
	if (i->lane == BENEATH_MARKS && !i->is_mixed && i->name != 0)
		put_string(a, "category", i->name);
	api_close(a, '}');
}

static void put_lanes(struct api *a, const struct beneath *b)
{
	static const struct {
		const char *key;
		uint8_t first, last;
	} lanes[] = {{"regions", 0, BENEATH_DEPTH_MAX - 1},
		     {"calls", BENEATH_CALLS, BENEATH_CALLS},
		     {"samples", BENEATH_SAMPLES, BENEATH_SAMPLES},
		     {"marks", BENEATH_MARKS, BENEATH_MARKS},
		     {"tasks", BENEATH_TASKS, BENEATH_TASKS}};
	uint32_t at = 0;

	api_open(a, "tracks", '[');
	for (uint32_t i = 0; i < b->threads_n; i++) {
		api_open(a, NULL, '{');
		api_put_u64(a, "track", b->threads[i]);
		for (size_t k = 0; k < sizeof(lanes) / sizeof(lanes[0]); k++) {
			api_open(a, lanes[k].key, '[');
			for (; at < b->items_n && b->items[at].thread == i &&
			       b->items[at].lane <= lanes[k].last;
			     at++)
				put_item(a, &b->items[at]);
			api_close(a, ']');
		}
		api_close(a, '}');
	}
	api_close(a, ']');
}

static int answer_lanes(struct api *a, const struct api_request *q, struct answer *ret,
			struct why *why)
{
	uint32_t tracks[BENEATH_THREADS_MAX], threads[BENEATH_THREADS_MAX];
	struct beneath b = {.threads = threads};
	struct story_listener listener;
	struct story_counts counts;
	int r = columns_of(a, q, &b.ask, why);

	if (r == 0)
		r = tracks_of(a, q, tracks, BENEATH_THREADS_MAX, &b.threads_n, why);
	for (uint32_t i = 0; i < b.threads_n; i++)
		threads[i] = a->tracks[tracks[i]].thread;
	if (r < 0)
		return r;
	api_open_columns(a, &b.ask);
	if (put_is_whole(a, &b.ask)) {
		r = beneath_begin(&b, &listener);
		if (r == 0)
			r = tell(a, &b.ask, &listener, &counts, why);
		if (r == 0)
			r = beneath_end(&b, counts.end_ns);
	}
	api_put_u64(a, "left_out", b.left_out);
	put_lanes(a, &b);
	api_close(a, '}');
	beneath_fini(&b);
	return r;
}

/* ---- what is rare ---- */

/* Halves of the columns, as long as there is something in them: what has nothing rare costs one look. */
static int put_rare(struct api *a, uint32_t track, const struct timeline_ask *ask, uint32_t first,
		    uint32_t last)
{
	uint64_t from = timeline_column_begin(ask, first),
		 to = timeline_column_begin(ask, (uint64_t)last + 1);
	uint32_t middle = first + (last - first) / 2;
	unsigned flags;
	int r;

	if (to <= from)
		return 0;
	r = index_flags(a->index, track, from, to, &flags);
	if (r < 0 || flags == 0)
		return r;
	if (first == last) {
		api_open(a, NULL, '[');
		api_put_u64(a, NULL, first);
		api_put_u64(a, NULL, flags);
		api_close(a, ']');
		return 0;
	}
	r = put_rare(a, track, ask, first, middle);
	return r < 0 ? r : put_rare(a, track, ask, middle + 1, last);
}

static int answer_rare(struct api *a, const struct api_request *q, struct answer *ret,
		       struct why *why)
{
	uint32_t tracks[API_TRACKS], n;
	struct timeline_ask ask = {0};
	int r = columns_of(a, q, &ask, why);

	if (r == 0)
		r = tracks_of(a, q, tracks, API_TRACKS, &n, why);
	if (r < 0)
		return r;
	api_open_columns(a, &ask);
	api_open(a, "tracks", '[');
	for (uint32_t i = 0; i < n && r == 0; i++) {
		const struct api_track *t = &a->tracks[tracks[i]];

		api_open(a, NULL, '{');
		api_put_u64(a, "track", t->thread);
		api_open(a, "rare", '[');
		r = put_rare(a, t->at, &ask, 0, ask.columns - 1);
		api_close(a, ']');
		api_close(a, '}');
	}
	api_close(a, ']');
	api_close(a, '}');
	if (r < 0)
		why_set(why, "the index was changed by somebody; start again");
	return r;
}

/* ---- the locks that were waited for ---- */

struct waited {
	struct map place_of;
	struct waited_lock {
		uint64_t ns;
		uint32_t object;
	} * locks;
	uint32_t n, room;
	bool is_out_of_memory;
};

static void take_lock(void *context, uint32_t object, uint64_t ns)
{
	struct waited *w = context;
	uint32_t place = map_get(&w->place_of, object);

	if (place == MAP_NONE) {
		if (w->n == w->room) {
			uint32_t room = w->room != 0 ? 2 * w->room : 64;
			struct waited_lock *locks = realloc(w->locks, room * sizeof(*locks));

			if (locks == NULL) {
				w->is_out_of_memory = true;
				return;
			}
			w->locks = locks;
			w->room = room;
		}
		place = w->n;
		if (map_set(&w->place_of, object, place) < 0) {
			w->is_out_of_memory = true;
			return;
		}
		w->locks[w->n++] = (struct waited_lock){.object = object};
	}
	w->locks[place].ns += ns;
}

static int compare_locks(const void *x, const void *y)
{
	const struct waited_lock *a = x, *b = y;

	if (a->ns != b->ns)
		return a->ns > b->ns ? -1 : 1;
	return a->object < b->object ? -1 : a->object > b->object;
}

static int answer_contended(struct api *a, const struct api_request *q, struct answer *ret,
			    struct why *why)
{
	struct waited w = {0};
	uint64_t from, to, max;
	struct name name;
	int r = api_range(a, q, &from, &to, why);

	if (r == 0)
		r = api_number(q, "max", 1, CONTENDED_MAX, 8, &max, why);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < a->tracks_n && r == 0; i++)
		r = index_locks(a->index, a->tracks[i].at, from, to, false, take_lock, &w);
	if (r < 0)
		why_set(why, "the index was changed by somebody; start again");
	r = r == 0 && w.is_out_of_memory ? -ENOMEM : r;
	if (w.n > 0)
		qsort(w.locks, w.n, sizeof(*w.locks), compare_locks);
	api_open(a, NULL, '{');
	api_open(a, "locks", '[');
	for (uint32_t i = 0; i < w.n && i < max && r == 0; i++) {
		name_clear(&name);
		name_object(&name, a->tables, w.locks[i].object);
		api_open(a, NULL, '{');
		api_put_u64(a, "object", w.locks[i].object);
		api_put_name(a, "name", &name);
		api_put_u64(a, "waited_ns", w.locks[i].ns);
		api_close(a, '}');
	}
	api_close(a, ']');
	api_put_u64(a, "locks_in_all", w.n);
	api_close(a, '}');
	free(w.locks);
	map_fini(&w.place_of);
	return r;
}

/* ---- the row of a lock, a file, a task ---- */

static int find_thing(const struct api *a, const struct api_request *q, enum along_kind kind,
		      uint64_t *ret, struct name *name, struct why *why)
{
	const char *end = q->rest + strlen(q->rest);
	bool is_there = api_digits(q->rest, end, kind == ALONG_TASK ? UINT64_MAX : UINT32_MAX, ret);

	name_clear(name);
	if (kind == ALONG_LOCK && is_there) {
		is_there = tables_object(a->tables, *ret) != NULL;
		name_object(name, a->tables, *ret);
	} else if (kind == ALONG_FILE) {
		/* which files there are is known when the trace is read */
		name_file(name, a->tables, *ret);
	} else if (is_there) {
		name_format(name, "task %" PRIu64, *ret);
	}
	if (is_there && *ret != 0)
		return 0;
	why_set(why, "there is no %s %.40s", q->path->name, q->rest);
	return -ENOENT;
}

static void put_use(struct api *a, const struct along_use *u)
{
	struct name name;

	name_clear(&name);
	api_open(a, NULL, '{');
	put_bounds(a, u->begin_ns, u->end_ns);
	api_put_u64(a, "track", u->thread);
	api_put_u64(a, "count", u->count);
	api_put_text(a, "state", u->is_state ? story_state_name(u->state) : NULL);
	if (!u->is_mixed && u->call != 0)
		doing_call(&name, a->tables, u->call, 0);
	else if (!u->is_mixed && u->stack != 0)
		name_stack_host(&name, a->tables, u->stack, 1);
	if (name.n > 0)
		api_put_name(a, "label", &name);
	else
		api_put_null(a, "label");
	api_close(a, '}');
}

struct waiting {
	uint64_t id, ns;
};

static void take_waiting(void *context, uint32_t object, uint64_t ns)
{
	struct waiting *w = context;

	w->ns += object == w->id ? ns : 0;
}

/* What the index knows of waits for a lock, when the events are too many: of each leaf the one that it has most of. */
static int wait_roughly(struct api *a, struct along *along, struct why *why)
{
	const struct timeline_ask *ask = &along->ask;
	int r = 0;

	if (along->kind != ALONG_LOCK || a->state != API_INDEX_READY ||
	    (uint64_t)a->tracks_n * ask->columns > LOOKS_MAX)
		return 0;
	for (uint32_t i = 0; i < a->tracks_n && r == 0; i++) {
		for (uint32_t k = 0; k < ask->columns && r == 0; k++) {
			uint64_t from = timeline_column_begin(ask, k),
				 to = timeline_column_begin(ask, (uint64_t)k + 1);
			struct waiting w = {.id = along->id};

			r = to > from ? index_locks(a->index, a->tracks[i].at, from, to, true,
						    take_waiting, &w)
				      : 0;
			/* a leaf may be longer than a column */
			along->waiting_ns[k] += w.ns < to - from ? w.ns : to - from;
		}
	}
	if (r < 0)
		why_set(why, "the index was changed by somebody; start again");
	return r;
}

static int answer_along(struct api *a, const struct api_request *q, enum along_kind kind,
			struct why *why)
{
	struct along along = {.kind = kind};
	struct story_listener listener;
	struct story_counts counts;
	struct name name;
	int r = columns_of(a, q, &along.ask, why);

	if (r == 0)
		r = find_thing(a, q, kind, &along.id, &name, why);
	if (r == 0)
		r = along_begin(&along, &listener);
	if (r < 0)
		return r;
	api_open_columns(a, &along.ask);
	r = put_is_whole(a, &along.ask) ? tell(a, &along.ask, &listener, &counts, why)
					: wait_roughly(a, &along, why);
	if (kind == ALONG_FILE) {
		name_clear(&name);
		name_file(&name, a->tables, along.id);
	}
	along_end(&along);
	api_put_text(a, "kind", q->path->name);
	api_put_u64(a, "left_out", along.left_out);
	api_put_name(a, "name", &name);
	api_open(a, "waiting_ns", '[');
	for (uint32_t i = 0; i < along.ask.columns; i++)
		api_put_u64(a, NULL, along.waiting_ns[i]);
	api_close(a, ']');
	api_open(a, "uses", '[');
	for (uint32_t i = 0; i < along.uses_n; i++)
		put_use(a, &along.uses[i]);
	api_close(a, ']');
	api_close(a, '}');
	along_fini(&along);
	return r;
}

static int answer_lock(struct api *a, const struct api_request *q, struct answer *ret,
		       struct why *why)
{
	return answer_along(a, q, ALONG_LOCK, why);
}

static int answer_file(struct api *a, const struct api_request *q, struct answer *ret,
		       struct why *why)
{
	return answer_along(a, q, ALONG_FILE, why);
}

static int answer_task(struct api *a, const struct api_request *q, struct answer *ret,
		       struct why *why)
{
	return answer_along(a, q, ALONG_TASK, why);
}

const struct api_path api_paths_lanes[] = {
	{.name = "lanes",
	 .takes = "from to columns tracks",
	 .is_work = true,
	 .answer = answer_lanes},
	{.name = "rare",
	 .takes = "from to columns tracks",
	 .is_work = true,
	 .needs_index = true,
	 .answer = answer_rare},
	{.name = "contended",
	 .takes = "from to max",
	 .is_work = true,
	 .needs_index = true,
	 .answer = answer_contended},
	{.name = "lock",
	 .takes = "from to columns",
	 .has_rest = true,
	 .is_work = true,
	 .answer = answer_lock},
	{.name = "file",
	 .takes = "from to columns",
	 .has_rest = true,
	 .is_work = true,
	 .answer = answer_file},
	{.name = "task",
	 .takes = "from to columns",
	 .has_rest = true,
	 .is_work = true,
	 .answer = answer_task},
	{.name = NULL},
};
