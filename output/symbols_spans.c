#include "output/symbols_spans.h"

#include <errno.h>
#include <stdlib.h>

#define LOOK_MAX 4096 /* real files nest a few deep; beyond this somebody wants our time */

void spans_fini(struct spans *s)
{
	if (s == NULL)
		return;
	free(s->v);
	free(s->reach);
	*s = (struct spans){0};
}

int spans_add(struct spans *s, uint64_t start, uint64_t end, uint32_t what, uint32_t rank)
{
	struct span *v;
	uint32_t room;

	if (s->n == s->room) {
		if (s->room > UINT32_MAX / 4)
			return -ENOMEM;
		room = s->room != 0 ? s->room * 2 : 16;
		v = realloc(s->v, room * sizeof(*v));
		if (v == NULL)
			return -ENOMEM;
		s->v = v;
		s->room = room;
	}
	s->v[s->n++] = (struct span){start, end, what, rank};
	return 0;
}

static int compare_spans(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	if (x->end != y->end)
		return x->end > y->end ? -1 : 1;
	return (x->what > y->what) - (x->what < y->what);
}

int spans_sort(struct spans *s)
{
	if (s->n == 0)
		return 0;
	qsort(s->v, s->n, sizeof(*s->v), compare_spans);
	free(s->reach);
	s->reach = malloc(s->n * sizeof(*s->reach));
	if (s->reach == NULL) {
		s->n = 0;
		return -ENOMEM;
	}
	spans_reach(s);
	return 0;
}

void spans_reach(struct spans *s)
{
	uint64_t reach = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		if (s->v[i].end > reach)
			reach = s->v[i].end;
		s->reach[i] = reach;
	}
}

uint32_t spans_find(const struct spans *s, uint64_t address, uint32_t from)
{
	uint32_t low = 0, high = from < s->n ? from : s->n, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (s->v[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	for (int looks = 0; low > 0 && looks < LOOK_MAX; looks++) {
		low--;
		if (s->reach[low] <= address)
			break;
		if (address < s->v[low].end)
			return low;
	}
	return UINT32_MAX;
}
