/*
 * graph: places of the program and the calls between them, added up from a prepared report. What top, tree, peek
 * and whoever draws calls are made of.
 *
 *     location ── lines ── one node each; equal places are one node
 *     node ── in ── edges from its callers        each list: largest first
 *        └─── out ── edges to what it calls
 *
 * Nodes are added up once, then those below the cut-off and behind the first ones are left out, then calls are added up. A node
 * that is left out is skipped on the way through a stack, and its caller is taken to call its callees: such an edge
 * is residual.
 *
 * Always true after graph_build():
 *   - shown has the nodes with a value, in the order asked for; each has its text.
 *   - an edge ends in nodes that may not be among them: with drop_negative, or where values cancelled out.
 *
 * Source of the rules: google/pprof, internal/graph and internal/report.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "output/text.h"

struct graph_key { /* compared as bytes: no padding; equal texts have one address */
	const char *name, *file, *object;
	uint64_t address;
	int64_t start_line, line;
};

struct graph_node {
	struct graph_key key;
	const char *text; /* as printed; NULL until asked for: graph_text() */

	int64_t flat, flat_divisor, cum, cum_divisor; /* of a mean: the sums, see graph_flat() */
	uint32_t in_first, in_n, out_first, out_n;    /* of the graph's in and out */

	uint32_t seen; /* number of the last sample that counted here */
	bool is_kept, is_shown;
};

struct graph_edge {
	struct graph_node *from, *to;
	int64_t weight;
	bool is_inline;   /* in all samples */
	bool is_residual; /* in some sample: past nodes that are left out */
	uint32_t seen;
};

struct graph {
	struct report *r;
	struct graph_node *nodes;
	uint32_t nodes_n;

	/* node of line j of location i: nodes_of[first_line[i] + j] */
	uint32_t *first_line, *nodes_of;

	struct graph_node **shown;
	uint32_t shown_n;
	uint32_t dropped_n;  /* nodes below the fraction */
	uint32_t original_n; /* shown before only the first ones were kept */

	struct graph_edge **in, **out;

	/* while it is added up */
	struct graph_edge *edges;
	uint32_t edges_n, edges_max;
	uint32_t *slots; /* edge number + 1; 0 is empty */
	uint32_t slots_n;
	uint64_t seed;
};

/* How much of the graph is wanted, in the words of the options. */
enum graph_extent {
	GRAPH_LIST, /* nodecount, or all that the fractions leave */
	GRAPH_TREE, /* nodecount, or GRAPH_TREE_NODES */
	GRAPH_ALL,  /* no limit, whatever the options say */
};

#define GRAPH_TREE_NODES 80

/* File names of nodes: as they are shown everywhere, or as the profile has them. */
enum graph_files {
	GRAPH_FILES_TRIMMED = 0,
	GRAPH_FILES_WHOLE = 1,
	/* with either: what is in several objects, or begins at several lines, is several, whatever its name */
	GRAPH_FILES_APART = 2,
};

/* Nodes without values. Returns 0 or -ENOMEM; @g is good for graph_fini() either way. */
int graph_init(struct graph *g, struct report *r, unsigned files);
void graph_fini(struct graph *g); /* a zeroed one is fine */

/* Adds up, leaves out and sorts. Returns 0 or -ENOMEM. */
int graph_build(struct graph *g, enum graph_extent extent);

/* Of line @line of location @location; line 0 is there even if the location has none. */
struct graph_node *graph_node_of(const struct graph *g, uint32_t location, uint32_t line);
uint32_t graph_lines_n(const struct graph *g, uint32_t location); /* 1 at least */

/* Values as they are shown: of a mean, divided. */
int64_t graph_flat(const struct graph_node *n);
int64_t graph_cum(const struct graph_node *n);

/* graph_text.c: address, function, file and line of a node, as far as it has them; "" when out of memory. */
const char *graph_text(struct graph *g, struct graph_node *n);

/* For the unit "minimum": one for all, in which the smallest value is no less than 0.01. */
void graph_choose_unit(struct graph *g);
/* The same for who prints whole numbers: the smallest value is no less than 1. */
void graph_choose_whole_unit(struct graph *g);

/* All lines above a report, down to what was left out. */
void graph_print_header(struct graph *g, FILE *to);
