#include "viewer/holders.h"

#include <errno.h>
#include <stdlib.h>

struct holders_ring {
	struct holder *list; /* a power of two of them; the last is at next - 1 */
	uint32_t room, n, next;
};

void holders_fini(struct holders *h)
{
	for (uint32_t i = 0; i < h->rings_n; i++)
		free(h->rings[i].list);
	free(h->rings);
	map_fini(&h->of);
	*h = (struct holders){0};
}

static struct holders_ring *ring_of(struct holders *h, uint32_t object)
{
	uint32_t at = map_get(&h->of, object);
	struct holders_ring *grown;

	if (at != MAP_NONE)
		return &h->rings[at];
	if ((h->rings_n & (h->rings_n - 1)) == 0) {
		grown = reallocarray(h->rings, h->rings_n > 0 ? 2 * (size_t)h->rings_n : 1,
				     sizeof(*grown));
		if (grown == NULL)
			return NULL;
		h->rings = grown;
	}
	if (map_set(&h->of, object, h->rings_n) < 0)
		return NULL;
	h->rings[h->rings_n] = (struct holders_ring){0};
	return &h->rings[h->rings_n++];
}

/* Twice the room: what is in it is moved to the beginning. */
static int grow(struct holders_ring *ring)
{
	uint32_t room = ring->room > 0 ? 2 * ring->room : 8;
	struct holder *list = calloc(room, sizeof(*list));

	if (list == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < ring->n; i++)
		list[i] = ring->list[(ring->next - ring->n + i) & (ring->room - 1)];
	free(ring->list);
	*ring = (struct holders_ring){.list = list, .room = room, .n = ring->n, .next = ring->n};
	return 0;
}

static bool is_alike(const struct holder *a, const struct holder *b)
{
	return a->thread == b->thread && a->stack == b->stack && a->mark == b->mark;
}

/* Puts @later into @h, which is just before it. */
static void join(struct holder *h, const struct holder *later)
{
	if (later->begin_ns < h->begin_ns)
		h->begin_ns = later->begin_ns;
	h->end_ns = later->end_ns;
	h->held_ns += later->held_ns;
	/* readers have it together */
	if (h->held_ns > h->end_ns - h->begin_ns)
		h->held_ns = h->end_ns - h->begin_ns;
}

/* The ring is as large as it may be, and full: makes room for at least a quarter. */
static void squeeze(struct holders_ring *ring)
{
	uint32_t first = ring->next - ring->n, kept = 0, mask = ring->room - 1;
	bool is_pair = false;

	for (uint32_t i = 0; i < ring->n; i++) {
		const struct holder h = ring->list[(first + i) & mask];
		struct holder *last = &ring->list[(first + kept - 1) & mask];

		if (kept > 0 && is_alike(last, &h))
			join(last, &h);
		else
			ring->list[(first + kept++) & mask] = h;
	}
	ring->n = kept;
	if (kept > ring->room / 4 * 3) {
		for (uint32_t i = kept = 0; i < ring->n; i++) {
			const struct holder h = ring->list[(first + i) & mask];
			struct holder *last = &ring->list[(first + kept - 1) & mask];

			is_pair = !is_pair && i > 0 && i < ring->n / 2;
			if (!is_pair) {
				ring->list[(first + kept++) & mask] = h;
				continue;
			}
			join(last, &h);
			last->thread = HOLDERS_MANY;
			last->stack = 0;
			last->mark = UINT32_MAX;
		}
		ring->n = kept;
	}
	ring->next = first + ring->n;
}

int holders_add(struct holders *h, const struct story_hold *hold, uint32_t mark)
{
	struct holders_ring *ring;

	/* A lock that others wait for is released with a number. */
	if (hold->order == 0 && hold->waiters == 0 && !hold->is_open)
		return 0;
	ring = ring_of(h, hold->object);
	if (ring == NULL || (ring->n == ring->room && ring->room < HOLDERS_KEPT && grow(ring) < 0))
		return -ENOMEM;
	if (ring->n == ring->room)
		squeeze(ring);
	ring->list[ring->next++ & (ring->room - 1)] = (struct holder){
		.begin_ns = hold->begin_ns,
		.end_ns = hold->end_ns,
		.held_ns = hold->end_ns - hold->begin_ns,
		.thread = hold->thread,
		.stack = hold->stack,
		.mark = mark,
	};
	ring->n++;
	return 0;
}

int holders_split(struct holders *h, const struct story_wait *wait,
		  int (*piece)(void *context, const struct story_wait *wait,
			       const struct holder *holder, uint64_t begin_ns, uint64_t end_ns),
		  void *context)
{
	static const struct holder nobody = {.mark = UINT32_MAX};
	/* Who has it still: that will be known when the hold ends. */
	const struct holder other = {.thread = wait->other, .mark = UINT32_MAX};
	struct holders_ring *ring = ring_of(h, wait->object);
	const struct holder *holder;
	uint64_t end_ns = wait->end_ns, until_ns, part_ns;
	bool is_had = wait->is_open || wait->error != 0;
	int r = 0;

	if (ring == NULL)
		return -ENOMEM;
	for (uint32_t i = 1; i <= ring->n && r == 0 && piece != NULL && end_ns > wait->begin_ns;
	     i++) {
		holder = &ring->list[(ring->next - i) & (ring->room - 1)];
		/* In the order of their ends, and of those together the first that is met is the last. */
		if (holder->thread == wait->thread || holder->begin_ns >= end_ns)
			continue;
		until_ns = holder->end_ns < end_ns ? holder->end_ns : end_ns;
		if (until_ns <= wait->begin_ns)
			break;
		if (until_ns < end_ns)
			r = piece(context, wait, is_had ? &other : &nobody, until_ns, end_ns);
		is_had = false;
		end_ns = holder->begin_ns > wait->begin_ns ? holder->begin_ns : wait->begin_ns;
		/* of several in a row, as much as there is on average */
		part_ns = until_ns - end_ns;
		if (holder->held_ns < holder->end_ns - holder->begin_ns)
			part_ns = (uint64_t)((double)part_ns * (double)holder->held_ns /
					     (double)(holder->end_ns - holder->begin_ns));
		if (r == 0)
			r = piece(context, wait, holder, until_ns - part_ns, until_ns);
		if (r == 0 && until_ns - part_ns > end_ns)
			r = piece(context, wait, &nobody, end_ns, until_ns - part_ns);
	}
	if (r == 0 && piece != NULL && end_ns > wait->begin_ns)
		r = piece(context, wait, is_had ? &other : &nobody, wait->begin_ns, end_ns);
	if (wait->left == 0)
		ring->n = 0;
	return r;
}
