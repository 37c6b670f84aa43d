#include "viewer/lanes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REGIONS_MAX 64 /* open ones of a thread; beyond, they are dropped */

struct lane {
	uint32_t thread;
	bool is_over;
	struct lane_item *pending;
	uint32_t pending_n, pending_room;
	struct lane_item
		*open; /* outermost first; each ends where the one before it does, or earlier */
	uint32_t open_n, open_room;
	uint64_t at_ns; /* all that is out is before it */

	uint64_t regions[REGIONS_MAX]; /* numbers */
	uint32_t regions_n;
	uint32_t regions_dropped; /* open, too */
	uint32_t regions_told;    /* by the status that is being told */

	struct story_edge edge; /* of what is told next */
	bool has_edge;
};

void lanes_init(struct lanes *l, const struct lanes_sink *sink, uint64_t from_ns, uint64_t to_ns)
{
	*l = (struct lanes){.sink = *sink, .from_ns = from_ns, .to_ns = to_ns};
}

void lanes_fini(struct lanes *l)
{
	for (uint32_t i = 0; i < l->lanes_n; i++) {
		free(l->lanes[i].pending);
		free(l->lanes[i].open);
	}
	free(l->lanes);
	map_fini(&l->lane_of);
	memset(l, 0, sizeof(*l));
}

static int fail(struct lanes *l, int error)
{
	if (l->error == 0)
		l->error = error;
	return l->error;
}

/* Makes room for one more of @list. */
static bool grow(struct lanes *l, struct lane_item **list, uint32_t n, uint32_t *room)
{
	struct lane_item *bigger;
	uint32_t wanted = *room != 0 ? *room * 2 : 8;

	if (n < *room)
		return true;
	bigger = realloc(*list, wanted * sizeof(*bigger));
	if (bigger == NULL) {
		fail(l, -ENOMEM);
		return false;
	}
	*list = bigger;
	*room = wanted;
	return true;
}

static struct lane *lane_of(struct lanes *l, uint32_t thread)
{
	uint32_t at = map_get(&l->lane_of, thread);
	struct lane *bigger;

	if (at != MAP_NONE)
		return &l->lanes[at];
	if (l->lanes_n == l->lanes_room) {
		uint32_t room = l->lanes_room != 0 ? l->lanes_room * 2 : 16;

		bigger = realloc(l->lanes, room * sizeof(*bigger));
		if (bigger == NULL) {
			fail(l, -ENOMEM);
			return NULL;
		}
		l->lanes = bigger;
		l->lanes_room = room;
	}
	if (map_set(&l->lane_of, thread, l->lanes_n) < 0) {
		fail(l, -ENOMEM);
		return NULL;
	}
	l->lanes[l->lanes_n] = (struct lane){.thread = thread};
	return &l->lanes[l->lanes_n++];
}

/* ---- out ---- */

static void close_top(struct lanes *l, struct lane *lane, uint64_t ns, bool has_end)
{
	struct lane_item *top = &lane->open[--lane->open_n];

	lane->at_ns = ns > lane->at_ns ? ns : lane->at_ns;
	if (l->error == 0 && l->sink.close != NULL)
		fail(l, l->sink.close(l->sink.context, lane->thread, top, lane->at_ns, has_end));
}

/*
 * What is over at @ns. What has no end waits for that of its thread, unless the thread went on behind it: a clone. @begins:
 * something begins at @ns.
 */
static void close_until(struct lanes *l, struct lane *lane, uint64_t ns, bool begins)
{
	while (lane->open_n > 0) {
		const struct lane_item *top = &lane->open[lane->open_n - 1];

		if (top->end_ns > ns ||
		    (top->is_open && !begins && (top->end_ns == ns || ns == UINT64_MAX)))
			break;
		close_top(l, lane, top->end_ns, true);
	}
}

/* By their begin; what contains the other, first. */
static int compare(const void *a, const void *b)
{
	const struct lane_item *x = a, *y = b;

	if (x->begin_ns != y->begin_ns)
		return x->begin_ns < y->begin_ns ? -1 : 1;
	if (x->end_ns != y->end_ns)
		return x->end_ns > y->end_ns ? -1 : 1;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

/* Puts the rest of an item where it belongs in what is pending, which is sorted from @from on. */
static void put_back(struct lanes *l, struct lane *lane, uint32_t from,
		     const struct lane_item *rest)
{
	uint32_t at = from;

	if (!grow(l, &lane->pending, lane->pending_n, &lane->pending_room))
		return;
	while (at < lane->pending_n && compare(&lane->pending[at], rest) < 0)
		at++;
	memmove(&lane->pending[at + 1], &lane->pending[at],
		(lane->pending_n - at) * sizeof(*lane->pending));
	lane->pending[at] = *rest;
	lane->pending_n++;
}

/* The item ends behind the innermost that is open. */
static void fit(struct lanes *l, struct lane *lane, struct lane_item *item, uint32_t from)
{
	uint64_t end = lane->open[lane->open_n - 1].end_ns;
	struct lane_item rest;

	if (item->kind != LANE_REGION && lane->open[lane->open_n - 1].kind != LANE_REGION) {
		l->cut++;
		/* the larger part stays */
		if (item->end_ns - end > end - item->begin_ns) {
			close_until(l, lane, end, true);
			item->begin_ns = end;
		} else {
			item->end_ns = end;
		}
		return;
	}
	rest = *item;
	rest.begin_ns = end;
	rest.is_rest = true;
	rest.has_edge = false;
	put_back(l, lane, from, &rest);
	item->end_ns = end;
	item->is_open = false;
}

static void open_item(struct lanes *l, struct lane *lane, struct lane_item *item, uint32_t from)
{
	if (item->begin_ns < lane->at_ns) {
		l->cut += item->end_ns > lane->at_ns;
		item->begin_ns = lane->at_ns;
	}
	close_until(l, lane, item->begin_ns, true);
	while (lane->open_n > 0 && item->end_ns > lane->open[lane->open_n - 1].end_ns &&
	       item->end_ns > item->begin_ns && l->error == 0)
		fit(l, lane, item, from);
	if (item->end_ns < item->begin_ns || lane->open_n == LANES_DEPTH_MAX ||
	    !grow(l, &lane->open, lane->open_n, &lane->open_room)) {
		l->dropped++;
		if (item->has_edge && l->error == 0 && l->sink.edge != NULL)
			fail(l, l->sink.edge(l->sink.context, &item->edge));
		return;
	}
	lane->open[lane->open_n++] = *item;
	lane->at_ns = item->begin_ns;
	if (l->error == 0)
		fail(l, l->sink.open(l->sink.context, lane->thread, item, item->begin_ns));
}

/* All that begins before @until_ns. */
static void flush(struct lanes *l, struct lane *lane, uint64_t until_ns)
{
	uint32_t done = 0;

	if (lane->pending_n > 1)
		qsort(lane->pending, lane->pending_n, sizeof(*lane->pending), compare);
	while (done < lane->pending_n && lane->pending[done].begin_ns < until_ns && l->error == 0) {
		struct lane_item item = lane->pending[done++];

		open_item(l, lane, &item, done);
	}
	lane->pending_n -= done;
	if (lane->pending_n > 0)
		memmove(lane->pending, lane->pending + done,
			lane->pending_n * sizeof(*lane->pending));
	close_until(l, lane, until_ns, false);
	if (until_ns != UINT64_MAX && until_ns > lane->at_ns)
		lane->at_ns = until_ns;
}

static struct lane_item *add(struct lanes *l, struct lane *lane, uint8_t kind, uint64_t begin_ns,
			     uint64_t end_ns)
{
	struct lane_item *item;
	uint64_t last = 0;

	if (lane->pending_n >= LANES_PENDING_MAX) {
		for (uint32_t i = 0; i < lane->pending_n; i++)
			if (lane->pending[i].begin_ns > last)
				last = lane->pending[i].begin_ns;
		flush(l, lane, last + 1);
	}
	if (!grow(l, &lane->pending, lane->pending_n, &lane->pending_room))
		return NULL;
	item = &lane->pending[lane->pending_n++];
	*item = (struct lane_item){
		.begin_ns = begin_ns, .end_ns = end_ns, .kind = kind, .number = l->numbers++};
	return item;
}

/* ---- regions ---- */

static void begin_region(struct lanes *l, uint32_t thread, uint64_t ns, uint64_t name,
			 uint64_t task, uint64_t stack)
{
	struct lane *lane = lane_of(l, thread);
	struct lane_item *item;

	if (lane == NULL || lane->is_over || ns > l->to_ns)
		return;
	if (lane->regions_n == REGIONS_MAX) {
		lane->regions_dropped++;
		l->dropped++;
		return;
	}
	item = add(l, lane, LANE_REGION, ns, UINT64_MAX);
	if (item == NULL)
		return;
	item->is_open = true;
	item->region = (struct lane_region){task, (uint32_t)name, (uint32_t)stack};
	lane->regions[lane->regions_n++] = item->number;
}

static void end_region(struct lanes *l, uint32_t thread, uint64_t ns)
{
	struct lane *lane = lane_of(l, thread);
	uint64_t number;

	if (lane == NULL || ns > l->to_ns)
		return;
	if (lane->regions_dropped > 0) {
		lane->regions_dropped--;
		return;
	}
	if (lane->regions_n == 0) /* it began before the trace */
		return;
	number = lane->regions[--lane->regions_n];
	for (uint32_t i = 0; i < lane->open_n; i++) {
		struct lane_item *item = &lane->open[i];

		if (item->kind == LANE_REGION && item->number == number && item->is_open) {
			item->end_ns = ns > lane->at_ns ? ns : lane->at_ns;
			item->is_open = false;
		}
	}
	for (uint32_t i = 0; i < lane->pending_n; i++) {
		struct lane_item *item = &lane->pending[i];

		if (item->kind != LANE_REGION || item->number != number)
			continue;
		item->end_ns = ns > item->begin_ns ? ns : item->begin_ns;
		item->is_open = false;
		if (ns >= l->from_ns)
			continue;
		/* over before what was asked for */
		memmove(item, item + 1, (--lane->pending_n - i) * sizeof(*item));
		i--;
	}
}

int lanes_event(struct lanes *l, const struct merged *m)
{
	const uint64_t *a = m->event->arguments;
	uint64_t ns = m->event->ns;
	struct lane *lane;

	switch (m->event->type) {
	case TRACE_REGION_BEGIN_EVENT:
		begin_region(l, m->thread, ns, a[0], a[1], a[2]);
		break;
	case TRACE_REGION_END_EVENT:
		end_region(l, m->thread, ns);
		break;
	case TRACE_THREAD_STATUS_EVENT:
		lane = lane_of(l, m->thread);
		if (lane != NULL)
			lane->regions_told = 0;
		break;
	case TRACE_STATUS_REGION_EVENT:
		/* of those, the ones that began before the trace */
		lane = lane_of(l, m->thread);
		if (lane != NULL && ++lane->regions_told > lane->regions_n + lane->regions_dropped)
			begin_region(l, m->thread, ns, a[0], 0, 0);
		break;
	default:
		break;
	}
	return l->error;
}

/* ---- waits and calls ---- */

static void drop_edge(struct lanes *l, struct lane *lane)
{
	if (!lane->has_edge)
		return;
	lane->has_edge = false;
	if (l->error == 0 && l->sink.edge != NULL)
		fail(l, l->sink.edge(l->sink.context, &lane->edge));
}

int lanes_interval(struct lanes *l, const struct interval *i)
{
	struct lane *lane;

	if (i->wait != 0 || i->call != 0)
		return l->error;
	lane = lane_of(l, i->thread);
	if (lane == NULL)
		return l->error;
	drop_edge(l, lane);
	flush(l, lane, i->end_ns);
	return l->error;
}

static void take_edge(struct lanes *l, struct lane *lane, struct lane_item *item, uint64_t begin_ns)
{
	if (lane->has_edge && lane->edge.begun_ns == begin_ns) {
		item->edge = lane->edge;
		item->has_edge = true;
		lane->has_edge = false;
	} else {
		drop_edge(l, lane);
	}
}

int lanes_wait(struct lanes *l, const struct story_wait *w)
{
	struct lane *lane = lane_of(l, w->thread);
	struct lane_item *item = NULL;

	if (lane != NULL)
		item = add(l, lane, LANE_WAIT, w->begin_ns, w->end_ns);
	if (item == NULL)
		return l->error;
	item->wait = *w;
	item->is_open = w->is_open;
	take_edge(l, lane, item, w->begin_ns);
	return l->error;
}

int lanes_call(struct lanes *l, const struct story_call *c)
{
	struct lane *lane = lane_of(l, c->thread);
	struct lane_item *item = NULL;

	if (lane != NULL)
		item = add(l, lane, LANE_CALL, c->begin_ns, c->end_ns);
	if (item == NULL)
		return l->error;
	item->call = *c;
	item->is_open = c->is_open;
	take_edge(l, lane, item, c->begin_ns);
	return l->error;
}

int lanes_edge(struct lanes *l, const struct story_edge *e)
{
	struct lane *lane = lane_of(l, e->to);
	uint8_t kind = e->kind == EDGE_PIPE ? LANE_CALL : LANE_WAIT;

	if (lane == NULL)
		return l->error;
	if (e->kind == EDGE_CREATE || e->kind == EDGE_FLOW) {
		if (l->error == 0 && l->sink.edge != NULL)
			fail(l, l->sink.edge(l->sink.context, e));
		return l->error;
	}
	for (uint32_t i = lane->pending_n; i > 0; i--) {
		struct lane_item *item = &lane->pending[i - 1];

		if (item->kind == kind && item->begin_ns == e->begun_ns && !item->has_edge) {
			item->edge = *e;
			item->has_edge = true;
			return l->error;
		}
	}
	drop_edge(l, lane);
	lane->edge = *e;
	lane->has_edge = true;
	return l->error;
}

int lanes_life(struct lanes *l, const struct story_life *life)
{
	struct lane *lane = lane_of(l, life->thread);
	uint64_t end = life->end_ns < l->to_ns ? life->end_ns : l->to_ns;

	if (lane == NULL)
		return l->error;
	drop_edge(l, lane);
	flush(l, lane, UINT64_MAX);
	while (lane->open_n > 0) {
		struct lane_item *top = &lane->open[lane->open_n - 1];
		bool has_end = !top->is_open || life->has_end;

		close_top(l, lane, top->end_ns != UINT64_MAX ? top->end_ns : end, has_end);
	}
	lane->is_over = true;
	free(lane->pending);
	free(lane->open);
	lane->pending = lane->open = NULL;
	lane->pending_n = lane->pending_room = lane->open_room = 0;
	return l->error;
}
