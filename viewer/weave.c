#include "viewer/weave.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/cache.h"
#include "viewer/order.h"

#define BATCH \
	16 /* events that a lane decodes at once: those of some dozen lanes stay in the nearest cache */

struct generation {
	uint32_t number;
	uint32_t first, n; /* of by_generation */
	uint32_t left;     /* blocks that have not been gone through */
	struct correction *corrections;
	size_t corrections_n;
	/* found out while it was prepared, and told when it is begun */
	struct strip_note *notes;
	uint32_t notes_n, notes_room;
	uint64_t corrected, largest_ns; /* up to its end */
};

/* Events of a lane; between two blocks, one of a list. */
union batch {
	union batch *next;
	struct event events[BATCH];
};

struct lane {
	const struct stream *stream;
	uint32_t index; /* of stream->n: the block it is in, or that is next */
	uint32_t cpu;
	uint32_t block; /* it is in, when it is open */
	bool is_open;
	struct decoder decoder;
	union batch *batch;
	int batch_n, batch_at;
	const struct correction *correction, *corrections_end;
	/* the key, of what is next; what came last is never after it */
	uint64_t ns;
	uint32_t rank;
};

/* The keys of lanes, side by side. */
struct heap_lane {
	uint64_t ns;
	uint32_t rank, lane;
};

struct weave {
	const struct reader *reader;
	const struct streams *streams;
	const struct schema *schema;
	struct cache cache;
	struct order order;
	bool is_ordered[256]; /* by type */
	struct lane *lanes;
	uint32_t lanes_n;
	struct map lane_of; /* by thread */
	struct heap_lane *heap;
	uint32_t heap_n;
	uint32_t *by_generation; /* blocks of events */
	uint32_t *stream_of;     /* by block */
	struct ticks *ticks;     /* by block */
	bool *is_bad;            /* by block */
	struct generation *generations;
	uint32_t generations_n;
	uint32_t opened_n;    /* of them events have come */
	uint32_t prepared_n;  /* those have been looked through, and … */
	uint32_t prepared_at; /* … so many blocks of the next */
	int ahead_error;      /* of preparing it */
	struct why ahead_why;
	union batch *free_batches;
	uint64_t bytes_done, bytes_all;
	struct merge_counts counts; /* as notes have them */
	struct strip *strip;        /* that is filled */
};

struct ticks merge_ticks(const struct reader_block *block)
{
	struct ticks ticks;

	if (block->tick_fs != 0)
		ticks_init(&ticks, block->tick_fs, 1000000);
	else
		ticks_init(&ticks, block->last_ns - block->first_ns, block->span);
	return ticks;
}

static int compare_generations(const void *a, const void *b, void *context)
{
	const struct weave *w = context;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	uint32_t g = w->reader->blocks[x].generation, h = w->reader->blocks[y].generation;

	if (g != h)
		return g < h ? -1 : 1;
	if (w->stream_of[x] != w->stream_of[y])
		return w->stream_of[x] < w->stream_of[y] ? -1 : 1;
	return x < y ? -1 : x > y;
}

static int find_generations(struct weave *w)
{
	const struct streams *s = w->streams;
	uint32_t n = s->blocks_n, i;

	w->by_generation = malloc((n + 1) * sizeof(*w->by_generation));
	w->stream_of = malloc((w->reader->blocks_n + 1) * sizeof(*w->stream_of));
	if (w->by_generation == NULL || w->stream_of == NULL)
		return -ENOMEM;
	for (i = 0; i < s->streams_n; i++)
		for (uint32_t k = 0; k < s->streams[i].n; k++)
			w->stream_of[s->order[s->streams[i].first + k]] = i;
	memcpy(w->by_generation, s->order, n * sizeof(*w->by_generation));
	qsort_r(w->by_generation, n, sizeof(*w->by_generation), compare_generations, w);
	for (i = 0; i < n; i++)
		w->generations_n +=
			i == 0 || w->reader->blocks[w->by_generation[i]].generation !=
					  w->reader->blocks[w->by_generation[i - 1]].generation;
	w->generations = calloc(w->generations_n + 1, sizeof(*w->generations));
	if (w->generations == NULL)
		return -ENOMEM;
	w->generations_n = 0;
	for (i = 0; i < n; i++) {
		uint32_t number = w->reader->blocks[w->by_generation[i]].generation;
		struct generation *g = &w->generations[w->generations_n];

		if (w->generations_n == 0 || g[-1].number != number) {
			*g = (struct generation){.number = number, .first = i};
			w->generations_n++;
		}
		g = &w->generations[w->generations_n - 1];
		g->n++;
		g->left++;
	}
	return 0;
}

static struct generation *generation_of(struct weave *w, const struct reader_block *block)
{
	uint32_t low = 0, high = w->generations_n;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (w->generations[middle].number <= block->generation)
			low = middle;
		else
			high = middle;
	}
	return &w->generations[low];
}

/* ---- notes ---- */

static int add_note(struct strip_note **notes, uint32_t n, uint32_t *room,
		    const struct strip_note *note)
{
	struct strip_note *grown;
	uint32_t wanted = *room != 0 ? 2 * *room : 16;

	if (n == *room) {
		grown = realloc(*notes, wanted * sizeof(*grown));
		if (grown == NULL)
			return -ENOMEM;
		*notes = grown;
		*room = wanted;
	}
	(*notes)[n] = *note;
	return 0;
}

/* Into the strip, where it is now. */
static int take_note(struct weave *w, struct strip_note *note)
{
	struct strip *strip = w->strip;
	int r;

	note->at = strip->n;
	note->bytes_done = w->bytes_done;
	note->counts = w->counts;
	r = add_note(&strip->notes, strip->notes_n, &strip->notes_room, note);
	strip->notes_n += r == 0;
	return r;
}

static struct strip_note note_of(uint32_t block, const char *what)
{
	struct strip_note note = {.block = block};

	snprintf(note.what, sizeof(note.what), "%s", what);
	return note;
}

/* ---- generations ---- */

/* The summary of a block tells, for less than unpacking it, that it has nothing to do with locks. */
static bool has_orders(struct weave *w, const struct reader_block *block)
{
	struct reader_summary summary;

	return !reader_is_switches(block) && (reader_summary(w->reader, block, &summary) < 0 ||
					      summary.classes[TRACE_CLASS_SYNC] > 0);
}

/* Looks through a block of the generation that is prepared. */
static int prepare_block(struct weave *w, struct generation *g, uint32_t at, struct why *why)
{
	const struct reader_block *block = &w->reader->blocks[at];
	struct event batch[BATCH];
	struct strip_note note;
	struct decoder decoder;
	const uint8_t *raw;
	const char *what;
	int error, n;

	if (w->is_bad[at] || !has_orders(w, block))
		return 0;
	error = cache_get(&w->cache, at, &raw, &what, why);
	if (error == -EBADMSG) {
		w->is_bad[at] = true;
		note = note_of(at, what);
		error = add_note(&g->notes, g->notes_n, &g->notes_room, &note);
		g->notes_n += error == 0;
	}
	if (error < 0 || w->is_bad[at])
		return error;
	decoder_init(&decoder, w->schema, block);
	while ((n = decoder_next_of(&decoder, raw, w->is_ordered, batch, BATCH)) > 0)
		for (int k = 0; k < n; k++)
			if (order_add(&w->order, &batch[k], at, w->stream_of[at]) < 0)
				return -ENOMEM;
	return 0;
}

/* One block of the generation that is next, or its end. */
static int prepare_step(struct weave *w, struct why *why)
{
	struct generation *g = &w->generations[w->prepared_n];
	int r;

	if (w->prepared_at < g->n)
		return prepare_block(w, g, w->by_generation[g->first + w->prepared_at++], why);
	r = order_finish(&w->order, &g->corrections, &g->corrections_n);
	g->corrected = w->order.corrected;
	g->largest_ns = w->order.largest_ns;
	w->prepared_n++;
	w->prepared_at = 0;
	return r;
}

bool weave_ahead(struct weave *w)
{
	/* what is unpacked now must not be in the way of what is being woven */
	if (w->ahead_error < 0 || w->opened_n == 0 || w->prepared_n != w->opened_n ||
	    w->prepared_n == w->generations_n || w->cache.bytes > CACHE_BYTES / 2)
		return false;
	w->ahead_error = prepare_step(w, &w->ahead_why);
	return w->ahead_error == 0;
}

/* The events of @g come. In their order, for one goes on with what the one before it knew. */
static int open_generation(struct weave *w, const struct generation *g, struct why *why)
{
	int r = 0;

	while (w->opened_n <= g - w->generations && r == 0) {
		struct generation *next = &w->generations[w->opened_n];

		r = w->ahead_error;
		if (r < 0)
			*why = w->ahead_why;
		while (r == 0 && w->prepared_n <= w->opened_n)
			r = prepare_step(w, why);
		if (r < 0)
			break;
		w->counts.corrected = next->corrected;
		w->counts.largest_ns = next->largest_ns;
		for (uint32_t i = 0; i < next->notes_n && r == 0; i++)
			r = take_note(w, &next->notes[i]);
		free(next->notes);
		next->notes = NULL;
		next->notes_n = next->notes_room = 0;
		w->opened_n++;
	}
	return r;
}

/* ---- a heap of lanes: the earliest is at 0 ---- */

static inline bool is_before(const struct heap_lane *x, const struct heap_lane *y)
{
	if (x->ns != y->ns)
		return x->ns < y->ns;
	if (x->rank != y->rank)
		return x->rank < y->rank;
	return x->lane < y->lane;
}

/* In the place of the lane on top there is @key. */
static inline void sink_first(struct weave *w, struct heap_lane key)
{
	struct heap_lane *heap = w->heap;
	uint32_t at = 0, n = w->heap_n;

	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= n)
			break;
		if (child + 1 < n)
			child += is_before(&heap[child + 1], &heap[child]);
		if (!is_before(&heap[child], &key))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = key;
}

static void push(struct weave *w, uint32_t lane)
{
	struct heap_lane *heap = w->heap, key = {w->lanes[lane].ns, w->lanes[lane].rank, lane};
	uint32_t at = w->heap_n++;

	while (at > 0 && is_before(&key, &heap[(at - 1) / 2])) {
		heap[at] = heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	heap[at] = key;
}

/* ---- lanes ---- */

static union batch *take_batch(struct weave *w)
{
	union batch *batch = w->free_batches;

	if (batch == NULL)
		return malloc(sizeof(*batch));
	w->free_batches = batch->next;
	return batch;
}

static void give_batch(struct weave *w, struct lane *lane)
{
	if (lane->batch == NULL)
		return;
	lane->batch->next = w->free_batches;
	w->free_batches = lane->batch;
	lane->batch = NULL;
}

static uint32_t lane_block(const struct weave *w, const struct lane *lane)
{
	return w->streams->order[lane->stream->first + lane->index];
}

/* Moves the key to @ns, @rank: never back. */
static void advance(struct lane *lane, uint64_t ns, uint32_t rank)
{
	if (ns > lane->ns) {
		lane->ns = ns;
		lane->rank = rank;
	} else if (ns == lane->ns && rank > lane->rank) {
		lane->rank = rank;
	}
}

static void close_block(struct weave *w, struct lane *lane)
{
	uint32_t at = lane_block(w, lane);
	struct generation *g = generation_of(w, &w->reader->blocks[at]);

	w->bytes_done += w->reader->blocks[at].stored_bytes;
	cache_drop(&w->cache, at);
	give_batch(w, lane);
	lane->is_open = false;
	lane->index++;
	if (--g->left == 0) {
		free(g->corrections);
		g->corrections = NULL;
		g->corrections_n = 0;
	}
	if (lane->index < lane->stream->n)
		advance(lane, w->reader->blocks[lane_block(w, lane)].first_ns, 0);
}

static const struct correction *find_correction(const struct generation *g, uint32_t block)
{
	size_t low = 0, high = g->corrections_n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (g->corrections[middle].block < block)
			low = middle + 1;
		else
			high = middle;
	}
	return g->corrections_n > 0 ? g->corrections + low : NULL;
}

/* Decodes the next events of the lane's block. 0, 1 when there are none left, or a negative errno. */
static int refill(struct weave *w, struct lane *lane, struct why *why)
{
	uint32_t at = lane_block(w, lane);
	const char *what = lane->decoder.what;
	struct strip_note note;
	const uint8_t *raw;
	int n;

	lane->batch_at = lane->batch_n = 0;
	if (w->is_bad[at]) {
		w->counts.unreadable += decoder_left(&lane->decoder);
		return 1;
	}
	n = cache_get(&w->cache, at, &raw, &what, why);
	if (n == 0)
		n = decoder_next(&lane->decoder, raw, lane->batch->events, BATCH);
	if (n > 0) {
		lane->batch_n = n;
		return 0;
	}
	if (n < 0 && n != -EBADMSG && n != -ENOTSUP)
		return n;
	if (n < 0)
		w->counts.unreadable += decoder_left(&lane->decoder);
	if (n == -EBADMSG) {
		w->is_bad[at] = true;
		note = note_of(at, what);
		n = take_note(w, &note);
	}
	return n == -ENOMEM ? n : 1;
}

/* Begins the lane's next block, whose time has come. */
static int open_block(struct weave *w, struct lane *lane, struct why *why)
{
	uint32_t at = lane_block(w, lane);
	const struct reader_block *block = &w->reader->blocks[at];
	struct generation *g = generation_of(w, block);
	struct strip_note step = {.is_step = true, .block = STRIP_NONE};
	int error;

	error = take_note(w, &step);
	if (error == 0)
		error = open_generation(w, g, why);
	if (error < 0)
		return error;
	decoder_init(&lane->decoder, w->schema, block);
	w->ticks[at] = merge_ticks(block);
	lane->batch = take_batch(w);
	if (lane->batch == NULL)
		return -ENOMEM;
	lane->batch_at = lane->batch_n = 0;
	lane->correction = find_correction(g, at);
	lane->corrections_end = g->corrections_n > 0 ? g->corrections + g->corrections_n : NULL;
	lane->block = at;
	lane->is_open = true;
	return 0;
}

/* The key of the event that is next in the batch. */
static inline void set_key(struct lane *lane)
{
	const struct event *event = &lane->batch->events[lane->batch_at];
	const struct correction *c = lane->correction;

	if (c < lane->corrections_end && c->ordinal == event->ordinal && c->block == lane->block) {
		lane->correction++;
		advance(lane, c->ns, c->rank);
	} else {
		advance(lane, event->ns, 0);
	}
}

/*
 * Brings the lane on top of the heap, which is open, to its next event, or closes its block. The heap has it in its new place
 * then, or not any more.
 */
static int go_on(struct weave *w, struct lane *lane, struct why *why)
{
	int r = 0;

	if (lane->batch_at == lane->batch_n)
		r = refill(w, lane, why);
	if (r < 0)
		return r;
	if (r == 0)
		set_key(lane);
	else
		close_block(w, lane);
	if (lane->is_open || lane->index < lane->stream->n)
		sink_first(w,
			   (struct heap_lane){lane->ns, lane->rank, (uint32_t)(lane - w->lanes)});
	else if (--w->heap_n > 0)
		sink_first(w, w->heap[w->heap_n]);
	return 0;
}

/* Who it is about, and on which processor. */
static void attribute(struct weave *w, struct lane *lane, struct strip_event *e)
{
	const struct event *event = &e->event;

	if (!lane->stream->is_switches) {
		if (event->type == TRACE_CPU_EVENT)
			lane->cpu = (uint32_t)event->arguments[0];
		else if (event->type == TRACE_CPU_SAMPLE_EVENT && event->n > 2)
			lane->cpu = (uint32_t)event->arguments[2];
		e->thread = lane->stream->thread;
		e->stream = (uint32_t)(lane - w->lanes);
		e->cpu = lane->cpu;
		return;
	}
	e->cpu = lane->stream->thread;
	e->thread = 0;
	e->stream = MERGE_NO_STREAM;
	if (event->type != TRACE_SCHED_IN_EVENT && event->type != TRACE_SCHED_OUT_EVENT)
		return;
	e->thread = (uint32_t)event->arguments[0];
	e->stream = map_get(&w->lane_of, e->thread);
	if (e->stream != MERGE_NO_STREAM)
		w->lanes[e->stream].cpu = e->cpu;
}

/* A lane of the heap is at an event, whose time is its key, or is closed, and its key is the beginning of its next block. */
void weave_fill(struct weave *w, struct strip *strip)
{
	struct strip_event *e = strip->events, *end = e + STRIP_EVENTS;
	struct lane *lane;
	int r = 0;

	w->strip = strip;
	strip->n = strip->notes_n = 0;
	while (r == 0 && w->heap_n > 0 && e < end && strip->notes_n < STRIP_NOTES) {
		lane = &w->lanes[w->heap[0].lane];
		if (lane->is_open) {
			e->event = lane->batch->events[lane->batch_at++];
			e->event.ns = lane->ns;
			e->block = lane->block;
			attribute(w, lane, e++);
			strip->n++;
		} else {
			r = open_block(w, lane, &strip->why);
		}
		if (r == 0)
			r = go_on(w, lane, &strip->why);
	}
	strip->result = r < 0 ? r : w->heap_n > 0;
}

int strip_init(struct strip *strip)
{
	*strip = (struct strip){.events = malloc(STRIP_EVENTS * sizeof(*strip->events)),
				.result = 1};
	return strip->events != NULL ? 0 : -ENOMEM;
}

void strip_fini(struct strip *strip)
{
	free(strip->events);
	free(strip->notes);
}

int weave_create(struct weave **ret, const struct reader *r, const struct streams *s,
		 const struct schema *schema)
{
	struct weave *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return -ENOMEM;
	w->reader = r;
	w->streams = s;
	w->schema = schema;
	w->lanes_n = s->streams_n;
	w->lanes = calloc(s->streams_n + 1, sizeof(*w->lanes));
	w->heap = malloc((s->streams_n + 1) * sizeof(*w->heap));
	w->ticks = calloc(r->blocks_n + 1, sizeof(*w->ticks));
	w->is_bad = malloc(r->blocks_n + 1);
	if (w->lanes == NULL || w->heap == NULL || w->ticks == NULL || w->is_bad == NULL ||
	    cache_init(&w->cache, r) < 0 || find_generations(w) < 0)
		goto fail;
	for (unsigned i = 0; i < 256; i++)
		w->is_ordered[i] = order_has((uint8_t)i);
	for (size_t i = 0; i < r->blocks_n; i++)
		w->is_bad[i] = r->blocks[i].is_bad;
	for (uint32_t i = 0; i < s->streams_n; i++) {
		struct lane *lane = &w->lanes[i];

		lane->stream = &s->streams[i];
		lane->cpu = MERGE_NO_CPU;
		if (lane->stream->n == 0)
			continue;
		lane->ns = r->blocks[lane_block(w, lane)].first_ns;
		push(w, i);
		if (!lane->stream->is_switches && map_set(&w->lane_of, lane->stream->thread, i) < 0)
			goto fail;
	}
	for (uint32_t i = 0; i < s->blocks_n; i++)
		w->bytes_all += r->blocks[s->order[i]].stored_bytes;
	*ret = w;
	return 0;

fail:
	weave_destroy(w);
	return -ENOMEM;
}

/* The last generation that began by then. */
static uint32_t generation_at(const struct weave *w, uint64_t ns)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < w->generations_n; i++) {
		const struct generation *g = &w->generations[i];
		uint64_t begin = UINT64_MAX;

		for (uint32_t k = g->first; k < g->first + g->n; k++)
			if (w->reader->blocks[w->by_generation[k]].first_ns < begin)
				begin = w->reader->blocks[w->by_generation[k]].first_ns;
		if (begin <= ns)
			found = i;
	}
	return found;
}

void weave_seek(struct weave *w, uint64_t ns)
{
	uint32_t at = generation_at(w, ns);

	if (at == 0)
		return;
	w->prepared_n = w->opened_n = at;
	w->heap_n = 0;
	w->bytes_all = 0;
	for (uint32_t i = 0; i < w->lanes_n; i++) {
		struct lane *lane = &w->lanes[i];
		const struct reader_block *block;

		while (lane->index < lane->stream->n &&
		       w->reader->blocks[lane_block(w, lane)].generation <
			       w->generations[at].number)
			lane->index++;
		for (uint32_t k = lane->index; k < lane->stream->n; k++)
			w->bytes_all +=
				w->reader->blocks[w->streams->order[lane->stream->first + k]]
					.stored_bytes;
		if (lane->index == lane->stream->n)
			continue;
		block = &w->reader->blocks[lane_block(w, lane)];
		lane->ns = block->first_ns;
		push(w, i);
	}
}

void weave_destroy(struct weave *w)
{
	union batch *batch;

	if (w == NULL)
		return;
	for (uint32_t i = 0; i < w->lanes_n && w->lanes != NULL; i++)
		free(w->lanes[i].batch);
	while ((batch = w->free_batches) != NULL) {
		w->free_batches = batch->next;
		free(batch);
	}
	for (uint32_t i = 0; i < w->generations_n && w->generations != NULL; i++) {
		free(w->generations[i].corrections);
		free(w->generations[i].notes);
	}
	free(w->generations);
	free(w->stream_of);
	free(w->by_generation);
	map_fini(&w->lane_of);
	order_fini(&w->order);
	cache_fini(&w->cache);
	free(w->is_bad);
	free(w->ticks);
	free(w->heap);
	free(w->lanes);
	free(w);
}

uint64_t weave_bytes(const struct weave *w)
{
	return w->bytes_all;
}

const struct ticks *weave_ticks(const struct weave *w, uint32_t block)
{
	return &w->ticks[block];
}
