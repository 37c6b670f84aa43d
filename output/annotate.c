#include "output/annotate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "output/graph.h"
#include "output/source_files.h"
#include "output/text_regex.h"

/* Lines shown before the first that was seen, where a function's beginning is not known, and behind the last. */
#define MARGIN 5

/* Nodes of one function, or of those of its nodes that are in one file. */
struct part {
	struct graph_node **nodes;
	uint32_t n;
};

/* What overflows does so as in Go. */
static int64_t add(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int compare(const void *left, const void *right)
{
	const struct graph_key *a = &(*(struct graph_node *const *)left)->key;
	const struct graph_key *b = &(*(struct graph_node *const *)right)->key;
	int r = strcmp(a->name, b->name);

	if (r == 0)
		r = strcmp(a->file, b->file);
	if (r == 0)
		r = a->line < b->line ? -1 : a->line > b->line;
	return r;
}

/* Nodes whose names match @expression, in order, into @ret. */
static int find(struct graph *g, const char *expression, struct part *ret, struct why *why)
{
	struct regex *re;
	struct why inner;
	const char *name = NULL;
	bool is_match = false;
	uint32_t i;
	int r = regex_create(&re, expression, &inner);

	if (r < 0) {
		why_set(why, "%.300s", inner.text);
		return r;
	}
	*ret = (struct part){g->shown, 0};
	qsort(g->shown, g->shown_n, sizeof(*g->shown), compare);
	for (i = 0; i < g->shown_n; i++) {
		if (name == NULL || strcmp(name, g->shown[i]->key.name) != 0) {
			name = g->shown[i]->key.name;
			is_match = regex_is_match(re, name);
		}
		if (is_match)
			ret->nodes[ret->n++] = g->shown[i];
	}
	regex_destroy(re);
	if (ret->n > 0)
		return 0;
	why_set(why, "no function's name matches %.200s; 'cprof top' lists them", expression);
	return -ENOENT;
}

/* The beginning of @all that has the same name, or the same file as well. */
static struct part first_part(const struct part *all, bool is_by_file)
{
	const struct graph_key *key = &all->nodes[0]->key;
	uint32_t n = 1;

	while (n < all->n && strcmp(all->nodes[n]->key.name, key->name) == 0 &&
	       (!is_by_file || strcmp(all->nodes[n]->key.file, key->file) == 0))
		n++;
	return (struct part){all->nodes, n};
}

static void skip(struct part *all, uint32_t n)
{
	all->nodes += n;
	all->n -= n;
}

static void print_value(struct report *r, int64_t value, FILE *to)
{
	struct unit_label label = report_label(r, value);

	unit_print(to, 10, &label);
}

static void print_value_or_dot(struct report *r, int64_t value, FILE *to)
{
	if (value == 0)
		fprintf(to, "%10s", ".");
	else
		print_value(r, value, to);
}

/* The lines that belong to the nodes of @part: from where the function begins. */
static void find_range(const struct part *part, int64_t *ret_first, int64_t *ret_last)
{
	int64_t first = INT64_MAX, last = INT64_MIN, start;

	for (uint32_t i = 0; i < part->n; i++) {
		const struct graph_key *key = &part->nodes[i]->key;

		start = key->start_line != 0 ? key->start_line : add(key->line, -MARGIN);
		if (start < first)
			first = start;
		if (add(key->line, MARGIN) > last)
			last = add(key->line, MARGIN);
	}
	*ret_first = first < 1 ? 1 : first;
	*ret_last = last;
}

static void print_lines(struct report *r, const struct part *part, const struct source_file *file,
			FILE *to)
{
	int64_t first, last, flat, cum;
	const char *text;
	uint32_t i = 0;
	size_t size;

	find_range(part, &first, &last);
	for (int64_t line = first;
	     line <= last && (text = source_file_line(file, line, &size)) != NULL; line++) {
		flat = cum = 0;
		for (; i < part->n && part->nodes[i]->key.line <= line; i++) {
			if (part->nodes[i]->key.line < line)
				continue;
			flat = add(flat, part->nodes[i]->flat);
			cum = add(cum, part->nodes[i]->cum);
		}
		print_value_or_dot(r, flat, to);
		fputc(' ', to);
		print_value_or_dot(r, cum, to);
		fprintf(to, " %6" PRId64 ":", line);
		fwrite(text, 1, size, to);
		fputc('\n', to);
	}
}

static int print_routine(struct report *r, const struct part *part, struct source_files *files,
			 FILE *to)
{
	const struct graph_key *key = &part->nodes[0]->key;
	const struct source_file *file = source_files_get(files, key->file);
	int64_t flat = 0, cum = 0;

	if (file == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < part->n; i++) {
		flat = add(flat, part->nodes[i]->flat);
		cum = add(cum, part->nodes[i]->cum);
	}
	fprintf(to, "ROUTINE ======================== %s in %s\n", key->name, key->file);
	print_value(r, flat, to);
	fputc(' ', to);
	print_value(r, cum, to);
	fprintf(to, " (flat, cum) %s of Total\n", unit_percent(cum, r->total).text);
	if (file->error != NULL)
		fprintf(to, " Error: %s\n", file->error);
	else
		print_lines(r, part, file, to);
	return 0;
}

/* One function: each of the files that it is in. */
static int print_function(struct report *r, struct part part, struct source_files *files, FILE *to)
{
	int error = 0;

	if (part.nodes[part.n - 1]->key.file[0] == '\0')
		fprintf(to, "No source information for %s\n", part.nodes[0]->key.name);
	while (part.n > 0 && error == 0) {
		struct part in_file = first_part(&part, true);

		if (in_file.nodes[0]->key.file[0] != '\0')
			error = print_routine(r, &in_file, files, to);
		skip(&part, in_file.n);
	}
	return error;
}

static int print_all(struct report *r, struct part all, FILE *to, struct why *why)
{
	struct unit_label total = report_label(r, r->total);
	struct source_files files;
	const char *advice;
	bool has_lines = false;
	int error = source_files_init(&files, r, why);

	if (error < 0)
		return error;
	report_print_idle(r, to);
	fprintf(to, "Total: %s%s\n", total.number, total.unit);
	while (all.n > 0 && error == 0) {
		struct part function = first_part(&all, false);

		has_lines |= function.nodes[function.n - 1]->key.file[0] != '\0';
		error = print_function(r, function, &files, to);
		skip(&all, function.n);
	}
	error = report_end(to, error, why);
	advice = has_lines ? source_files_advise(&files)
			   : "no source lines are known of these: was it built with -g?";
	if (error == 0 && advice != NULL && r->options->note != NULL)
		r->options->note(advice);
	source_files_fini(&files);
	return error;
}

int list_print(struct report *r, FILE *to, struct why *why)
{
	struct part matching;
	struct graph g;
	int error = graph_init(&g, r, GRAPH_FILES_APART);

	if (error == 0)
		error = graph_build(&g, GRAPH_ALL);
	if (error < 0)
		why_set(why, "out of memory");
	if (error == 0)
		error = find(&g, r->options->expression, &matching, why);
	if (error == 0)
		error = print_all(r, matching, to, why);
	graph_fini(&g);
	return error;
}
