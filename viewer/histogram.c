#include "viewer/histogram.h"

/* Below 8 each value has its own; then eight for each power of two. */
static unsigned bucket_of(uint64_t ns)
{
	unsigned octave;

	if (ns < 8)
		return (unsigned)ns;
	octave = 63u - (unsigned)__builtin_clzll(ns);
	return (octave - 2) * 8 + ((unsigned)(ns >> (octave - 3)) & 7);
}

uint64_t histogram_begin(unsigned i)
{
	if (i < 8)
		return i;
	if (i >= HISTOGRAM_BUCKETS)
		return UINT64_MAX;
	return (UINT64_C(8) | (i & 7)) << (i / 8 - 1);
}

void histogram_add(struct histogram *h, uint64_t ns)
{
	uint32_t *bucket = &h->buckets[bucket_of(ns)];

	h->n++;
	h->sum += ns;
	if (ns > h->max)
		h->max = ns;
	*bucket += *bucket != UINT32_MAX;
}

uint64_t histogram_at(const struct histogram *h, double q)
{
	uint64_t wanted = (uint64_t)(q * (double)h->n), seen = 0, middle;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen <= wanted)
			continue;
		middle = i < 8 ? i
			       : histogram_begin(i) +
					 (histogram_begin(i + 1) - histogram_begin(i)) / 2;
		return middle < h->max ? middle : h->max;
	}
	return h->max;
}
