/*
 * sample: how far it is to the next sample, and which blocks are of one size.
 *
 * Every byte that is asked for is sampled with the same small probability, and a block when one of its bytes is: with the
 * probability 1 - exp(-size / mean). So the gaps are distributed exponentially, whatever came before. Go and jemalloc do it
 * the same way, and pprof's heap files are unsampled by that formula (Go's scaleHeapSample).
 */
#pragma once

#include <stdint.h>

#include "core/context.h"
#include "core/random.h"

/*
 * -ln(n / 2^53) for 0 < n <= 2^53. libm is no library that libcprof.so may need. n is m * 2^e with m from sqrt(1/2) on, and
 * ln(m) = 2 atanh((m-1)/(m+1)), whose series is good to 2e-12 there.
 */
SIGSAFE static inline double sample_minus_ln(uint64_t n)
{
	int e = 63 - __builtin_clzll(n);
	double m = (double)n / (double)(UINT64_C(1) << e), z, zz, sum;

	if (m > 1.4142135623730951) {
		m /= 2;
		e++;
	}
	z = (m - 1) / (m + 1);
	zz = z * z;
	sum = 1 + zz * (1. / 3 + zz * (1. / 5 + zz * (1. / 7 + zz * (1. / 9 + zz * (1. / 11)))));
	return (53 - e) * 0.69314718055994531 - 2 * z * sum;
}

/*
 * Bytes to let pass before the next sample: the block that takes more than are left is sampled. Rounded down, so that a
 * block of s bytes is sampled with exactly the probability above.
 */
SIGSAFE static inline int64_t sample_gap(uint64_t *state, uint64_t mean)
{
	double gap = sample_minus_ln((random_next(state) >> 11) + 1) * (double)mean;

	return gap < 4e18 ? (int64_t)gap : INT64_MAX / 2;
}

/*
 * Classes of sizes: each size up to 16, then eight for each power of two. Blocks of a class at one stack are counted in one
 * row and unsampled with their mean size, which is off by less than a thousandth then.
 */
#define SAMPLE_CLASS_BITS 9
#define SAMPLE_CLASSES    (1u << SAMPLE_CLASS_BITS)

SIGSAFE static inline uint32_t sample_class(uint64_t size)
{
	unsigned log;

	if (size < 16)
		return (uint32_t)size;
	log = 63 - (unsigned)__builtin_clzll(size);
	return 16 + (log - 4) * 8 + ((uint32_t)(size >> (log - 3)) & 7);
}
_Static_assert(16 + (63 - 4) * 8 + 7 < SAMPLE_CLASSES, "sample_class() fits");
