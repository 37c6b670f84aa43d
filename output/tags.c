#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "output/tags.h"
#include "output/text_tabs.h"

static int compare_addresses(const void *left, const void *right)
{
	const struct tag *a = left, *b = right;

	if (a->key != b->key)
		return (uintptr_t)a->key < (uintptr_t)b->key ? -1 : 1;
	return ((uintptr_t)a->text > (uintptr_t)b->text) -
	       ((uintptr_t)a->text < (uintptr_t)b->text);
}

/* By key, then by size without the sign, then by text. */
static int compare_tags(const void *left, const void *right)
{
	const struct tag *a = left, *b = right;
	int64_t a_size = unit_abs(a->value), b_size = unit_abs(b->value);
	int r = a->key == b->key ? 0 : strcmp(a->key, b->key);

	if (r != 0 || a_size == b_size)
		return r != 0 ? r : strcmp(a->text, b->text);
	return a_size > b_size ? -1 : 1;
}

static int64_t add(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

int tags_collect(struct report *r, struct tag **ret_tags, size_t *ret_n)
{
	struct profile *p = &r->profile;
	struct tag *tags;
	size_t n = 0, i, to = 0;
	uint32_t s, l;

	for (s = 0; s < p->samples_n; s++)
		n += p->samples[s].labels_n;
	tags = calloc(n + 1, sizeof(*tags));
	if (tags == NULL)
		return -ENOMEM;
	n = 0;
	for (s = 0; s < p->samples_n; s++) {
		for (l = 0; l < p->samples[s].labels_n; l++) {
			const struct profile_label *label = &p->samples[s].labels[l];
			struct unit_label number;
			char text[400];
			int size;

			tags[n] = (struct tag){label->key, label->str,
					       report_value(r, &p->samples[s])};
			if (label->str == NULL) {
				number = unit_label(label->num, report_label_unit(r, label->key),
						    r->options->unit);
				size = snprintf(text, sizeof(text), "%s%.50s", number.number,
						number.unit);
				tags[n].text = profile_string_raw(p, text, (size_t)size);
			}
			n++;
		}
	}
	if (profile_error(p) < 0) {
		free(tags);
		return -ENOMEM;
	}
	qsort(tags, n, sizeof(*tags), compare_addresses);
	for (i = 0; i < n; i++) {
		if (to > 0 && compare_addresses(&tags[to - 1], &tags[i]) == 0)
			tags[to - 1].value = add(tags[to - 1].value, tags[i].value);
		else
			tags[to++] = tags[i];
	}
	qsort(tags, to, sizeof(*tags), compare_tags);
	*ret_tags = tags;
	*ret_n = to;
	return 0;
}

/* The values of one key. */
static void print_key(const struct report *r, const struct tag *tags, size_t n, FILE *to)
{
	const char *unit = r->options->unit;
	struct unit_value scaled;
	int64_t total = 0;
	size_t i;

	for (i = 0; i < n; i++)
		total = add(total, tags[i].value);
	scaled = unit_scale(total, r->unit, unit);
	fprintf(to, "%s:\t Total %.1f%s\n", tags[0].key, scaled.value, scaled.unit);
	for (i = 0; i < n; i++) {
		scaled = unit_scale(tags[i].value, r->unit, unit);
		fprintf(to, " \t%.1f%s", scaled.value, scaled.unit);
		if (total > 0)
			fprintf(to, " (%s)", unit_percent(tags[i].value, total).text);
		fprintf(to, ":\t %s\n", tags[i].text);
	}
	fputc('\n', to);
}

int tags_print(struct report *r, FILE *to, struct why *why)
{
	struct tag *tags = NULL;
	size_t n = 0, first, end, size = 0;
	char *text = NULL;
	FILE *table;
	int error;

	error = tags_collect(r, &tags, &n);
	table = error == 0 ? open_memstream(&text, &size) : NULL;
	if (table == NULL) {
		error = -ENOMEM;
		goto out;
	}
	for (first = 0; first < n; first = end) {
		for (end = first + 1; end < n && tags[end].key == tags[first].key; end++)
			;
		print_key(r, tags + first, end - first, table);
	}
	error = fclose(table) == 0 ? tabs_print(text, size, to) : -ENOMEM;
out:
	free(text);
	free(tags);
	return report_end(to, error, why);
}
