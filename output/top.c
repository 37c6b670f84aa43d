#include <string.h>

#include "output/graph.h"
#include "output/top.h"

const char *top_inline_mark(const struct graph *g, const struct graph_node *n)
{
	bool is_inlined = false, is_called = false;
	uint32_t i;

	for (i = 0; i < n->in_n; i++) {
		if (g->in[n->in_first + i]->is_inline)
			is_inlined = true;
		else
			is_called = true;
	}
	return !is_inlined ? "" : is_called ? " (partial-inline)" : " (inline)";
}

static void print_rows(struct graph *g, FILE *to)
{
	struct report *r = g->r;
	struct unit_label label;
	int64_t flat_sum = 0, flat, cum;
	uint32_t i;

	fprintf(to, "%10s %5s%% %5s%% %10s %5s%%\n", "flat", "flat", "sum", "cum", "cum");
	for (i = 0; i < g->shown_n; i++) {
		const struct graph_node *n = g->shown[i];

		flat = graph_flat(n);
		cum = graph_cum(n);
		flat_sum = (int64_t)((uint64_t)flat_sum + (uint64_t)flat);
		label = report_label(r, flat);
		unit_print(to, 10, &label);
		fprintf(to, " %s %s ", unit_percent(flat, r->total).text,
			unit_percent(flat_sum, r->total).text);
		label = report_label(r, cum);
		unit_print(to, 10, &label);
		fprintf(to, " %s  %s%s\n", unit_percent(cum, r->total).text, n->text,
			top_inline_mark(g, n));
	}
}

int top_print(struct report *r, FILE *to, struct why *why)
{
	struct graph g;
	int error;

	error = graph_init(&g, r, GRAPH_FILES_TRIMMED);
	if (error == 0)
		error = graph_build(&g, GRAPH_LIST);
	if (error == 0) {
		graph_choose_unit(&g);
		graph_print_header(&g, to);
		print_rows(&g, to);
	}
	graph_fini(&g);
	return report_end(to, error, why);
}
