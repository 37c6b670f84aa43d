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

static int visit_lines(const struct part *part, const struct source_file *file,
		       const struct list_visitor *v)
{
	struct list_line l;
	int64_t last;
	uint32_t i = 0;
	int error = 0;

	find_range(part, &l.number, &last);
	for (; error == 0 && l.number <= last &&
	       (l.text = source_file_line(file, l.number, &l.size)) != NULL;
	     l.number++) {
		l.flat = l.cum = 0;
		for (; i < part->n && part->nodes[i]->key.line <= l.number; i++) {
			if (part->nodes[i]->key.line < l.number)
				continue;
			l.flat = add(l.flat, part->nodes[i]->flat);
			l.cum = add(l.cum, part->nodes[i]->cum);
		}
		error = v->line(v->context, &l);
	}
	return error;
}

static int visit_part(const struct part *part, struct source_files *files,
		      const struct list_visitor *v)
{
	const struct graph_key *key = &part->nodes[0]->key;
	const struct source_file *file = source_files_get(files, key->file);
	struct list_function f = {.name = key->name, .file = key->file};
	int error;

	if (file == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < part->n; i++) {
		f.flat = add(f.flat, part->nodes[i]->flat);
		f.cum = add(f.cum, part->nodes[i]->cum);
	}
	f.error = file->error;
	error = v->function(v->context, &f);
	return error < 0 || file->error != NULL ? error : visit_lines(part, file, v);
}

/* One function: each of the files that it is in. */
static int visit_function(struct part part, struct source_files *files,
			  const struct list_visitor *v)
{
	const struct list_function nowhere = {.name = part.nodes[0]->key.name, .file = ""};
	int error = 0;

	if (part.nodes[part.n - 1]->key.file[0] == '\0')
		error = v->function(v->context, &nowhere);
	while (part.n > 0 && error == 0) {
		struct part in_file = first_part(&part, true);

		if (in_file.nodes[0]->key.file[0] != '\0')
			error = visit_part(&in_file, files, v);
		skip(&part, in_file.n);
	}
	return error;
}

static int visit_all(struct report *r, struct part all, const struct list_visitor *v,
		     struct why *why)
{
	struct source_files files;
	const char *advice;
	bool has_lines = false;
	int error = source_files_init(&files, r, why);

	if (error < 0)
		return error;
	v->begin(v->context);
	why_set(why, "out of memory");
	while (all.n > 0 && error == 0) {
		struct part function = first_part(&all, false);

		has_lines |= function.nodes[function.n - 1]->key.file[0] != '\0';
		error = visit_function(function, &files, v);
		skip(&all, function.n);
	}
	advice = has_lines ? source_files_advise(&files)
			   : "no source lines are known of these: was it built with -g?";
	if (error == 0 && advice != NULL)
		v->advise(v->context, advice);
	source_files_fini(&files);
	return error;
}

int list_visit(struct report *r, const struct list_visitor *v, struct why *why)
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
		error = visit_all(r, matching, v, why);
	graph_fini(&g);
	return error;
}

/* ---- as text ---- */

struct printing {
	struct report *r;
	FILE *to;
};

static void print_value(const struct printing *p, int64_t value)
{
	struct unit_label label = report_label(p->r, value);

	unit_print(p->to, 10, &label);
}

static void print_value_or_dot(const struct printing *p, int64_t value)
{
	if (value == 0)
		fprintf(p->to, "%10s", ".");
	else
		print_value(p, value);
}

static void print_begin(void *context)
{
	const struct printing *p = context;
	struct unit_label total = report_label(p->r, p->r->total);

	report_print_idle(p->r, p->to);
	fprintf(p->to, "Total: %s%s\n", total.number, total.unit);
}

static int print_function(void *context, const struct list_function *f)
{
	const struct printing *p = context;

	if (f->file[0] == '\0') {
		fprintf(p->to, "No source information for %s\n", f->name);
		return 0;
	}
	fprintf(p->to, "ROUTINE ======================== %s in %s\n", f->name, f->file);
	print_value(p, f->flat);
	fputc(' ', p->to);
	print_value(p, f->cum);
	fprintf(p->to, " (flat, cum) %s of Total\n", unit_percent(f->cum, p->r->total).text);
	if (f->error != NULL)
		fprintf(p->to, " Error: %s\n", f->error);
	return 0;
}

static int print_line(void *context, const struct list_line *l)
{
	const struct printing *p = context;

	print_value_or_dot(p, l->flat);
	fputc(' ', p->to);
	print_value_or_dot(p, l->cum);
	fprintf(p->to, " %6" PRId64 ":", l->number);
	fwrite(l->text, 1, l->size, p->to);
	fputc('\n', p->to);
	return 0;
}

static void note_advice(void *context, const char *advice)
{
	const struct printing *p = context;

	/* behind what was printed */
	if (p->r->options->note != NULL && fflush(p->to) == 0)
		p->r->options->note(advice);
}

int list_print(struct report *r, FILE *to, struct why *why)
{
	struct printing p = {r, to};
	const struct list_visitor v = {print_begin, print_function, print_line, note_advice, &p};
	int error = list_visit(r, &v, why);

	return error < 0 ? error : report_end(to, 0, why);
}
