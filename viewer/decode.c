#include "viewer/decode.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;

void ticks_init(struct ticks *t, uint64_t numerator, uint64_t denominator)
{
	t->numerator = numerator;
	t->denominator = denominator;
	t->ratio = denominator > 0 ? (double)numerator / (double)denominator : 1;
}

uint64_t ticks_to_ns(const struct ticks *t, uint64_t ticks)
{
	double quotient;
	uint64_t ns;
	int64_t rest;

	if (t->numerator == t->denominator || t->denominator == 0)
		return ticks;
	quotient = (double)ticks * t->ratio;
	if ((ticks | t->numerator | t->denominator) >> 53 ||
	    quotient >= (double)(UINT64_C(1) << 53))
		return (uint64_t)((wide)ticks * t->numerator / t->denominator);
	/*
	 * What a division of 128 bits would give, at a tenth of its cost: the quotient of doubles is wrong by one or two at
	 * most, which the rest shows, whatever of the products is cut off at 64 bits.
	 */
	ns = (uint64_t)quotient;
	rest = (int64_t)(ticks * t->numerator - ns * t->denominator);
	while (rest < 0) {
		ns--;
		rest += (int64_t)t->denominator;
	}
	while (rest >= (int64_t)t->denominator) {
		ns++;
		rest -= (int64_t)t->denominator;
	}
	return ns;
}

static uint64_t largest(uint32_t mark)
{
	return mark > 0 ? mark - 1 : 0;
}

void decoder_init(struct decoder *d, const struct schema *schema, const struct reader_block *block)
{
	*d = (struct decoder){.schema = schema, .block = block};
	ticks_init(&d->ticks, block->last_ns - block->first_ns, block->span);
	for (unsigned i = 0; i < ARGUMENT_KINDS; i++)
		d->limits[i] = UINT64_MAX;
	/* 0 is nothing, and always known */
	d->limits[ARGUMENT_STRING] = largest(block->needs[NEEDS_STRINGS]);
	d->limits[ARGUMENT_STACK] = largest(block->needs[NEEDS_STACKS]);
	d->limits[ARGUMENT_OBJECT] = largest(block->needs[NEEDS_OBJECTS]);
	d->limits[ARGUMENT_THREAD] = TRACE_ALL - 1;
	d->limits[ARGUMENT_FD] = UINT32_MAX;
}

__attribute__((format(printf, 4, 5), cold)) static int fail(struct decoder *d, int error,
							    uint32_t at, const char *format, ...)
{
	char what[112];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	snprintf(d->what, sizeof(d->what),
		 "event %" PRIu32 ", at byte %" PRIu32 " of its payload, %s", d->done, at, what);
	return error;
}

/* What is wrong with argument @i of value @value? */
__attribute__((cold)) static int fail_argument(struct decoder *d, uint32_t at,
					       const struct event_type *type, unsigned i,
					       const uint8_t *end, uint64_t value)
{
	const struct event_argument *argument = &type->arguments[i];

	if (end == NULL)
		return fail(d, -EBADMSG, at, "%s, has in %s a number of more than 64 bits",
			    type->name, argument->name);
	return fail(d, -EBADMSG, at, "%s, has in %s %" PRIu64 "; %" PRIu64 " at most was expected",
		    type->name, argument->name, value, d->limits[argument->kind]);
}

/* An event of @type says what those behind it count from. */
static inline bool has_step(const struct decoder *d, const struct event_type *type)
{
	return type->order >= 0 && (d->block->flags & TRACE_BLOCK_STEPS);
}

/* One event from @from on. Returns what follows it, or NULL with *ret_error. */
static inline const uint8_t *decode_one(struct decoder *d, const uint8_t *raw, const uint8_t *from,
					struct event *event, int *ret_error)
{
	const struct event_type *type = &d->schema->types[*from];
	const uint8_t *at = from + 1, *end = raw + d->block->raw_bytes;
	uint64_t delta, value;
	unsigned i, n;

	event->type = *from;
	event->n = type->n < TRACE_ARGUMENTS_MAX ? type->n : TRACE_ARGUMENTS_MAX;
	if (type->name[0] == '\0') {
		*ret_error = fail(d, *from == 0 ? -EBADMSG : -ENOTSUP, (uint32_t)(from - raw),
				  "is of type %u, which no schema tells of", *from);
		return NULL;
	}
	at = varint_get(at, &delta);
	if (at == NULL || delta > d->block->span - d->elapsed) {
		*ret_error = fail(d, -EBADMSG, (uint32_t)(from - raw),
				  "%s, is later than its block's end", type->name);
		return NULL;
	}
	memset(event->arguments, 0, sizeof(event->arguments));
	n = event->n;
	for (i = 0; i < n; i++) {
		at = varint_get(at, &value);
		if (at == NULL || value > d->limits[type->kinds[i]]) {
			*ret_error = fail_argument(d, (uint32_t)(from - raw), type, i, at, value);
			return NULL;
		}
		event->arguments[i] = value;
	}
	/* those of a newer version, for which there is no room */
	for (i = n; i < type->n; i++) {
		at = varint_get(at, &value);
		if (at == NULL || value > d->limits[type->kinds[i]]) {
			*ret_error = fail_argument(d, (uint32_t)(from - raw), type, i, at, value);
			return NULL;
		}
	}
	if (at > end) {
		*ret_error = fail(d, -EBADMSG, (uint32_t)(from - raw),
				  "%s, goes on behind its payload's end", type->name);
		return NULL;
	}
	if (has_step(d, type))
		event->arguments[type->order] = trace_step_order(
			&d->steps, type->object >= 0 ? event->arguments[type->object] : 0,
			event->arguments[type->order]);
	d->elapsed += delta;
	event->ns = d->block->first_ns + ticks_to_ns(&d->ticks, d->elapsed);
	return at;
}

/* Behind an event that nobody wants, as decode_one(). */
static const uint8_t *pass_one(struct decoder *d, const uint8_t *raw, const uint8_t *from,
			       int *ret_error)
{
	const struct event_type *type = &d->schema->types[*from];
	const uint8_t *at = from + 1;
	uint64_t delta;

	at = type->name[0] != '\0' ? varint_get(at, &delta) : NULL;
	if (at != NULL && delta <= d->block->span - d->elapsed)
		at = varint_skip(at, type->n);
	else
		at = NULL;
	if (at == NULL || at > raw + d->block->raw_bytes) {
		*ret_error = fail(d, -EBADMSG, (uint32_t)(from - raw), "is broken");
		return NULL;
	}
	d->elapsed += delta;
	return at;
}

int decoder_next_of(struct decoder *d, const uint8_t *raw, const bool is_wanted[256],
		    struct event *ret, int max)
{
	const uint8_t *at = raw + d->at, *next, *end = raw + d->block->raw_bytes;
	int n = 0, error = 0;

	while (n < max && d->done < d->block->events && at < end) {
		next = is_wanted[*at] || has_step(d, &d->schema->types[*at])
			       ? decode_one(d, raw, at, &ret[n], &error)
			       : pass_one(d, raw, at, &error);
		if (next == NULL)
			break;
		if (is_wanted[*at])
			ret[n++].ordinal = d->done;
		d->done++;
		at = next;
	}
	d->at = (uint32_t)(at - raw);
	return n > 0 ? n : error;
}

int decoder_next(struct decoder *d, const uint8_t *raw, struct event *ret, int max)
{
	const uint8_t *at = raw + d->at, *next, *end = raw + d->block->raw_bytes;
	int n = 0, error = 0;

	for (; n < max && d->done < d->block->events; n++) {
		if (at == end) {
			error = fail(d, -EBADMSG, d->at, "is not there: %" PRIu32 " were expected",
				     d->block->events);
			break;
		}
		next = decode_one(d, raw, at, &ret[n], &error);
		if (next == NULL)
			break;
		ret[n].ordinal = d->done++;
		at = next;
	}
	d->at = (uint32_t)(at - raw);
	if (n > 0)
		return n;
	if (error == 0 && max > 0 && at != end)
		error = fail(d, -EBADMSG, d->at, "is one more than its header says");
	return error;
}

uint8_t *event_put(uint8_t *at, const struct schema *schema, uint8_t type,
		   const uint64_t *arguments, unsigned n)
{
	*at++ = type;
	at = varint_put(at, 0);
	for (unsigned i = 0; i < schema->types[type].n; i++)
		at = varint_put(at, i < n ? arguments[i] : 0);
	return at;
}
