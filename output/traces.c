#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "output/graph.h"
#include "output/traces.h"

static const char separator[] =
	"-----------+-------------------------------------------------------\n";

static int compare_lines(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

/* "       key:  v1 v2" of the labels [first, end), which have one key. NULL when out of memory. */
static char *key_line(const struct report *r, const struct profile_label *first,
		      const struct profile_label *end)
{
	size_t columns = profile_columns(first->key, strlen(first->key)), size;
	const struct profile_label *label;
	struct unit_label number;
	char *line = NULL;
	FILE *to = open_memstream(&line, &size);

	if (to == NULL)
		return NULL;
	fprintf(to, "%*s%s:  ", columns < 10 ? (int)(10 - columns) : 0, "", first->key);
	for (label = first; label < end; label++) {
		if (label != first)
			fputc(' ', to);
		if (label->str != NULL) {
			fputs(label->str, to);
			continue;
		}
		number = unit_label(label->num, report_label_unit(r, label->key), "auto");
		fprintf(to, "%s%s", number.number, number.unit);
	}
	fputc('\n', to);
	if (fclose(to) != 0) {
		free(line);
		return NULL;
	}
	return line;
}

/* A line for each key in [first, end), all texts or all numbers, sorted by what is in them. */
static int print_labels(const struct report *r, const struct profile_label *first,
			const struct profile_label *end, FILE *to)
{
	const struct profile_label *next;
	char **lines;
	size_t n = 0, i;
	int error = 0;

	if (first == end)
		return 0;
	lines = calloc((size_t)(end - first), sizeof(*lines));
	if (lines == NULL)
		return -ENOMEM;
	for (; first < end && error == 0; first = next) {
		for (next = first + 1; next < end && next->key == first->key; next++)
			;
		lines[n] = key_line(r, first, next);
		if (lines[n++] == NULL)
			error = -ENOMEM;
	}
	if (error == 0) {
		qsort(lines, n, sizeof(*lines), compare_lines);
		for (i = 0; i < n; i++)
			fputs(lines[i], to);
	}
	for (i = 0; i < n; i++)
		free(lines[i]);
	free(lines);
	return error;
}

static void print_stack(struct graph *g, const struct profile_sample *s, FILE *to)
{
	int64_t value = report_value(g->r, s), divisor = report_divisor(g->r, s);
	struct unit_label label;
	uint32_t i, line, lines_n;

	if (divisor != 0)
		value = unit_divide(value, divisor);
	label = report_label(g->r, value);
	for (i = 0; i < s->locations_n; i++) {
		lines_n = graph_lines_n(g, s->locations[i]);
		for (line = 0; line < lines_n; line++) {
			if (i == 0 && line == 0)
				unit_print(to, 10, &label);
			else
				fprintf(to, "%10s", "");
			fprintf(to, "   %s%s\n",
				graph_text(g, graph_node_of(g, s->locations[i], line)),
				line + 1 != lines_n ? " (inline)" : "");
		}
	}
}

static int print_samples(struct graph *g, FILE *to)
{
	const struct profile *p = &g->r->profile;
	uint32_t i;
	int error = 0;

	for (i = 0; i < p->samples_n && error == 0; i++) {
		const struct profile_sample *s = &p->samples[i];
		const struct profile_label *numbers = s->labels, *end = s->labels + s->labels_n;

		if (s->locations_n == 0)
			continue;
		fputs(separator, to);
		while (numbers < end && numbers->str != NULL) /* merging has put the texts first */
			numbers++;
		error = print_labels(g->r, s->labels, numbers, to);
		if (error == 0)
			error = print_labels(g->r, numbers, end, to);
		if (error == 0)
			print_stack(g, s, to);
	}
	fputs(separator, to);
	return error;
}

int traces_print(struct report *r, FILE *to, struct why *why)
{
	struct graph g;
	int error;

	error = graph_init(&g, r, GRAPH_FILES_WHOLE);
	if (error == 0) {
		if (report_print_header(r, to) == 0)
			fputc('\n', to); /* as pprof, where no line is an empty one */
		error = print_samples(&g, to);
	}
	if (error == 0)
		error = profile_error(&r->profile);
	graph_fini(&g);
	return report_end(to, error, why);
}
