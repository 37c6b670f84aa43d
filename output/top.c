#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "output/top.h"

/*
 * The graph: places of the program and the calls between them.
 *
 *     location ── lines ── one node each; equal places are one node
 *
 * It is added up three times at most: all nodes; without those below the cut-off; with the top ones
 * only. A node that is left out is skipped on the way through a stack, and its caller is taken to
 * call its callees. Calls are looked at last, between the nodes that are left, and only where
 * something is inlined: nothing else is known by them.
 */
struct node_key { /* compared as bytes: no padding */
	const char *name, *file, *object;
	uint64_t address;
	int64_t start_line, line;
};

struct node {
	struct node_key key;
	const char *text; /* as printed; NULL until asked for */

	int64_t flat, flat_divisor, cum, cum_divisor;
	uint32_t seen; /* number of the last sample that counted here */
	bool is_kept;
	bool is_inlined, is_called; /* by some edge: for "(inline)" */
};

struct edge {
	uint32_t from, to;
	uint32_t seen;
	bool is_inline; /* in all samples */
	int64_t weight;
};

struct graph {
	struct report *r;
	struct node *nodes;
	uint32_t nodes_n;

	/* node of line j of location i: nodes_of[first_line[i] + j] */
	uint32_t *first_line, *nodes_of;

	struct edge *edges;
	uint32_t edges_n, edges_max;
	uint32_t *slots; /* edge number + 1; 0 is empty */
	uint32_t slots_n;
	uint64_t seed;

	struct node **shown; /* those with a value, in order */
	uint32_t shown_n;
};

static int64_t add(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t flat_value(const struct node *n)
{
	return n->flat_divisor == 0 ? n->flat : unit_divide(n->flat, n->flat_divisor);
}

static int64_t cum_value(const struct node *n)
{
	return n->cum_divisor == 0 ? n->cum : unit_divide(n->cum, n->cum_divisor);
}

/* Nodes */

struct placed {
	struct node_key key;
	uint32_t slot; /* in nodes_of */
};

static int compare_placed(const void *left, const void *right)
{
	return memcmp(left, right, sizeof(struct node_key));
}

/* pprof takes these off, as builds by Bazel have them in front of each file. */
static const char *trim_path(const char *path)
{
	static const char *const prefixes[] = {"/proc/self/cwd/./", "/proc/self/cwd/"};
	size_t i;

	for (i = 0; i < 2; i++)
		if (strncmp(path, prefixes[i], strlen(prefixes[i])) == 0)
			return path + strlen(prefixes[i]);
	return path;
}

/* One address for all empty texts: keys are compared by them. */
static const char nothing[] = "";

static const char *or_nothing(const char *text)
{
	return text[0] == '\0' ? nothing : text;
}

static struct node_key key_of(const struct graph *g, const struct profile_location *l,
			      const struct profile_line *line, const char *const *files)
{
	const struct profile *p = &g->r->profile;
	const char *object =
		l->mapping == PROFILE_NONE ? nothing : or_nothing(p->mappings[l->mapping].file);
	const struct profile_function *f;
	struct node_key key = {nothing, nothing, nothing, l->address, 0, 0};

	if (line == NULL) {
		key.object = object;
		return key;
	}
	f = &p->functions[line->function];
	key.name = or_nothing(f->name);
	key.file = files[line->function];
	key.line = line->line;
	if (key.name == nothing) { /* what tells it from others without a name */
		key.object = object;
		key.start_line = f->start_line;
	}
	return key;
}

static int make_nodes(struct graph *g)
{
	struct profile *p = &g->r->profile;
	struct placed *placed = NULL;
	const char **files;
	size_t lines_n = 0, n = 0, s;
	uint32_t i, j;
	int r = -ENOMEM;

	for (i = 0; i < p->locations_n; i++)
		lines_n += p->locations[i].lines_n == 0 ? 1 : p->locations[i].lines_n;
	if (lines_n >= UINT32_MAX)
		return -ENOMEM;
	files = calloc((size_t)p->functions_n + 1, sizeof(*files));
	g->first_line = calloc((size_t)p->locations_n + 1, sizeof(*g->first_line));
	g->nodes_of = calloc(lines_n + 1, sizeof(*g->nodes_of));
	placed = calloc(lines_n + 1, sizeof(*placed));
	g->nodes = calloc(lines_n + 1, sizeof(*g->nodes));
	g->shown = calloc(lines_n + 1, sizeof(struct node *));
	if (files == NULL || g->first_line == NULL || g->nodes_of == NULL || placed == NULL ||
	    g->nodes == NULL || g->shown == NULL)
		goto out;

	for (i = 0; i < p->functions_n; i++) {
		const char *file = trim_path(p->functions[i].file);

		files[i] = file[0] == '\0' ? nothing : path_clean(p, file);
	}
	for (i = 0; i < p->locations_n; i++) {
		const struct profile_location *l = &p->locations[i];

		g->first_line[i] = (uint32_t)n;
		for (j = 0; j < l->lines_n || j == 0; j++) {
			memset(&placed[n], 0, sizeof(placed[n]));
			placed[n].key = key_of(g, l, l->lines_n == 0 ? NULL : &l->lines[j], files);
			placed[n].slot = (uint32_t)n;
			n++;
		}
	}
	g->first_line[p->locations_n] = (uint32_t)n;
	qsort(placed, n, sizeof(*placed), compare_placed);
	for (s = 0; s < n; s++) {
		if (s == 0 || compare_placed(&placed[s - 1], &placed[s]) != 0)
			g->nodes[g->nodes_n++].key = placed[s].key;
		g->nodes_of[placed[s].slot] = g->nodes_n - 1;
	}
	r = profile_error(p);
out:
	free(files);
	free(placed);
	return r;
}

/* Edges */

static uint32_t edge_slot(const struct graph *g, uint32_t from, uint32_t to)
{
	uint64_t hash = (((uint64_t)from << 32 | to) ^ g->seed) * (g->seed | 1);
	uint32_t slot;

	hash = (hash ^ hash >> 29) * 0xbf58476d1ce4e5b9u;
	slot = (uint32_t)(hash >> 32) & (g->slots_n - 1);
	while (g->slots[slot] != 0) {
		const struct edge *edge = &g->edges[g->slots[slot] - 1];

		if (edge->from == from && edge->to == to)
			break;
		slot = (slot + 1) & (g->slots_n - 1);
	}
	return slot;
}

static int grow_edges(struct graph *g)
{
	uint32_t n = g->edges_max == 0 ? 256 : g->edges_max * 2, i;
	struct edge *edges = n > UINT32_MAX / 4 ? NULL : realloc(g->edges, n * sizeof(*edges));
	uint32_t *slots;

	if (edges == NULL)
		return -ENOMEM;
	g->edges = edges;
	slots = calloc((size_t)n * 2, sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	free(g->slots);
	g->slots = slots;
	g->slots_n = n * 2;
	g->edges_max = n;
	for (i = 0; i < g->edges_n; i++)
		g->slots[edge_slot(g, g->edges[i].from, g->edges[i].to)] = i + 1;
	return 0;
}

static int add_edge(struct graph *g, uint32_t from, uint32_t to, uint32_t seen, int64_t value,
		    bool is_inline)
{
	struct edge *edge;
	uint32_t slot;

	if (g->edges_n == g->edges_max && grow_edges(g) < 0)
		return -ENOMEM;
	slot = edge_slot(g, from, to);
	if (g->slots[slot] == 0) {
		g->edges[g->edges_n] = (struct edge){.from = from, .to = to, .is_inline = true};
		g->slots[slot] = ++g->edges_n;
	}
	edge = &g->edges[g->slots[slot] - 1];
	if (edge->seen == seen) /* recursion: once a sample */
		return 0;
	edge->seen = seen;
	edge->weight = add(edge->weight, value);
	edge->is_inline &= is_inline;
	return 0;
}

/* Adding up */

/* To the nodes, or to the calls between them. */
static int add_stack(struct graph *g, const struct profile_sample *s, uint32_t number,
		     bool is_of_calls)
{
	int64_t value = report_value(g->r, s), divisor = report_divisor(g->r, s);
	struct node *caller = NULL, *node;
	bool is_skipping = false;
	uint32_t i, first, line;

	if (value == 0 && divisor == 0)
		return 0;
	for (i = s->locations_n; i-- > 0;) {
		first = g->first_line[s->locations[i]];
		for (line = g->first_line[s->locations[i] + 1]; line-- > first;) {
			node = &g->nodes[g->nodes_of[line]];
			if (!node->is_kept) {
				is_skipping = true;
				continue;
			}
			if (!is_of_calls && node->seen != number) {
				node->seen = number;
				node->cum = add(node->cum, value);
				node->cum_divisor = add(node->cum_divisor, divisor);
			}
			if (is_of_calls && caller != NULL && caller != node &&
			    add_edge(g, (uint32_t)(caller - g->nodes), (uint32_t)(node - g->nodes),
				     number, value,
				     line + 1 != g->first_line[s->locations[i] + 1]) < 0)
				return -ENOMEM;
			caller = node;
			is_skipping = false;
		}
	}
	if (!is_of_calls && caller != NULL && !is_skipping) {
		caller->flat = add(caller->flat, value);
		caller->flat_divisor = add(caller->flat_divisor, divisor);
	}
	return 0;
}

static bool is_negative(const struct node *n)
{
	return n->flat < 0 || (n->flat == 0 && n->cum < 0);
}

/* All samples over the kept nodes; g->shown has those with a value. */
static void add_up(struct graph *g)
{
	const struct profile *p = &g->r->profile;
	uint32_t i;

	for (i = 0; i < g->nodes_n; i++) {
		struct node *n = &g->nodes[i];

		n->flat = n->flat_divisor = n->cum = n->cum_divisor = 0;
		n->seen = 0;
	}
	for (i = 0; i < p->samples_n; i++)
		add_stack(g, &p->samples[i], i + 1, false);
	g->shown_n = 0;
	for (i = 0; i < g->nodes_n; i++) {
		struct node *n = &g->nodes[i];

		if ((n->cum != 0 || n->flat != 0) &&
		    !(g->r->options->drop_negative && is_negative(n)))
			g->shown[g->shown_n++] = n;
	}
}

static bool has_inlined(const struct profile *p)
{
	for (uint32_t i = 0; i < p->locations_n; i++)
		if (p->locations[i].lines_n > 1)
			return true;
	return false;
}

/* Which of the kept nodes are inlined, and which are called, by calls of @cutoff and more. */
static int add_calls(struct graph *g, int64_t cutoff)
{
	const struct profile *p = &g->r->profile;

	if (!has_inlined(p))
		return 0;
	for (uint32_t i = 0; i < p->samples_n; i++)
		if (add_stack(g, &p->samples[i], i + 1, true) < 0)
			return -ENOMEM;
	for (uint32_t i = 0; i < g->edges_n; i++) {
		if (unit_abs(g->edges[i].weight) < cutoff)
			continue;
		if (g->edges[i].is_inline)
			g->nodes[g->edges[i].to].is_inlined = true;
		else
			g->nodes[g->edges[i].to].is_called = true;
	}
	return 0;
}

/* Keeps those of g->shown that @n_max and @cutoff leave. Returns how many went. */
static uint32_t keep_only(struct graph *g, uint32_t n_max, int64_t cutoff)
{
	uint32_t i, kept_n = 0;

	for (i = 0; i < g->nodes_n; i++)
		g->nodes[i].is_kept = false;
	for (i = 0; i < g->shown_n && i < n_max; i++) {
		if (unit_abs(g->shown[i]->cum) < cutoff)
			continue;
		g->shown[i]->is_kept = true;
		kept_n++;
	}
	return g->shown_n - kept_n;
}

/* Order */

static const char *text_of(struct report *r, struct node *n)
{
	const struct node_key *key = &n->key;
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
		base = path_base(&r->profile, key->object);
	size = strlen(key->name) + strlen(key->file) + strlen(base) + 80;
	text = profile_alloc(&r->profile, size);
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

/*
 * The last resort between places that print alike: all their fields as one text, in pprof's order.
 */
static int compare_keys(const struct node *a, const struct node *b)
{
	const struct node *both[] = {a, b};
	char *texts[2] = {NULL, NULL};
	int i, r = 0;

	for (i = 0; i < 2; i++) {
		const struct node_key *key = &both[i]->key;

		if (asprintf(&texts[i], "{%s  %" PRIu64 " %s %" PRId64 " %" PRId64 " %s}",
			     key->name, key->address, key->file, key->start_line, key->line,
			     key->object) < 0)
			texts[i] = NULL;
	}
	if (texts[0] != NULL && texts[1] != NULL)
		r = strcmp(texts[0], texts[1]);
	free(texts[0]);
	free(texts[1]);
	return r;
}

/* Larger values first, whatever their sign. */
static int compare_sizes(int64_t a, int64_t b)
{
	a = unit_abs(a);
	b = unit_abs(b);
	return a > b ? -1 : a < b;
}

static int compare_flat(const void *left, const void *right)
{
	const struct node *a = *(struct node *const *)left, *b = *(struct node *const *)right;
	int r = compare_sizes(a->flat, b->flat);

	if (r == 0)
		r = strcmp(a->text, b->text);
	if (r == 0)
		r = compare_sizes(a->cum, b->cum);
	return r != 0 ? r : compare_keys(a, b);
}

static int compare_cum(const void *left, const void *right)
{
	const struct node *a = *(struct node *const *)left, *b = *(struct node *const *)right;
	int r = compare_sizes(a->cum, b->cum);

	if (r == 0)
		r = strcmp(a->text, b->text);
	if (r == 0)
		r = compare_sizes(a->flat, b->flat);
	return r != 0 ? r : compare_keys(a, b);
}

static int sort_shown(struct graph *g)
{
	uint32_t i;

	for (i = 0; i < g->shown_n; i++)
		text_of(g->r, g->shown[i]);
	if (profile_error(&g->r->profile) < 0)
		return -ENOMEM;
	qsort(g->shown, g->shown_n, sizeof(struct node *),
	      g->r->options->is_cum_sort ? compare_cum : compare_flat);
	return 0;
}

static int64_t share_of(int64_t total, double fraction)
{
	return unit_abs(unit_truncate((double)total * fraction));
}

struct cut {
	uint32_t dropped_n;  /* below the fraction */
	uint32_t original_n; /* after that */
};

static int build(struct graph *g, struct cut *cut)
{
	const struct report_options *o = g->r->options;
	double node_fraction = o->no_trim ? 0 : o->node_fraction;
	double edge_fraction = o->no_trim ? 0 : o->edge_fraction;
	int64_t total = 0, node_cutoff, edge_cutoff;
	uint32_t i;
	int r;

	for (i = 0; i < g->nodes_n; i++)
		g->nodes[i].is_kept = true;
	add_up(g);
	for (i = 0; i < g->shown_n; i++)
		total = add(total, g->shown[i]->flat);
	node_cutoff = share_of(total, node_fraction);
	edge_cutoff = share_of(total, edge_fraction);
	if (node_cutoff > 0) {
		cut->dropped_n = keep_only(g, UINT32_MAX, node_cutoff);
		if (cut->dropped_n > 0)
			add_up(g);
	}
	cut->original_n = g->shown_n;
	r = sort_shown(g);
	if (r == 0 && !o->no_trim && o->node_count > 0 && (uint32_t)o->node_count < g->shown_n) {
		keep_only(g, (uint32_t)o->node_count, 0);
		add_up(g);
		r = sort_shown(g);
	}
	return r == 0 ? add_calls(g, edge_cutoff) : r;
}

/* "minimum": one unit for all, in which the smallest value is no less than 0.01. */
static void choose_unit(struct graph *g)
{
	struct report *r = g->r;
	int64_t least = 0, value, most = r->total;
	const char *least_unit, *most_unit, *unit;
	uint32_t i;

	if (strcmp(r->shown_unit, "minimum") != 0 || g->shown_n == 0)
		return;
	for (i = 0; i < g->shown_n; i++) {
		value = unit_abs(flat_value(g->shown[i]));
		if (value == 0)
			value = unit_abs(cum_value(g->shown[i]));
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
	if (strcmp(least_unit, most_unit) != 0 && (int64_t)((uint64_t)least * 100) < most)
		unit = unit_scale((int64_t)((uint64_t)least * 100), r->unit, "minimum").unit;
	r->shown_unit = unit[0] != '\0' ? unit : r->unit;
}

static const char *without_blanks(const char *text)
{
	while (*text == ' ')
		text++;
	return text;
}

static void print_header(struct graph *g, const struct cut *cut, FILE *to)
{
	struct report *r = g->r;
	struct unit_label label, total = report_label(r, r->total);
	int64_t flat_sum = 0;
	uint32_t i;

	for (i = 0; i < g->shown_n; i++)
		flat_sum = add(flat_sum, flat_value(g->shown[i]));
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
	if (cut->dropped_n > 0) {
		label = report_label(r, share_of(r->total, r->options->node_fraction));
		fprintf(to, "Dropped %u node%s (cum <= %s%s)\n", cut->dropped_n,
			cut->dropped_n > 1 ? "s" : "", label.number, label.unit);
	}
	if (g->shown_n > 0 && g->shown_n < cut->original_n)
		fprintf(to, "Showing top %u nodes out of %u\n", g->shown_n, cut->original_n);
}

static void print_rows(struct graph *g, FILE *to)
{
	struct report *r = g->r;
	struct unit_label label;
	int64_t flat_sum = 0, flat, cum;
	uint32_t i;

	fprintf(to, "%10s %5s%% %5s%% %10s %5s%%\n", "flat", "flat", "sum", "cum", "cum");
	for (i = 0; i < g->shown_n; i++) {
		const struct node *n = g->shown[i];

		flat = flat_value(n);
		cum = cum_value(n);
		flat_sum = add(flat_sum, flat);
		label = report_label(r, flat);
		unit_print(to, 10, &label);
		fprintf(to, " %s %s ", unit_percent(flat, r->total).text,
			unit_percent(flat_sum, r->total).text);
		label = report_label(r, cum);
		unit_print(to, 10, &label);
		fprintf(to, " %s  %s%s\n", unit_percent(cum, r->total).text, n->text,
			!n->is_inlined ? ""
			: n->is_called ? " (partial-inline)"
				       : " (inline)");
	}
}

int top_print(struct report *r, FILE *to, struct why *why)
{
	struct graph g = {.r = r};
	struct cut cut = {0};
	int error;

	if (getrandom(&g.seed, sizeof(g.seed), GRND_NONBLOCK) < 0)
		g.seed = (uintptr_t)r->profile.samples;
	error = make_nodes(&g);
	if (error == 0)
		error = build(&g, &cut);
	if (error == 0) {
		choose_unit(&g);
		print_header(&g, &cut, to);
		print_rows(&g, to);
		if (fflush(to) != 0 || ferror(to)) {
			why_set(why, "the output was not taken: %s", strerror(errno));
			error = -EIO;
		}
	} else {
		why_set(why, "out of memory");
	}
	free(g.nodes);
	free(g.first_line);
	free(g.nodes_of);
	free(g.edges);
	free(g.slots);
	free(g.shown);
	return error;
}
