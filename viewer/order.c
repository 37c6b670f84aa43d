#include "viewer/order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DIGIT_BITS 11
#define DIGITS     (1u << DIGIT_BITS)
/* Beyond this many in one generation (a real one has 16 MiB of events), those that come later are left as they are. */
#define LIST_MAX (UINT32_C(2) << 20)
/* Each round goes from threads to what they did to others; clocks are wrong by less than that takes. */
#define ROUNDS_MAX 64
/* Of each event: as many may lie within the time by which a clock is wrong. */
#define MOVES_MAX 64

enum role { ROLE_NONE, ROLE_SOURCE, ROLE_SINK };

/* How to find an order in the arguments of an event. */
static const struct role_of {
	uint8_t role, order,
		mode; /* index of the argument; 0 for no mode, as the object is always the first */
} roles[256] = {
	[TRACE_LOCK_RELEASED_EVENT] = {ROLE_SOURCE, 2, 1},
	[TRACE_COND_SIGNAL_EVENT] = {ROLE_SOURCE, 2, 0},
	[TRACE_SEM_POST_EVENT] = {ROLE_SOURCE, 1, 0},
	[TRACE_BARRIER_WAIT_EVENT] = {ROLE_SOURCE, 1, 0},
	[TRACE_LOCK_ACQUIRED_EVENT] = {ROLE_SINK, 2, 1},
	[TRACE_COND_END_EVENT] = {ROLE_SINK, 2, 0},
	[TRACE_SEM_END_EVENT] = {ROLE_SINK, 2, 0},
	[TRACE_BARRIER_END_EVENT] = {ROLE_SINK, 2, 0},
};

#define MODE_SHARED 2

void order_fini(struct order *o)
{
	free(o->list);
	free(o->last);
	map_fini(&o->last_of);
	memset(o, 0, sizeof(*o));
}

bool order_has(uint8_t type)
{
	return roles[type].role != ROLE_NONE;
}

int order_add(struct order *o, const struct event *event, uint32_t block, uint32_t stream)
{
	const struct role_of *role = &roles[event->type];
	struct ordered *list;
	size_t room;

	if (role->role == ROLE_NONE || event->arguments[0] == 0 ||
	    event->arguments[role->order] == 0 || o->n == LIST_MAX)
		return 0;
	if (o->n == o->room) {
		room = o->room == 0 ? 1024 : 2 * o->room;
		list = realloc(o->list, room * sizeof(*list));
		if (list == NULL)
			return -ENOMEM;
		o->list = list;
		o->room = room;
	}
	o->list[o->n] = (struct ordered){
		.order = event->arguments[role->order],
		.ns = event->ns,
		.object = (uint32_t)event->arguments[0],
		.block = block,
		.ordinal = event->ordinal,
		.stream = stream,
		.is_sink = role->role == ROLE_SINK,
		.is_shared = role->mode != 0 && event->arguments[role->mode] == MODE_SHARED,
		.added = (uint32_t)o->n,
	};
	o->n++;
	return 0;
}

struct sort_key {
	uint64_t key;
	uint32_t index;
};

static int compare_keys(const void *a, const void *b)
{
	const struct sort_key *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->index < y->index ? -1 : 1;
}

/* By the lowest digit first; each pass leaves alone what is equal. @bits of the keys are used. */
static struct sort_key *sort_keys(struct sort_key *keys, struct sort_key *other, size_t n,
				  unsigned bits)
{
	uint32_t *counts = n > DIGITS ? malloc(DIGITS * sizeof(*counts)) : NULL;
	struct sort_key *swap;

	if (counts == NULL) {
		qsort(keys, n, sizeof(*keys), compare_keys);
		return keys;
	}
	for (unsigned shift = 0; shift < bits; shift += DIGIT_BITS) {
		uint32_t sum = 0, count;

		memset(counts, 0, DIGITS * sizeof(*counts));
		for (size_t i = 0; i < n; i++)
			counts[keys[i].key >> shift & (DIGITS - 1)]++;
		for (unsigned i = 0; i < DIGITS; i++) {
			count = counts[i];
			counts[i] = sum;
			sum += count;
		}
		for (size_t i = 0; i < n; i++)
			other[counts[keys[i].key >> shift & (DIGITS - 1)]++] = keys[i];
		swap = keys;
		keys = other;
		other = swap;
	}
	free(counts);
	return keys;
}

static unsigned bits_of(uint64_t value)
{
	return value == 0 ? 0 : 64 - (unsigned)__builtin_clzll(value);
}

static int compare_ordered(const void *a, const void *b)
{
	const struct ordered *x = a, *y = b;

	if (x->object != y->object)
		return x->object < y->object ? -1 : 1;
	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return x->is_sink - y->is_sink;
}

/* Puts the list into the order of objects, and of numbers for each. */
static int sort_list(struct order *o)
{
	uint64_t order_low = UINT64_MAX, order_high = 0;
	struct sort_key *keys, *sorted;
	struct ordered *list;
	uint32_t object_high = 0;
	unsigned order_bits;

	for (size_t i = 0; i < o->n; i++) {
		const struct ordered *e = &o->list[i];

		order_low = e->order < order_low ? e->order : order_low;
		order_high = e->order > order_high ? e->order : order_high;
		object_high = e->object > object_high ? e->object : object_high;
	}
	order_bits = bits_of(order_high - order_low);
	if (order_bits + bits_of(object_high) > 64) {
		qsort(o->list, o->n, sizeof(*o->list), compare_ordered);
		return 0;
	}
	keys = malloc(2 * o->n * sizeof(*keys));
	list = malloc(o->n * sizeof(*list));
	if (keys == NULL || list == NULL) {
		free(keys);
		free(list);
		return -ENOMEM;
	}
	for (size_t i = 0; i < o->n; i++)
		keys[i] = (struct sort_key){
			(order_bits < 64 ? (uint64_t)o->list[i].object << order_bits : 0) |
				(o->list[i].order - order_low),
			(uint32_t)i};
	sorted = sort_keys(keys, keys + o->n, o->n, order_bits + bits_of(object_high));
	for (size_t i = 0; i < o->n; i++)
		list[i] = o->list[sorted[i].index];
	free(keys);
	free(o->list);
	o->list = list;
	o->room = o->n;
	return 0;
}

/* The place in time of an event, with its rank among those of one moment. */
struct moment {
	uint64_t ns;
	uint32_t rank;
};

static bool is_before(struct moment a, struct moment b)
{
	return a.ns != b.ns ? a.ns < b.ns : a.rank < b.rank;
}

static struct order_last *last_of(struct order *o, uint32_t object)
{
	uint32_t at = map_get(&o->last_of, object);
	struct order_last *last;

	if (at != MAP_NONE)
		return &o->last[at];
	if (o->last_n % 64 == 0) {
		last = realloc(o->last, (o->last_n + 64) * sizeof(*last));
		if (last == NULL)
			return NULL;
		o->last = last;
	}
	if (map_set(&o->last_of, object, o->last_n) < 0)
		return NULL;
	o->last[o->last_n] = (struct order_last){0, 0};
	return &o->last[o->last_n++];
}

/* A generation at work. */
struct sorting {
	struct order *order;
	struct ordered *list; /* by object and number */
	uint32_t n;
	struct moment *
		at; /* of each: never earlier than its own stamp, nor than what its thread did before */
	uint32_t *
		by_added; /* where it is in the list, by when it was added; NULL until something moves */
	struct group {
		uint32_t from, to; /* an object's */
		bool is_dirty;     /* some of its sources have moved */
	} * groups;
	uint32_t groups_n;
	bool is_dirty;     /* one is */
	uint64_t may_move; /* so many may be moved by what their thread did before */
};

static int init(struct sorting *g, struct order *o)
{
	*g = (struct sorting){.order = o, .list = o->list, .n = (uint32_t)o->n};
	for (uint32_t i = 0; i < g->n; i++)
		g->groups_n += i == 0 || g->list[i].object != g->list[i - 1].object;
	g->at = malloc((g->n + 1) * sizeof(*g->at));
	g->groups = malloc((g->groups_n + 1) * sizeof(*g->groups));
	if (g->at == NULL || g->groups == NULL)
		return -ENOMEM;
	g->groups_n = 0;
	for (uint32_t i = 0; i < g->n; i++) {
		g->at[i] = (struct moment){g->list[i].ns, 0};
		if (i == 0 || g->list[i].object != g->list[i - 1].object)
			g->groups[g->groups_n++] = (struct group){.from = i, .is_dirty = true};
		g->groups[g->groups_n - 1].to = i + 1;
	}
	g->is_dirty = g->n > 0;
	g->may_move = (uint64_t)g->n * MOVES_MAX;
	return 0;
}

static void fini(struct sorting *g)
{
	free(g->at);
	free(g->by_added);
	free(g->groups);
}

static struct group *group_of(const struct sorting *g, uint32_t i)
{
	uint32_t low = 0, high = g->groups_n;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (g->groups[middle].from <= i)
			low = middle;
		else
			high = middle;
	}
	return &g->groups[low];
}

/* The event takes place at @to, and what its thread did after it no earlier. */
static int move(struct sorting *g, uint32_t i, struct moment to)
{
	uint32_t stream = g->list[i].stream;

	if (g->by_added == NULL) {
		g->by_added = malloc(g->n * sizeof(*g->by_added));
		if (g->by_added == NULL)
			return -ENOMEM;
		for (uint32_t k = 0; k < g->n; k++)
			g->by_added[g->list[k].added] = k;
	}
	g->list[i].is_moved = true;
	g->at[i] = to;
	for (uint32_t added = g->list[i].added + 1; added < g->n && g->may_move > 0; added++) {
		uint32_t k = g->by_added[added];

		if (g->list[k].stream != stream || !is_before(g->at[k], to))
			break;
		g->at[k] = to;
		g->may_move--;
		if (!g->list[k].is_sink)
			group_of(g, k)->is_dirty = g->is_dirty = true;
	}
	return 0;
}

/*
 * The events of one object. For each number the sources below it are known when it is met, those of its own number are added
 * behind.
 */
static int sort_group(struct sorting *g, const struct group *group)
{
	/* of sources of lower numbers the last by time: of all, and of those that did not share */
	struct moment any = {0, 0}, exclusive = {0, 0};
	struct order_last *last = last_of(g->order, g->list[group->from].object);
	uint32_t i = group->from;
	int r;

	if (last == NULL)
		return -ENOMEM;
	if (last->order < g->list[i].order)
		any.ns = exclusive.ns = last->ns;
	while (i < group->to) {
		uint64_t number = g->list[i].order;
		uint32_t first = i;

		for (; i < group->to && g->list[i].order == number; i++) {
			struct moment after = g->list[i].is_shared ? exclusive : any;

			if (!g->list[i].is_sink || is_before(after, g->at[i]))
				continue;
			after.rank++;
			r = move(g, i, after);
			if (r < 0)
				return r;
		}
		for (; first < i; first++) {
			if (g->list[first].is_sink)
				continue;
			if (is_before(any, g->at[first]))
				any = g->at[first];
			if (!g->list[first].is_shared && is_before(exclusive, g->at[first]))
				exclusive = g->at[first];
		}
	}
	return 0;
}

/* What moves may move others, of the same object or by way of a thread: until none does. Numbers that contradict each other never end. */
static int sort_groups(struct sorting *g)
{
	int r = 0;

	for (unsigned round = 0; round < ROUNDS_MAX && g->is_dirty && r == 0; round++) {
		g->is_dirty = false;
		for (uint32_t i = 0; i < g->groups_n && r == 0; i++) {
			if (!g->groups[i].is_dirty)
				continue;
			g->groups[i].is_dirty = false;
			r = sort_group(g, &g->groups[i]);
		}
	}
	return r;
}

/* What was found, and what the next generation has to know. */
static int give(struct sorting *g, struct correction **ret, size_t *ret_n)
{
	struct order *o = g->order;
	struct order_last *last = NULL;
	struct correction *list = NULL;
	size_t n = 0;

	for (uint32_t i = 0; i < g->n; i++)
		n += g->list[i].is_moved;
	if (n > 0) {
		list = malloc(n * sizeof(*list));
		if (list == NULL)
			return -ENOMEM;
	}
	n = 0;
	for (uint32_t i = 0; i < g->n; i++) {
		const struct ordered *e = &g->list[i];
		struct moment at = g->at[i];

		if (i == 0 || e->object != e[-1].object)
			last = last_of(o, e->object);
		if (!e->is_sink && last != NULL && e->order >= last->order)
			*last = (struct order_last){e->order, at.ns};
		if (!e->is_moved)
			continue;
		list[n++] = (struct correction){e->block, e->ordinal, at.ns, at.rank};
		if (at.ns > e->ns) {
			o->corrected++;
			if (at.ns - e->ns > o->largest_ns)
				o->largest_ns = at.ns - e->ns;
		}
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

static int compare_corrections(const void *a, const void *b)
{
	const struct correction *x = a, *y = b;

	if (x->block != y->block)
		return x->block < y->block ? -1 : 1;
	return x->ordinal < y->ordinal ? -1 : 1;
}

int order_finish(struct order *o, struct correction **ret, size_t *ret_n)
{
	struct sorting g = {0};
	int r = 0;

	*ret = NULL;
	*ret_n = 0;
	if (o->n > 0)
		r = sort_list(o);
	if (r == 0)
		r = init(&g, o);
	if (r == 0)
		r = sort_groups(&g);
	if (r == 0)
		r = give(&g, ret, ret_n);
	fini(&g);
	o->n = 0;
	if (r == 0 && *ret_n > 0)
		qsort(*ret, *ret_n, sizeof(**ret), compare_corrections);
	return r;
}
