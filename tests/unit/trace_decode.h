/* Chunks of the trace, read by a test as by whoever empties them. */
#pragma once

#include "core/segment.h"
#include "core/thread.h"
#include "tests/tap.h"
#include "tracer/chunk.h"

struct decoded {
	uint32_t thread;
	uint64_t ticks;
	unsigned type, n;
	uint64_t arguments[TRACE_ARGUMENTS_MAX]; /* of a text: how long it is */
	char text[2][TRACE_TEXT_MAX + 1];        /* those of kind str, in their order */
};

#define DECODED_MAX 1024
static struct decoded decoded[DECODED_MAX];
static unsigned decoded_n;

static inline const char *decode_arguments(unsigned type)
{
	switch (type) {
#define CASE(number, NAME, name, class, ends, arguments) \
	case number:                                     \
		return arguments;
		TRACE_EVENTS(CASE)
#undef CASE
	default:
		return NULL;
	}
}

static inline uint64_t decode_number(const uint8_t **at, const uint8_t *end)
{
	uint64_t n = 0;

	for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
		uint8_t byte = *(*at)++;

		n |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return n;
	}
	printf("Bail out! a number that does not end\n");
	exit(1);
}

static inline void decode_event(struct decoded *d, const uint8_t **at, const uint8_t *end)
{
	const char *kinds = decode_arguments(d->type);
	unsigned texts = 0;

	if (kinds == NULL) {
		printf("Bail out! an event of type %u\n", d->type);
		exit(1);
	}
	d->n = 0;
	for (const char *c = strchr(kinds, ':'); c != NULL; c = strchr(c + 1, ':')) {
		uint64_t n = decode_number(at, end);

		d->arguments[d->n++] = n;
		if (strncmp(c, ":str", 4) != 0)
			continue;
		if (n > (uint64_t)(end - *at) || n > TRACE_TEXT_MAX || texts == 2) {
			printf("Bail out! a text of %" PRIu64 " bytes\n", n);
			exit(1);
		}
		memcpy(d->text[texts], *at, n);
		d->text[texts++][n] = '\0';
		*at += n;
	}
}

/* Past what an interrupted writer has left behind. */
static inline const uint8_t *decode_skip(const struct trace_chunk *c, const uint8_t *at)
{
	for (int i = 0; i < CHUNK_GAPS; i++) {
		uint32_t gap = atomic_load(&c->gaps[i]);

		if (at >= c->bytes + (gap >> 16) && at < c->bytes + (gap & 0xffff)) {
			at = c->bytes + (gap & 0xffff);
			i = -1; /* they may overlap */
		}
	}
	return at;
}

/* A chunk's events; false when the word's stamp is not what they add up to. */
static inline bool decode_chunk(const struct trace_chunk *c,
				void (*each)(const struct decoded *d, void *user), void *user)
{
	uint64_t word = atomic_load(&c->word), ticks = c->first_ticks;
	const uint8_t *at = c->bytes, *end = c->bytes + CHUNK_USED(word);
	static struct decoded d;

	while ((at = decode_skip(c, at)) < end) {
		d.thread = c->thread;
		d.type = *at++;
		ticks += decode_number(&at, end);
		d.ticks = ticks;
		decode_event(&d, &at, end);
		each(&d, user);
	}
	return (ticks & CHUNK_TICKS_MASK) == CHUNK_TICKS(word);
}

/* All chunks that threads have ever taken, in that order: none was given back. How many of them do not add up. */
static inline unsigned decode_each(struct segment *s,
				   void (*each)(const struct decoded *d, void *user), void *user)
{
	const struct segment_place *place = segment_place(s, SEGMENT_TRACE_CHUNKS, 0);
	uint64_t chunks = atomic_load(&s->header->trace_serial);
	unsigned wrong = 0;

	for (uint64_t serial = 1; serial <= chunks; serial++) {
		for (uint32_t i = 0; i < place->count; i++) {
			const struct trace_chunk *c =
				(struct trace_chunk *)(s->base + place->offset +
						       (uint64_t)i * place->stride);

			if (atomic_load(&c->serial) == serial)
				wrong += !decode_chunk(c, each, user);
		}
	}
	return wrong;
}

static inline void decode_keep(const struct decoded *d, void *user)
{
	(void)user;
	if (decoded_n < DECODED_MAX)
		decoded[decoded_n++] = *d;
}

static inline void decode_all(struct segment *s)
{
	decoded_n = 0;
	if (decode_each(s, decode_keep, NULL) > 0) {
		printf("Bail out! a chunk whose stamps do not add up\n");
		exit(1);
	}
}

/* The calling thread and its segment are traced from here on. */
static inline struct segment *decode_begin(uint64_t bytes)
{
	struct why why = {""};
	struct segment *s;
	struct thread *t;
	int fd;

	if (segment_create(bytes, &s, &fd, &why) < 0 || thread_init(s) < 0) {
		printf("Bail out! %s\n", why.text);
		exit(1);
	}
	t = thread_reserve(s);
	thread_self_block = thread_publish(s, t, (int)sys1(SYS_gettid, 0));
	strcpy(t->record->name, "first");
	segment_publish(s);
	segment_live_page->trace_base = clock_monotonic();
	atomic_store(&segment_live_page->trace_level, TRACE_LEVEL_THREADS);
	return s;
}
