#include <errno.h>
#include <stdlib.h>

#include "output/idle.h"
#include "output/listing.h"
#include "output/listing_text.h"
#include "output/text_unit.h"

/* The columns, as Go has them. */
enum { CONTENTIONS, DELAY, COLUMNS };

/* The longest first, then the most. */
static int compare_samples(const void *left, const void *right, void *user)
{
	const struct profile *p = user;
	const struct profile_sample *a = &p->samples[*(const uint32_t *)left];
	const struct profile_sample *b = &p->samples[*(const uint32_t *)right];

	for (int c = DELAY; c >= CONTENTIONS; c--)
		if (a->values[c] != b->values[c])
			return a->values[c] > b->values[c] ? -1 : 1;
	return text_compare_stacks(p, a, b);
}

/*
 * What the values were multiplied by, when all were: another fraction may have been in force before, and a text with parts of
 * waits would add up to another sum.
 */
static int64_t divisor_of(const struct profile *p, uint64_t every)
{
	if (every <= 1 || every > INT64_MAX)
		return 1;
	for (uint32_t i = 0; i < p->samples_n; i++)
		for (unsigned c = 0; c < COLUMNS; c++)
			if (p->samples[i].values[c] % (int64_t)every != 0)
				return 1;
	return (int64_t)every;
}

static void put_idle(struct text *t, const struct profile *p)
{
	uint64_t waits = 0, ns = 0;
	struct unit_label label;

	for (uint32_t i = 0; i < p->samples_n; i++) {
		if (!idle_is(&p->samples[i]))
			continue;
		waits += (uint64_t)p->samples[i].values[CONTENTIONS];
		ns += (uint64_t)p->samples[i].values[DELAY];
	}
	label = unit_label((int64_t)ns, "nanoseconds", "auto");
	text_put(t, "# left out as idle: ");
	text_put_value(t, (int64_t)waits);
	text_put(t, waits == 1 ? " wait, " : " waits, ");
	text_put(t, label.number);
	text_put(t, label.unit);
	text_put(t, "; debug=2 has them, too\n");
}

int listing_contention(const struct profile *p, bool is_mutex, uint64_t every, bool with_idle,
		       int fd)
{
	uint32_t *order, n = 0;
	struct text *t;
	int64_t divisor;

	if (p->sample_types_n != COLUMNS)
		return -EINVAL;
	order = calloc((size_t)p->samples_n + 1, sizeof(*order));
	t = text_create(fd);
	if (t == NULL || order == NULL) {
		free(t);
		free(order);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < p->samples_n; i++)
		if (with_idle || !idle_is(&p->samples[i]))
			order[n++] = i;
	if (n > 0)
		qsort_r(order, n, sizeof(*order), compare_samples, (void *)p);
	divisor = divisor_of(p, every);
	text_put(t, is_mutex ? "--- mutex:\n" : "--- contention:\n");
	text_put(t, "cycles/second=1000000000\n"); /* a cycle is a nanosecond */
	if (is_mutex) {
		text_put(t, "sampling period=");
		text_put_value(t, divisor);
		text_put_char(t, '\n');
	}
	for (uint32_t i = 0; i < n && t->error == 0; i++) {
		const struct profile_sample *sample = &p->samples[order[i]];

		text_put_value(t, sample->values[DELAY] / divisor);
		text_put_char(t, ' ');
		text_put_value(t, sample->values[CONTENTIONS] / divisor);
		text_put_char(t, ' ');
		text_put_stack(t, p, sample, false);
	}
	if (n < p->samples_n)
		put_idle(t, p);
	free(order);
	return text_end(t);
}
