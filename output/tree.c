#include <errno.h>

#include "output/graph.h"
#include "output/text_regex.h"
#include "output/tree.h"

static const char separator[] =
	"----------------------------------------------------------+-------------\n";
/* The blanks at the end are pprof's. */
static const char legend[] =
	"      flat  flat%   sum%        cum   cum%   calls calls% + context \t \t \n";

static void print_edges(const struct graph *g, struct graph_edge *const *edges, uint32_t n,
			bool is_from, int64_t cum, FILE *to)
{
	const struct report *r = g->r;
	uint32_t i;

	for (i = 0; i < n; i++) {
		const struct graph_edge *e = edges[i];
		struct unit_label label = report_label(r, e->weight);

		unit_print(to, 50, &label);
		fprintf(to, " %s |   %s%s\n", unit_percent(e->weight, cum).text,
			is_from ? e->from->text : e->to->text, e->is_inline ? " (inline)" : "");
	}
}

static void print_node(const struct graph *g, const struct graph_node *n, int64_t flat_sum,
		       FILE *to)
{
	const struct report *r = g->r;
	int64_t flat = graph_flat(n), cum = graph_cum(n);
	struct unit_label label;

	fputs(separator, to);
	print_edges(g, g->in + n->in_first, n->in_n, true, cum, to);
	label = report_label(r, flat);
	unit_print(to, 10, &label);
	fprintf(to, " %s %s ", unit_percent(flat, r->total).text,
		unit_percent(flat_sum, r->total).text);
	label = report_label(r, cum);
	unit_print(to, 10, &label);
	fprintf(to, " %s                | %s\n", unit_percent(cum, r->total).text, n->text);
	print_edges(g, g->out + n->out_first, n->out_n, false, cum, to);
}

/* is_kept says which nodes are wanted. */
static void print_nodes(struct graph *g, FILE *to)
{
	int64_t flat_sum = 0;
	uint32_t i;

	graph_print_header(g, to);
	fputs(separator, to);
	fputs(legend, to);
	for (i = 0; i < g->shown_n; i++) {
		const struct graph_node *n = g->shown[i];

		if (!n->is_kept)
			continue;
		flat_sum = (int64_t)((uint64_t)flat_sum + (uint64_t)graph_flat(n));
		print_node(g, n, flat_sum, to);
	}
	if (g->shown_n > 0)
		fputs(separator, to);
}

int peek_keep(struct graph *g, const char *expression, struct why *why)
{
	struct regex *re;
	struct why inner;
	bool has_matched = false;
	uint32_t i;
	int error;

	error = regex_create(&re, expression, &inner);
	if (error < 0) {
		why_set(why, "%.300s", inner.text);
		return error;
	}
	for (i = 0; i < g->shown_n; i++) {
		g->shown[i]->is_kept = regex_is_match(re, g->shown[i]->text);
		has_matched |= g->shown[i]->is_kept;
	}
	regex_destroy(re);
	if (has_matched)
		return 0;
	why_set(why, "nothing matches %.200s; 'cprof top' lists what there is", expression);
	return -ENOENT;
}

static int print(struct report *r, enum graph_extent extent, const char *expression, FILE *to,
		 struct why *why)
{
	struct graph g;
	int error;

	error = graph_init(&g, r, GRAPH_FILES_TRIMMED);
	if (error == 0)
		error = graph_build(&g, extent);
	if (error == 0 && expression != NULL)
		error = peek_keep(&g, expression, why);
	if (error == 0) {
		graph_choose_unit(&g);
		print_nodes(&g, to);
	}
	graph_fini(&g);
	return error == -EINVAL || error == -ENOENT ? error : report_end(to, error, why);
}

int tree_print(struct report *r, FILE *to, struct why *why)
{
	return print(r, GRAPH_TREE, NULL, to, why);
}

int peek_print(struct report *r, FILE *to, struct why *why)
{
	return print(r, GRAPH_ALL, r->options->expression, to, why);
}
