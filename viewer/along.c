#include "viewer/along.h"

#include <errno.h>
#include <stdlib.h>

/* Uses are told of when they end, those of one lock in their order: the last one is the neighbour. */
static int add_use(struct along *a, struct along_use u)
{
	struct along_use *last = a->uses_n > 0 ? &a->uses[a->uses_n - 1] : NULL;
	uint32_t column = timeline_column(&a->ask, u.begin_ns);

	if (u.end_ns <= a->ask.from_ns || u.begin_ns >= a->ask.to_ns)
		return 0;
	u.count = 1;
	if (last != NULL && column == timeline_column(&a->ask, u.end_ns) &&
	    column == timeline_column(&a->ask, last->begin_ns) &&
	    column == timeline_column(&a->ask, last->end_ns)) {
		last->begin_ns = u.begin_ns < last->begin_ns ? u.begin_ns : last->begin_ns;
		last->end_ns = u.end_ns > last->end_ns ? u.end_ns : last->end_ns;
		last->is_mixed |= u.thread != last->thread || u.stack != last->stack ||
				  u.call != last->call || u.state != last->state;
		last->count++;
		return 0;
	}
	if (a->uses_n == ALONG_USES_MAX) {
		a->left_out++;
		return 0;
	}
	a->uses[a->uses_n++] = u;
	return 0;
}

static void add_waiting(struct along *a, uint64_t begin_ns, uint64_t end_ns)
{
	uint64_t begin = begin_ns > a->ask.from_ns ? begin_ns : a->ask.from_ns,
		 end = end_ns < a->ask.to_ns ? end_ns : a->ask.to_ns;

	for (uint32_t i = timeline_column(&a->ask, begin); begin < end; i++) {
		uint64_t border = timeline_column_begin(&a->ask, (uint64_t)i + 1),
			 upto = border < end ? border : end;

		a->waiting_ns[i] += upto - begin;
		begin = upto;
	}
}

static int on_hold(void *context, const struct story_hold *h)
{
	struct along *a = context;

	if (h->object != a->id)
		return 0;
	return add_use(a, (struct along_use){.begin_ns = h->begin_ns,
					     .end_ns = h->end_ns,
					     .thread = h->thread,
					     .stack = h->stack});
}

static int on_wait(void *context, const struct story_wait *w)
{
	struct along *a = context;

	if (w->object == a->id)
		add_waiting(a, w->begin_ns, w->end_ns);
	return 0;
}

static int on_call(void *context, const struct story_call *c)
{
	struct along *a = context;

	if (c->file != a->id)
		return 0;
	add_waiting(a, c->begin_ns, c->end_ns);
	return add_use(a, (struct along_use){.begin_ns = c->begin_ns,
					     .end_ns = c->end_ns,
					     .thread = c->thread,
					     .stack = c->stack,
					     .call = c->number + 1});
}

static int on_interval(void *context, const struct interval *i)
{
	struct along *a = context;

	if (i->task != a->id)
		return 0;
	if (i->state != TRACE_RUNNING)
		add_waiting(a, i->begin_ns, i->end_ns);
	return add_use(a, (struct along_use){.begin_ns = i->begin_ns,
					     .end_ns = i->end_ns,
					     .thread = i->thread,
					     .stack = i->stack,
					     .call = i->call,
					     .state = i->state,
					     .is_state = true});
}

int along_begin(struct along *a, struct story_listener *ret)
{
	*ret = (struct story_listener){.context = a, .may_seek = true};
	a->uses = malloc(ALONG_USES_MAX * sizeof(*a->uses));
	a->waiting_ns = calloc(a->ask.columns, sizeof(*a->waiting_ns));
	if (a->uses == NULL || a->waiting_ns == NULL) {
		along_fini(a);
		return -ENOMEM;
	}
	if (a->kind == ALONG_LOCK) {
		ret->hold = on_hold;
		ret->wait = on_wait;
	} else if (a->kind == ALONG_FILE) {
		ret->call = on_call;
	} else {
		ret->interval = on_interval;
	}
	return 0;
}

static int compare(const void *x, const void *y)
{
	const struct along_use *a = x, *b = y;

	if (a->begin_ns != b->begin_ns)
		return a->begin_ns < b->begin_ns ? -1 : 1;
	return a->thread < b->thread ? -1 : a->thread > b->thread;
}

void along_end(struct along *a)
{
	if (a->uses_n > 0)
		qsort(a->uses, a->uses_n, sizeof(*a->uses), compare);
}

void along_fini(struct along *a)
{
	free(a->uses);
	free(a->waiting_ns);
	a->uses = NULL;
	a->waiting_ns = NULL;
	a->uses_n = 0;
}
