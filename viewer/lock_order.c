#include "viewer/lock_order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RANGES_MAX 128 /* of a thread; the oldest make room */
#define HOLDS      16 /* that ended last: one may still be held when the next is taken, hand over hand */
#define TIMES      4 /* of takings that are one */

struct held {
	uint32_t object, stack;
	uint8_t modes;
	bool is_taken; /* the stack: where it was waited for */
};

/* Takings of one lock with the same locks held, as far as is known. */
struct range {
	uint64_t key;
	uint64_t first_ns, last_ns, n;
	uint64_t times[TIMES]; /* the last */
	struct held taken;
	uint32_t held_n;
	struct held held[LOCK_ORDER_HELD];
};

struct ended {
	uint64_t begin_ns, end_ns;
	struct held lock;
};

struct lock_order_thread {
	uint32_t index;
	struct range *
		ranges[2 *
		       RANGES_MAX]; /* the latest first; while they are divided there may be more */
	uint32_t ranges_n;
	struct ended holds[HOLDS];
	uint32_t holds_n; /* ever */

	bool is_waiting; /* when the trace ends */
	uint32_t object, other, stack;
	uint64_t since_ns;
};

static struct lock_order_thread *thread_of(struct lock_order *o, uint32_t index)
{
	uint32_t at = map_get(&o->thread_of, index);
	struct lock_order_thread **threads, *t;

	if (at != MAP_NONE)
		return o->threads[at];
	if ((o->threads_n & (o->threads_n - 1)) == 0) {
		threads = reallocarray(o->threads, o->threads_n > 0 ? 2 * (size_t)o->threads_n : 1,
				       sizeof(struct lock_order_thread *));
		if (threads == NULL)
			return NULL;
		o->threads = threads;
	}
	t = calloc(1, sizeof(*t));
	if (t == NULL || map_set(&o->thread_of, index, o->threads_n) < 0) {
		free(t);
		return NULL;
	}
	t->index = index;
	return o->threads[o->threads_n++] = t;
}

/* ---- edges ---- */

static void learn_stack(uint32_t *stack, bool *is_taken, const struct held *from)
{
	/* where it was taken is better than where it was let go */
	if (from->stack != 0 && (*stack == 0 || (from->is_taken && !*is_taken))) {
		*stack = from->stack;
		*is_taken = from->is_taken;
	}
}

/* What was not held this time is no gate. */
static void keep_gates(struct lock_order_edge *e, const struct range *r, uint32_t except)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < e->gates_n; i++) {
		struct lock_order_gate gate = e->gates[i];

		for (uint32_t k = 0; k < r->held_n; k++) {
			if (k == except || r->held[k].object != gate.object)
				continue;
			gate.modes |= r->held[k].modes;
			e->gates[kept++] = gate;
			break;
		}
	}
	e->gates_n = kept;
}

static int add_edge(struct lock_order *o, const struct lock_order_thread *t, const struct range *r,
		    uint32_t at)
{
	const struct held *held = &r->held[at];
	uint64_t key = (uint64_t)held->object << 32 | r->taken.object;
	uint32_t i = map_get(&o->edge_of, key);
	struct lock_order_edge *e;

	if (i == MAP_NONE) {
		if (o->edges_n >= LOCK_ORDER_EDGES) {
			o->left_out += r->n;
			return 0;
		}
		if (o->edges_n == o->edges_room) {
			uint32_t room = o->edges_room > 0 ? 2 * o->edges_room : 64;

			e = reallocarray(o->edges, room, sizeof(*e));
			if (e == NULL)
				return -ENOMEM;
			o->edges = e;
			o->edges_room = room;
		}
		if (map_set(&o->edge_of, key, o->edges_n) < 0)
			return -ENOMEM;
		e = &o->edges[o->edges_n++];
		*e = (struct lock_order_edge){.held = held->object,
					      .taken = r->taken.object,
					      .first_ns = r->first_ns,
					      .thread = t->index};
		for (uint32_t k = 0; k < r->held_n; k++)
			if (k != at)
				e->gates[e->gates_n++] = (struct lock_order_gate){r->held[k].object,
										  r->held[k].modes};
	} else {
		e = &o->edges[i];
		keep_gates(e, r, at);
	}
	if (r->first_ns < e->first_ns) {
		e->first_ns = r->first_ns;
		if (e->thread != t->index)
			e->other = e->thread;
		e->thread = t->index;
	} else if (e->thread != t->index) {
		e->other = t->index;
	}
	e->n += r->n;
	e->held_modes |= held->modes;
	e->taken_modes |= r->taken.modes;
	learn_stack(&e->held_stack, &e->is_held_taken, held);
	learn_stack(&e->taken_stack, &e->is_taken_taken, &r->taken);
	return 0;
}

/* All is known of it. */
static int finish_range(struct lock_order *o, struct lock_order_thread *t, struct range *r)
{
	int result = 0;

	for (uint32_t i = 0; i < r->held_n && result == 0; i++)
		result = add_edge(o, t, r, i);
	free(r);
	return result;
}

/* ---- takings ---- */

static void set_key(struct range *r)
{
	uint64_t key = r->taken.object * UINT64_C(4) + r->taken.modes;

	for (uint32_t i = 0; i < r->held_n; i++)
		key = (key ^ (r->held[i].object * UINT64_C(4) + r->held[i].modes)) *
		      UINT64_C(0x9e3779b97f4a7c15);
	r->key = key;
}

static bool is_same(const struct range *a, const struct range *b)
{
	if (a->key != b->key || a->taken.object != b->taken.object ||
	    a->taken.modes != b->taken.modes || a->held_n != b->held_n)
		return false;
	for (uint32_t i = 0; i < a->held_n; i++)
		if (a->held[i].object != b->held[i].object || a->held[i].modes != b->held[i].modes)
			return false;
	return true;
}

/* In the order of their numbers, so that two of the same are alike. */
static void add_held(struct range *r, const struct held *lock)
{
	uint32_t at = 0;

	while (at < r->held_n && r->held[at].object < lock->object)
		at++;
	if (r->held_n == LOCK_ORDER_HELD || (at < r->held_n && r->held[at].object == lock->object))
		return;
	memmove(&r->held[at + 1], &r->held[at], (r->held_n - at) * sizeof(*r->held));
	r->held[at] = *lock;
	r->held_n++;
	set_key(r);
}

static void insert(struct lock_order_thread *t, uint32_t at, struct range *r)
{
	memmove(&t->ranges[at + 1], &t->ranges[at], (t->ranges_n - at) * sizeof(*t->ranges));
	t->ranges[at] = r;
	t->ranges_n++;
}

static struct range *take_out(struct lock_order_thread *t, uint32_t at)
{
	struct range *r = t->ranges[at];

	t->ranges_n--;
	memmove(&t->ranges[at], &t->ranges[at + 1], (t->ranges_n - at) * sizeof(*t->ranges));
	return r;
}

static int make_room(struct lock_order *o, struct lock_order_thread *t)
{
	int result = 0;

	while (t->ranges_n > RANGES_MAX && result == 0)
		result = finish_range(o, t, take_out(t, t->ranges_n - 1));
	return result;
}

/* Into the one at @at goes a later one of the same sort, if there is one before it. */
static void merge_at(struct lock_order_thread *t, uint32_t at)
{
	struct range *r = t->ranges[at], *earlier;

	for (uint32_t i = at + 1; i < t->ranges_n; i++) {
		earlier = t->ranges[i];
		if (!is_same(r, earlier))
			continue;
		for (uint32_t k = 0; k < TIMES; k++)
			if (r->n + k < TIMES)
				r->times[(TIMES - 1 - r->n - k)] = earlier->times[TIMES - 1 - k];
		r->n += earlier->n;
		r->first_ns = earlier->first_ns < r->first_ns ? earlier->first_ns : r->first_ns;
		/* the first stacks are those that are told */
		if (earlier->taken.stack != 0 && (earlier->taken.is_taken || !r->taken.is_taken))
			r->taken = earlier->taken;
		for (uint32_t k = 0; k < r->held_n; k++)
			if (earlier->held[k].stack != 0 &&
			    (earlier->held[k].is_taken || !r->held[k].is_taken))
				r->held[k] = earlier->held[k];
		free(take_out(t, i));
		return;
	}
}

/* Takes those of @r that were not after @ns out of it, into one that is returned; NULL: no memory. */
static struct range *divide(struct range *r, uint64_t ns)
{
	struct range *older = malloc(sizeof(*older));
	uint32_t n = 0;

	if (older == NULL)
		return NULL;
	*older = *r;
	while (n < TIMES && r->times[TIMES - 1 - n] > ns)
		n++;
	memset(older->times, 0, sizeof(older->times));
	memcpy(older->times + n, r->times, (TIMES - n) * sizeof(*r->times));
	memset(r->times, 0, (TIMES - n) * sizeof(*r->times));
	/* how many there are on either side is known of the last few */
	r->n = n > 0 ? n : 1;
	r->first_ns = n > 0 ? r->times[TIMES - n] : r->last_ns;
	older->n -= r->n < older->n ? r->n : older->n - 1;
	older->last_ns = older->times[TIMES - 1] != 0 ? older->times[TIMES - 1] : ns;
	return older;
}

/*
 * Two takings of a thread so close together are one within the other: a lock that is taken, let go and followed by another takes longer.
 * Within one tick of the trace's clock their times are the same, and a hold's begin, which is its end less how long it was, is
 * rounded twice: it may be 1 ns late.
 */
#define NESTED_NS 1

/* The thread held @lock since @begin_ns: also when it took what it took since. */
static int add_to_inner(struct lock_order *o, struct lock_order_thread *t, const struct held *lock,
			uint64_t begin_ns)
{
	uint64_t before_ns = begin_ns > NESTED_NS ? begin_ns - NESTED_NS - 1 : 0;
	struct range *r, *older;
	uint32_t changed = 0;

	while (changed < t->ranges_n && t->ranges[changed]->last_ns > before_ns)
		changed++;
	for (uint32_t i = 0; i < changed; i++) {
		r = t->ranges[i];
		if (r->taken.object == lock->object)
			continue;
		if (r->first_ns <= before_ns) {
			older = divide(r, before_ns);
			if (older == NULL)
				return -ENOMEM;
			insert(t, changed, older);
		}
		add_held(r, lock);
	}
	for (uint32_t i = changed; i > 0; i--)
		if (i <= t->ranges_n)
			merge_at(t, i - 1);
	return make_room(o, t);
}

static int add_taking(struct lock_order *o, struct lock_order_thread *t, const struct held *lock,
		      uint64_t ns)
{
	struct range *r = calloc(1, sizeof(*r));
	uint32_t n = t->holds_n < HOLDS ? t->holds_n : HOLDS, at = 0;

	if (r == NULL)
		return -ENOMEM;
	r->taken = *lock;
	r->first_ns = r->last_ns = r->times[TIMES - 1] = ns;
	r->n = 1;
	set_key(r);
	for (uint32_t i = 0; i < n; i++)
		if (t->holds[i].begin_ns + NESTED_NS < ns && t->holds[i].end_ns > ns &&
		    t->holds[i].lock.object != lock->object)
			add_held(r, &t->holds[i].lock);
	/* those who took it later, and let go before, come first */
	while (at < t->ranges_n && t->ranges[at]->last_ns > ns)
		at++;
	insert(t, at, r);
	merge_at(t, at);
	return make_room(o, t);
}

/* ---- what is heard ---- */

static uint8_t modes_of(uint8_t mode)
{
	return mode == 2 ? LOCK_ORDER_SHARED : LOCK_ORDER_EXCLUSIVE;
}

static int on_hold(void *context, const struct story_hold *h)
{
	struct lock_order *o = context;
	struct lock_order_thread *t = thread_of(o, h->thread);
	struct held lock = {.object = h->object,
			    .stack = h->taken != 0 ? h->taken : h->stack,
			    .modes = modes_of(h->mode),
			    .is_taken = h->taken != 0};
	int r;

	if (t == NULL)
		return -ENOMEM;
	if (h->is_open && h->mode != 2 && map_set(&o->owner_of, h->object, h->thread) < 0)
		return -ENOMEM;
	r = add_to_inner(o, t, &lock, h->begin_ns);
	if (r == 0)
		r = add_taking(o, t, &lock, h->begin_ns);
	t->holds[t->holds_n++ % HOLDS] = (struct ended){h->begin_ns, h->end_ns, lock};
	return r;
}

static int on_wait(void *context, const struct story_wait *w)
{
	struct lock_order *o = context;
	struct lock_order_thread *t;
	struct held lock = {.object = w->object,
			    .stack = w->stack,
			    .modes = modes_of(w->mode),
			    .is_taken = true};

	if (!w->is_open || (w->type != TRACE_LOCK_WAIT_EVENT && w->type != TRACE_JOIN_BEGIN_EVENT))
		return 0;
	t = thread_of(o, w->thread);
	if (t == NULL)
		return -ENOMEM;
	t->is_waiting = true;
	t->object = w->object;
	t->other = w->other;
	t->stack = w->stack;
	t->since_ns = w->begin_ns;
	return w->type == TRACE_LOCK_WAIT_EVENT ? add_taking(o, t, &lock, w->begin_ns) : 0;
}

struct story_listener lock_order_listener(struct lock_order *o)
{
	return (struct story_listener){.context = o, .wait = on_wait, .hold = on_hold};
}

/* ---- cycles ---- */

#define STEPS_MAX UINT32_C(1000000) /* of the search: some seconds at the very worst */

struct search {
	struct lock_order *o;
	struct map node_of; /* by object */
	uint32_t *first;    /* of each node: into @out; one more at the end */
	uint32_t *out;      /* edges by who is held */
	uint32_t *into;     /* of each edge: the node of who is taken */
	bool *is_on_path;
	uint32_t nodes_n, start, steps;
	uint32_t path[LOCK_ORDER_LENGTH], path_n;
	int result;
};

static int node_of(struct search *s, uint32_t object)
{
	if (map_get(&s->node_of, object) != MAP_NONE)
		return 0;
	return map_set(&s->node_of, object, s->nodes_n++);
}

static int make_graph(struct search *s)
{
	struct lock_order *o = s->o;
	int r = 0;

	for (uint32_t i = 0; i < o->edges_n && r == 0; i++) {
		r = node_of(s, o->edges[i].held);
		if (r == 0)
			r = node_of(s, o->edges[i].taken);
	}
	s->first = calloc(s->nodes_n + 2, sizeof(*s->first));
	s->out = calloc(o->edges_n + 1, sizeof(*s->out));
	s->into = calloc(o->edges_n + 1, sizeof(*s->into));
	s->is_on_path = calloc(s->nodes_n + 1, sizeof(*s->is_on_path));
	if (r < 0 || s->first == NULL || s->out == NULL || s->into == NULL || s->is_on_path == NULL)
		return -ENOMEM;
	/* counted, summed up, filled in from behind */
	for (uint32_t i = 0; i < o->edges_n; i++) {
		s->first[map_get(&s->node_of, o->edges[i].held)]++;
		s->into[i] = map_get(&s->node_of, o->edges[i].taken);
	}
	for (uint32_t i = 1; i <= s->nodes_n; i++)
		s->first[i] += s->first[i - 1];
	for (uint32_t i = o->edges_n; i > 0; i--)
		s->out[--s->first[map_get(&s->node_of, o->edges[i - 1].held)]] = i - 1;
	return 0;
}

/* Do these two edges' gates keep them from being at the same time? Which one does; 0: none. */
static uint32_t common_gate(const struct lock_order_edge *a, const struct lock_order_edge *b)
{
	for (uint32_t i = 0; i < a->gates_n; i++)
		for (uint32_t k = 0; k < b->gates_n; k++)
			if (a->gates[i].object == b->gates[k].object &&
			    (a->gates[i].modes == LOCK_ORDER_EXCLUSIVE ||
			     b->gates[k].modes == LOCK_ORDER_EXCLUSIVE))
				return a->gates[i].object;
	return 0;
}

static void judge(const struct lock_order *o, struct lock_order_cycle *c)
{
	c->is_alone = true;
	for (uint32_t i = 0; i < c->n; i++) {
		const struct lock_order_edge *e = &o->edges[c->edges[i]],
					     *next = &o->edges[c->edges[(i + 1) % c->n]];

		if (e->other != 0 || e->thread != next->thread)
			c->is_alone = false;
		if (e->taken_modes == LOCK_ORDER_SHARED && next->held_modes == LOCK_ORDER_SHARED)
			c->is_of_readers = true;
		for (uint32_t k = 0; k < i && c->gate == 0; k++)
			c->gate = common_gate(e, &o->edges[c->edges[k]]);
	}
	c->is_harmless = c->is_alone || c->is_of_readers || c->gate != 0;
}

static void add_cycle(struct search *s)
{
	struct lock_order *o = s->o;
	struct lock_order_cycle c = {.n = s->path_n};

	memcpy(c.edges, s->path, s->path_n * sizeof(*s->path));
	judge(o, &c);
	for (uint32_t i = 0; i < c.n && !c.is_harmless; i++)
		o->edges[c.edges[i]].is_in_cycle = true;
	if (o->cycles_n == LOCK_ORDER_CYCLES) {
		o->is_cut = true;
		if (!c.is_harmless && o->dangerous_n < o->cycles_n)
			o->cycles[o->dangerous_n++] = c;
		return;
	}
	if (o->cycles == NULL) {
		o->cycles = calloc(LOCK_ORDER_CYCLES, sizeof(*o->cycles));
		if (o->cycles == NULL) {
			s->result = -ENOMEM;
			return;
		}
	}
	/* harmless ones behind */
	if (!c.is_harmless) {
		o->cycles[o->cycles_n++] = o->cycles[o->dangerous_n];
		o->cycles[o->dangerous_n++] = c;
	} else {
		o->cycles[o->cycles_n++] = c;
	}
}

/* Paths from the start through nodes of higher numbers: so each cycle is found once. */
static void walk(struct search *s, uint32_t node)
{
	for (uint32_t i = s->first[node]; i < s->first[node + 1] && s->result == 0; i++) {
		uint32_t edge = s->out[i], next = s->into[edge];

		if (next < s->start || (next != s->start && s->is_on_path[next]))
			continue;
		if (++s->steps > STEPS_MAX) {
			s->o->is_cut = true;
			return;
		}
		s->path[s->path_n++] = edge;
		if (next == s->start) {
			add_cycle(s);
		} else if (s->path_n < LOCK_ORDER_LENGTH) {
			s->is_on_path[next] = true;
			walk(s, next);
			s->is_on_path[next] = false;
		}
		s->path_n--;
	}
}

/* Those that lead nowhere, or that nothing leads to, are in no cycle: takes their edges away. */
static int peel(struct search *s)
{
	uint32_t *in = calloc(s->nodes_n + 1, sizeof(*in)),
		 *out = calloc(s->nodes_n + 1, sizeof(*out));
	bool *is_gone = calloc(s->o->edges_n + 1, sizeof(*is_gone)),
	     is_any = in != NULL && out != NULL;
	uint32_t kept, at;

	is_any = is_any && is_gone != NULL;
	if (!is_any)
		s->result = -ENOMEM;
	for (uint32_t n = 0; n < s->nodes_n && is_any; n++)
		for (uint32_t i = s->first[n]; i < s->first[n + 1]; i++) {
			out[n]++;
			in[s->into[s->out[i]]]++;
		}
	for (uint32_t rounds = 0; is_any && rounds < 1000; rounds++) {
		is_any = false;
		for (uint32_t n = 0; n < s->nodes_n; n++)
			for (uint32_t i = s->first[n]; i < s->first[n + 1]; i++) {
				uint32_t edge = s->out[i], to = s->into[edge];

				if (is_gone[edge] || (in[n] > 0 && out[to] > 0))
					continue;
				is_gone[edge] = is_any = true;
				out[n]--;
				in[to]--;
			}
	}
	for (uint32_t n = 0, from = 0; n < s->nodes_n && s->result == 0; n++) {
		at = from;
		from = s->first[n + 1];
		kept = n == 0 ? 0 : s->first[n];
		s->first[n] = kept;
		for (; at < from; at++)
			if (!is_gone[s->out[at]])
				s->out[kept++] = s->out[at];
		s->first[n + 1] = kept;
	}
	free(in);
	free(out);
	free(is_gone);
	return s->result;
}

static int find_cycles(struct lock_order *o)
{
	struct search s = {.o = o};

	s.result = make_graph(&s);
	if (s.result == 0)
		peel(&s);
	for (s.start = 0; s.start < s.nodes_n && s.result == 0 && s.steps <= STEPS_MAX; s.start++)
		walk(&s, s.start);
	free(s.first);
	free(s.out);
	free(s.into);
	free(s.is_on_path);
	map_fini(&s.node_of);
	return s.result;
}

/* ---- deadlocks ---- */

/* For whom @t waits, or NULL. */
static const struct lock_order_thread *next_of(const struct lock_order *o,
					       const struct lock_order_thread *t)
{
	uint32_t owner = t->object != 0 ? map_get(&o->owner_of, t->object) : MAP_NONE, at;

	if (owner == MAP_NONE || owner == t->index)
		owner = t->other;
	at = owner != 0 && owner != t->index ? map_get(&o->thread_of, owner) : MAP_NONE;
	return at != MAP_NONE && o->threads[at]->is_waiting ? o->threads[at] : NULL;
}

static int add_deadlock(struct lock_order *o, const struct lock_order_thread *start)
{
	struct lock_order_deadlock d = {0}, *list;
	const struct lock_order_thread *t = start;

	do {
		d.threads[d.n] = t->index;
		d.objects[d.n] = t->object;
		d.stacks[d.n] = t->stack;
		d.since_ns[d.n++] = t->since_ns;
		t = next_of(o, t);
	} while (t != start && d.n < LOCK_ORDER_LENGTH);
	list = reallocarray(o->deadlocks, o->deadlocks_n + 1, sizeof(*list));
	if (list == NULL)
		return -ENOMEM;
	o->deadlocks = list;
	list[o->deadlocks_n++] = d;
	return 0;
}

static int find_deadlocks(struct lock_order *o)
{
	uint32_t *seen = calloc(o->threads_n + 1, sizeof(*seen)); /* in which walk, from 1 on */
	const struct lock_order_thread *t;
	int r = 0;

	if (seen == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < o->threads_n && r == 0; i++) {
		t = o->threads[i]->is_waiting ? o->threads[i] : NULL;
		while (t != NULL && seen[map_get(&o->thread_of, t->index)] == 0) {
			seen[map_get(&o->thread_of, t->index)] = i + 1;
			t = next_of(o, t);
		}
		if (t != NULL && seen[map_get(&o->thread_of, t->index)] == i + 1)
			r = add_deadlock(o, t);
	}
	free(seen);
	return r;
}

int lock_order_finish(struct lock_order *o)
{
	int r = 0;

	for (uint32_t i = 0; i < o->threads_n; i++)
		while (o->threads[i]->ranges_n > 0 && r == 0)
			r = finish_range(o, o->threads[i],
					 take_out(o->threads[i], o->threads[i]->ranges_n - 1));
	if (r == 0)
		r = find_cycles(o);
	return r == 0 ? find_deadlocks(o) : r;
}

void lock_order_fini(struct lock_order *o)
{
	for (uint32_t i = 0; i < o->threads_n; i++) {
		for (uint32_t k = 0; k < o->threads[i]->ranges_n; k++)
			free(o->threads[i]->ranges[k]);
		free(o->threads[i]);
	}
	free(o->threads);
	free(o->edges);
	free(o->cycles);
	free(o->deadlocks);
	map_fini(&o->edge_of);
	map_fini(&o->thread_of);
	map_fini(&o->owner_of);
	*o = (struct lock_order){0};
}
