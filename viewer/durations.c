#include "viewer/durations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int durations_add(struct durations *d, uint64_t ns)
{
	if (d->n == DURATIONS_FEW && d->many == NULL) {
		d->many = calloc(1, sizeof(*d->many));
		if (d->many == NULL)
			return -ENOMEM;
		for (unsigned i = 0; i < DURATIONS_FEW; i++)
			histogram_add(d->many, d->few[i]);
	}
	if (d->many != NULL)
		histogram_add(d->many, ns);
	else
		d->few[d->n] = ns;
	d->n++;
	d->sum += ns;
	if (ns > d->max)
		d->max = ns;
	return 0;
}

void durations_fini(struct durations *d)
{
	free(d->many);
	*d = (struct durations){0};
}

static int compare(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

uint64_t durations_at(const struct durations *d, double q)
{
	uint64_t sorted[DURATIONS_FEW];
	uint64_t at = (uint64_t)(q * (double)d->n);

	if (d->many != NULL)
		return histogram_at(d->many, q);
	if (d->n == 0)
		return 0;
	memcpy(sorted, d->few, d->n * sizeof(*sorted));
	qsort(sorted, d->n, sizeof(*sorted), compare);
	return sorted[at < d->n ? at : d->n - 1];
}
