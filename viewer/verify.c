#include "viewer/verify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/decode.h"
#include "viewer/varint.h"

#define BATCH 64

static void count_events(struct verify *v, struct reader *r, const struct tables *t,
			 struct reader_block *block, const uint8_t *raw)
{
	struct event batch[BATCH];
	struct decoder decoder;
	int n;

	decoder_init(&decoder, &t->schema, block);
	while ((n = decoder_next(&decoder, raw, batch, BATCH)) > 0) {
		v->events += (uint64_t)n;
		for (int i = 0; i < n; i++) {
			v->by_type[batch[i].type]++;
			if (batch[i].type == TRACE_LOST_EVENT)
				v->lost_told += batch[i].arguments[0];
		}
	}
	if (n < 0)
		v->unreadable += decoder_left(&decoder);
	if (n == -ENOTSUP && v->undeclared++ == 0)
		snprintf(v->undeclared_what, sizeof(v->undeclared_what), "%s", decoder.what);
	else if (n == -EBADMSG)
		reader_spoil(r, block, decoder.what);
}

static int compare_offset(const void *key, const void *element)
{
	uint64_t offset = *(const uint64_t *)key;
	const struct reader_block *block = element;

	return offset < block->offset ? -1 : offset > block->offset;
}

/* A footer lists the blocks before it. */
static void read_footer(struct verify *v, struct reader *r, struct reader_block *footer,
			const uint8_t *raw)
{
	const uint8_t *at = raw, *end = raw + footer->raw_bytes;
	enum { KIND, OFFSET, THREAD, FIRST, LAST, EVENTS, FIELDS };
	uint64_t fields[FIELDS];
	const struct reader_block *block;

	for (uint32_t i = 0; i < footer->events; i++) {
		for (unsigned k = 0; k < FIELDS; k++) {
			at = varint_get(at, &fields[k]);
			if (at == NULL || at > end) {
				reader_spoil(r, footer, "a number in it is broken");
				return;
			}
		}
		block = bsearch(&fields[OFFSET], r->blocks, r->blocks_n, sizeof(*r->blocks),
				compare_offset);
		if (block != NULL && block->kind == fields[KIND] && block->thread == fields[THREAD])
			continue;
		v->listed_missing++;
		if (fields[KIND] == TRACE_BLOCK_EVENTS && fields[EVENTS] < TRACE_RAW_MAX)
			v->listed_missing_events += fields[EVENTS];
	}
	if (at != end)
		reader_spoil(r, footer, "something follows its last record");
}

static void check_needs(struct verify *v, const struct tables *t, const struct reader_block *block)
{
	for (unsigned i = 0; i < NEEDS; i++)
		v->needs_missing[i] += block->needs[i] > t->known[i] && block->needs[i] > 1;
}

static int verify_block(struct verify *v, struct reader *r, struct tables *t,
			struct reader_block *block, uint8_t *raw, struct why *why)
{
	struct why own;
	int error;

	error = block->is_bad ? -EBADMSG : reader_load(r, block, raw, why);
	if (error == -EBADMSG && block->kind == TRACE_BLOCK_EVENTS)
		v->unreadable += block->events;
	if (error < 0)
		return error == -EBADMSG ? 0 : error;
	check_needs(v, t, block);
	if (block->kind == TRACE_BLOCK_EVENTS) {
		count_events(v, r, t, block, raw);
	} else if (block->kind == TRACE_BLOCK_FOOTER) {
		read_footer(v, r, block, raw);
	} else {
		error = tables_add(t, block, raw, &own);
		if (error == -EBADMSG)
			reader_spoil(r, block, own.text);
	}
	return error == -EBADMSG ? 0 : error;
}

static int compare_numbers(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int count_generations(struct verify *v, const struct reader *r)
{
	uint32_t *numbers = malloc((r->blocks_n + 1) * sizeof(*numbers));
	size_t n = 0;

	if (numbers == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < r->blocks_n; i++)
		if (r->blocks[i].kind == TRACE_BLOCK_EVENTS)
			numbers[n++] = r->blocks[i].generation;
	qsort(numbers, n, sizeof(*numbers), compare_numbers);
	for (size_t i = 0; i < n; i++)
		v->generations += i == 0 || numbers[i] != numbers[i - 1];
	free(numbers);
	return 0;
}

int verify_trace(struct verify *v, struct reader *r, struct streams *s, struct tables *t,
		 const struct watch *watch, struct why *why)
{
	uint8_t *raw = malloc(r->raw_max + READER_PAD);
	int error = 0;

	memset(v, 0, sizeof(*v));
	v->lost = s->lost_events;
	v->is_interrupted = r->is_interrupted;
	if (raw == NULL || count_generations(v, r) < 0)
		error = -ENOMEM;
	for (size_t i = 0; i < r->blocks_n && error == 0; i++) {
		struct reader_block *block = &r->blocks[i];

		if (watch_step(watch, block->offset, r->source.size)) {
			v->is_interrupted = true;
			break;
		}
		error = verify_block(v, r, t, block, raw, why);
		v->blocks++;
		v->blocks_bad += block->is_bad;
		if (block->kind != TRACE_BLOCK_EVENTS)
			continue;
		if (v->first_ns == 0 || block->first_ns < v->first_ns)
			v->first_ns = block->first_ns;
		if (block->last_ns > v->last_ns)
			v->last_ns = block->last_ns;
	}
	if (r->has_trailer && !v->is_interrupted) {
		const struct reader_block *footer =
			bsearch(&r->trailer.footer_offset, r->blocks, r->blocks_n,
				sizeof(*r->blocks), compare_offset);

		v->is_footer_wrong = footer == NULL || footer->kind != TRACE_BLOCK_FOOTER;
	}
	free(raw);
	if (error == -ENOMEM)
		why_set(why, "%s: out of memory", r->name);
	return error;
}

bool verify_is_damaged(const struct verify *v, const struct reader *r, const struct streams *s)
{
	return r->damages_n > 0 || !r->has_header || (!r->has_trailer && !r->is_interrupted) ||
	       s->holes_unknown > 0 || v->listed_missing > 0 || v->is_footer_wrong;
}

bool verify_has_loss(const struct verify *v, const struct reader *r, const struct streams *s)
{
	bool has = verify_is_damaged(v, r, s) || v->lost > 0 || v->lost_told > 0 ||
		   s->holes_n > 0 || v->unreadable > 0;

	for (unsigned i = 0; i < NEEDS; i++)
		has = has || v->needs_missing[i] > 0;
	return has;
}
