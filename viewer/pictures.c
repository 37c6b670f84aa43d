#include "viewer/pictures.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void forget(struct pictures *p)
{
	for (unsigned i = 0; i < PICTURES; i++)
		timeline_fini(&p->kept[i]);
	timeline_fini(&p->guess);
	free(p->order);
	p->order = NULL;
	p->order_n = 0;
}

void pictures_fini(struct pictures *p)
{
	forget(p);
}

void pictures_set_index(struct pictures *p, struct index *x)
{
	forget(p);
	p->index = x;
}

static bool is_same(const struct timeline_ask *a, const struct timeline_ask *b)
{
	return a->from_ns == b->from_ns && a->to_ns == b->to_ns && a->columns == b->columns &&
	       a->by_group == b->by_group;
}

const struct timeline *pictures_have(struct pictures *p, const struct timeline_ask *ask)
{
	for (unsigned i = 0; i < PICTURES; i++) {
		if (!is_same(&p->kept[i].ask, ask))
			continue;
		p->used[i] = ++p->clock;
		return &p->kept[i];
	}
	return NULL;
}

const struct timeline *pictures_guess(struct pictures *p, const struct timeline_ask *ask)
{
	const struct timeline *best = NULL;
	uint64_t most = 0;

	/* the one that has most of it; of equals, the one that is narrower */
	for (unsigned i = 0; i < PICTURES; i++) {
		const struct timeline_ask *have = &p->kept[i].ask;
		uint64_t common =
			story_within(have->from_ns, have->to_ns, ask->from_ns, ask->to_ns);

		if (have->columns == 0 || have->by_group != ask->by_group || common == 0)
			continue;
		if (common > most ||
		    (common == most &&
		     have->to_ns - have->from_ns < best->ask.to_ns - best->ask.from_ns)) {
			most = common;
			best = &p->kept[i];
		}
	}
	if (best == NULL)
		return NULL;
	timeline_fini(&p->guess);
	if (timeline_init(&p->guess, ask, p->tables) < 0 ||
	    timeline_seed(&p->guess, p->order, p->order_n) < 0 ||
	    timeline_stretch(&p->guess, best) < 0)
		return NULL;
	return &p->guess;
}

/* Room for one more: the one that was not looked at for longest goes. */
static unsigned make_room(struct pictures *p, uint64_t bytes)
{
	for (;;) {
		unsigned oldest = 0, n = 0;
		uint64_t sum = bytes;

		for (unsigned i = 0; i < PICTURES; i++) {
			if (p->kept[i].ask.columns == 0)
				continue;
			n++;
			sum += timeline_bytes(&p->kept[i]);
			if (p->kept[oldest].ask.columns == 0 || p->used[i] < p->used[oldest])
				oldest = i;
		}
		if (n == 0 || (n < PICTURES && sum <= PICTURES_BYTES_MAX))
			break;
		timeline_fini(&p->kept[oldest]);
	}
	for (unsigned i = 0; i < PICTURES; i++)
		if (p->kept[i].ask.columns == 0)
			return i;
	return 0;
}

struct member {
	uint32_t row, thread;
};

static int by_row(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	if (x->row != y->row)
		return x->row < y->row ? -1 : 1;
	return x->thread < y->thread ? -1 : x->thread > y->thread;
}

/* All threads of @t, by row. */
static int keep_order(struct pictures *p, const struct timeline *t)
{
	struct member *members = malloc((t->threads + 1) * sizeof(*members));
	uint32_t n = 0;

	p->order = malloc((t->threads + 1) * sizeof(*p->order));
	if (members == NULL || p->order == NULL) {
		free(members);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < t->row_of.slots_n; i++)
		if (t->row_of.slots[i].value != MAP_NONE && n < t->threads)
			members[n++] = (struct member){t->row_of.slots[i].value,
						       (uint32_t)t->row_of.slots[i].key};
	qsort(members, n, sizeof(*members), by_row);
	for (uint32_t i = 0; i < n; i++)
		p->order[i] = members[i].thread;
	p->order_n = n;
	free(members);
	return 0;
}

int pictures_make(struct pictures *p, const struct timeline_ask *ask, enum timeline_key key,
		  bool is_reverse, const struct watch *watch, struct why *why)
{
	struct timeline t;
	unsigned place;
	int r = timeline_init(&t, ask, p->tables);

	if (r == 0)
		r = timeline_seed(&t, p->order, p->order_n);
	if (r == 0 && p->index != NULL)
		r = timeline_index(&t, p->reader, p->streams, p->index, PICTURES_LEAVES_MAX, why);
	else if (r == 0)
		r = timeline_estimate(&t, p->reader, p->streams, watch, why);
	if (r == 0 && p->order == NULL) {
		timeline_sort(&t, key, is_reverse);
		r = keep_order(p, &t);
	}
	if (r == -ENOMEM)
		why_set(why, "out of memory");
	if (r < 0) {
		timeline_fini(&t);
		return r;
	}
	place = make_room(p, timeline_bytes(&t));
	p->kept[place] = t;
	p->used[place] = ++p->clock;
	return 0;
}

int pictures_sharpen(struct pictures *p, const struct timeline *t, uint32_t row, uint32_t n)
{
	int r = 0;

	for (unsigned i = 0; i < PICTURES && t->is_rough; i++) {
		if (&p->kept[i] != t)
			continue;
		for (; n > 0 && row < t->rows_n && r == 0; n--, row++)
			r = timeline_sharpen(&p->kept[i], p->index, row);
	}
	return r;
}
