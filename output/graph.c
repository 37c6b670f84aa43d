#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "output/graph.h"

static int64_t add(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

int64_t graph_flat(const struct graph_node *n)
{
	return n->flat_divisor == 0 ? n->flat : unit_divide(n->flat, n->flat_divisor);
}

int64_t graph_cum(const struct graph_node *n)
{
	return n->cum_divisor == 0 ? n->cum : unit_divide(n->cum, n->cum_divisor);
}

/* Nodes */

struct placed {
	struct graph_key key;
	uint32_t slot; /* in nodes_of */
};

static int compare_placed(const void *left, const void *right)
{
	return memcmp(left, right, sizeof(struct graph_key));
}

/* One address for all empty texts: keys are compared by them. */
static const char nothing[] = "";

static const char *or_nothing(const char *text)
{
	return text[0] == '\0' ? nothing : text;
}

static struct graph_key key_of(const struct graph *g, const struct profile_location *l,
			       const struct profile_line *line, const char *const *files,
			       bool is_apart)
{
	const struct profile *p = &g->r->profile;
	const char *object =
		l->mapping == PROFILE_NONE ? nothing : or_nothing(p->mappings[l->mapping].file);
	const struct profile_function *f;
	struct graph_key key = {nothing, nothing, nothing, l->address, 0, 0};

	if (line == NULL) {
		key.object = object;
		return key;
	}
	f = &p->functions[line->function];
	key.name = or_nothing(f->name);
	key.file = files[line->function];
	key.line = line->line;
	if (key.name == nothing || is_apart) { /* what tells it from others without a name */
		key.object = object;
		key.start_line = f->start_line;
	}
	return key;
}

int graph_init(struct graph *g, struct report *r, unsigned files_wanted)
{
	const struct report_options *o = r->options;
	struct profile *p = &r->profile;
	struct placed *placed = NULL;
	const char **files = NULL;
	size_t lines_n = 0, n = 0, s;
	uint32_t i, j;
	int error = -ENOMEM;

	memset(g, 0, sizeof(*g));
	g->r = r;
	if (getrandom(&g->seed, sizeof(g->seed), GRND_NONBLOCK) < 0)
		g->seed = (uintptr_t)p->samples;
	for (i = 0; i < p->locations_n; i++)
		lines_n += p->locations[i].lines_n == 0 ? 1 : p->locations[i].lines_n;
	if (lines_n >= UINT32_MAX)
		return -ENOMEM;
	files = calloc((size_t)p->functions_n + 1, sizeof(*files));
	g->first_line = calloc((size_t)p->locations_n + 1, sizeof(*g->first_line));
	g->nodes_of = calloc(lines_n + 1, sizeof(*g->nodes_of));
	placed = calloc(lines_n + 1, sizeof(*placed));
	g->nodes = calloc(lines_n + 1, sizeof(*g->nodes));
	g->shown = calloc(lines_n + 1, sizeof(struct graph_node *));
	if (files == NULL || g->first_line == NULL || g->nodes_of == NULL || placed == NULL ||
	    g->nodes == NULL || g->shown == NULL)
		goto out;

	for (i = 0; i < p->functions_n; i++) {
		const char *file = p->functions[i].file;

		/* Once: pprof does it again whenever it adds up, and loses places whose file then changes again. */
		if ((files_wanted & GRAPH_FILES_WHOLE) == 0)
			file = path_trim(file, o->trim_path, o->source_path);
		files[i] = file[0] == '\0' ? nothing : path_clean(p, file);
	}
	for (i = 0; i < p->locations_n; i++) {
		const struct profile_location *l = &p->locations[i];

		g->first_line[i] = (uint32_t)n;
		for (j = 0; j < l->lines_n || j == 0; j++) {
			memset(&placed[n], 0, sizeof(placed[n]));
			placed[n].key = key_of(g, l, l->lines_n == 0 ? NULL : &l->lines[j], files,
					       (files_wanted & GRAPH_FILES_APART) != 0);
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
	error = profile_error(p);
out:
	free(files);
	free(placed);
	return error;
}

void graph_fini(struct graph *g)
{
	free(g->nodes);
	free(g->first_line);
	free(g->nodes_of);
	free(g->shown);
	free(g->in);
	free(g->out);
	free(g->edges);
	free(g->slots);
}

struct graph_node *graph_node_of(const struct graph *g, uint32_t location, uint32_t line)
{
	return &g->nodes[g->nodes_of[g->first_line[location] + line]];
}

uint32_t graph_lines_n(const struct graph *g, uint32_t location)
{
	return g->first_line[location + 1] - g->first_line[location];
}

/* Edges */

static uint32_t edge_slot(const struct graph *g, const struct graph_node *from,
			  const struct graph_node *to)
{
	uint64_t pair = (uint64_t)(from - g->nodes) << 32 | (uint64_t)(to - g->nodes);
	uint64_t hash = (pair ^ g->seed) * (g->seed | 1);
	uint32_t slot;

	hash = (hash ^ hash >> 29) * 0xbf58476d1ce4e5b9u;
	slot = (uint32_t)(hash >> 32) & (g->slots_n - 1);
	while (g->slots[slot] != 0) {
		const struct graph_edge *edge = &g->edges[g->slots[slot] - 1];

		if (edge->from == from && edge->to == to)
			break;
		slot = (slot + 1) & (g->slots_n - 1);
	}
	return slot;
}

static int grow_edges(struct graph *g)
{
	uint32_t n = g->edges_max == 0 ? 256 : g->edges_max * 2, i;
	struct graph_edge *edges =
		n > UINT32_MAX / 4 ? NULL : realloc(g->edges, n * sizeof(*edges));
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

/* A call in sample @seen of @value. */
static int add_edge(struct graph *g, struct graph_node *from, struct graph_node *to, uint32_t seen,
		    int64_t value, bool is_inline, bool is_residual)
{
	struct graph_edge *edge;
	uint32_t slot;

	if (g->edges_n == g->edges_max && grow_edges(g) < 0)
		return -ENOMEM;
	slot = edge_slot(g, from, to);
	if (g->slots[slot] == 0) {
		g->edges[g->edges_n] =
			(struct graph_edge){.from = from, .to = to, .is_inline = true};
		g->slots[slot] = ++g->edges_n;
	}
	edge = &g->edges[g->slots[slot] - 1];
	if (edge->seen == seen) /* recursion: once a sample */
		return 0;
	edge->seen = seen;
	edge->weight = add(edge->weight, value);
	edge->is_inline &= is_inline;
	edge->is_residual |= is_residual;
	return 0;
}

/* Adding up */

/* What node @line of @location has of a sample of @value. */
static void add_value(struct graph_node *n, uint32_t number, int64_t value, int64_t divisor)
{
	if (n->seen == number) /* recursion: once a sample */
		return;
	n->seen = number;
	n->cum = add(n->cum, value);
	n->cum_divisor = add(n->cum_divisor, divisor);
}

/* All samples; g->shown has the nodes with a value. */
static void add_values(struct graph *g)
{
	const struct profile *p = &g->r->profile;

	for (uint32_t i = 0; i < p->samples_n; i++) {
		const struct profile_sample *s = &p->samples[i];
		int64_t value = report_value(g->r, s), divisor = report_divisor(g->r, s);
		struct graph_node *leaf;

		if ((value == 0 && divisor == 0) || s->locations_n == 0)
			continue;
		for (uint32_t j = 0; j < s->locations_n; j++)
			for (uint32_t line = 0; line < graph_lines_n(g, s->locations[j]); line++)
				add_value(graph_node_of(g, s->locations[j], line), i + 1, value,
					  divisor);
		leaf = graph_node_of(g, s->locations[0], 0);
		leaf->flat = add(leaf->flat, value);
		leaf->flat_divisor = add(leaf->flat_divisor, divisor);
	}
}

static bool is_negative(const struct graph_node *n)
{
	return n->flat < 0 || (n->flat == 0 && n->cum < 0);
}

static void show(struct graph *g)
{
	g->shown_n = 0;
	for (uint32_t i = 0; i < g->nodes_n; i++) {
		struct graph_node *n = &g->nodes[i];

		n->is_shown = (n->cum != 0 || n->flat != 0) &&
			      !(g->r->options->drop_negative && is_negative(n));
		if (n->is_shown)
			g->shown[g->shown_n++] = n;
	}
}

/*
 * Keeps those of g->shown that @n_max and @cutoff leave, which have what they had: what is left out on the way through a stack changes
 * calls only. Where none of them goes, nothing changes. Returns how many went.
 */
static uint32_t keep_only(struct graph *g, uint32_t n_max, int64_t cutoff)
{
	uint32_t i, kept_n = 0, left_out;

	for (i = 0; i < g->nodes_n; i++)
		g->nodes[i].is_kept = false;
	for (i = 0; i < g->shown_n && i < n_max; i++) {
		g->shown[i]->is_kept = unit_abs(g->shown[i]->cum) >= cutoff;
		kept_n += g->shown[i]->is_kept;
	}
	left_out = g->shown_n - kept_n;
	for (i = 0; i < g->nodes_n; i++) {
		struct graph_node *n = &g->nodes[i];

		if (left_out == 0)
			n->is_kept = true;
		else if (!n->is_kept)
			n->flat = n->flat_divisor = n->cum = n->cum_divisor = 0;
	}
	show(g);
	return left_out;
}

/* The calls of one sample, between nodes that are kept. */
static int add_calls(struct graph *g, const struct profile_sample *s, uint32_t number)
{
	int64_t value = report_value(g->r, s);
	struct graph_node *caller = NULL, *node;
	bool is_skipping = false;
	uint32_t i, line;

	if (value == 0 && report_divisor(g->r, s) == 0)
		return 0;
	for (i = s->locations_n; i-- > 0;) {
		uint32_t lines_n = graph_lines_n(g, s->locations[i]);

		for (line = lines_n; line-- > 0;) {
			node = graph_node_of(g, s->locations[i], line);
			if (!node->is_kept) {
				is_skipping = true;
				continue;
			}
			if (caller != NULL && caller != node &&
			    add_edge(g, caller, node, number, value, line + 1 != lines_n,
				     is_skipping) < 0)
				return -ENOMEM;
			caller = node;
			is_skipping = false;
		}
	}
	return 0;
}

static int add_edges(struct graph *g)
{
	const struct profile *p = &g->r->profile;
	int r = 0;

	for (uint32_t i = 0; i < p->samples_n && r == 0; i++)
		r = add_calls(g, &p->samples[i], i + 1);
	return r;
}

/* Order */

/*
 * The last resort between places that print alike: all their fields as one text, in pprof's order.
 */
static int compare_keys(const struct graph_node *a, const struct graph_node *b)
{
	const struct graph_node *both[] = {a, b};
	char *texts[2] = {NULL, NULL};
	int i, r = 0;

	for (i = 0; i < 2; i++) {
		const struct graph_key *key = &both[i]->key;

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

static int compare_texts(const struct graph_node *a, const struct graph_node *b)
{
	return a == b ? 0 : strcmp(a->text, b->text);
}

static int compare_flat(const void *left, const void *right)
{
	const struct graph_node *a = *(struct graph_node *const *)left,
				*b = *(struct graph_node *const *)right;
	int r = compare_sizes(a->flat, b->flat);

	if (r == 0)
		r = compare_texts(a, b);
	if (r == 0)
		r = compare_sizes(a->cum, b->cum);
	return r != 0 ? r : compare_keys(a, b);
}

static int compare_cum(const void *left, const void *right)
{
	const struct graph_node *a = *(struct graph_node *const *)left,
				*b = *(struct graph_node *const *)right;
	int r = compare_sizes(a->cum, b->cum);

	if (r == 0)
		r = compare_texts(a, b);
	if (r == 0)
		r = compare_sizes(a->flat, b->flat);
	return r != 0 ? r : compare_keys(a, b);
}

static int compare_edges(const void *left, const void *right)
{
	const struct graph_edge *a = *(struct graph_edge *const *)left,
				*b = *(struct graph_edge *const *)right;
	int r = compare_sizes(a->weight, b->weight);

	if (r == 0)
		r = compare_texts(a->from, b->from);
	if (r == 0)
		r = compare_texts(a->to, b->to);
	if (r == 0)
		r = compare_keys(a->from, b->from);
	return r != 0 ? r : compare_keys(a->to, b->to);
}

static int sort_shown(struct graph *g)
{
	uint32_t i;

	for (i = 0; i < g->shown_n; i++)
		graph_text(g, g->shown[i]);
	if (profile_error(&g->r->profile) < 0)
		return -ENOMEM;
	qsort(g->shown, g->shown_n, sizeof(struct graph_node *),
	      g->r->options->is_cum_sort ? compare_cum : compare_flat);
	return 0;
}

static bool is_cut(const struct graph_edge *e, int64_t cutoff)
{
	return e->to->is_shown && unit_abs(e->weight) < cutoff;
}

/* The edges of each node that are no less than @cutoff. What ends in a node that is not shown stays, as in pprof. */
static int list_edges(struct graph *g, int64_t cutoff)
{
	uint32_t i, in_n = 0, out_n = 0;

	for (i = 0; i < g->edges_n; i++) {
		if (is_cut(&g->edges[i], cutoff))
			continue;
		g->edges[i].from->out_n++;
		g->edges[i].to->in_n++;
		graph_text(g, g->edges[i].from);
		graph_text(g, g->edges[i].to);
	}
	g->in = calloc((size_t)g->edges_n + 1, sizeof(*g->in));
	g->out = calloc((size_t)g->edges_n + 1, sizeof(*g->out));
	if (g->in == NULL || g->out == NULL || profile_error(&g->r->profile) < 0)
		return -ENOMEM;
	for (i = 0; i < g->nodes_n; i++) {
		struct graph_node *n = &g->nodes[i];

		n->in_first = in_n;
		n->out_first = out_n;
		in_n += n->in_n;
		out_n += n->out_n;
		n->in_n = n->out_n = 0;
	}
	for (i = 0; i < g->edges_n; i++) {
		struct graph_edge *e = &g->edges[i];

		if (is_cut(e, cutoff))
			continue;
		g->in[e->to->in_first + e->to->in_n++] = e;
		g->out[e->from->out_first + e->from->out_n++] = e;
	}
	for (i = 0; i < g->nodes_n; i++) {
		const struct graph_node *n = &g->nodes[i];

		qsort(g->in + n->in_first, n->in_n, sizeof(*g->in), compare_edges);
		qsort(g->out + n->out_first, n->out_n, sizeof(*g->out), compare_edges);
	}
	return 0;
}

static int64_t share_of(int64_t total, double fraction)
{
	return unit_abs(unit_truncate((double)total * fraction));
}

int graph_build(struct graph *g, enum graph_extent extent)
{
	const struct report_options *o = g->r->options;
	bool is_all = extent == GRAPH_ALL || o->no_trim;
	int count = o->node_count == -1 && extent == GRAPH_TREE ? GRAPH_TREE_NODES : o->node_count;
	int64_t total = 0, node_cutoff;
	uint32_t i;
	int r;

	for (i = 0; i < g->nodes_n; i++)
		g->nodes[i].is_kept = true;
	add_values(g);
	show(g);
	for (i = 0; i < g->shown_n; i++)
		total = add(total, g->shown[i]->flat);
	node_cutoff = is_all ? 0 : share_of(total, o->node_fraction);
	if (node_cutoff > 0)
		g->dropped_n = keep_only(g, UINT32_MAX, node_cutoff);
	g->original_n = g->shown_n;
	r = sort_shown(g);
	if (r == 0 && !is_all && count > 0 && (uint32_t)count < g->shown_n) {
		keep_only(g, (uint32_t)count, 0);
		r = sort_shown(g);
	}
	if (r == 0)
		r = add_edges(g);
	if (r == 0)
		r = list_edges(g, is_all ? 0 : share_of(total, o->edge_fraction));
	return r;
}
