/*
 * decode: the events of one block, in their order. Everything in them is checked: each number ends and fits, identifiers
 * are below the marks of the block's header, times within it, and there are as many events as it says.
 */
#pragma once

#include "viewer/reader.h"
#include "viewer/schema.h"
#include "viewer/varint.h"

struct event {
	uint64_t ns;      /* CLOCK_MONOTONIC */
	uint32_t ordinal; /* in its block */
	uint8_t type;
	uint8_t n; /* arguments that its writer gave it; the others are 0 */
	uint64_t arguments[TRACE_ARGUMENTS_MAX];
};

/* Ticks into ns: ticks * numerator / denominator, rounded down. */
struct ticks {
	uint64_t numerator, denominator; /* 0: no ticks are known, and they are ns */
	double ratio;
};

void ticks_init(struct ticks *t, uint64_t numerator, uint64_t denominator);
uint64_t ticks_to_ns(const struct ticks *t, uint64_t ticks);

struct decoder {
	const struct schema *schema;
	const struct reader_block *block;
	uint32_t at;      /* bytes of the payload that are done */
	uint32_t done;    /* events */
	uint64_t elapsed; /* ticks from first_ns on */
	struct trace_steps steps;
	struct ticks ticks;
	uint64_t limits[ARGUMENT_KINDS]; /* the largest that may be */
	char what[160];                  /* why decoder_next() failed */
};

void decoder_init(struct decoder *d, const struct schema *schema, const struct reader_block *block);

/*
 * The next events of the block, whose payload is @raw: up to @max of them into @ret. Returns how many; 0 at the end;
 * -EBADMSG for what makes no sense, -ENOTSUP for a type that nobody has declared. Events before such a place are returned
 * first.
 */
int decoder_next(struct decoder *d, const uint8_t *raw, struct event *ret, int max);

/*
 * The same of those whose type is @is_wanted, by type. Of the others no more is looked at than where they end: those in a block that is
 * no good may be passed over.
 */
int decoder_next_of(struct decoder *d, const uint8_t *raw, const bool is_wanted[256],
		    struct event *ret, int max);

/*
 * The other way: an event of no later time than the one before it, into EVENT_BYTES at most. It has the arguments that @schema gives
 * its type, which may be fewer than @n, or more: those are 0. Returns what follows it.
 */
#define EVENT_BYTES (1 + (1 + SCHEMA_ARGUMENTS_MAX) * VARINT_BYTES_MAX)
uint8_t *event_put(uint8_t *at, const struct schema *schema, uint8_t type,
		   const uint64_t *arguments, unsigned n);

static inline uint32_t decoder_left(const struct decoder *d)
{
	return d->block->events - d->done;
}
