#include "viewer/varint.h"

#include <stddef.h>

const uint8_t *varint_get_long(const uint8_t *at, uint64_t *ret)
{
	uint64_t value = 0;
	unsigned i;

	for (i = 0; i < VARINT_BYTES_MAX; i++) {
		uint64_t bits = at[i] & 0x7f;

		if (i == VARINT_BYTES_MAX - 1 && bits > 1)
			return NULL;
		value |= bits << (7 * i);
		if (at[i] < 0x80) {
			*ret = value;
			return at + i + 1;
		}
	}
	return NULL;
}
