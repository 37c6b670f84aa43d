#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "output/listing.h"
#include "output/listing_text.h"
#include "output/unsample.h"

/* The columns, as Go has them. */
enum { ALLOC_OBJECTS, ALLOC_SPACE, INUSE_OBJECTS, INUSE_SPACE, COLUMNS };

static void put_values(struct text *t, const int64_t *values)
{
	text_put_value(t, values[INUSE_OBJECTS]);
	text_put(t, ": ");
	text_put_value(t, values[INUSE_SPACE]);
	text_put(t, " [");
	text_put_value(t, values[ALLOC_OBJECTS]);
	text_put(t, ": ");
	text_put_value(t, values[ALLOC_SPACE]);
	text_put(t, "] ");
}

/* What is in use first, the largest; then what was. */
static int compare_samples(const void *left, const void *right, void *user)
{
	static const unsigned order[] = {INUSE_SPACE, INUSE_OBJECTS, ALLOC_SPACE, ALLOC_OBJECTS};
	const struct profile *p = user;
	const struct profile_sample *a = &p->samples[*(const uint32_t *)left];
	const struct profile_sample *b = &p->samples[*(const uint32_t *)right];

	for (unsigned i = 0; i < COLUMNS; i++)
		if (a->values[order[i]] != b->values[order[i]])
			return a->values[order[i]] > b->values[order[i]] ? -1 : 1;
	return text_compare_stacks(p, a, b);
}

/* Sums of numbers that others wrote: they wrap. */
static int64_t add(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

struct totals {
	int64_t sampled[COLUMNS], unsampled[COLUMNS];
};

static struct totals add_up(const struct profile *p)
{
	struct totals all = {{0}, {0}};

	for (uint32_t i = 0; i < p->samples_n; i++) {
		const int64_t *values = p->samples[i].values;

		for (unsigned c = 0; c < COLUMNS; c += 2) {
			int64_t blocks = values[c], bytes = values[c + 1];

			all.sampled[c] = add(all.sampled[c], blocks);
			all.sampled[c + 1] = add(all.sampled[c + 1], bytes);
			unsample((uint64_t)p->period, &blocks, &bytes);
			all.unsampled[c] = add(all.unsampled[c], blocks);
			all.unsampled[c + 1] = add(all.unsampled[c + 1], bytes);
		}
	}
	return all;
}

static void put_statistic(struct text *t, const char *name, int64_t value)
{
	text_put(t, "# ");
	text_put(t, name);
	text_put(t, " = ");
	text_put_value(t, value > 0 ? value : 0);
	text_put_char(t, '\n');
}

/* Names as in Go's runtime.MemStats, of those that mean the same here. */
static void put_statistics(struct text *t, const struct profile *p, const int64_t *all,
			   uint64_t rss_bytes)
{
	text_put(t, p->period > 1 ? "\n# estimates from the samples\n" : "\n# all blocks\n");
	put_statistic(t, "Alloc", all[INUSE_SPACE]);
	put_statistic(t, "TotalAlloc", all[ALLOC_SPACE]);
	put_statistic(t, "Mallocs", all[ALLOC_OBJECTS]);
	put_statistic(t, "Frees",
		      (int64_t)((uint64_t)all[ALLOC_OBJECTS] - (uint64_t)all[INUSE_OBJECTS]));
	put_statistic(t, "HeapAlloc", all[INUSE_SPACE]);
	put_statistic(t, "HeapObjects", all[INUSE_OBJECTS]);
	for (uint32_t i = 0; i < p->comments_n; i++) {
		text_put(t, "# ");
		text_put_name(t, p->comments[i]);
		text_put_char(t, '\n');
	}
	if (rss_bytes != 0)
		put_statistic(t, "MaxRSS", (int64_t)rss_bytes);
}

int listing_heap(const struct profile *p, uint64_t rss_bytes, int fd)
{
	uint32_t *order = calloc((size_t)p->samples_n + 1, sizeof(*order));
	struct text *t = text_create(fd);
	struct totals all;

	if (t == NULL || order == NULL || p->sample_types_n != COLUMNS) {
		free(t);
		free(order);
		return t == NULL || order == NULL ? -ENOMEM : -EINVAL;
	}
	for (uint32_t i = 0; i < p->samples_n; i++)
		order[i] = i;
	if (p->samples_n > 0)
		qsort_r(order, p->samples_n, sizeof(*order), compare_samples, (void *)p);
	all = add_up(p);
	text_put(t, "heap profile: ");
	put_values(t, all.sampled);
	text_put(t, "@ heap/");
	text_put_number(t, 2 * (uint64_t)p->period, 10);
	text_put_char(t, '\n');
	for (uint32_t i = 0; i < p->samples_n && t->error == 0; i++) {
		const struct profile_sample *sample = &p->samples[order[i]];

		put_values(t, sample->values);
		text_put_stack(t, p, sample, true);
	}
	put_statistics(t, p, all.unsampled, rss_bytes);
	free(order);
	return text_end(t);
}
