/*
 * histogram: durations by their magnitude: eight steps to the octave, so a percentile is right within 7 %, and the largest is exact.
 */
#pragma once

#include <stdint.h>

#define HISTOGRAM_BUCKETS 496 /* up to 2^64 */

struct histogram {
	uint64_t n, sum, max;
	uint32_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t ns);

/* What @q of them (0.5, 0.99) are not above; 0 when there are none. Never above the largest. */
uint64_t histogram_at(const struct histogram *h, double q);

/* Where bucket @i begins; it ends where the next does. */
uint64_t histogram_begin(unsigned i);
