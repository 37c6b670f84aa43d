/*
 * symbols_bytes: reading numbers from bytes that may lie. A cursor that would pass its end stays
 * there, gives zeros and remembers it, so that a loop checks once a round.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	const uint8_t *p, *end;
	bool is_short; /* something was wanted behind the end */
};

static inline uint64_t bytes_left(const struct bytes *b)
{
	return (uint64_t)(b->end - b->p);
}

static inline void bytes_skip(struct bytes *b, uint64_t n)
{
	if (n > bytes_left(b)) {
		b->p = b->end;
		b->is_short = true;
		return;
	}
	if (n != 0) /* there may be no bytes at all, and nowhere */
		b->p += n;
}

/* A number of @n bytes, 1 to 8, little endian. */
static inline uint64_t bytes_fixed(struct bytes *b, unsigned n)
{
	uint64_t value = 0;

	if (n > bytes_left(b)) {
		bytes_skip(b, n);
		return 0;
	}
	memcpy(&value, b->p, n);
	b->p += n;
	return value;
}

static inline uint8_t bytes_u8(struct bytes *b)
{
	if (b->p == b->end) {
		b->is_short = true;
		return 0;
	}
	return *b->p++;
}

static inline uint64_t bytes_uleb(struct bytes *b)
{
	uint64_t value = 0;
	uint8_t byte;

	for (unsigned shift = 0; b->p < b->end; shift += 7) {
		byte = *b->p++;
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		if ((byte & 0x80) == 0)
			return value;
	}
	b->is_short = true;
	return 0;
}

static inline int64_t bytes_sleb(struct bytes *b)
{
	uint64_t value = 0;
	uint8_t byte;

	for (unsigned shift = 0; b->p < b->end;) {
		byte = *b->p++;
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
		if ((byte & 0x80) == 0) {
			if (shift < 64 && (byte & 0x40) != 0)
				value |= UINT64_MAX << shift;
			return (int64_t)value;
		}
	}
	b->is_short = true;
	return 0;
}

/* A text ended by a NUL; NULL when there is none. */
static inline const char *bytes_text(struct bytes *b)
{
	const uint8_t *start = b->p,
		      *nul = b->p != b->end ? memchr(b->p, '\0', bytes_left(b)) : NULL;

	if (nul == NULL) {
		bytes_skip(b, UINT64_MAX);
		return NULL;
	}
	b->p = nul + 1;
	return (const char *)start;
}

/* The bytes of @whole from @offset on; none when it is outside. */
static inline struct bytes bytes_at(struct bytes whole, uint64_t offset)
{
	bytes_skip(&whole, offset);
	return whole;
}

/* The length that begins a unit: 4 bytes, or an escape and 8. Cuts @b to the unit. */
static inline unsigned bytes_unit(struct bytes *b)
{
	uint64_t length = bytes_fixed(b, 4);
	unsigned offset_size = 4;

	if (length == 0xffffffff) {
		length = bytes_fixed(b, 8);
		offset_size = 8;
	}
	if (length > bytes_left(b))
		b->is_short = true;
	else
		b->end = b->p + length;
	return offset_size;
}
