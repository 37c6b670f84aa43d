#include "viewer/lock_chains.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STOPS 16 /* of a thread: what it did last that took long */

/* Something that a thread did which is not running. */
struct stop {
	uint64_t begin_ns, ns;
	uint32_t node;              /* of a wait */
	uint32_t call, file, stack; /* of a call */
};

/*
 * A hold is told of when it ends, and wants to know which call or wait within it was the longest. So each that is kept is shorter
 * than all before it: a longer one that comes later takes the place of those before.
 */
struct stops {
	struct stop list[STOPS];
	uint32_t n;
};

struct lock_chains_thread {
	struct stops calls, waits;
};

static struct lock_chains_thread *thread_of(struct lock_chains *c, uint32_t index)
{
	uint32_t at = map_get(&c->thread_of, index);
	struct lock_chains_thread **list, *t;

	if (at != MAP_NONE)
		return c->threads_list[at];
	if ((c->threads_n & (c->threads_n - 1)) == 0) {
		list = reallocarray(c->threads_list,
				    c->threads_n > 0 ? 2 * (size_t)c->threads_n : 1,
				    sizeof(struct lock_chains_thread *));
		if (list == NULL)
			return NULL;
		c->threads_list = list;
	}
	t = calloc(1, sizeof(*t));
	if (t == NULL || map_set(&c->thread_of, index, c->threads_n) < 0) {
		free(t);
		return NULL;
	}
	return c->threads_list[c->threads_n++] = t;
}

/* ---- nodes ---- */

static uint64_t key_of(const struct lock_chain_node *n)
{
	const uint64_t parts[] = {n->kind | n->mode << 8 | n->wait_type << 16,
				  (uint64_t)n->object << 32 | n->stack,
				  (uint64_t)n->call << 32 | n->file,
				  (uint64_t)n->holder_stack << 32 | n->holder_thread, n->next};
	uint64_t key = 0;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		key = (key ^ parts[i]) * UINT64_C(0x9e3779b97f4a7c15);
		key ^= key >> 29;
	}
	return key;
}

static bool is_same(const struct lock_chain_node *a, const struct lock_chain_node *b)
{
	return a->kind == b->kind && a->mode == b->mode && a->wait_type == b->wait_type &&
	       a->object == b->object && a->stack == b->stack && a->call == b->call &&
	       a->file == b->file && a->holder_stack == b->holder_stack &&
	       a->holder_thread == b->holder_thread && a->next == b->next;
}

/* The number of @wanted, in *ret. 0 or -ENOMEM. */
static int node_of(struct lock_chains *c, struct lock_chain_node wanted, uint32_t *ret)
{
	uint64_t key;
	uint32_t at;
	struct lock_chain_node *nodes;

	if (wanted.kind != CHAIN_LOCK)
		wanted.next = LOCK_CHAIN_NONE;
	if (c->nodes_n >= LOCK_CHAIN_NODES - 2)
		wanted = (struct lock_chain_node){.kind = CHAIN_MORE, .next = LOCK_CHAIN_NONE};
	if (wanted.next != LOCK_CHAIN_NONE && c->nodes[wanted.next].steps == LOCK_CHAIN_STEPS &&
	    node_of(c, (struct lock_chain_node){.kind = CHAIN_MORE}, &wanted.next) < 0)
		return -ENOMEM;
	wanted.steps = 1;
	if (wanted.next != LOCK_CHAIN_NONE)
		wanted.steps = (uint8_t)(c->nodes[wanted.next].steps + 1);
	for (key = key_of(&wanted); (at = map_get(&c->node_of, key)) != MAP_NONE; key++) {
		if (is_same(&c->nodes[at], &wanted)) {
			*ret = at;
			return 0;
		}
	}
	if ((c->nodes_n & (c->nodes_n - 1)) == 0) {
		nodes = reallocarray(c->nodes, c->nodes_n > 0 ? 2 * (size_t)c->nodes_n : 1,
				     sizeof(*nodes));
		if (nodes == NULL)
			return -ENOMEM;
		c->nodes = nodes;
	}
	if (map_set(&c->node_of, key, c->nodes_n) < 0)
		return -ENOMEM;
	c->nodes[c->nodes_n] = wanted;
	*ret = c->nodes_n++;
	return 0;
}

/* ---- stops ---- */

static void add_stop(struct stops *s, const struct stop *stop)
{
	while (s->n > 0 && s->list[s->n - 1].ns <= stop->ns)
		s->n--;
	if (s->n == STOPS) { /* the oldest: what holds it was held for very long */
		memmove(s->list, s->list + 1, (STOPS - 1) * sizeof(*s->list));
		s->n--;
	}
	s->list[s->n++] = *stop;
}

static const struct stop *longest_since(const struct stops *s, uint64_t ns)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (s->list[i].begin_ns >= ns)
			return &s->list[i];
	return NULL;
}

/* ---- what is heard ---- */

static int on_call(void *context, const struct story_call *call)
{
	struct lock_chains *c = context;
	struct lock_chains_thread *t = thread_of(c, call->thread);
	struct stop stop = {.begin_ns = call->begin_ns,
			    .ns = call->end_ns - call->begin_ns,
			    .call = call->number,
			    .file = same_file(&c->files, c->tables, call->file),
			    .stack = call->stack};

	if (t == NULL)
		return -ENOMEM;
	add_stop(&t->calls, &stop);
	return 0;
}

/* What the thread did for the largest part of a hold. */
static int why_held(struct lock_chains *c, const struct story_hold *h, uint32_t *ret)
{
	const struct lock_chains_thread *t = thread_of(c, h->thread);
	uint64_t length = h->end_ns - h->begin_ns, rest = h->calls_ns + h->waits_ns + h->off_ns,
		 running = rest < length ? length - rest : 0;
	struct lock_chain_node node = {.kind = CHAIN_RUNNING};
	const struct stop *stop = NULL;

	if (t == NULL)
		return -ENOMEM;
	if (h->is_open) {
		node.kind = CHAIN_OPEN;
	} else if (h->waits_ns > running && h->waits_ns >= h->calls_ns &&
		   h->waits_ns >= h->off_ns) {
		node.kind = CHAIN_WAIT;
		stop = longest_since(&t->waits, h->begin_ns);
		if (stop != NULL) {
			*ret = stop->node;
			return 0;
		}
	} else if (h->calls_ns > running && h->calls_ns >= h->off_ns) {
		node.kind = CHAIN_CALL;
		node.call = h->longest_call - 1;
		node.file = same_file(&c->files, c->tables, h->longest_file);
		stop = longest_since(&t->calls, h->begin_ns);
		if (stop != NULL && stop->call == node.call && stop->file == node.file)
			node.stack = stop->stack;
	} else if (h->off_ns > running) {
		node.kind = CHAIN_RUNNABLE;
	}
	return node_of(c, node, ret);
}

static int on_hold(void *context, const struct story_hold *h)
{
	struct lock_chains *c = context;
	uint32_t mark;

	if (h->order == 0 && h->waiters == 0 && !h->is_open)
		return 0;
	if (why_held(c, h, &mark) < 0)
		return -ENOMEM;
	return holders_add(&c->holders, h, mark);
}

static int on_piece(void *context, const struct story_wait *w, const struct holder *holder,
		    uint64_t begin_ns, uint64_t end_ns)
{
	struct lock_chains *c = context;

	(void)w;
	if (end_ns - begin_ns > c->longest_ns) {
		c->longest = *holder;
		c->longest_ns = end_ns - begin_ns;
	}
	return 0;
}

static int lock_node(struct lock_chains *c, const struct story_wait *w, uint32_t *ret)
{
	struct lock_chain_node node = {.kind = CHAIN_LOCK,
				       .mode = w->mode,
				       .wait_type = w->type,
				       .object = w->object,
				       .stack = w->stack},
			       rest = {.kind = CHAIN_OPEN};
	int r;

	c->longest = (struct holder){.mark = UINT32_MAX};
	c->longest_ns = 0;
	r = holders_split(&c->holders, w, on_piece, c);
	if (r < 0)
		return r;
	node.holder_stack = c->longest.stack;
	node.holder_thread =
		c->longest.stack == 0 && c->longest.thread != HOLDERS_MANY ? c->longest.thread : 0;
	node.next = c->longest.mark;
	if (c->longest.thread == 0)
		rest.kind = CHAIN_HANDOVER;
	else if (c->longest.thread == HOLDERS_MANY)
		rest.kind = CHAIN_MANY;
	if (node.next == UINT32_MAX)
		r = node_of(c, rest, &node.next);
	return r == 0 ? node_of(c, node, ret) : r;
}

static int on_wait(void *context, const struct story_wait *w)
{
	struct lock_chains *c = context;
	struct lock_chains_thread *t = thread_of(c, w->thread);
	const struct lock_chain_node other = {
		.kind = CHAIN_WAIT, .wait_type = w->type, .object = w->object, .stack = w->stack};
	struct stop stop = {.begin_ns = w->begin_ns, .ns = w->end_ns - w->begin_ns};
	struct lock_chain_node *node;
	uint64_t ns;
	int r;

	if (t == NULL)
		return -ENOMEM;
	/* the calls within are what the wait is made of */
	while (t->calls.n > 0 && t->calls.list[t->calls.n - 1].begin_ns >= w->begin_ns)
		t->calls.n--;
	r = holders_has(w) ? lock_node(c, w, &stop.node) : node_of(c, other, &stop.node);
	if (r < 0)
		return r;
	add_stop(&t->waits, &stop);
	ns = story_within(w->begin_ns, w->end_ns, c->from_ns, c->to_ns);
	if (!holders_has(w) || stop.ns == 0 || stop.ns < c->min_ns ||
	    (c->threads != NULL && !select_has_thread(c->threads, w->thread)) ||
	    (c->wants_object != NULL && !c->wants_object(c->context, w->object)))
		return 0;
	node = &c->nodes[stop.node];
	node->n++;
	node->sum_ns += ns;
	if (ns >= node->max_ns) {
		node->max_ns = ns;
		node->max_begin_ns = w->begin_ns;
		node->max_thread = w->thread;
	}
	return 0;
}

struct story_listener lock_chains_listener(struct lock_chains *c)
{
	return (struct story_listener){
		.context = c, .call = on_call, .wait = on_wait, .hold = on_hold};
}

void lock_chains_fini(struct lock_chains *c)
{
	for (uint32_t i = 0; i < c->threads_n; i++)
		free(c->threads_list[i]);
	free(c->threads_list);
	free(c->nodes);
	map_fini(&c->node_of);
	map_fini(&c->thread_of);
	same_files_fini(&c->files);
	holders_fini(&c->holders);
}
