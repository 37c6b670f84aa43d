#include "viewer/beneath.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_short(const struct beneath *b, const struct beneath_item *i)
{
	return timeline_column(&b->ask, i->begin_ns) == timeline_column(&b->ask, i->end_ns);
}

/* Another one in a column that has one already? */
static bool goes_with(const struct beneath *b, const struct beneath_item *before,
		      const struct beneath_item *i)
{
	return is_short(b, before) && is_short(b, i) &&
	       timeline_column(&b->ask, before->begin_ns) == timeline_column(&b->ask, i->begin_ns);
}

static void join(struct beneath_item *to, const struct beneath_item *i)
{
	to->begin_ns = i->begin_ns < to->begin_ns ? i->begin_ns : to->begin_ns;
	to->end_ns = i->end_ns > to->end_ns ? i->end_ns : to->end_ns;
	to->is_mixed |= i->task != to->task || i->name != to->name || i->message != to->message ||
			i->file != to->file;
	to->is_open |= i->is_open;
	to->count++;
	to->errors += i->errors;
}

static int add(struct beneath *b, uint32_t thread, struct beneath_item i)
{
	uint32_t place = map_get(&b->place_of, thread), *last;

	/* a moment may be at the very end; a stretch must have some of the range */
	if (place == MAP_NONE || i.end_ns < b->ask.from_ns || i.begin_ns > b->ask.to_ns ||
	    (i.end_ns > i.begin_ns && (i.end_ns == b->ask.from_ns || i.begin_ns == b->ask.to_ns)))
		return 0;
	i.thread = place;
	i.count = 1;
	last = &b->last[place][i.lane];
	if (*last != 0 && goes_with(b, &b->items[*last - 1], &i)) {
		join(&b->items[*last - 1], &i);
		return 0;
	}
	if (b->items_n == BENEATH_ITEMS_MAX) {
		b->left_out++;
		return 0;
	}
	if ((b->items_n & (b->items_n - 1)) == 0) {
		uint32_t room = b->items_n != 0 ? 2 * b->items_n : 1;
		struct beneath_item *items = realloc(b->items, room * sizeof(*items));

		if (items == NULL)
			return -ENOMEM;
		b->items = items;
	}
	b->items[b->items_n++] = i;
	*last = b->items_n;
	return 0;
}

/* Regions are not kept there, only told of. */
static bool on_region(void *context, const struct region *region)
{
	struct beneath *b = context;

	if (region->depth >= BENEATH_DEPTH_MAX)
		b->left_out += map_get(&b->place_of, region->thread) != MAP_NONE;
	else if (add(b, region->thread,
		     (struct beneath_item){.begin_ns = region->begin_ns,
					   .end_ns = region->end_ns,
					   .lane = (uint8_t)region->depth,
					   .is_open = !region->has_begin || !region->has_end,
					   .name = region->name}) < 0)
		b->left_out++;
	return false;
}

static int on_call(void *context, const struct story_call *c)
{
	return add(context, c->thread,
		   (struct beneath_item){.begin_ns = c->begin_ns,
					 .end_ns = c->end_ns,
					 .lane = BENEATH_CALLS,
					 .errors = !c->is_open && c->result < 0,
					 .is_open = c->is_open,
					 .name = c->number + 1,
					 .file = c->file});
}

/* A thread's intervals come in order: those of one task are one stretch. */
static int on_interval(void *context, const struct interval *i)
{
	struct beneath *b = context;
	uint32_t place = map_get(&b->place_of, i->thread),
		 at = place != MAP_NONE ? b->last[place][BENEATH_TASKS] : 0;
	struct beneath_item *last = at != 0 ? &b->items[at - 1] : NULL;

	if (place == MAP_NONE || i->task == 0)
		return 0;
	if (last != NULL && !last->is_mixed && last->task == i->task &&
	    last->end_ns == i->begin_ns) {
		last->end_ns = i->end_ns;
		return 0;
	}
	return add(b, i->thread,
		   (struct beneath_item){.begin_ns = i->begin_ns,
					 .end_ns = i->end_ns,
					 .lane = BENEATH_TASKS,
					 .task = i->task});
}

static int on_event(void *context, const struct merged *m)
{
	const struct event *e = m->event;
	struct beneath_item i = {.begin_ns = e->ns, .end_ns = e->ns};

	switch (e->type) {
	case TRACE_CPU_SAMPLE_EVENT:
	case TRACE_WALL_SAMPLE_EVENT:
		i.lane = BENEATH_SAMPLES;
		i.name = (uint32_t)e->arguments[0];
		return add(context, m->thread, i);
	case TRACE_LOG_EVENT:
		i.lane = BENEATH_MARKS;
		i.name = (uint32_t)e->arguments[0];
		i.message = (uint32_t)e->arguments[1];
		return add(context, m->thread, i);
	}
	return 0;
}

int beneath_begin(struct beneath *b, struct story_listener *ret)
{
	int r = 0;

	b->regions = (struct regions){.from_ns = b->ask.from_ns,
				      .to_ns = b->ask.to_ns,
				      .is_wanted = on_region,
				      .context = b};
	for (uint32_t i = 0; i < b->threads_n && r == 0; i++)
		r = map_set(&b->place_of, b->threads[i], i);
	listeners_add(&b->listeners, regions_listener(&b->regions));
	listeners_add(&b->listeners, (struct story_listener){.context = b,
							     .event = on_event,
							     .call = on_call,
							     .interval = on_interval});
	*ret = listeners_all(&b->listeners);
	ret->may_seek = true;
	return r;
}

static int compare(const void *x, const void *y)
{
	const struct beneath_item *a = x, *b = y;

	if (a->thread != b->thread)
		return a->thread < b->thread ? -1 : 1;
	if (a->lane != b->lane)
		return a->lane < b->lane ? -1 : 1;
	return a->begin_ns < b->begin_ns ? -1 : a->begin_ns > b->begin_ns;
}

int beneath_end(struct beneath *b, uint64_t end_ns)
{
	int r = regions_end(&b->regions, end_ns);

	if (b->items_n > 0)
		qsort(b->items, b->items_n, sizeof(*b->items), compare);
	return r;
}

void beneath_fini(struct beneath *b)
{
	regions_fini(&b->regions);
	map_fini(&b->place_of);
	free(b->items);
	b->items = NULL;
	b->items_n = 0;
}
