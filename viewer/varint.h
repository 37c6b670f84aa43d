/*
 * varint: the numbers of a payload: unsigned LEB128, and zigzag for signed ones.
 */
#pragma once

#include <stdint.h>
#include <string.h>

#define VARINT_BYTES_MAX 10

/* More than eight bytes. NULL when it does not end, or has more than 64 bits. */
const uint8_t *varint_get_long(const uint8_t *at, uint64_t *ret);

/*
 * Reads one number and returns what follows it, or NULL for what is none. VARINT_BYTES_MAX bytes must be readable; whether
 * the number's own bytes are within its record is for the caller to see, once for many numbers.
 */
static inline const uint8_t *varint_get(const uint8_t *at, uint64_t *ret)
{
	uint64_t word, ends;

	if (at[0] < 0x80) {
		*ret = at[0];
		return at + 1;
	}
	memcpy(&word, at, sizeof(word));
	ends = ~word & UINT64_C(0x8080808080808080);
	if (ends == 0)
		return varint_get_long(at, ret);
	/* seven bits of each byte up to the first that ends: moved together by pairs, fours, eight */
	word &= (ends ^ (ends - 1)) & UINT64_C(0x7f7f7f7f7f7f7f7f);
	word = (word & UINT64_C(0x7f007f007f007f00)) >> 1 | (word & UINT64_C(0x007f007f007f007f));
	word = (word & UINT64_C(0x3fff00003fff0000)) >> 2 | (word & UINT64_C(0x00003fff00003fff));
	*ret = (word & UINT64_C(0x0fffffff00000000)) >> 4 | (word & UINT64_C(0x0fffffff));
	return at + (__builtin_ctzll(ends) >> 3) + 1;
}

/*
 * What follows @n numbers, whatever they are, found by where they end. At most seven bytes more than they have must be readable; where they end
 * for sure, as in zeros behind a payload.
 */
static inline const uint8_t *varint_skip(const uint8_t *at, unsigned n)
{
	uint64_t word, ends;
	unsigned found;

	while (n > 0) {
		memcpy(&word, at, sizeof(word));
		ends = ~word >> 7 & UINT64_C(0x0101010101010101);
		found = (unsigned)(ends * UINT64_C(0x0101010101010101) >> 56);
		if (found < n) {
			n -= found;
			at += sizeof(word);
			continue;
		}
		while (--n > 0)
			ends &= ends - 1;
		return at + (__builtin_ctzll(ends) >> 3) + 1;
	}
	return at;
}

static inline int64_t varint_signed(uint64_t zigzag)
{
	return (int64_t)(zigzag >> 1) ^ -(int64_t)(zigzag & 1);
}

/* Writes one, VARINT_BYTES_MAX bytes at most, and returns what follows it. */
static inline uint8_t *varint_put(uint8_t *at, uint64_t value)
{
	while (value >= 0x80) {
		*at++ = (uint8_t)value | 0x80;
		value >>= 7;
	}
	*at++ = (uint8_t)value;
	return at;
}
