/*
 * trace_make: traces made by hand, byte by byte, from docs/trace-format.md alone: nothing of the tracer or the viewer is used, so
 * that a mistake there is not made here, too. LZ4 frames have their block as it is, unless TRACE_MAKE_LZ4 is defined, and
 * lz4 linked.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef TRACE_MAKE_LZ4
#include <lz4.h>
#endif

enum {
	MADE_EVENTS = 1,
	MADE_STRINGS,
	MADE_STACKS,
	MADE_OBJECTS,
	MADE_MODULES,
	MADE_SYMBOLS,
	MADE_THREADS,
	MADE_SCHEMA,
	MADE_METADATA,
	MADE_FOOTER,
	MADE_FILES,
};

#define MADE_ALL   UINT32_MAX
#define MADE_BEGUN UINT64_C(5000000000) /* the trace's clock at its beginning */
#define MADE_REAL  UINT64_C(1790000000000000000)

struct made_bytes {
	uint8_t *at;
	size_t n, room;
};

struct made_block {
	uint8_t kind, flags;
	uint32_t generation, thread, sequence, records;
	uint64_t first_ns, last_ns, span, lost_before;
	uint32_t tick_fs;
	uint32_t needs[4];
	uint64_t summary[15];
	bool has_summary;
	uint32_t header_more; /* bytes that a newer version has in its header */
	/* what stands in the header in place of the truth; 0: the truth */
	uint32_t raw_claimed, stored_claimed, records_claimed;
};

struct made {
	struct made_bytes file, payload;
	struct made_bytes listed; /* records of the footer */
	uint32_t listed_n, records, table_sequence;
	uint16_t major, minor;
	uint32_t flags;
	size_t blocks[256]; /* where each begins */
	uint32_t blocks_n;
	bool is_packed;
	bool has_steps; /* blocks of events have their orders as version 2 has them */
	uint64_t orders[16];
};

static inline void made_put(struct made_bytes *b, const void *bytes, size_t n)
{
	if (b->n + n > b->room) {
		b->room = (b->n + n) * 2 + 256;
		b->at = realloc(b->at, b->room);
		if (b->at == NULL)
			abort();
	}
	if (n > 0)
		memcpy(b->at + b->n, bytes, n);
	b->n += n;
}

static inline void made_fixed(struct made_bytes *b, uint64_t value, unsigned bytes)
{
	uint8_t out[8];

	for (unsigned i = 0; i < bytes; i++)
		out[i] = (uint8_t)(value >> 8 * i);
	made_put(b, out, bytes);
}

static inline void made_u(struct made_bytes *b, uint64_t value)
{
	do {
		uint8_t byte = (uint8_t)((value & 127) | (value > 127 ? 128 : 0));

		made_put(b, &byte, 1);
		value >>= 7;
	} while (value > 0);
}

#define ZIGZAG(x) ((x) < 0 ? 2 * (0 - (uint64_t)(x)) - 1 : 2 * (uint64_t)(x))

/* CRC-32C, a bit at a time. */
static inline uint32_t made_crc(const uint8_t *at, size_t n, uint32_t crc)
{
	crc = ~crc;
	while (n-- > 0) {
		crc ^= *at++;
		for (unsigned i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

static inline uint32_t made_turn(uint32_t x, unsigned n)
{
	return (x << n) | (x >> (32 - n));
}

static inline uint32_t made_word(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* xxh32 with seed 0, as its specification has it. */
static inline uint32_t made_xxh32(const uint8_t *at, size_t n)
{
	const uint32_t p1 = 2654435761u, p2 = 2246822519u, p3 = 3266489917u, p4 = 668265263u,
		       p5 = 374761393u;
	uint32_t lanes[4] = {p1 + p2, p2, 0, 0 - p1}, sum = p5;
	size_t i = 0;

	if (n >= 16) {
		for (; i + 16 <= n; i += 16)
			for (unsigned k = 0; k < 4; k++)
				lanes[k] =
					made_turn(lanes[k] + made_word(at + i + 4 * k) * p2, 13) *
					p1;
		sum = made_turn(lanes[0], 1) + made_turn(lanes[1], 7) + made_turn(lanes[2], 12) +
		      made_turn(lanes[3], 18);
	}
	sum += (uint32_t)n;
	for (; i + 4 <= n; i += 4)
		sum = made_turn(sum + made_word(at + i) * p3, 17) * p4;
	for (; i < n; i++)
		sum = made_turn(sum + at[i] * p5, 11) * p1;
	sum ^= sum >> 15;
	sum *= p2;
	sum ^= sum >> 13;
	sum *= p3;
	return sum ^ sum >> 16;
}

/* A skippable frame with @header, whose checksum belongs at @crc_at. */
static inline void made_skippable(struct made *m, struct made_bytes *header, size_t crc_at)
{
	uint32_t crc = made_crc(header->at, crc_at, 0);

	crc = made_crc(header->at + crc_at + 4, header->n - crc_at - 4, crc);
	for (unsigned i = 0; i < 4; i++)
		header->at[crc_at + i] = (uint8_t)(crc >> 8 * i);
	made_fixed(&m->file, 0x184D2A5C, 4);
	made_fixed(&m->file, header->n, 4);
	made_put(&m->file, header->at, header->n);
	free(header->at);
}

static inline void made_begin(struct made *m)
{
	struct made_bytes h = {0};

	if (m->major == 0)
		m->major = 1;
	made_put(&h, "CPROFTRC", 8);
	made_fixed(&h, m->major, 2);
	made_fixed(&h, m->minor, 2);
	made_fixed(&h, 64, 4);
	made_put(&h, "\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef", 16);
	made_fixed(&h, MADE_BEGUN, 8);
	made_fixed(&h, MADE_REAL, 8);
	made_fixed(&h, 4711, 4);
	made_fixed(&h, m->flags, 4);
	made_fixed(&h, 15, 4);
	made_fixed(&h, 0, 4);
	made_skippable(m, &h, 60);
}

/* The LZ4 frame of the payload. */
static inline void made_frame(struct made *m, struct made_bytes *frame)
{
	const struct made_bytes *p = &m->payload;
	uint8_t head[3] = {0x70, p->n <= 65536 ? 0x40 : p->n <= 262144 ? 0x50 : 0x60, 0};
	const uint8_t *data = p->at;
	uint32_t n = (uint32_t)p->n, top = UINT32_C(1) << 31;
#ifdef TRACE_MAKE_LZ4
	char *packed = malloc((size_t)LZ4_compressBound((int)p->n) + 1);
	int packed_n = m->is_packed ? LZ4_compress_default((const char *)p->at, packed, (int)p->n,
							   LZ4_compressBound((int)p->n))
				    : 0;

	if (packed_n > 0 && (uint32_t)packed_n < n) {
		data = (const uint8_t *)packed;
		n = (uint32_t)packed_n;
		top = 0;
	}
#endif
	head[2] = (uint8_t)(made_xxh32(head, 2) >> 8);
	made_fixed(frame, 0x184D2204, 4);
	made_put(frame, head, 3);
	if (p->n > 0) {
		made_fixed(frame, n | top, 4);
		made_put(frame, data, n);
		made_fixed(frame, made_xxh32(data, n), 4);
	}
	made_fixed(frame, 0, 4);
#ifdef TRACE_MAKE_LZ4
	free(packed);
#endif
}

/* Ends a block: its header, and what was put into the payload. */
static inline void made_end_block(struct made *m, struct made_block b)
{
	struct made_bytes h = {0}, frame = {0}, summary = {0};
	uint64_t offset = m->file.n;

	if (b.records == 0)
		b.records = m->records;
	if (b.kind != MADE_EVENTS) {
		b.thread = MADE_ALL;
		b.sequence = m->table_sequence++;
	}
	if (b.kind == MADE_EVENTS && m->has_steps && !(b.flags & 8)) {
		b.flags |= 16;
		memset(m->orders, 0, sizeof(m->orders));
	}
	made_frame(m, &frame);
	for (unsigned i = 0; i < 15 && b.has_summary; i++)
		made_u(&summary, b.summary[i]);
	made_put(&h, "CPB1", 4);
	made_fixed(&h, 96 + b.header_more + summary.n, 2);
	made_fixed(&h, b.kind, 1);
	made_fixed(&h, b.flags, 1);
	made_fixed(&h, b.generation, 4);
	made_fixed(&h, b.thread, 4);
	made_fixed(&h, b.sequence, 4);
	made_fixed(&h, b.raw_claimed != 0 ? b.raw_claimed : m->payload.n, 4);
	made_fixed(&h, b.stored_claimed != 0 ? b.stored_claimed : frame.n, 4);
	made_fixed(&h, b.records_claimed != 0 ? b.records_claimed : b.records, 4);
	made_fixed(&h, b.first_ns, 8);
	made_fixed(&h, b.last_ns, 8);
	made_fixed(&h, b.span, 8);
	for (unsigned i = 0; i < 4; i++)
		made_fixed(&h, b.needs[i], 4);
	made_fixed(&h, b.lost_before, 8);
	made_fixed(&h, 0, 4);
	made_fixed(&h, b.tick_fs, 4);
	made_fixed(&h, summary.n, 4);
	made_fixed(&h, 0, 4);
	for (uint32_t i = 0; i < b.header_more; i++)
		made_fixed(&h, 0xee, 1);
	made_put(&h, summary.at, summary.n);
	if (m->blocks_n < 256)
		m->blocks[m->blocks_n] = offset;
	m->blocks_n++;
	made_skippable(m, &h, 92);
	made_put(&m->file, frame.at, frame.n);
	if (b.kind != MADE_FOOTER) {
		made_u(&m->listed, b.kind);
		made_u(&m->listed, offset);
		made_u(&m->listed, b.thread);
		made_u(&m->listed, b.first_ns);
		made_u(&m->listed, b.last_ns);
		made_u(&m->listed, b.records);
		m->listed_n++;
	}
	free(summary.at);
	free(frame.at);
	m->payload.n = 0;
	m->records = 0;
}

static inline void made_end(struct made *m, uint32_t reason, uint32_t value)
{
	uint64_t offset = m->file.n;
	struct made_bytes h = {0};

	m->payload.n = 0;
	made_put(&m->payload, m->listed.at, m->listed.n);
	made_end_block(m, (struct made_block){.kind = MADE_FOOTER, .records = m->listed_n});
	made_put(&h, "CPROFEND", 8);
	made_fixed(&h, offset, 8);
	made_fixed(&h, reason, 4);
	made_fixed(&h, value, 4);
	made_fixed(&h, 0, 4);
	made_fixed(&h, 0, 4);
	made_skippable(m, &h, 28);
}

static inline void made_free(struct made *m)
{
	free(m->file.at);
	free(m->payload.at);
	free(m->listed.at);
	memset(m, 0, sizeof(*m));
}

/* Records */

static inline void made_string(struct made *m, uint32_t id, const char *text)
{
	made_u(&m->payload, id);
	made_u(&m->payload, strlen(text));
	made_put(&m->payload, text, strlen(text));
	m->records++;
}

/* A record of @n numbers, each a uint64_t. */
static inline void made_record(struct made *m, unsigned n, ...)
{
	va_list args;

	va_start(args, n);
	for (unsigned i = 0; i < n; i++)
		made_u(&m->payload, va_arg(args, uint64_t));
	va_end(args);
	m->records++;
}

static inline void made_stack(struct made *m, uint32_t id, uint32_t depth, const uint64_t *frames)
{
	uint64_t last = 0;

	made_u(&m->payload, id);
	made_u(&m->payload, depth);
	for (uint32_t i = 0; i < depth; i++) {
		int64_t difference = (int64_t)(frames[i] - last);

		made_u(&m->payload, ZIGZAG(difference));
		last = frames[i];
	}
	m->records++;
}

/* What stands for the @order of an event: 0, or 1 and how far it is from the last one of such an @object. */
static inline uint64_t made_step(struct made *m, uint64_t object, uint64_t order)
{
	int64_t step = (int64_t)(order - m->orders[object % 16]);

	if (order == 0)
		return 0;
	m->orders[object % 16] = order;
	return 1 + ZIGZAG(step);
}

/* Which argument of an event is its order; 0: none. */
static inline unsigned made_order(uint8_t type)
{
	switch (type) {
	case 33: /* lock.acquired */
	case 35: /* lock.released */
	case 41: /* cond.wait.end */
	case 42: /* cond.signal */
	case 45: /* sem.wait.end */
	case 49: /* barrier.wait.end */
		return 2;
	case 46: /* sem.post */
	case 48: /* barrier.wait.begin */
		return 1;
	default:
		return 0;
	}
}

/* An event of @type, @delta ticks after the one before, with @n arguments, each a uint64_t. */
static inline void made_event(struct made *m, uint8_t type, uint64_t delta, unsigned n, ...)
{
	unsigned order = m->has_steps ? made_order(type) : 0;
	uint64_t object = 0;
	va_list args;

	made_put(&m->payload, &type, 1);
	made_u(&m->payload, delta);
	va_start(args, n);
	for (unsigned i = 0; i < n; i++) {
		uint64_t value = va_arg(args, uint64_t);

		object = i == 0 ? value : object;
		made_u(&m->payload, i > 0 && i == order ? made_step(m, object, value) : value);
	}
	va_end(args);
	m->records++;
}

#define U(x)                   ((uint64_t)(x))
#define FRAME(module, address) (U(module) << 48 | (address))
