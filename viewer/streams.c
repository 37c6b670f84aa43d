#include "viewer/streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct place {
	uint32_t thread, sequence, block;
	bool is_switches;
};

static int compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->is_switches != y->is_switches)
		return x->is_switches ? 1 : -1;
	if (x->thread != y->thread)
		return x->thread < y->thread ? -1 : 1;
	if (x->sequence != y->sequence)
		return x->sequence < y->sequence ? -1 : 1;
	return x->block < y->block ? -1 : 1;
}

static void add_hole(struct streams *s, const struct stream_hole *hole)
{
	struct stream_hole *holes;

	s->holes_n++;
	s->holes_blocks += hole->n;
	s->holes_unknown += !hole->is_known;
	if (s->holes_kept == STREAM_HOLES_KEPT)
		return;
	if (s->holes_kept % 16 == 0) {
		holes = realloc(s->holes, (s->holes_kept + 16) * sizeof(*holes));
		if (holes == NULL)
			return;
		s->holes = holes;
	}
	s->holes[s->holes_kept++] = *hole;
}

/*
 * Tables are numbered together, in the order of the file. A number that is not larger than the one before says nothing: it
 * was written again, or not numbered at all.
 */
static void find_holes_of_tables(struct streams *s, const struct reader *r)
{
	uint32_t expected = 0;
	bool is_first = true;

	for (size_t i = 0; i < r->blocks_n; i++) {
		const struct reader_block *block = &r->blocks[i];

		if (block->kind == TRACE_BLOCK_EVENTS)
			continue;
		if (block->sequence > expected && (!is_first || !(r->header.flags & TRACE_IS_RING)))
			add_hole(s, &(struct stream_hole){
					    .thread = TRACE_ALL,
					    .is_tables = true,
					    .is_known = block->flags & TRACE_BLOCK_AFTER_GAP,
					    .first = expected,
					    .n = block->sequence - expected,
				    });
		if (block->sequence >= expected)
			expected = block->sequence + 1;
		is_first = false;
	}
}

/* Appends a block to its stream, or begins a new one. */
static void add_block(struct streams *s, struct reader *r, const struct place *place)
{
	struct stream *stream = s->streams_n > 0 ? &s->streams[s->streams_n - 1] : NULL;
	struct reader_block *block = &r->blocks[place->block];
	const struct reader_block *before = NULL;
	uint32_t expected = 0;

	if (stream == NULL || stream->thread != place->thread ||
	    stream->is_switches != place->is_switches) {
		stream = &s->streams[s->streams_n++];
		*stream = (struct stream){.thread = place->thread,
					  .is_switches = place->is_switches,
					  .first = s->blocks_n};
		/* A ring has only the end of each. */
		if (r->header.flags & TRACE_IS_RING)
			expected = place->sequence;
	} else {
		before = &r->blocks[s->order[s->blocks_n - 1]];
		if (before->sequence == place->sequence) {
			reader_spoil(r, block, "its thread has another block of that number");
			return;
		}
		expected = before->sequence + 1;
	}
	if (place->sequence > expected)
		add_hole(s, &(struct stream_hole){
				    .thread = place->thread,
				    .is_switches = place->is_switches,
				    .is_known = block->flags & TRACE_BLOCK_AFTER_GAP,
				    .first = expected,
				    .n = place->sequence - expected,
				    .from_ns = before != NULL ? before->last_ns
							      : r->header.begun_monotonic_ns,
				    .to_ns = block->first_ns,
			    });
	s->order[s->blocks_n++] = place->block;
	stream->n++;
	if (__builtin_add_overflow(stream->lost, block->lost_before, &stream->lost))
		stream->lost = UINT64_MAX;
	if (__builtin_add_overflow(s->lost_events, block->lost_before, &s->lost_events))
		s->lost_events = UINT64_MAX;
}

int streams_init(struct streams *s, struct reader *r)
{
	struct place *places;
	struct stream *fewer;
	size_t n = 0;

	memset(s, 0, sizeof(*s));
	for (size_t i = 0; i < r->blocks_n; i++)
		n += r->blocks[i].kind == TRACE_BLOCK_EVENTS;
	if (r->blocks_n > UINT32_MAX)
		return -ENOMEM;
	places = malloc((n + 1) * sizeof(*places));
	s->order = malloc((n + 1) * sizeof(*s->order));
	s->streams = malloc((n + 1) * sizeof(*s->streams));
	if (places == NULL || s->order == NULL || s->streams == NULL) {
		free(places);
		streams_fini(s);
		return -ENOMEM;
	}
	n = 0;
	for (size_t i = 0; i < r->blocks_n; i++) {
		const struct reader_block *block = &r->blocks[i];

		if (block->kind == TRACE_BLOCK_EVENTS && !block->is_bad)
			places[n++] = (struct place){block->thread, block->sequence, (uint32_t)i,
						     reader_is_switches(block)};
	}
	qsort(places, n, sizeof(*places), compare_places);
	for (size_t i = 0; i < n; i++)
		add_block(s, r, &places[i]);
	free(places);
	find_holes_of_tables(s, r);
	fewer = realloc(s->streams, (s->streams_n + 1) * sizeof(*s->streams));
	if (fewer != NULL)
		s->streams = fewer;
	return 0;
}

void streams_fini(struct streams *s)
{
	free(s->streams);
	free(s->order);
	free(s->holes);
	memset(s, 0, sizeof(*s));
}
