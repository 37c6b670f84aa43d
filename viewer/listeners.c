#include "viewer/listeners.h"

#include <assert.h>

void listeners_add(struct listeners *l, struct story_listener listener)
{
	assert(l->n < LISTENERS_MAX);
	l->list[l->n++] = listener;
}

#define TO_ALL(what, type)                                                     \
	static int on_##what(void *context, const struct type *told)           \
	{                                                                      \
		struct listeners *l = context;                                 \
		int r = 0;                                                     \
                                                                               \
		for (unsigned i = 0; i < l->n && r == 0; i++)                  \
			if (l->list[i].what != NULL)                           \
				r = l->list[i].what(l->list[i].context, told); \
		return r;                                                      \
	}

TO_ALL(event, merged)
TO_ALL(interval, interval)
TO_ALL(call, story_call)
TO_ALL(wait, story_wait)
TO_ALL(hold, story_hold)
TO_ALL(edge, story_edge)
TO_ALL(life, story_life)

struct story_listener listeners_all(struct listeners *l)
{
	struct story_listener all = {.context = l};

	/* what nobody listens to is not made */
	for (unsigned i = 0; i < l->n; i++) {
		const struct story_listener *each = &l->list[i];

		all.event = each->event != NULL ? on_event : all.event;
		all.interval = each->interval != NULL ? on_interval : all.interval;
		all.call = each->call != NULL ? on_call : all.call;
		all.wait = each->wait != NULL ? on_wait : all.wait;
		all.hold = each->hold != NULL ? on_hold : all.hold;
		all.edge = each->edge != NULL ? on_edge : all.edge;
		all.life = each->life != NULL ? on_life : all.life;
	}
	return all;
}
