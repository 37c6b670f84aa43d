/*
 * callgrind's format, for kcachegrind and callgrind_annotate, as go tool pprof -callgrind writes it.
 *
 * A name is written once, later its number stands for it; an address is written as the difference to the node before where that is
 * shorter. As there, what is not on one line of the profile is left whole.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output/convert.h"
#include "output/graph.h"
#include "output/pprof.h"

/* Objects, files and functions are numbered each for themselves: functions of @numbers, whose file says of what. */
struct callgrind {
	struct convert *c;
	struct graph graph;
	struct profile names[3]; /* functions are names, numbered as they come */
};

enum names { OBJECTS, FILES, FUNCTIONS };

/* A line of the format has one name. */
static void put_text(struct out *out, const char *text)
{
	size_t n;

	for (;; text += n + 1) {
		n = strcspn(text, "\n\r");
		out_bytes(out, text, n);
		if (text[n] == '\0')
			return;
		out_char(out, ' ');
	}
}

static void put_name(struct callgrind *g, const char *key, enum names which, const char *name)
{
	struct profile *names = &g->names[which];
	struct profile_function entry = {.name = name, .system_name = "", .file = ""};
	uint32_t known_n = names->functions_n, number;

	out_text(g->c->out, key);
	if (name[0] != '\0') {
		number = profile_add_function(names, &entry);
		out_format(g->c->out, "(%" PRIu32 ")", number + 1);
		if (number == known_n) {
			out_char(g->c->out, ' ');
			put_text(g->c->out, name);
		}
	}
	out_char(g->c->out, '\n');
}

static void put_address(struct callgrind *g, const struct graph_node *previous, uint64_t address)
{
	char whole[24], difference[24];

	snprintf(whole, sizeof(whole), "0x%" PRIx64, address);
	if (previous == NULL) {
		out_text(g->c->out, whole);
	} else if (previous->key.address == address) {
		out_char(g->c->out, '*');
	} else {
		snprintf(difference, sizeof(difference), "%+" PRId64,
			 (int64_t)(address - previous->key.address));
		out_text(g->c->out, strlen(difference) < strlen(whole) ? difference : whole);
	}
}

static void put_value(struct callgrind *g, int64_t value)
{
	const struct report *r = g->c->r;

	out_s64(g->c->out, unit_truncate(unit_scale(value, r->unit, r->shown_unit).value));
	out_char(g->c->out, '\n');
}

static bool is_same_place(const struct graph_node *a, const struct graph_node *b)
{
	return a != NULL && strcmp(a->key.object, b->key.object) == 0 &&
	       strcmp(a->key.file, b->key.file) == 0 && strcmp(a->key.name, b->key.name) == 0;
}

/*
 * Functions that have name and file in common are told apart by " [1/2]" where they are called: those of two objects, or
 * that begin at two lines.
 */
struct namesake {
	const char *name, *file;
	const char *object;
	int64_t start_line;
	const struct graph_node *node;
	uint32_t order; /* of the node among those shown */
};

struct told_apart {
	uint32_t *number, *of; /* by node */
};

static int compare_functions(const struct namesake *a, const struct namesake *b)
{
	int r = strcmp(a->file, b->file);

	return r != 0 ? r : strcmp(a->name, b->name);
}

static int compare_namesakes(const void *left, const void *right)
{
	const struct namesake *a = left, *b = right;
	int r = compare_functions(a, b);

	return r != 0 ? r : a->order < b->order ? -1 : a->order > b->order;
}

static bool is_one(const struct namesake *a, const struct namesake *b)
{
	return a->start_line == b->start_line && strcmp(a->object, b->object) == 0;
}

/* @n of one name and file, in the order they are shown. Many of them are of few functions. */
static void number_namesakes(const struct graph *g, const struct namesake *s, size_t n,
			     struct told_apart *ret)
{
	const struct namesake *kinds[64]; /* more of one name in one file are taken for the last */
	uint32_t kinds_n = 0, k;

	for (size_t i = 0; i < n; i++) {
		for (k = 0; k < kinds_n && !is_one(kinds[k], &s[i]); k++)
			;
		if (k == kinds_n && kinds_n < sizeof(kinds) / sizeof(kinds[0]))
			kinds[kinds_n++] = &s[i];
		ret->number[s[i].node - g->nodes] = (k < kinds_n ? k : kinds_n - 1) + 1;
	}
	for (size_t i = 0; i < n; i++)
		ret->of[s[i].node - g->nodes] = kinds_n;
}

static int tell_apart(const struct graph *g, struct told_apart *ret)
{
	struct namesake *all = calloc((size_t)g->shown_n + 1, sizeof(*all));
	size_t first = 0;

	ret->number = calloc(2 * ((size_t)g->nodes_n + 1), sizeof(*ret->number));
	if (all == NULL || ret->number == NULL) {
		free(all);
		return -ENOMEM;
	}
	ret->of = ret->number + g->nodes_n + 1;
	for (uint32_t i = 0; i < g->shown_n; i++) {
		const struct graph_key *key = &g->shown[i]->key;

		all[i] = (struct namesake){key->name,       key->file,   key->object,
					   key->start_line, g->shown[i], i};
	}
	qsort(all, g->shown_n, sizeof(*all), compare_namesakes);
	for (size_t i = 1; i <= g->shown_n; i++) {
		if (i < g->shown_n && compare_functions(&all[first], &all[i]) == 0)
			continue;
		number_namesakes(g, &all[first], i - first, ret);
		first = i;
	}
	free(all);
	return 0;
}

static int put_calls(struct callgrind *g, const struct graph_node *n,
		     const struct graph_node *previous, const struct told_apart *apart)
{
	for (uint32_t i = 0; i < n->out_n; i++) {
		const struct graph_edge *e = g->graph.out[n->out_first + i];
		const struct graph_key *to = &e->to->key;
		size_t at = (size_t)(e->to - g->graph.nodes);
		char *name = NULL;

		put_name(g, "cfl=", FILES, to->file);
		if (apart->of[at] > 1 && asprintf(&name, "%s [%" PRIu32 "/%" PRIu32 "]", to->name,
						  apart->number[at], apart->of[at]) < 0)
			return -ENOMEM;
		/* what is not shown has no name there */
		put_name(g, "cfn=", FUNCTIONS,
			 name != NULL         ? name
			 : apart->of[at] == 0 ? ""
					      : to->name);
		free(name);
		out_text(g->c->out, "calls=0 "); /* how often is not in a profile */
		put_address(g, previous, to->address);
		out_char(g->c->out, ' ');
		out_s64(g->c->out, to->line);
		out_text(g->c->out, "\n* * ");
		put_value(g, e->weight);
	}
	return 0;
}

static int put_nodes(struct callgrind *g, const struct told_apart *apart)
{
	const struct graph_node *previous = NULL;
	struct out *out = g->c->out;
	int r = 0;

	for (uint32_t i = 0; i < g->graph.shown_n && r == 0 && out->error == 0; i++) {
		const struct graph_node *n = g->graph.shown[i];

		if (!is_same_place(previous, n)) {
			out_char(out, '\n');
			put_name(g, "ob=", OBJECTS, n->key.object);
			put_name(g, "fl=", FILES, n->key.file);
			put_name(g, "fn=", FUNCTIONS, n->key.name);
		}
		put_address(g, previous, n->key.address);
		out_char(out, ' ');
		out_s64(out, n->key.line);
		out_char(out, ' ');
		put_value(g, graph_flat(n));
		r = put_calls(g, n, previous, apart);
		previous = n;
	}
	return r;
}

static int write(struct convert *c)
{
	struct callgrind g = {.c = c};
	struct told_apart apart = {NULL, NULL};
	int r = 0;

	for (int i = 0; i < 3 && r == 0; i++) {
		r = profile_init(&g.names[i]);
		profile_keep_bytes(&g.names[i]);
		profile_limit(&g.names[i], PPROF_MEMORY_MAX);
	}
	if (r == 0)
		r = graph_init(&g.graph, c->r, GRAPH_FILES_TRIMMED | GRAPH_FILES_APART);
	if (r == 0)
		r = graph_build(&g.graph, GRAPH_ALL);
	if (r == 0)
		r = tell_apart(&g.graph, &apart);
	if (r == 0) {
		graph_choose_whole_unit(&g.graph);
		out_text(c->out, "positions: instr line\nevents: ");
		put_text(c->out, c->r->type);
		out_char(c->out, '(');
		put_text(c->out, c->r->shown_unit);
		out_text(c->out, ")\n");
		r = put_nodes(&g, &apart);
	}
	for (int i = 0; i < 3; i++) {
		r = r == 0 ? profile_error(&g.names[i]) : r;
		profile_fini(&g.names[i]);
	}
	free(apart.number);
	graph_fini(&g.graph);
	return r;
}

const struct convert_form convert_callgrind = {
	.name = "callgrind",
	.about = "kcachegrind, callgrind_annotate: calls, lines and addresses",
	.granularity = BY_ADDRESS,
	.is_graph = true,
	.write = write,
};
