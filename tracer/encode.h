/*
 * encode: the numbers of a payload. Unsigned ones are LEB128: seven bits a byte, the lowest first, the top bit set on all but
 * the last. Signed ones are folded first (zigzag: 0, -1, 1, -2 … become 0, 1, 2, 3 …), so that small ones stay short.
 *
 * Nothing here asks for room: who writes has ENCODE_MAX bytes for each number. Who reads says where the end is.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define ENCODE_MAX 10 /* bytes of the largest number */

/* Writes @value at @to; returns where the next one goes. Any context. */
static inline uint8_t *encode_u(uint8_t *to, uint64_t value)
{
	while (value >= 0x80) {
		*to++ = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	*to++ = (uint8_t)value;
	return to;
}

static inline uint8_t *encode_s(uint8_t *to, int64_t value)
{
	return encode_u(to, (uint64_t)value << 1 ^ -((uint64_t)value >> 63));
}

/* Reads a number at @from; returns where the next one is, NULL when it is cut by @end or does not fit in 64 bits. */
static inline const uint8_t *decode_u(const uint8_t *from, const uint8_t *end, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (unsigned shift = 0; from < end && shift < 64; shift += 7) {
		uint64_t bits = *from & 0x7f;

		if (shift == 63 && bits > 1)
			return NULL;
		value |= bits << shift;
		if ((*from++ & 0x80) == 0) {
			*ret_value = value;
			return from;
		}
	}
	return NULL;
}

static inline const uint8_t *decode_s(const uint8_t *from, const uint8_t *end, int64_t *ret_value)
{
	uint64_t folded;

	from = decode_u(from, end, &folded);
	if (from != NULL)
		*ret_value = (int64_t)(folded >> 1 ^ -(folded & 1));
	return from;
}
