#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "flame/flame.h"

static int64_t add(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum; /* neither is below zero */
}

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

struct sorting {
	const struct flame *f;
	const struct flame_size *of;
};

/* By parent, then the widest first. */
static int compare_nodes(const void *left, const void *right, void *context)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
	const struct sorting *s = context;
	const struct flame_node *nodes = s->f->nodes;

	if (nodes[a].parent != nodes[b].parent)
		return nodes[a].parent < nodes[b].parent ? -1 : 1;
	if (s->of[a].width != s->of[b].width)
		return s->of[a].width > s->of[b].width ? -1 : 1;
	return strcmp(s->f->frames[nodes[a].frame].name, s->f->frames[nodes[b].frame].name);
}

int flame_sizes_init(struct flame_sizes *s, const struct flame *f, uint32_t column)
{
	struct sorting sorting = {.f = f};

	s->of = calloc(f->nodes_n, sizeof(*s->of));
	s->order = calloc(f->nodes_n, sizeof(*s->order));
	if (s->of == NULL || s->order == NULL) {
		flame_sizes_fini(s);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < f->samples_n; i++) {
		struct flame_size *size = &s->of[f->samples[i].node];
		int64_t value = f->samples[i].values[column];

		if (value >= 0)
			size->self_now = add(size->self_now, value);
		else
			size->self_before = add(size->self_before, unit_abs(value));
	}
	for (uint32_t i = f->nodes_n; i-- > 0;) {
		struct flame_size *size = &s->of[i], *parent = &s->of[f->nodes[i].parent];

		size->now = add(size->now, size->self_now);
		size->before = add(size->before, size->self_before);
		size->width = add(size->width, larger(size->self_now, size->self_before));
		s->order[i] = i;
		if (i == 0)
			break;
		parent->now = add(parent->now, size->now);
		parent->before = add(parent->before, size->before);
		parent->width = add(parent->width, size->width);
	}
	sorting.of = s->of;
	qsort_r(s->order + 1, f->nodes_n - 1, sizeof(*s->order), compare_nodes, &sorting);
	for (uint32_t i = f->nodes_n; i-- > 1;) {
		struct flame_size *parent = &s->of[f->nodes[s->order[i]].parent];

		parent->children = i;
		parent->children_n++;
	}
	return 0;
}

void flame_sizes_fini(struct flame_sizes *s)
{
	free(s->of);
	free(s->order);
	*s = (struct flame_sizes){0};
}

double flame_change(const struct flame_size *size)
{
	int64_t most = larger(size->now, size->before);

	return most == 0 ? 0 : ((double)size->now - (double)size->before) / (double)most;
}
