#include "viewer/critical.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE      UINT32_MAX
#define EDGES_MAX 64 /* that are looked at for one wait; more are of a trace that makes no sense */
#define JUMPS_MAX 64 /* from thread to thread in one moment */

/* Room for one more in two lists that go side by side. */
static int make_room(void **list, size_t size, uint32_t **before, uint32_t n, uint32_t *room)
{
	uint32_t wanted = *room != 0 ? 2 * *room : 1024, *befores;
	void *grown;

	if (n < *room)
		return 0;
	grown = realloc(*list, wanted * size);
	if (grown == NULL)
		return -ENOMEM;
	*list = grown;
	befores = realloc(*before, wanted * sizeof(*befores));
	if (befores == NULL)
		return -ENOMEM;
	*before = befores;
	*room = wanted;
	return 0;
}

static bool is_full(struct critical *c, uint64_t ns)
{
	if ((uint64_t)c->intervals_n + c->edges_n < c->limit && c->intervals_n < INT32_MAX &&
	    c->edges_n < INT32_MAX)
		return false;
	c->full_at_ns = ns;
	return true;
}

/* The same, only later? */
static bool goes_on(const struct interval *a, const struct interval *b)
{
	return a->end_ns == b->begin_ns && a->state == b->state && a->certainty == b->certainty &&
	       a->wait == b->wait && a->object == b->object && a->call == b->call &&
	       a->file == b->file && a->stack == b->stack && a->other == b->other &&
	       a->task == b->task;
}

static int on_interval(void *context, const struct interval *i)
{
	struct critical *c = context;
	uint32_t last = map_get(&c->interval_of, i->thread);

	if (last != MAP_NONE && goes_on(&c->intervals[last], i)) {
		c->intervals[last].end_ns = i->end_ns;
		return 0;
	}
	if (is_full(c, i->begin_ns))
		return -E2BIG;
	if (make_room((void **)&c->intervals, sizeof(*c->intervals), &c->intervals_before,
		      c->intervals_n, &c->intervals_room) < 0 ||
	    map_set(&c->interval_of, i->thread, c->intervals_n) < 0)
		return -ENOMEM;
	c->intervals_before[c->intervals_n] = last;
	c->intervals[c->intervals_n++] = *i;
	return 0;
}

static int on_edge(void *context, const struct story_edge *e)
{
	struct critical *c = context;
	struct map *map = e->kind == EDGE_CREATE ? &c->made_of : &c->edge_of;

	if (e->from_ns > c->to_ns || e->to_ns < c->from_ns)
		return 0;
	if (is_full(c, e->from_ns))
		return -E2BIG;
	if (make_room((void **)&c->edges, sizeof(*c->edges), &c->edges_before, c->edges_n,
		      &c->edges_room) < 0)
		return -ENOMEM;
	c->edges_before[c->edges_n] = map_get(map, e->to);
	if (map_set(map, e->to, c->edges_n) < 0)
		return -ENOMEM;
	c->edges[c->edges_n++] = *e;
	return 0;
}

struct story_listener critical_listener(struct critical *c)
{
	return (struct story_listener){
		.context = c,
		.may_seek = true,
		.interval = on_interval,
		.edge = on_edge,
	};
}

/* Causes */

static struct critical_cause cause_of(const struct interval *i)
{
	struct critical_cause cause = {.state = i->state, .wait = i->wait};

	switch ((enum trace_state)i->state) {
	case TRACE_RUNNING:
		cause.kind = CRITICAL_RUN;
		cause.thread = i->thread;
		break;
	case TRACE_RUNNABLE:
		cause.kind = CRITICAL_PROCESSOR;
		break;
	case TRACE_LOCK:
	case TRACE_WAIT:
	case TRACE_SPIN:
		cause.kind = i->wait == TRACE_JOIN_BEGIN_EVENT ? CRITICAL_JOIN : CRITICAL_LOCK;
		cause.object = i->object;
		cause.thread = cause.kind == CRITICAL_JOIN ? i->other : 0;
		break;
	case TRACE_SYSCALL:
	case TRACE_IDLE:
		cause.kind = CRITICAL_CALL;
		cause.call = i->call;
		cause.file = i->file;
		break;
	case TRACE_UNKNOWN:
		cause.kind =
			i->wait == TRACE_THREAD_CREATE_EVENT ? CRITICAL_START : CRITICAL_UNKNOWN;
		break;
	}
	return cause;
}

static struct critical_cause *find_cause(struct critical *c, const struct interval *i)
{
	struct critical_cause cause = cause_of(i), *causes;
	uint64_t key = (uint64_t)cause.kind << 60 | (uint64_t)(cause.call & 0xfffffff) << 32 |
		       (cause.thread | cause.object | cause.file);
	uint32_t at = map_get(&c->causes_of, key);

	if (at != MAP_NONE)
		return &c->causes[at];
	if (c->causes_n == c->causes_room) {
		c->causes_room = c->causes_room != 0 ? 2 * c->causes_room : 64;
		causes = realloc(c->causes, c->causes_room * sizeof(*causes));
		if (causes == NULL)
			return NULL;
		c->causes = causes;
	}
	if (map_set(&c->causes_of, key, c->causes_n) < 0)
		return NULL;
	cause.counted_ns = UINT64_MAX;
	c->causes[c->causes_n] = cause;
	return &c->causes[c->causes_n++];
}

/* Without it, what is between might not have been. What overlaps counts once: the walk goes backward. */
static void count_most(struct critical_cause *cause, uint64_t begin_ns, uint64_t end_ns)
{
	if (end_ns > cause->counted_ns)
		end_ns = cause->counted_ns;
	if (end_ns <= begin_ns)
		return;
	cause->most_ns += end_ns - begin_ns;
	cause->counted_ns = begin_ns;
}

/* The walk */

struct walk {
	uint32_t thread;
	uint64_t ns;    /* all behind it is found */
	unsigned jumps; /* in this moment */
	/* who is made to go on by what the thread does before */
	uint8_t edge, edge_certainty;
	uint32_t edge_object, edge_stack;
};

/* From @begin_ns to where the walk is, the thread did what @i says. */
static int add_segment(struct critical *c, struct walk *w, const struct interval *i,
		       uint64_t begin_ns)
{
	struct critical_segment *last = c->segments_n > 0 ? &c->segments[c->segments_n - 1] : NULL,
				*segments;
	struct critical_cause *cause;

	if (begin_ns >= w->ns)
		return 0;
	cause = find_cause(c, i);
	if (cause == NULL)
		return -ENOMEM;
	cause->ns += w->ns - begin_ns;
	count_most(cause, begin_ns, w->ns);
	if (w->edge == 0 && last != NULL && last->begin_ns == w->ns &&
	    last->interval.thread == i->thread && last->interval.state == i->state &&
	    last->interval.wait == i->wait && last->interval.object == i->object &&
	    last->interval.call == i->call && last->interval.file == i->file &&
	    last->interval.stack == i->stack && last->interval.certainty == i->certainty) {
		last->begin_ns = begin_ns;
		w->ns = begin_ns;
		w->jumps = 0;
		return 0;
	}
	if (c->segments_n == c->segments_room) {
		c->segments_room = c->segments_room != 0 ? 2 * c->segments_room : 256;
		segments = realloc(c->segments, c->segments_room * sizeof(*segments));
		if (segments == NULL)
			return -ENOMEM;
		c->segments = segments;
	}
	cause->n++;
	c->segments[c->segments_n++] = (struct critical_segment){
		.begin_ns = begin_ns,
		.end_ns = w->ns,
		.interval = *i,
		.edge = w->edge,
		.edge_certainty = w->edge_certainty,
		.edge_object = w->edge_object,
		.edge_stack = w->edge_stack,
	};
	w->ns = begin_ns;
	w->jumps = 0;
	w->edge = 0;
	return 0;
}

/* Goes on with who made the thread go on. */
static void jump(struct walk *w, const struct story_edge *e)
{
	w->thread = e->from;
	w->jumps++;
	w->edge = (uint8_t)(e->kind + 1);
	w->edge_certainty = e->certainty;
	w->edge_object = e->object;
	w->edge_stack = e->stack;
}

/* The thread's last interval that begins before; what is behind it is needed no more. */
static const struct interval *interval_before(struct critical *c, uint32_t thread, uint64_t ns)
{
	uint32_t at = map_get(&c->interval_of, thread), first = at;

	while (at != MAP_NONE && c->intervals[at].begin_ns >= ns)
		at = c->intervals_before[at];
	if (at != first)
		map_set(&c->interval_of, thread, at);
	return at != MAP_NONE ? &c->intervals[at] : NULL;
}

/* Who ended what the thread waited for between: the last one; who is drawn as a flow only where there is no other. */
static const struct story_edge *edge_between(struct critical *c, uint32_t thread, uint64_t begin_ns,
					     uint64_t end_ns)
{
	uint32_t at = map_get(&c->edge_of, thread), first = at;
	const struct story_edge *found = NULL;

	while (at != MAP_NONE && c->edges[at].from_ns > end_ns)
		at = c->edges_before[at];
	if (at != first)
		map_set(&c->edge_of, thread, at);
	for (unsigned i = 0; i < EDGES_MAX && at != MAP_NONE && c->edges[at].to_ns > begin_ns;
	     i++) {
		const struct story_edge *e = &c->edges[at];

		at = c->edges_before[at];
		if (e->from_ns <= begin_ns || e->from_ns > end_ns || e->from == thread)
			continue;
		if (found == NULL || (found->kind == EDGE_FLOW && e->kind != EDGE_FLOW) ||
		    ((found->kind == EDGE_FLOW) == (e->kind == EDGE_FLOW) &&
		     e->from_ns > found->from_ns))
			found = e;
	}
	return found;
}

static bool is_waiting(const struct interval *i)
{
	return i->state == TRACE_LOCK || i->state == TRACE_WAIT || i->state == TRACE_SYSCALL ||
	       i->state == TRACE_IDLE || i->state == TRACE_SPIN;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Before the first that is known of the thread: somebody made it, perhaps. */
static int step_before(struct critical *c, struct walk *w)
{
	uint32_t at = map_get(&c->made_of, w->thread);
	const struct story_edge *e = at != MAP_NONE ? &c->edges[at] : NULL;
	struct interval i = {
		.thread = w->thread, .state = TRACE_UNKNOWN, .certainty = STORY_UNKNOWN};
	int r;

	if (e == NULL || e->from_ns > w->ns || e->from == w->thread || w->jumps == JUMPS_MAX)
		return add_segment(c, w, &i, c->from_ns);
	i.wait = TRACE_THREAD_CREATE_EVENT;
	i.stack = e->stack;
	i.other = e->from;
	r = add_segment(c, w, &i, later(e->from_ns, c->from_ns));
	jump(w, e);
	return r;
}

static int step(struct critical *c, struct walk *w)
{
	const struct interval *i = interval_before(c, w->thread, w->ns);
	struct interval nothing = {.thread = w->thread, .certainty = STORY_UNKNOWN};
	const struct story_edge *e = NULL;
	struct critical_cause *cause;
	int r;

	if (i == NULL)
		return step_before(c, w);
	if (i->end_ns < w->ns)
		return add_segment(c, w, &nothing, later(i->end_ns, c->from_ns));
	if (is_waiting(i) && w->jumps < JUMPS_MAX)
		e = edge_between(c, w->thread, i->begin_ns, w->ns);
	if (e == NULL)
		return add_segment(c, w, i, later(i->begin_ns, c->from_ns));
	cause = find_cause(c, i);
	if (cause == NULL)
		return -ENOMEM;
	cause->waits++;
	r = add_segment(c, w, i, later(e->from_ns, c->from_ns));
	cause = find_cause(c, i);
	count_most(
		cause,
		later(e->kind != EDGE_FLOW && e->begun_ns < i->begin_ns ? e->begun_ns : i->begin_ns,
		      c->from_ns),
		w->ns);
	jump(w, e);
	return r;
}

static int by_length(const void *a, const void *b)
{
	const struct critical_cause *x = a, *y = b;

	if (x->ns != y->ns)
		return x->ns > y->ns ? -1 : 1;
	return x->most_ns != y->most_ns ? (x->most_ns > y->most_ns ? -1 : 1) : 0;
}

int critical_walk(struct critical *c, uint32_t thread)
{
	struct walk w = {.thread = thread, .ns = c->to_ns};
	int r = 0;

	while (w.ns > c->from_ns && r == 0)
		r = step(c, &w);
	for (uint32_t i = 0, k = c->segments_n; i + 1 < k; i++) {
		struct critical_segment other = c->segments[--k];

		c->segments[k] = c->segments[i];
		c->segments[i] = other;
	}
	if (c->causes_n > 0)
		qsort(c->causes, c->causes_n, sizeof(*c->causes), by_length);
	return r;
}

uint64_t critical_thread_end_ns(const struct critical *c, uint32_t thread)
{
	uint32_t last = map_get(&c->interval_of, thread);

	return last != MAP_NONE ? c->intervals[last].end_ns : 0;
}

void critical_fini(struct critical *c)
{
	free(c->segments);
	free(c->causes);
	free(c->intervals);
	free(c->edges);
	free(c->intervals_before);
	free(c->edges_before);
	map_fini(&c->interval_of);
	map_fini(&c->edge_of);
	map_fini(&c->made_of);
	map_fini(&c->causes_of);
	memset(c, 0, sizeof(*c));
}
