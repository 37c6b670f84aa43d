/*
 * flame: the stacks of a profile as one tree, and the three ways it is shown: a page, a drawing, lines of text.
 *
 *     root ── main ── parse ── read      a node for each way from the root that some stack goes; nodes that begin
 *              │       └────── copy      alike are one
 *              └───── draw
 *     sample  → the node that its stack ends in, its labels, its values
 *
 * Always true: a node's parent has a smaller number; node 0 is the root and has no frame; samples are in the order of their nodes, and no
 * two have node, labels and sign alike.
 *
 * A value below zero is one of the profile that another is compared with: boxes then have a size before and one now.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/why.h"
#include "output/out.h"
#include "output/text.h"
#include "page/assets.h"

#define FLAME_NODES_MAX (UINT32_C(1) << 24) /* half a gigabyte of them */

struct flame_frame {
	const char *name;          /* as printed */
	const char *file, *module; /* of the first that was seen; "": not known */
	int64_t start_line;        /* where the function begins; 0: not known */
};

struct flame_node {
	uint32_t parent, frame, depth;
	bool is_inlined;
	int64_t line; /* of the file, that which most goes through; 0: not known */
};

struct flame_sample {
	uint32_t node, labels; /* a set of labels */
	int64_t *values;
};

struct flame_labels {
	const struct profile_label *at; /* in pprof's order, without what marks a base */
	uint32_t n;
};

struct flame {
	struct report *report; /* names, units and columns; the caller's */
	bool is_inverted;      /* what is called is above, its callers below it */
	bool is_diff;          /* some value is below zero */
	struct flame_frame *frames;
	struct flame_node *nodes;
	struct flame_sample *samples;
	struct flame_labels *labels; /* [0]: none */
	uint32_t frames_n, nodes_n, samples_n, labels_n;
};

/*
 * The tree of @r, which report_prepare() has gone over with granularity BY_ADDRESS, so that files and lines are there still;
 * @granularity says what is one frame. 0, -EFBIG (more than FLAME_NODES_MAX nodes) or -ENOMEM, with @why.
 */
int flame_init(struct flame *f, struct report *r, enum granularity granularity, bool is_inverted,
	       struct why *why);
void flame_fini(struct flame *f); /* a zeroed one is fine */

/* ---- what nodes have of one column ---- */

/* Sums stay at the end of their type rather than beyond it. */
struct flame_size {
	int64_t now, before;           /* of the stacks through it */
	int64_t self_now, self_before; /* of those that end in it */
	int64_t width;                 /* of the larger, stack by stack: what is below it fits in */
	uint32_t children, children_n; /* places in @order, the widest first */
};

struct flame_sizes {
	struct flame_size *of; /* by node */
	uint32_t *order;
};

int flame_sizes_init(struct flame_sizes *s, const struct flame *f, uint32_t column);
void flame_sizes_fini(struct flame_sizes *s);

/* From -1, gone, to 1, new. */
double flame_change(const struct flame_size *size);

/* ---- what they are written as; each returns 0 or a negative errno, with @why ---- */

struct flame_ask {
	const char *title;      /* files */
	const char *base_title; /* of the one that is compared with; NULL: none is */
	bool grows_up;          /* roots below */
	bool is_inverted;       /* the page begins so: it can turn any tree around */
	double fraction; /* boxes below this share are left out; below 0: what is seen. The page has all */
	unsigned width; /* columns of text, pixels of a drawing */
	bool is_ascii;
};

extern const struct asset flame_page[]; /* flame/page/, where it is linked with */

/* One HTML file that asks nobody. @files: the page's. */
int flame_put_page(const struct flame *f, const struct flame_ask *ask, const struct asset *files,
		   struct out *out, struct why *why);
int flame_put_svg(const struct flame *f, const struct flame_ask *ask, struct out *out,
		  struct why *why);
int flame_put_text(const struct flame *f, const struct flame_ask *ask, struct out *out,
		   struct why *why);

/* The data of a page, unpacked: what flame/page/data.js reads. Tests look at it. */
int flame_put_data(const struct flame *f, const struct flame_ask *ask,
		   int (*put)(void *context, const void *bytes, size_t size), void *context,
		   struct why *why);
