#include "web/views.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output/annotate.h"
#include "output/tags.h"
#include "output/top.h"
#include "output/tree.h"

#define PEEK_MAX 500 /* places that match; more say nothing to anybody */

static void put_string(struct out *out, const char *text)
{
	out_json(out, text, strlen(text));
}

/* Behind the first of an object. */
static void put_member(struct out *out, const char *name)
{
	out_format(out, ",\"%s\":", name);
}

/* [how much, as text, its share of @whole] */
static void put_value(const struct report *r, int64_t value, int64_t whole, struct out *out)
{
	struct unit_label label = report_label(r, value);
	struct unit_percent share = unit_percent(value, whole);
	char text[400];

	snprintf(text, sizeof(text), "%s%s", label.number, label.unit);
	out_char(out, '[');
	out_s64(out, value);
	out_char(out, ',');
	put_string(out, text);
	out_char(out, ',');
	put_string(out, share.text + strspn(share.text, " "));
	out_char(out, ']');
}

/* Begins the object, with what @print says, as lines. */
static int put_facts(struct out *out, void (*print)(void *context, FILE *to), void *context)
{
	char *text = NULL, *next;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (to == NULL)
		return -ENOMEM;
	print(context, to);
	if (fclose(to) != 0) {
		free(text);
		return -ENOMEM;
	}
	out_text(out, "{\"facts\":[");
	for (char *line = text; *line != '\0'; line = next) {
		next = strchrnul(line, '\n');
		if (line != text)
			out_char(out, ',');
		out_json(out, line, (size_t)(next - line));
		next += *next != '\0';
	}
	out_char(out, ']');
	free(text);
	return 0;
}

static void print_graph_header(void *context, FILE *to)
{
	graph_print_header(context, to);
}

static void print_report_header(void *context, FILE *to)
{
	report_print_header(context, to);
	report_print_filters(context, to);
	report_print_idle(context, to);
}

/* Begins an object. */
static void put_node(const struct graph *g, const struct graph_node *n, const char *mark,
		     struct out *out)
{
	const struct report *r = g->r;

	out_text(out, "{\"text\":");
	put_string(out, n->text);
	put_member(out, "name");
	put_string(out, n->key.name);
	put_member(out, "mark");
	put_string(out, mark);
	put_member(out, "flat");
	put_value(r, graph_flat(n), r->total, out);
	put_member(out, "cum");
	put_value(r, graph_cum(n), r->total, out);
}

static int ended(struct out *out, int error, struct why *why)
{
	if (error == 0)
		error = out_flush(out);
	if (error < 0 && why->text[0] == '\0')
		why_set(why, "%s", strerror(-error));
	return error;
}

/* ---- top ---- */

int view_top(struct report *r, struct out *out, struct why *why)
{
	struct graph g;
	int error = graph_init(&g, r, GRAPH_FILES_TRIMMED);

	if (error == 0)
		error = graph_build(&g, GRAPH_LIST);
	if (error == 0) {
		graph_choose_unit(&g);
		error = put_facts(out, print_graph_header, &g);
		put_member(out, "total");
		put_value(r, r->total, r->total, out);
		put_member(out, "left_out");
		out_u64(out, g.dropped_n + g.original_n - g.shown_n);
		put_member(out, "rows");
		out_char(out, '[');
		for (uint32_t i = 0; i < g.shown_n; i++) {
			out_text(out, i > 0 ? ",\n" : "\n");
			put_node(&g, g.shown[i], top_inline_mark(&g, g.shown[i]), out);
			out_char(out, '}');
		}
		out_text(out, "]}\n");
	}
	graph_fini(&g);
	return ended(out, error, why);
}

/* ---- peek ---- */

static void put_edges(const struct graph *g, const char *name, struct graph_edge *const *edges,
		      uint32_t n, bool is_from, int64_t cum, struct out *out)
{
	put_member(out, name);
	out_char(out, '[');
	for (uint32_t i = 0; i < n; i++) {
		const struct graph_edge *e = edges[i];
		const struct graph_node *other = is_from ? e->from : e->to;

		out_text(out, i > 0 ? ",\n{\"text\":" : "\n{\"text\":");
		put_string(out, other->text);
		put_member(out, "name");
		put_string(out, other->key.name);
		put_member(out, "mark");
		put_string(out, e->is_inline ? " (inline)" : "");
		put_member(out, "calls");
		put_value(g->r, e->weight, cum, out);
		out_char(out, '}');
	}
	out_char(out, ']');
}

static int put_peek(struct graph *g, struct out *out)
{
	uint32_t n = 0;
	int error;

	graph_choose_unit(g);
	error = put_facts(out, print_graph_header, g);
	put_member(out, "places");
	out_char(out, '[');
	for (uint32_t i = 0; i < g->shown_n; i++) {
		const struct graph_node *at = g->shown[i];
		int64_t cum = graph_cum(at);

		if (!at->is_kept || n++ >= PEEK_MAX)
			continue;
		out_text(out, n > 1 ? ",\n" : "\n");
		put_node(g, at, "", out);
		put_edges(g, "callers", g->in + at->in_first, at->in_n, true, cum, out);
		put_edges(g, "callees", g->out + at->out_first, at->out_n, false, cum, out);
		out_char(out, '}');
	}
	out_char(out, ']');
	put_member(out, "left_out");
	out_u64(out, n > PEEK_MAX ? n - PEEK_MAX : 0);
	out_text(out, "}\n");
	return error;
}

int view_peek(struct report *r, struct out *out, struct why *why)
{
	struct graph g;
	int error = graph_init(&g, r, GRAPH_FILES_TRIMMED);

	if (error == 0)
		error = graph_build(&g, GRAPH_ALL);
	if (error == 0)
		error = peek_keep(&g, r->options->expression, why);
	if (error == 0)
		error = put_peek(&g, out);
	graph_fini(&g);
	return ended(out, error, why);
}

/* ---- source ---- */

struct listing {
	struct report *r;
	struct out *out;
	bool is_open; /* a function is */
	bool has_lines;
	char *advice;
	int error;
};

static void list_begin(void *context)
{
	struct listing *l = context;

	l->error = put_facts(l->out, print_report_header, l->r);
	put_member(l->out, "total");
	put_value(l->r, l->r->total, l->r->total, l->out);
	put_member(l->out, "functions");
	out_char(l->out, '[');
}

static int list_function(void *context, const struct list_function *f)
{
	struct listing *l = context;

	out_text(l->out, l->is_open ? "]},\n{\"name\":" : "\n{\"name\":");
	put_string(l->out, f->name);
	put_member(l->out, "file");
	put_string(l->out, f->file);
	put_member(l->out, "flat");
	put_value(l->r, f->flat, l->r->total, l->out);
	put_member(l->out, "cum");
	put_value(l->r, f->cum, l->r->total, l->out);
	if (f->error != NULL) {
		put_member(l->out, "error");
		put_string(l->out, f->error);
	}
	put_member(l->out, "lines");
	out_char(l->out, '[');
	l->is_open = true;
	l->has_lines = false;
	return l->error < 0 ? l->error : l->out->error;
}

/* [number, flat, cum, text]; 0 for what has none of it. */
static int list_line(void *context, const struct list_line *line)
{
	struct listing *l = context;

	out_text(l->out, l->has_lines ? ",\n[" : "\n[");
	out_s64(l->out, line->number);
	for (unsigned i = 0; i < 2; i++) {
		int64_t value = i == 0 ? line->flat : line->cum;

		out_char(l->out, ',');
		if (value != 0)
			put_value(l->r, value, l->r->total, l->out);
		else
			out_char(l->out, '0');
	}
	out_char(l->out, ',');
	out_json(l->out, line->text, line->size);
	out_char(l->out, ']');
	l->has_lines = true;
	return l->out->error;
}

static void list_advise(void *context, const char *advice)
{
	struct listing *l = context;

	l->advice = strdup(advice);
}

int view_source(struct report *r, struct out *out, struct why *why)
{
	struct listing l = {.r = r, .out = out};
	const struct list_visitor v = {list_begin, list_function, list_line, list_advise, &l};
	int error = list_visit(r, &v, why);

	if (error == 0) {
		out_text(out, l.is_open ? "]}]" : "]");
		if (l.advice != NULL) {
			put_member(out, "advice");
			put_string(out, l.advice);
		}
		out_text(out, "}\n");
	}
	free(l.advice);
	return ended(out, error < 0 ? error : l.error, why);
}

/* ---- tags ---- */

int view_tags(struct report *r, struct out *out, struct why *why)
{
	struct tag *tags = NULL;
	size_t n = 0, first, end;
	int64_t total;
	int error = tags_collect(r, &tags, &n);

	if (error < 0)
		return ended(out, error, why);
	if (strcmp(r->shown_unit, "minimum") == 0)
		r->shown_unit = "auto";
	error = put_facts(out, print_report_header, r);
	put_member(out, "keys");
	out_char(out, '[');
	for (first = 0; first < n; first = end) {
		total = 0;
		for (end = first; end < n && tags[end].key == tags[first].key; end++)
			total = (int64_t)((uint64_t)total + (uint64_t)tags[end].value);
		out_text(out, first > 0 ? ",\n{\"key\":" : "\n{\"key\":");
		put_string(out, tags[first].key);
		put_member(out, "total");
		put_value(r, total, r->total, out);
		put_member(out, "values");
		out_char(out, '[');
		for (size_t i = first; i < end; i++) {
			out_text(out, i > first ? ",\n[" : "\n[");
			put_string(out, tags[i].text);
			out_char(out, ',');
			put_value(r, tags[i].value, total, out);
			out_char(out, ']');
		}
		out_text(out, "]}");
	}
	out_text(out, "]}\n");
	free(tags);
	return ended(out, error, why);
}
