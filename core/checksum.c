#include "core/checksum.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

/*
 * Asked for when it is needed: what GCC has for it, __builtin_cpu_supports(), asks the processor for all that it can as the library is
 * loaded, which takes 60 us in a virtual machine.
 */
static bool has_instruction(void)
{
	static atomic_int known; /* 1: it has, -1: not */
	int has = atomic_load_explicit(&known, memory_order_relaxed);
	unsigned a, b, c = 0, d;

	if (has == 0) {
		has = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_2) ? 1 : -1;
		atomic_store_explicit(&known, has, memory_order_relaxed);
	}
	return has > 0;
}

/* By the processor's own instruction, which every x86-64 since 2008 has. */
__attribute__((target("sse4.2"))) static uint32_t crc32c_fast(uint32_t crc, const uint8_t *at,
							      size_t size)
{
	uint64_t wide = crc, word;

	for (; size >= sizeof(word); at += sizeof(word), size -= sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	while (size-- > 0)
		crc = __builtin_ia32_crc32qi(crc, *at++);
	return crc;
}
#endif

static uint32_t crc32c_slow(uint32_t crc, const uint8_t *at, size_t size)
{
	/* the polynomial's remainders of four bits */
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};

	while (size-- > 0) {
		crc ^= *at++;
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return crc;
}

uint32_t checksum_crc32c(uint32_t crc, const void *bytes, size_t size)
{
#if defined(__x86_64__)
	if (has_instruction())
		return ~crc32c_fast(~crc, bytes, size);
#endif
	return ~crc32c_slow(~crc, bytes, size);
}

/* xxh32: four lanes of 32 bits over stripes of 16 bytes, then what is left, then the bits are mixed. */

#define PRIME_1 UINT32_C(2654435761)
#define PRIME_2 UINT32_C(2246822519)
#define PRIME_3 UINT32_C(3266489917)
#define PRIME_4 UINT32_C(668265263)
#define PRIME_5 UINT32_C(374761393)

static uint32_t rotate(uint32_t x, unsigned bits)
{
	return x << bits | x >> (32 - bits);
}

static uint32_t word_at(const uint8_t *at)
{
	uint32_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

static uint32_t lane(uint32_t sum, const uint8_t *at)
{
	return rotate(sum + word_at(at) * PRIME_2, 13) * PRIME_1;
}

uint32_t checksum_xxh32(const void *bytes, size_t size)
{
	const uint8_t *at = bytes, *end = at + size;
	uint32_t sum = PRIME_5;

	if (size >= 16) {
		uint32_t a = PRIME_1 + PRIME_2, b = PRIME_2, c = 0, d = 0 - PRIME_1;

		for (; end - at >= 16; at += 16) {
			a = lane(a, at);
			b = lane(b, at + 4);
			c = lane(c, at + 8);
			d = lane(d, at + 12);
		}
		sum = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
	}
	sum += (uint32_t)size;
	for (; end - at >= 4; at += 4)
		sum = rotate(sum + word_at(at) * PRIME_3, 17) * PRIME_4;
	for (; at < end; at++)
		sum = rotate(sum + *at * PRIME_5, 11) * PRIME_1;
	sum = (sum ^ sum >> 15) * PRIME_2;
	sum = (sum ^ sum >> 13) * PRIME_3;
	return sum ^ sum >> 16;
}
