#include "viewer/repair.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* For each block of events that is good, whether one of its thread is missing right before it. */
static void find_gaps(const struct reader *r, const struct streams *s, bool *is_after_gap)
{
	for (uint32_t i = 0; i < s->streams_n; i++) {
		uint32_t expected = r->header.flags & TRACE_IS_RING ? UINT32_MAX : 0;

		for (uint32_t k = 0; k < s->streams[i].n; k++) {
			uint32_t at = s->order[s->streams[i].first + k];
			const struct reader_block *block = &r->blocks[at];

			if (block->is_bad)
				continue;
			is_after_gap[at] = expected != UINT32_MAX && block->sequence > expected;
			expected = block->sequence + 1;
		}
	}
}

/* Numbers of tables, which are counted together. */
struct numbers {
	uint32_t expected; /* in the old trace */
	uint32_t
		missing; /* there, since the last that was written; what was not wanted is not missing */
	bool is_after_gap;
};

/*
 * The number of a table, and whether something is missing before it. One that is not larger than what was before says nothing, and
 * stays such a one.
 */
static struct rewrite_change number_table(struct numbers *n, const struct rewrite *w,
					  const struct reader_block *block)
{
	bool is_ring = w->reader->header.flags & TRACE_IS_RING;
	struct rewrite_change change = rewrite_unchanged(block);

	if (block->sequence < n->expected) {
		if (change.sequence >= w->sequence)
			change.sequence = w->sequence > 0 ? w->sequence - 1 : 0;
		return change;
	}
	n->missing += block->sequence - n->expected;
	n->is_after_gap = n->is_after_gap ||
			  (block->sequence > n->expected && !(is_ring && n->expected == 0));
	n->expected = block->sequence + 1;
	change.sequence = w->sequence + n->missing;
	if (n->is_after_gap)
		change.flags |= TRACE_BLOCK_AFTER_GAP;
	return change;
}

/* It was written: the next begins behind it. */
static void note_written(struct numbers *n, struct rewrite *w, const struct rewrite_change *change)
{
	if (change->sequence < w->sequence)
		return;
	w->sequence = change->sequence + 1;
	n->missing = 0;
	n->is_after_gap = false;
}

int repair_blocks(struct repair *ret, struct rewrite *w, const struct streams *s,
		  bool (*is_wanted)(const struct reader_block *block), const struct watch *watch)
{
	struct reader *r = w->reader;
	bool *is_after_gap = calloc(r->blocks_n + 1, sizeof(*is_after_gap));
	struct numbers numbers = {0};
	int error = 0;

	if (is_after_gap == NULL) {
		why_set(w->why, "%s: out of memory", r->name);
		return -ENOMEM;
	}
	find_gaps(r, s, is_after_gap);
	for (size_t i = 0; i < r->blocks_n && error == 0; i++) {
		const struct reader_block *block = &r->blocks[i];
		struct rewrite_change change = rewrite_unchanged(block);

		if (watch_step(watch, block->offset, r->source.size)) {
			error = -EINTR;
			break;
		}
		if (block->is_bad || block->kind == TRACE_BLOCK_FOOTER) {
			ret->left_out += block->is_bad;
			continue;
		}
		if (block->kind != TRACE_BLOCK_EVENTS)
			change = number_table(&numbers, w, block);
		else if (is_after_gap[i])
			change.flags |= TRACE_BLOCK_AFTER_GAP;
		if (is_wanted != NULL && !is_wanted(block))
			continue;
		if (block->kind == TRACE_BLOCK_EVENTS) {
			ret->events += block->events;
			w->generation = block->generation;
		} else {
			note_written(&numbers, w, &change);
		}
		error = rewrite_copy(w, block, &change);
		ret->blocks++;
	}
	free(is_after_gap);
	return error;
}

int repair_note(const struct repair *done, struct rewrite *w)
{
	char text[160];

	snprintf(text, sizeof(text),
		 "%" PRIu64 " blocks and %" PRIu64 " bytes were left out, %s end was there",
		 done->left_out, w->reader->damaged_bytes, w->reader->has_trailer ? "an" : "no");
	return rewrite_note(w, "repaired", text);
}

int repair_write(struct repair *ret, struct reader *r, const struct streams *s,
		 const struct tables *t, const struct verify *v, int fd, const struct watch *watch,
		 struct why *why)
{
	struct rewrite w;
	int error = rewrite_begin(&w, r, t, v->last_ns, fd, why);

	memset(ret, 0, sizeof(*ret));
	if (error == 0)
		error = rewrite_header(&w, v->first_ns, NULL, 0);
	if (error == 0)
		error = repair_blocks(ret, &w, s, NULL, watch);
	if (error == 0)
		error = repair_note(ret, &w);
	if (error == 0)
		error = rewrite_end(&w, r->has_trailer ? r->trailer.end_reason : TRACE_END_UNKNOWN,
				    r->has_trailer ? r->trailer.end_value : 0);
	ret->bytes = w.bytes;
	rewrite_fini(&w);
	return error;
}
