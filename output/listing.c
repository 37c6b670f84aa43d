#include "output/listing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "output/listing_text.h"

#define STACKS_MAX \
	((uint64_t)256 << 20) /* bytes of text, after which threads go without their stacks */

/* debug=1 */

static void put_stack(struct text *t, const struct profile *p, const struct profile_sample *sample)
{
	for (uint32_t i = 0; i < p->sample_types_n; i++) {
		text_put_value(t, sample->values[i]);
		text_put_char(t, ' ');
	}
	text_put_stack(t, p, sample, false);
}

/* The largest first, then by the text behind their values. */
static int compare_samples(const void *left, const void *right, void *user)
{
	const struct profile *p = user;
	const struct profile_sample *a = &p->samples[*(const uint32_t *)left];
	const struct profile_sample *b = &p->samples[*(const uint32_t *)right];

	if (a->values[0] != b->values[0])
		return a->values[0] > b->values[0] ? -1 : 1;
	return text_compare_stacks(p, a, b);
}

static void put_totals(struct text *t, const struct profile *p, const char *name)
{
	text_put_name(t, name);
	text_put(t, " profile: total");
	for (uint32_t c = 0; c < p->sample_types_n; c++) {
		uint64_t sum = 0;

		for (uint32_t i = 0; i < p->samples_n; i++)
			sum += (uint64_t)p->samples[i].values[c];
		text_put_char(t, ' ');
		text_put_value(t, (int64_t)sum);
	}
	text_put_char(t, '\n');
	if (p->sample_types_n < 2)
		return;
	/* numbers that are no mere counts need a name; Go has no such text, and pprof does not read it */
	text_put_char(t, '#');
	for (uint32_t c = 0; c < p->sample_types_n; c++) {
		text_put_char(t, ' ');
		text_put_name(t, p->sample_types[c].type);
		text_put_char(t, '/');
		text_put_name(t, p->sample_types[c].unit);
	}
	text_put_char(t, '\n');
}

int listing_stacks(const struct profile *p, const char *name, int fd)
{
	uint32_t *order = calloc((size_t)p->samples_n + 1, sizeof(*order));
	struct text *t = text_create(fd);

	if (t == NULL || order == NULL) {
		free(t);
		free(order);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < p->samples_n; i++)
		order[i] = i;
	if (p->samples_n > 0 && p->sample_types_n > 0)
		qsort_r(order, p->samples_n, sizeof(*order), compare_samples, (void *)p);
	put_totals(t, p, name);
	for (uint32_t i = 0; i < p->samples_n && t->error == 0; i++)
		put_stack(t, p, &p->samples[order[i]]);
	free(order);
	return text_end(t);
}

/* debug=2 */

/* Three digits and a unit; from a minute on as Go has it. */
static void put_time(struct text *t, uint64_t ns)
{
	static const struct {
		uint64_t ns;
		const char *name;
	} units[] = {{NS_PER_SECOND, "s"}, {1000000, "ms"}, {1000, "us"}, {1, "ns"}};
	unsigned i = 0;
	uint64_t rest;

	if (ns >= 60 * NS_PER_SECOND) {
		text_put_number(t, ns / (60 * NS_PER_SECOND), 10);
		text_put(t, " minutes");
		return;
	}
	while (ns < units[i].ns && units[i].ns > 1)
		i++;
	rest = ns % units[i].ns * 100 / units[i].ns;
	text_put_number(t, ns / units[i].ns, 10);
	if (ns < 100 * units[i].ns && units[i].ns > 1) {
		text_put_char(t, '.');
		text_put_char(t, (char)('0' + rest / 10));
		if (ns < 10 * units[i].ns)
			text_put_char(t, (char)('0' + rest % 10));
	}
	text_put(t, units[i].name);
}

static void put_head(struct text *t, const struct reading_thread *thread, const char *state)
{
	text_put(t, "thread ");
	if (thread->tid != 0)
		text_put_value(t, thread->tid);
	else
		text_put_char(t, '?');
	text_put(t, " [");
	text_put(t, state);
	if (thread->channel[0] != '\0') {
		text_put(t, ", ");
		text_put_name(t, thread->channel);
	}
	if (thread->for_ns != 0) {
		text_put(t, ", ");
		put_time(t, thread->for_ns);
	}
	text_put(t, "] ");
	text_put_quoted(t, thread->name);
	text_put(t, ":\n");
}

static void put_place(struct text *t, const struct profile *p, uint32_t location)
{
	const struct profile_location *l = &p->locations[location];
	uint64_t base = profile_base(p, location);

	if (l->lines_n == 0) {
		text_put_hex(t, l->address);
		if (text_file_of(p, l) != NULL) {
			text_put(t, "\n\t");
			text_put_name(t, text_file_of(p, l));
			if (base <= l->address) {
				text_put(t, " +");
				text_put_hex(t, l->address - base);
			}
		}
		text_put_char(t, '\n');
	}
	for (uint32_t i = 0; i < l->lines_n; i++) {
		const struct profile_line *line = &l->lines[i];

		text_put_name(t, p->functions[line->function].name);
		text_put(t,
			 l->address != 0 ? "(...)\n" : "\n"); /* without an address: no function */
		if (p->functions[line->function].file[0] == '\0' && text_file_of(p, l) == NULL)
			continue;
		text_put_char(t, '\t');
		text_put_source(t, p, l, line);
		if (base != 0 && base <= l->address) {
			text_put(t, " +");
			text_put_hex(t, l->address - base);
		}
		text_put_char(t, '\n');
	}
}

int listing_threads(const struct profile *p, const struct reading_thread *threads, int fd)
{
	struct text *t = text_create(fd);

	if (t == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->samples_n && t->error == 0; i++) {
		const struct profile_sample *sample = &p->samples[i];
		char buffer[WAIT_NAME_SIZE];
		const char *state = wait_name(threads[i].state, buffer);

		if (i > 0)
			text_put_char(t, '\n');
		put_head(t, &threads[i], state);
		if (t->bytes_n > STACKS_MAX) {
			text_put(t, "\t(no stacks from here on: the text is long enough)\n");
			continue;
		}
		text_put_labels(t, sample);
		for (uint32_t j = 0; j < sample->locations_n; j++)
			put_place(t, p, sample->locations[j]);
	}
	return text_end(t);
}
