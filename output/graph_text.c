#include <inttypes.h>
#include <string.h>

#include "output/graph.h"

static int64_t add(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

const char *graph_text(struct graph *g, struct graph_node *n)
{
	const struct graph_key *key = &n->key;
	struct profile *p = &g->r->profile;
	char address[20] = "", line[24] = "";
	const char *base = "";
	char *text;
	size_t size;
	bool has_file = key->line != 0 || key->file[0] != '\0';

	if (n->text != NULL)
		return n->text;
	if (key->address != 0)
		snprintf(address, sizeof(address), "%016" PRIx64, key->address);
	if (key->line != 0)
		snprintf(line, sizeof(line), ":%" PRId64, key->line);
	if (!has_file && key->name[0] == '\0' && key->object[0] != '\0')
		base = path_base(p, key->object);
	size = strlen(key->name) + strlen(key->file) + strlen(base) + 80;
	text = profile_alloc(p, size);
	if (text == NULL)
		return "";
	if (has_file)
		snprintf(text, size, "%s%s%s%s%s%s", address, address[0] != '\0' ? " " : "",
			 key->name, key->name[0] != '\0' ? " " : "", key->file, line);
	else if (key->name[0] != '\0')
		snprintf(text, size, "%s%s%s", address, address[0] != '\0' ? " " : "", key->name);
	else if (base[0] != '\0')
		snprintf(text, size, "%s%s[%s]", address, address[0] != '\0' ? " " : "", base);
	else
		snprintf(text, size, "%s%s<unknown>", address, address[0] != '\0' ? " " : "");
	n->text = text;
	return text;
}

static void choose_unit(struct graph *g, bool is_whole)
{
	struct report *r = g->r;
	int64_t least = 0, value, most = r->total;
	const char *least_unit, *most_unit, *unit;
	uint32_t i;

	if (strcmp(r->shown_unit, "minimum") != 0 || g->shown_n == 0)
		return;
	for (i = 0; i < g->shown_n; i++) {
		value = unit_abs(graph_flat(g->shown[i]));
		if (value == 0)
			value = unit_abs(graph_cum(g->shown[i]));
		if (value > 0 && (least == 0 || value < least))
			least = value;
	}
	if (least == 0)
		least = most;
	if (r->ratio > 0 && r->ratio != 1) {
		least = unit_truncate((double)least * r->ratio);
		most = unit_truncate((double)most * r->ratio);
	}
	unit = least_unit = unit_scale(least, r->unit, "minimum").unit;
	most_unit = unit_scale(most, r->unit, "minimum").unit;
	if (!is_whole && strcmp(least_unit, most_unit) != 0 &&
	    (int64_t)((uint64_t)least * 100) < most)
		unit = unit_scale((int64_t)((uint64_t)least * 100), r->unit, "minimum").unit;
	r->shown_unit = unit[0] != '\0' ? unit : r->unit;
}

void graph_choose_unit(struct graph *g)
{
	choose_unit(g, false);
}

void graph_choose_whole_unit(struct graph *g)
{
	choose_unit(g, true);
}

static const char *without_blanks(const char *text)
{
	while (*text == ' ')
		text++;
	return text;
}

void graph_print_header(struct graph *g, FILE *to)
{
	struct report *r = g->r;
	struct unit_label label, total = report_label(r, r->total);
	int64_t flat_sum = 0;
	uint32_t i;

	for (i = 0; i < g->shown_n; i++)
		flat_sum = add(flat_sum, graph_flat(g->shown[i]));
	if (!r->options->is_compact)
		report_print_header(r, to);
	report_print_filters(r, to);
	report_print_idle(r, to);
	label = report_label(r, flat_sum);
	fprintf(to, "Showing nodes accounting for %s%s, %s of %s%s total\n", label.number,
		label.unit, without_blanks(unit_percent(flat_sum, r->total).text), total.number,
		total.unit);
	if (r->total == 0)
		return;
	if (g->dropped_n > 0) {
		label = report_label(
			r, unit_abs(unit_truncate((double)r->total * r->options->node_fraction)));
		fprintf(to, "Dropped %u node%s (cum <= %s%s)\n", g->dropped_n,
			g->dropped_n > 1 ? "s" : "", label.number, label.unit);
	}
	if (g->shown_n > 0 && g->shown_n < g->original_n)
		fprintf(to, "Showing top %u nodes out of %u\n", g->shown_n, g->original_n);
}
