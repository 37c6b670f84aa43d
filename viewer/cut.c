#include "viewer/cut.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/checksum.h"
#include "viewer/decode.h"
#include "viewer/merge.h"
#include "viewer/order.h"
#include "viewer/repair.h"
#include "viewer/rewrite.h"
#include "viewer/status.h"
#include "viewer/varint.h"

#define BATCH         64
#define SUMMARY_BYTES ((TRACE_STATES + TRACE_CLASSES) * VARINT_BYTES_MAX)

/* A stream, and how far it was gone through. */
struct lane {
	const struct stream *stream;
	uint32_t sequence; /* of its next block in the new trace */
	uint32_t missing;  /* blocks, in the old one, since the last that was written */
	uint64_t lost;     /* events that could not be read, since then */
	uint64_t ns;       /* of its last event: none is before */
	bool has_before;   /* something of it is before the time that is wanted */
	bool is_met;       /* its first block is known */
	bool is_begun;     /* it is in it */
	bool is_wanted;    /* its thread; of processors each event says */
	struct status *status;
	uint64_t clock[4]; /* of the process: the last clock.sync */
	bool has_clock;
	uint32_t running; /* of a processor: the thread that it runs; 0: not known */
};

struct piece {
	uint32_t generation, lane, block;
	uint32_t index; /* in its stream */
};

struct work {
	struct cut *ret;
	struct cut_wanted *wanted;
	struct reader *reader;
	const struct streams *streams;
	const struct tables *tables;
	struct rewrite *w;
	struct why *why;
	struct lane *lanes;
	struct piece *pieces;
	uint32_t pieces_n;
	struct order order;
	struct correction *corrections; /* of the generation at hand */
	size_t corrections_n;
	uint8_t *raw;
	uint32_t needs[NEEDS]; /* all identifiers that there are */
	bool has_after;        /* something is later than what is wanted */

	/* the block that is being written */
	uint8_t *out;
	uint32_t used, events, classes[TRACE_CLASSES];
	uint64_t first_ns, last_ns;
};

/* Which blocks */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static int compare_pieces(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	if (x->generation != y->generation)
		return x->generation < y->generation ? -1 : 1;
	if (x->lane != y->lane)
		return x->lane < y->lane ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/*
 * Generations that have something of the time that is wanted; and the one before, in which what a thread does at the beginning
 * may have begun. Blocks of a stream are gone through in their order, whatever generations they tell of.
 */
static int find_pieces(struct work *k)
{
	const struct streams *s = k->streams;
	uint64_t first = UINT64_MAX, last = 0;
	uint32_t n = 0;

	k->pieces = malloc((s->blocks_n + 1) * sizeof(*k->pieces));
	if (k->pieces == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->streams_n; i++) {
		uint64_t generation = 0;

		for (uint32_t j = 0; j < s->streams[i].n; j++) {
			uint32_t at = s->order[s->streams[i].first + j];
			const struct reader_block *block = &k->reader->blocks[at];

			generation = max_u64(generation, block->generation);
			k->pieces[n++] = (struct piece){(uint32_t)generation, i, at, j};
			if (block->last_ns >= k->wanted->from_ns)
				first = min_u64(first, generation);
			if (block->first_ns <= k->wanted->to_ns)
				last = max_u64(last, generation);
			k->has_after = k->has_after || block->last_ns > k->wanted->to_ns;
		}
	}
	first = first == 0 ? 0 : first - 1;
	for (uint32_t i = 0; i < n; i++) {
		if (k->pieces[i].generation < first)
			k->lanes[k->pieces[i].lane].has_before = true;
		else if (k->pieces[i].generation <= last)
			k->pieces[k->pieces_n++] = k->pieces[i];
	}
	qsort(k->pieces, k->pieces_n, sizeof(*k->pieces), compare_pieces);
	return 0;
}

/* Times: what has to wait for others, in the generation of @pieces. */

static bool has_orders(struct work *k, const struct reader_block *block)
{
	struct reader_summary summary;

	return !reader_is_switches(block) && (reader_summary(k->reader, block, &summary) < 0 ||
					      summary.classes[TRACE_CLASS_SYNC] > 0);
}

static int find_corrections(struct work *k, const struct piece *pieces, uint32_t n)
{
	struct event batch[BATCH];
	struct decoder decoder;
	int error, found;

	for (uint32_t i = 0; i < n; i++) {
		struct reader_block *block = &k->reader->blocks[pieces[i].block];

		if (block->is_bad || !has_orders(k, block))
			continue;
		error = reader_load(k->reader, block, k->raw, k->why);
		if (error == -EBADMSG)
			continue;
		if (error < 0)
			return error;
		decoder_init(&decoder, &k->tables->schema, block);
		while ((found = decoder_next(&decoder, k->raw, batch, BATCH)) > 0)
			for (int e = 0; e < found; e++)
				if (order_add(&k->order, &batch[e], pieces[i].block,
					      pieces[i].lane) < 0)
					return -ENOMEM;
	}
	free(k->corrections);
	k->corrections = NULL;
	k->corrections_n = 0;
	return order_finish(&k->order, &k->corrections, &k->corrections_n);
}

static const struct correction *corrections_of(const struct work *k, uint32_t block)
{
	size_t low = 0, high = k->corrections_n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (k->corrections[middle].block < block)
			low = middle + 1;
		else
			high = middle;
	}
	return k->corrections + low;
}

/* Blocks of the new trace */

/* Number, flag of a gap, and what was lost, of the next block of @lane, which has lost @lost by itself. */
static struct rewrite_change number_block(struct lane *lane, uint8_t flags, uint64_t lost)
{
	struct rewrite_change change = {.flags = flags};

	if (lane->missing > 0 || lane->lost > 0 || lost > 0)
		change.flags |= TRACE_BLOCK_AFTER_GAP;
	/* what is missing before the beginning is not missing here; numbers end, and a few more blocks may come */
	if ((lane->sequence > 0 || !lane->has_before) &&
	    lane->missing < UINT32_MAX / 2 - lane->sequence / 2)
		lane->sequence += lane->missing;
	change.sequence = lane->sequence++;
	change.lost_before = lost + lane->lost < lost ? UINT64_MAX : lost + lane->lost;
	lane->missing = 0;
	lane->lost = 0;
	return change;
}

static uint32_t put_summary(struct work *k, struct lane *lane, uint8_t *to)
{
	uint8_t *at = to;

	if (lane->status == NULL)
		return 0;
	for (unsigned i = 0; i < TRACE_STATES; i++)
		at = varint_put(at, lane->status->state_ns[i]);
	for (unsigned i = 0; i < TRACE_CLASSES; i++)
		at = varint_put(at, k->classes[i]);
	return (uint32_t)(at - to);
}

/* What was gathered, as a block like @like; empty ones only when there is something to tell. */
static int write_block(struct work *k, struct lane *lane, const struct reader_block *like,
		       uint8_t flags, uint64_t lost)
{
	struct rewrite_change change = number_block(lane, flags, lost);
	struct trace_block_header h = {
		.kind = TRACE_BLOCK_EVENTS,
		.flags = change.flags,
		.generation = like->generation,
		.thread = lane->stream->thread,
		.sequence = change.sequence,
		.raw_bytes = k->used,
		.events = k->events,
		.first_ns = k->first_ns,
		.last_ns = k->last_ns,
		.span = k->last_ns - k->first_ns,
		.needs_strings = like->needs[NEEDS_STRINGS],
		.needs_stacks = like->needs[NEEDS_STACKS],
		.needs_objects = like->needs[NEEDS_OBJECTS],
		.needs_modules = like->needs[NEEDS_MODULES],
		.lost_before = change.lost_before,
		.recorder_ns = like->events > 0 ? (uint32_t)((uint64_t)like->recorder_ns *
							     k->events / like->events)
						: 0,
		.tick_fs = like->tick_fs,
	};
	uint8_t summary[SUMMARY_BYTES];
	int error;

	error = rewrite_block(k->w, &h, summary, put_summary(k, lane, summary), k->out);
	k->ret->blocks++;
	k->ret->events += k->events;
	k->used = k->events = 0;
	memset(k->classes, 0, sizeof(k->classes));
	if (lane->status != NULL)
		memset(lane->status->state_ns, 0, sizeof(lane->status->state_ns));
	return error;
}

/* One of @n bytes, which are @events events of one moment, and of which all tables may be needed. */
static int write_moment(struct work *k, struct lane *lane, uint8_t flags, uint32_t generation,
			uint32_t events, uint8_t class)
{
	struct reader_block like = {.generation = generation, .tick_fs = 1000000};

	for (unsigned i = 0; i < NEEDS; i++)
		like.needs[i] = k->needs[i];
	k->first_ns = k->last_ns = k->wanted->from_ns;
	k->events = events;
	k->classes[class] = events;
	return write_block(k, lane, &like,
			   flags | (lane->stream->is_switches ? TRACE_BLOCK_SWITCHES : 0), 0);
}

/* The stream comes into the time that is wanted: what is it in the middle of? */
static int begin_lane(struct work *k, struct lane *lane, uint32_t generation)
{
	const struct schema *schema = &k->tables->schema;
	uint64_t running = lane->running;
	uint32_t events;

	lane->is_begun = true;
	if (!lane->has_before)
		return 0;
	if (lane->stream->is_switches) {
		if (running == 0 || k->wanted->dropped[TRACE_SCHED_IN_EVENT] ||
		    !select_has_thread(&k->wanted->threads, lane->running))
			return 0;
		k->used = (uint32_t)(event_put(k->out, schema, TRACE_SCHED_IN_EVENT, &running, 1) -
				     k->out);
		return write_moment(k, lane, 0, generation, 1, TRACE_CLASS_SCHED);
	}
	if (lane->stream->thread == TRACE_ALL) {
		if (!lane->has_clock)
			return 0;
		k->used = (uint32_t)(event_put(k->out, schema, TRACE_CLOCK_SYNC_EVENT, lane->clock,
					       4) -
				     k->out);
		return write_moment(k, lane, TRACE_BLOCK_STARTS, generation, 1, TRACE_CLASS_BOOK);
	}
	if (!lane->is_wanted || lane->status == NULL || !lane->status->is_known ||
	    lane->status->is_over)
		return 0;
	k->used = status_put(lane->status, schema, k->wanted->from_ns, k->out, &events);
	lane->status->ns = k->wanted->from_ns;
	memset(lane->status->state_ns, 0, sizeof(lane->status->state_ns));
	return write_moment(k, lane, 0, generation, events, TRACE_CLASS_THREAD);
}

/* Events */

static bool is_book(uint8_t type)
{
	return type == TRACE_CLOCK_SYNC_EVENT || type == TRACE_LOST_EVENT ||
	       type == TRACE_THREAD_STATUS_EVENT || type == TRACE_STATUS_HELD_EVENT ||
	       type == TRACE_STATUS_REGION_EVENT;
}

static bool wants(struct work *k, const struct lane *lane, const struct event *event)
{
	bool is_wanted = lane->is_wanted;

	if (lane->stream->is_switches &&
	    (event->type == TRACE_SCHED_IN_EVENT || event->type == TRACE_SCHED_OUT_EVENT))
		is_wanted = select_has_thread(&k->wanted->threads, (uint32_t)event->arguments[0]);
	else if (lane->stream->is_switches || lane->stream->thread == TRACE_ALL)
		is_wanted = is_wanted || is_book(event->type);
	return is_wanted && (is_book(event->type) || !k->wanted->dropped[event->type]);
}

/* Appends an event, whose bytes are at @from, and whose ticks become ns where the block said nothing of them. */
static void append(struct work *k, const struct reader_block *block, const struct event *event,
		   const uint8_t *from, const struct ticks *ticks)
{
	const struct event_type *type = &k->tables->schema.types[event->type];
	uint8_t *at = k->out + k->used;
	uint64_t value;

	if (k->events == 0)
		k->first_ns = k->last_ns = event->ns;
	*at++ = *from++;
	from = varint_get(from, &value);
	at = varint_put(at, event->ns - k->last_ns);
	for (unsigned i = 0; i < type->n; i++) {
		from = varint_get(from, &value);
		if (block->tick_fs == 0 && type->kinds[i] == ARGUMENT_TICKS)
			value = ticks_to_ns(ticks, value);
		at = varint_put(at, (int)i == type->order ? event->arguments[i] : value);
	}
	k->used = (uint32_t)(at - k->out);
	k->last_ns = event->ns;
	k->events++;
	if (type->class < TRACE_CLASSES)
		k->classes[type->class]++;
}

/* What the stream is in the middle of behind @event. */
static void follow(struct lane *lane, const struct event *event, const struct ticks *ticks)
{
	if (lane->stream->is_switches) {
		if (event->type == TRACE_SCHED_IN_EVENT)
			lane->running = (uint32_t)event->arguments[0];
		else if (event->type == TRACE_SCHED_OUT_EVENT || event->type == TRACE_LOST_EVENT)
			lane->running = 0;
	} else if (event->type == TRACE_CLOCK_SYNC_EVENT) {
		memcpy(lane->clock, event->arguments, sizeof(lane->clock));
		lane->has_clock = true;
	} else if (lane->status != NULL) {
		status_take(lane->status, event, ticks);
	}
}

/* What of a block's bytes cannot be used is lost from here on. */
static void note_unreadable(struct work *k, struct lane *lane, const struct reader_block *block,
			    uint32_t events)
{
	if (block->last_ns < k->wanted->from_ns || block->first_ns > k->wanted->to_ns)
		return;
	lane->lost += events;
	k->ret->unreadable += events;
}

/* Blocks of the old trace that are missing before the @index-th of the stream. */
static uint32_t count_missing(const struct work *k, const struct lane *lane, uint32_t index)
{
	const uint32_t *order = &k->streams->order[lane->stream->first];
	uint32_t sequence = k->reader->blocks[order[index]].sequence;

	if (index > 0)
		return sequence - k->reader->blocks[order[index - 1]].sequence - 1;
	return k->reader->header.flags & TRACE_IS_RING ? 0 : sequence;
}

/* Where one goes through a block of the old trace. */
struct going {
	struct decoder decoder;
	struct ticks ticks;
	const struct correction *correction, *end;
	uint32_t block;
};

/*
 * The next event, with the time that it has among all others, in *event; *ret_from: where it begins. What decoder_next()
 * returns; *ret_is_moved: its time is not what its block says.
 */
static int next_event(struct work *k, struct lane *lane, struct going *at, struct event *event,
		      uint32_t *ret_from, bool *ret_is_moved)
{
	uint64_t own_ns;
	int n;

	*ret_from = at->decoder.at;
	n = decoder_next(&at->decoder, k->raw, event, 1);
	if (n <= 0)
		return n;
	own_ns = event->ns;
	if (at->correction < at->end && at->correction->block == at->block &&
	    at->correction->ordinal == event->ordinal) {
		event->ns = at->correction->ns;
		at->correction++;
	}
	lane->ns = event->ns = max_u64(event->ns, lane->ns);
	*ret_is_moved = event->ns != own_ns;
	return n;
}

static void begin_walk(struct work *k, struct going *at, uint32_t block)
{
	const struct reader_block *b = &k->reader->blocks[block];

	decoder_init(&at->decoder, &k->tables->schema, b);
	at->ticks = merge_ticks(b);
	at->block = block;
	at->correction = k->corrections_n > 0 ? corrections_of(k, block) : NULL;
	at->end = k->corrections_n > 0 ? k->corrections + k->corrections_n : NULL;
}

/* The flags that a block keeps when something of it is left out at its beginning, or its end. */
static uint8_t flags_of(const struct reader_block *block, bool has_begin, bool has_end)
{
	uint8_t flags = block->flags & (uint8_t)~TRACE_BLOCK_STEPS;

	if (!has_begin)
		flags &= (uint8_t) ~(TRACE_BLOCK_STARTS | TRACE_BLOCK_AFTER_GAP);
	if (!has_end)
		flags &= (uint8_t)~TRACE_BLOCK_LAST;
	return flags;
}

static int copy_block(struct work *k, struct lane *lane, const struct reader_block *block)
{
	struct rewrite_change change = number_block(lane, block->flags, block->lost_before);

	k->used = k->events = 0;
	memset(k->classes, 0, sizeof(k->classes));
	if (lane->status != NULL)
		memset(lane->status->state_ns, 0, sizeof(lane->status->state_ns));
	k->ret->blocks++;
	k->ret->events += block->events;
	return rewrite_copy(k->w, block, &change);
}

static int cut_block(struct work *k, struct lane *lane, const struct piece *piece)
{
	struct reader_block *block = &k->reader->blocks[piece->block];
	bool is_whole = true, is_later = false, is_moved, has_begin = true;
	uint64_t lost = block->lost_before;
	struct going at;
	struct event event;
	uint32_t from;
	int n, error;

	lane->missing += count_missing(k, lane, piece->index);
	error = block->is_bad ? -EBADMSG : reader_load(k->reader, block, k->raw, k->why);
	if (error == -EBADMSG) {
		note_unreadable(k, lane, block, block->events);
		return 0;
	}
	if (error < 0)
		return error;
	begin_walk(k, &at, piece->block);
	while ((n = next_event(k, lane, &at, &event, &from, &is_moved)) > 0) {
		if (event.ns > k->wanted->to_ns) {
			is_later = true;
			break;
		}
		if (event.ns < k->wanted->from_ns) {
			lane->has_before = true;
			lane->missing = 0;
			has_begin = is_whole = false;
			follow(lane, &event, &at.ticks);
			continue;
		}
		if (!lane->is_begun) {
			error = begin_lane(k, lane, block->generation);
			if (error < 0)
				return error;
		}
		follow(lane, &event, &at.ticks);
		if (!wants(k, lane, &event)) {
			is_whole = false;
			continue;
		}
		is_whole = is_whole && !is_moved;
		if (k->used > TRACE_RAW_MAX - EVENT_BYTES) {
			error = write_block(k, lane, block, flags_of(block, has_begin, false),
					    has_begin ? lost : 0);
			if (error < 0)
				return error;
			lost = 0;
			has_begin = is_whole = false;
		}
		append(k, block, &event, k->raw + from, &at.ticks);
	}
	if (n == -EBADMSG)
		reader_spoil(k->reader, block, at.decoder.what);
	if (is_later && k->events == 0)
		return 0;
	if (block->events == 0)
		has_begin = block->first_ns >= k->wanted->from_ns &&
			    block->first_ns <= k->wanted->to_ns;
	lost = has_begin ? lost : 0;
	if (n == 0 && is_whole && k->events == block->events && (k->events > 0 || lost > 0))
		error = copy_block(k, lane, block);
	else if (k->events > 0 || lost > 0) {
		if (k->events == 0)
			k->first_ns = k->last_ns = max_u64(block->first_ns, k->wanted->from_ns);
		error = write_block(k, lane, block, flags_of(block, has_begin, n == 0 && !is_later),
				    lost);
	}
	if (n < 0)
		note_unreadable(k, lane, block, decoder_left(&at.decoder));
	return error;
}

/* Generations */

/* Streams that have no event in the time that is wanted before the next generation have begun, too. */
static int begin_others(struct work *k, uint32_t generation)
{
	int error = 0;

	for (uint32_t i = 0; i < k->streams->streams_n && error == 0; i++)
		if (!k->lanes[i].is_begun && k->lanes[i].has_before)
			error = begin_lane(k, &k->lanes[i], generation);
	return error;
}

static int cut_generation(struct work *k, const struct piece *pieces, uint32_t n,
			  const struct watch *watch)
{
	uint64_t last_ns = 0;
	int error = find_corrections(k, pieces, n);

	k->w->generation = pieces[0].generation;
	for (uint32_t i = 0; i < n && error == 0; i++) {
		struct lane *lane = &k->lanes[pieces[i].lane];
		const struct reader_block *block = &k->reader->blocks[pieces[i].block];

		if (watch_step(watch, block->offset, k->reader->source.size))
			return -EINTR;
		last_ns = max_u64(last_ns, block->last_ns);
		if (lane->is_wanted || lane->stream->is_switches ||
		    lane->stream->thread == TRACE_ALL)
			error = cut_block(k, lane, &pieces[i]);
	}
	if (error == 0 && last_ns >= k->wanted->from_ns)
		error = begin_others(k, pieces[0].generation);
	return error;
}

/* The thread that a processor ran when the first block that is looked at begins. */
static int look_before(struct work *k, struct lane *lane, uint32_t index)
{
	uint32_t block = k->streams->order[lane->stream->first + index - 1];
	struct going at;
	struct event event;
	uint32_t from;
	bool is_moved;
	int error;

	if (k->reader->blocks[block].is_bad)
		return 0;
	error = reader_load(k->reader, &k->reader->blocks[block], k->raw, k->why);
	if (error < 0)
		return error == -EBADMSG ? 0 : error;
	begin_walk(k, &at, block);
	while (next_event(k, lane, &at, &event, &from, &is_moved) > 0)
		follow(lane, &event, &at.ticks);
	return 0;
}

static int begin_lanes(struct work *k)
{
	int error = 0;

	for (uint32_t i = 0; i < k->streams->streams_n; i++) {
		struct lane *lane = &k->lanes[i];

		lane->stream = &k->streams->streams[i];
		if (lane->stream->is_switches) {
			lane->is_wanted = k->wanted->threads.n == 0;
			continue;
		}
		lane->is_wanted = select_has_thread(&k->wanted->threads, lane->stream->thread);
		if (lane->stream->thread == TRACE_ALL || !lane->is_wanted)
			continue;
		lane->status = calloc(1, sizeof(*lane->status));
		if (lane->status == NULL)
			return -ENOMEM;
	}
	/* beyond what tables have, where one is damaged */
	memcpy(k->needs, k->tables->known, sizeof(k->needs));
	for (size_t i = 0; i < k->reader->blocks_n; i++)
		for (unsigned n = 0; n < NEEDS; n++)
			k->needs[n] = (uint32_t)max_u64(k->needs[n], k->reader->blocks[i].needs[n]);
	error = find_pieces(k);
	for (uint32_t i = 0; i < k->pieces_n && error == 0; i++) {
		struct lane *lane = &k->lanes[k->pieces[i].lane];

		if (lane->stream->is_switches && k->pieces[i].index > 0 && !lane->is_met)
			error = look_before(k, lane, k->pieces[i].index);
		lane->is_met = true;
	}
	return error;
}

static int cut_events(struct work *k, const struct watch *watch)
{
	uint32_t first = 0;
	int error = 0;

	for (uint32_t i = 1; i <= k->pieces_n && error == 0; i++) {
		if (i < k->pieces_n && k->pieces[i].generation == k->pieces[first].generation)
			continue;
		error = cut_generation(k, &k->pieces[first], i - first, watch);
		first = i;
	}
	/* what was lost behind a stream's last block */
	for (uint32_t i = 0; i < k->streams->streams_n && error == 0; i++) {
		struct reader_block like = {.generation = k->w->generation};
		struct lane *lane = &k->lanes[i];

		k->first_ns = k->last_ns = max_u64(lane->ns, k->wanted->from_ns);
		if (lane->lost > 0)
			error = write_block(k, lane, &like,
					    lane->stream->is_switches ? TRACE_BLOCK_SWITCHES : 0,
					    0);
	}
	return error;
}

static bool is_table(const struct reader_block *block)
{
	return block->kind != TRACE_BLOCK_EVENTS;
}

/* It is another trace, and the same each time that it is cut so. */
static void make_uuid(const struct reader *r, const char *note, uint8_t ret[16])
{
	char text[256];

	for (unsigned i = 0; i < 4; i++) {
		uint32_t word;
		int n = snprintf(text, sizeof(text), "%u %.200s", i, note);

		word = checksum_xxh32(text, (size_t)n);
		memcpy(ret + 4 * i, r->header.uuid + 4 * i, 4);
		for (unsigned b = 0; b < 4; b++)
			ret[4 * i + b] ^= (uint8_t)(word >> 8 * b);
	}
}

/* What the trace has no more: whoever reads it must not take what is missing for what did not happen. */
static uint32_t find_dropped(const struct cut_wanted *wanted)
{
	static const struct {
		uint8_t type;
		uint32_t flags;
	} needs[] = {
		{TRACE_SCHED_IN_EVENT, TRACE_HAS_SWITCHES},
		{TRACE_SCHED_OUT_EVENT, TRACE_HAS_SWITCHES},
		{TRACE_SCHED_DELTA_EVENT, TRACE_HAS_SCHEDSTAT},
		{TRACE_CPU_SAMPLE_EVENT, TRACE_HAS_SAMPLES},
		{TRACE_SYSCALL_EVENT, TRACE_HAS_SITES | TRACE_HAS_ALL_SYSCALLS},
		{TRACE_SYSCALL_BEGIN_EVENT, TRACE_HAS_SITES | TRACE_HAS_ALL_SYSCALLS},
		{TRACE_SYSCALL_END_EVENT, TRACE_HAS_SITES | TRACE_HAS_ALL_SYSCALLS},
	};
	uint32_t flags = 0;

	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if (wanted->dropped[needs[i].type])
			flags |= needs[i].flags;
	return flags;
}

/* Those that nobody here reads, of a newer version, may be damaged, too. */
static int check_tables(struct work *k)
{
	int error = 0;

	for (size_t i = 0; i < k->reader->blocks_n && (error == 0 || error == -EBADMSG); i++) {
		struct reader_block *block = &k->reader->blocks[i];

		if (is_table(block) && !block->is_bad)
			error = reader_load(k->reader, block, k->raw, k->why);
	}
	return error == -EBADMSG ? 0 : error;
}

static int write_all(struct work *k, const struct watch *watch)
{
	struct repair tables = {0};
	struct reader *r = k->reader;
	uint8_t uuid[16];
	uint64_t begun_ns = UINT64_MAX;
	int error;

	for (size_t i = 0; i < r->blocks_n; i++)
		if (r->blocks[i].kind == TRACE_BLOCK_EVENTS)
			begun_ns = min_u64(begun_ns, r->blocks[i].first_ns);
	make_uuid(r, k->wanted->note, uuid);
	error = rewrite_header(k->w, begun_ns == UINT64_MAX ? 0 : begun_ns, uuid,
			       find_dropped(k->wanted));
	if (error == 0)
		error = check_tables(k);
	if (error == 0)
		error = repair_blocks(&tables, k->w, k->streams, is_table, NULL);
	if (error == 0)
		error = rewrite_note(k->w, "cut", k->wanted->note);
	if (error == 0)
		error = begin_lanes(k);
	if (error == 0)
		error = cut_events(k, watch);
	if (error < 0)
		return error;
	k->ret->blocks += tables.blocks;
	if (k->has_after)
		return rewrite_end(k->w, TRACE_END_SNAPSHOT, 0);
	return rewrite_end(k->w, r->has_trailer ? r->trailer.end_reason : TRACE_END_UNKNOWN,
			   r->has_trailer ? r->trailer.end_value : 0);
}

int cut_write(struct cut *ret, struct reader *r, const struct streams *s, const struct tables *t,
	      struct cut_wanted *wanted, int fd, const struct watch *watch, struct why *why)
{
	struct rewrite w;
	struct work k = {.ret = ret,
			 .wanted = wanted,
			 .reader = r,
			 .streams = s,
			 .tables = t,
			 .w = &w,
			 .why = why};
	uint64_t last_ns = 0;
	int error;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < r->blocks_n; i++)
		last_ns = max_u64(last_ns, r->blocks[i].last_ns);
	error = rewrite_begin(&w, r, t, min_u64(wanted->from_ns, last_ns), fd, why);
	k.raw = malloc(r->raw_max + READER_PAD);
	k.out = malloc(TRACE_RAW_MAX + EVENT_BYTES);
	k.lanes = calloc(s->streams_n + 1, sizeof(*k.lanes));
	if (k.raw == NULL || k.out == NULL || k.lanes == NULL)
		error = -ENOMEM;
	if (error == 0)
		error = write_all(&k, watch);
	ret->bytes = w.bytes;
	rewrite_fini(&w);
	for (uint32_t i = 0; i < s->streams_n && k.lanes != NULL; i++)
		free(k.lanes[i].status);
	free(k.lanes);
	free(k.pieces);
	free(k.corrections);
	order_fini(&k.order);
	free(k.raw);
	free(k.out);
	if (error == -ENOMEM)
		why_set(why, "%s: out of memory", r->name);
	return error;
}
