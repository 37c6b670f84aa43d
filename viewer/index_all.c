#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/index_private.h"
#include "viewer/timeline.h"

#define EVENTS_EACH 128 /* of a border, so that they take little beside the rows */
#define BORDERS_MIN 8
#define SPARE       3 /* borders behind the last event */

int index_grow_begin(struct index_grower *g, const struct reader *r)
{
	uint64_t wanted = timeline_events(r, 0, UINT64_MAX) / EVENTS_EACH, from, to;

	timeline_range(r, &from, &to);
	/* where the page's clock begins */
	if (r->has_header && r->header.begun_monotonic_ns < from)
		from = r->header.begun_monotonic_ns;
	if (wanted < BORDERS_MIN || to <= from)
		return 0;
	wanted = wanted < INDEX_BORDERS_MAX ? wanted : INDEX_BORDERS_MAX;
	g->grid.begin_ns = from;
	while ((to - from) >> g->grid.level >= wanted - SPARE)
		g->grid.level++;
	g->n = ((to - from) >> g->grid.level) + SPARE;
	g->borders = calloc(g->n, sizeof(*g->borders));
	g->slopes = calloc(g->n, sizeof(*g->slopes));
	return g->borders != NULL && g->slopes != NULL ? 0 : -ENOMEM;
}

/*
 * To a border within the interval it adds the time since its begin, which grows by a border's distance each time; to those behind it its
 * length. So two differences say it all, however long it is:
 *
 *                   begin          end
 *     ├─────────┼─────├────┼─────────┤─┼─────────┼
 *               i-1        i          i+1
 *                    grows from      grows no more
 */
void index_grow(struct index_grower *g, const struct interval *i)
{
	uint64_t from = g->grid.begin_ns, width = UINT64_C(1) << g->grid.level, first, last;

	first = i->begin_ns < from ? 0 : ((i->begin_ns - from) >> g->grid.level) + 1;
	if (first >= g->n)
		return;
	g->borders[first].before_ns[i->state] += from - i->begin_ns;
	g->slopes[first].by[i->state]++;
	/* the first one that it is over by */
	last = i->end_ns <= from ? 0 : (i->end_ns - from + width - 1) >> g->grid.level;
	if (last >= g->n)
		return;
	g->borders[last].before_ns[i->state] += i->end_ns - from;
	g->slopes[last].by[i->state]--;
}

void index_grow_end(struct index_grower *g)
{
	struct index_border sum = {{0}};
	int64_t slope[TRACE_STATES] = {0};

	for (uint64_t i = 0; i < g->n; i++)
		for (unsigned k = 0; k < TRACE_STATES; k++) {
			sum.before_ns[k] += g->borders[i].before_ns[k];
			slope[k] += g->slopes[i].by[k];
			g->borders[i].before_ns[k] =
				sum.before_ns[k] + (i << g->grid.level) * (uint64_t)slope[k];
		}
}

void index_grow_fini(struct index_grower *g)
{
	free(g->borders);
	free(g->slopes);
}

void index_all_check(struct index *x)
{
	uint64_t last = x->n.borders > 0 ? x->n.borders - 1 : 0;

	x->has_all = x->n.borders > 0;
	for (uint32_t i = 0; i < x->n.tracks && x->has_all; i++)
		x->has_all =
			x->tracks[i].track.end_ns <= x->grid.begin_ns ||
			(x->tracks[i].track.end_ns - x->grid.begin_ns - 1) >> x->grid.level < last;
}

uint64_t index_grid(const struct index *x, uint64_t *ret_begin_ns)
{
	*ret_begin_ns = x->grid.begin_ns;
	return x->n.borders > 0 ? UINT64_C(1) << x->grid.level : 0;
}

int index_all_before(const struct index *x, uint64_t ns, uint64_t ret[TRACE_STATES])
{
	uint64_t at;

	if (x->n.borders == 0 || ns < x->grid.begin_ns ||
	    (ns - x->grid.begin_ns) & ((UINT64_C(1) << x->grid.level) - 1))
		return 1;
	at = (ns - x->grid.begin_ns) >> x->grid.level;
	if (at >= x->n.borders && !x->has_all)
		return 1;
	at = at < x->n.borders ? at : x->n.borders - 1;
	memcpy(ret, x->borders[at].before_ns, sizeof(x->borders[at].before_ns));
	return 0;
}
