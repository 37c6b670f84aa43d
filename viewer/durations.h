/*
 * durations: how long something took, each time: a few are kept as they are, many as a histogram. For tables with a row for each
 * of very many objects, most of which are used a few times.
 */
#pragma once

#include "viewer/histogram.h"

#define DURATIONS_FEW 8

struct durations {
	uint64_t n, sum, max;
	uint64_t few[DURATIONS_FEW];
	struct histogram *many; /* NULL up to DURATIONS_FEW */
};

/* A zeroed one has none. 0 or -ENOMEM. */
int durations_add(struct durations *d, uint64_t ns);
void durations_fini(struct durations *d);

/* What @q of them (0.5, 0.99) are not above, as histogram_at() has it; 0 when there are none. */
uint64_t durations_at(const struct durations *d, double q);

static inline uint64_t durations_mean(const struct durations *d)
{
	return d->n > 0 ? d->sum / d->n : 0;
}
