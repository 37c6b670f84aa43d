#include "viewer/locks.h"

#include <errno.h>
#include <stdlib.h>

/* From when on somebody waited without a pause, until when. */
struct locks_queue {
	uint64_t begin_ns, end_ns; /* end 0: it goes on */
	uint64_t hold_begin_ns;    /* of the first hold, which began before the queue did */
	uint64_t handovers, handover_ns, hold_ns;
	uint64_t handed_ns; /* the last hand-over's beginning, which readers have in common */
	uint64_t handed_until_ns;
	uint32_t row; /* + 1 */
	bool is_any;
};

static uint64_t within(const struct locks *l, uint64_t begin_ns, uint64_t end_ns)
{
	return story_within(begin_ns, end_ns, l->from_ns, l->to_ns);
}

static bool wants(const struct locks *l, uint32_t thread, uint32_t object)
{
	return (l->threads == NULL || select_has_thread(l->threads, thread)) &&
	       (l->wants_object == NULL || l->wants_object(l->context, object));
}

/* Makes room for one more of @n, in steps of two. */
static void *grown(void *list, uint32_t n, size_t size)
{
	if ((n & (n - 1)) != 0)
		return list;
	return reallocarray(list, n > 0 ? 2 * (size_t)n : 1, size);
}

/* The row of @key, 0 or -ENOMEM; *@ret is NULL when there is no room for another. */
static int row_of(struct locks *l, uint64_t key, const struct locks_row *fresh,
		  struct locks_row **ret)
{
	uint32_t at = map_get(&l->row_of, key);
	struct locks_row *rows;

	*ret = NULL;
	if (at == MAP_NONE) {
		if (l->rows_n >= LOCKS_ROWS_MAX) {
			l->left_out++;
			return 0;
		}
		rows = grown(l->rows, l->rows_n, sizeof(*rows));
		if (rows == NULL)
			return -ENOMEM;
		l->rows = rows;
		if (map_set(&l->row_of, key, l->rows_n) < 0)
			return -ENOMEM;
		at = l->rows_n++;
		l->rows[at] = *fresh;
	}
	*ret = &l->rows[at];
	(*ret)->has_others = (*ret)->has_others || (*ret)->object != fresh->object;
	return 0;
}

/* What keeps a place in code and a number of something else apart. */
#define KEY_OTHER (UINT64_C(1) << 40)

static int lock_row(struct locks *l, uint32_t object, uint8_t mode, uint8_t wait_type,
		    struct locks_row **ret)
{
	const struct locks_row fresh = {
		.object = object, .mode = mode == 2 ? 2 : 0, .wait_type = wait_type};

	return row_of(l, object | (mode == 2 ? KEY_OTHER : 0), &fresh, ret);
}

static int site_row(struct locks *l, const struct story_wait *w, struct locks_row **ret)
{
	const struct locks_row fresh = {
		.object = w->object, .stack = w->stack, .wait_type = w->type};

	return row_of(l, w->stack != 0 ? w->stack : w->object | KEY_OTHER, &fresh, ret);
}

static int holder_row(struct locks *l, uint32_t object, uint32_t stack, uint32_t thread,
		      struct locks_row **ret)
{
	const struct locks_row fresh = {.object = object,
					.stack = stack,
					.thread = stack == 0 ? thread : 0,
					.wait_type = TRACE_LOCK_WAIT_EVENT};

	return row_of(l, stack != 0 ? stack : thread | KEY_OTHER, &fresh, ret);
}

/* ---- queues and convoys ---- */

static struct locks_queue *queue_of(struct locks *l, uint32_t object)
{
	uint32_t at = map_get(&l->queue_of, object);
	struct locks_queue *queues;

	if (at != MAP_NONE)
		return &l->queues[at];
	queues = grown(l->queues, l->queues_n, sizeof(*queues));
	if (queues == NULL)
		return NULL;
	l->queues = queues;
	if (map_set(&l->queue_of, object, l->queues_n) < 0)
		return NULL;
	l->queues[l->queues_n] = (struct locks_queue){0};
	return &l->queues[l->queues_n++];
}

/* It is known that nothing more belongs to this queue. */
static void end_queue(struct locks *l, struct locks_queue *q)
{
	uint64_t length = q->end_ns - q->begin_ns, before = 0;
	struct locks_convoys *c;

	if (q->hold_begin_ns != 0 && q->hold_begin_ns < q->begin_ns)
		before = q->begin_ns - q->hold_begin_ns;
	q->hold_ns -= before < q->hold_ns ? before : q->hold_ns;
	if (q->row != 0 && q->end_ns > q->begin_ns &&
	    (length >= LOCKS_CONVOY_NS || q->handovers >= LOCKS_CONVOY_HANDOVERS) &&
	    q->handover_ns > q->hold_ns) {
		c = &l->rows[q->row - 1].convoys;
		c->n++;
		c->sum_ns += within(l, q->begin_ns, q->end_ns);
		if (length > c->end_ns - c->begin_ns) {
			c->begin_ns = q->begin_ns;
			c->end_ns = q->end_ns;
			c->handovers = q->handovers;
			c->handover_ns = q->handover_ns;
			c->hold_ns = q->hold_ns;
		}
	}
	*q = (struct locks_queue){0};
}

static int queue_hold(struct locks *l, const struct story_hold *h)
{
	struct locks_queue *q;

	if (h->order == 0 && h->waiters == 0)
		return 0;
	q = queue_of(l, h->object);
	if (q == NULL)
		return -ENOMEM;
	if (q->end_ns != 0) {
		/* the last one's, who had nobody behind */
		if (h->waiters == 0)
			return 0;
		end_queue(l, q);
	}
	if (q->hold_begin_ns == 0)
		q->hold_begin_ns = h->begin_ns;
	q->hold_ns += h->end_ns - h->begin_ns;
	return 0;
}

static int queue_wait(struct locks *l, const struct story_wait *w, uint32_t row)
{
	struct locks_queue *q = queue_of(l, w->object);

	if (q == NULL)
		return -ENOMEM;
	if (q->end_ns != 0 && w->begin_ns >= q->end_ns)
		end_queue(l, q);
	if (!q->is_any || w->begin_ns < q->begin_ns)
		q->begin_ns = w->begin_ns;
	q->is_any = true;
	if (row != 0)
		q->row = row;
	q->end_ns = w->left == 0 ? w->end_ns : 0;
	return 0;
}

static int queue_edge(struct locks *l, const struct story_edge *e)
{
	struct locks_queue *q = queue_of(l, e->object);
	uint64_t begin_ns = e->from_ns;

	if (q == NULL)
		return -ENOMEM;
	/* readers go on together */
	if (q->handovers > 0 && q->handed_ns == e->from_ns && q->handed_until_ns > begin_ns)
		begin_ns = q->handed_until_ns;
	if (e->to_ns > begin_ns)
		q->handover_ns += e->to_ns - begin_ns;
	q->handovers++;
	q->handed_ns = e->from_ns;
	q->handed_until_ns = e->to_ns;
	return 0;
}

/* ---- what is heard ---- */

static int add_wait(struct locks *l, struct locks_row *row, const struct story_wait *w)
{
	row->failed += w->error != 0;
	row->open += w->is_open;
	row->futile += w->is_again;
	if (w->left + 1 > row->queue)
		row->queue = w->left + 1;
	return durations_add(&row->wait, within(l, w->begin_ns, w->end_ns));
}

static int on_piece(void *context, const struct story_wait *w, const struct holder *holder,
		    uint64_t begin_ns, uint64_t end_ns)
{
	struct locks *l = context;
	uint64_t ns = within(l, begin_ns, end_ns);
	struct locks_row *row;
	int r;

	if (ns == 0)
		return 0;
	r = holder_row(l, w->object, holder->stack, holder->thread, &row);
	return r == 0 && row != NULL ? durations_add(&row->wait, ns) : r;
}

static int on_wait(void *context, const struct story_wait *w)
{
	struct locks *l = context;
	struct locks_row *row = NULL;
	bool is_wanted = wants(l, w->thread, w->object) && w->end_ns - w->begin_ns >= l->min_ns;
	int r = 0;

	if (w->end_ns == w->begin_ns)
		return 0;
	if (w->is_idle && !l->with_idle) {
		l->idle_n++;
		l->idle_ns += within(l, w->begin_ns, w->end_ns);
		return 0;
	}
	switch (l->by) {
	case LOCKS_BY_LOCK:
		if (w->object == 0)
			return 0;
		if (is_wanted)
			r = lock_row(l, w->object, w->mode, w->type, &row);
		l->last_row = row != NULL ? (uint32_t)(row - l->rows) + 1 : 0;
		l->last_thread = w->thread;
		if (r == 0 && holders_has(w))
			r = queue_wait(l, w, l->last_row);
		break;
	case LOCKS_BY_SITE:
		if (is_wanted)
			r = site_row(l, w, &row);
		break;
	case LOCKS_BY_HOLDER:
		if (!holders_has(w))
			return 0;
		/* also of those that nobody asked for: the holds that only they waited for can go */
		return holders_split(&l->holders, w, is_wanted ? on_piece : NULL, l);
	}
	return r == 0 && row != NULL ? add_wait(l, row, w) : r;
}

static int add_hold(struct locks *l, struct locks_row *row, const struct story_hold *h)
{
	uint64_t ns = within(l, h->begin_ns, h->end_ns);

	row->acquired++;
	row->calls_ns += h->calls_ns;
	row->off_ns += h->off_ns;
	row->waits_ns += h->waits_ns;
	if (h->longest_ns > row->longest_call_ns) {
		row->longest_call_ns = h->longest_ns;
		row->longest_call = h->longest_call;
		row->longest_file = h->longest_file;
	}
	/* of a lock.pair nobody knows how long it was, but that it was short */
	return h->end_ns > h->begin_ns ? durations_add(&row->hold, ns) : 0;
}

static int on_hold(void *context, const struct story_hold *h)
{
	struct locks *l = context;
	struct locks_row *row = NULL;
	bool is_wanted = wants(l, h->thread, h->object);
	int r = 0;

	if (l->by == LOCKS_BY_SITE)
		return 0;
	if (l->by == LOCKS_BY_HOLDER) {
		r = holders_add(&l->holders, h, UINT32_MAX);
		/* only those that somebody may have waited for */
		if (r == 0 && is_wanted && (h->order != 0 || h->waiters > 0))
			r = holder_row(l, h->object, h->stack, h->thread, &row);
	} else {
		r = queue_hold(l, h);
		if (r == 0 && is_wanted)
			r = lock_row(l, h->object, h->mode, 0, &row);
	}
	return r == 0 && row != NULL ? add_hold(l, row, h) : r;
}

/* It comes just behind its wait. */
static int edge_row(struct locks *l, const struct story_edge *e, struct locks_row **ret)
{
	const struct story_wait w = {
		.object = e->object, .stack = e->to_stack, .type = TRACE_LOCK_WAIT_EVENT};

	*ret = NULL;
	switch (l->by) {
	case LOCKS_BY_LOCK:
		if (l->last_row != 0 && l->last_thread == e->to &&
		    l->rows[l->last_row - 1].object == e->object)
			*ret = &l->rows[l->last_row - 1];
		return 0;
	case LOCKS_BY_SITE:
		return site_row(l, &w, ret);
	case LOCKS_BY_HOLDER:
		return holder_row(l, e->object, e->stack, e->from, ret);
	}
	return 0;
}

static int on_edge(void *context, const struct story_edge *e)
{
	struct locks *l = context;
	struct locks_row *row = NULL;
	int r = 0;

	if (e->kind != EDGE_RELEASE)
		return 0;
	if (l->by == LOCKS_BY_LOCK)
		r = queue_edge(l, e);
	if (r == 0 && wants(l, e->to, e->object) && e->to_ns - e->begun_ns >= l->min_ns)
		r = edge_row(l, e, &row);
	return r == 0 && row != NULL
		       ? durations_add(&row->handover, within(l, e->from_ns, e->to_ns))
		       : r;
}

struct story_listener locks_listener(struct locks *l)
{
	return (struct story_listener){
		.context = l, .wait = on_wait, .hold = on_hold, .edge = on_edge};
}

void locks_finish(struct locks *l, uint64_t end_ns)
{
	for (uint32_t i = 0; i < l->queues_n; i++) {
		if (l->queues[i].is_any && l->queues[i].end_ns == 0)
			l->queues[i].end_ns = end_ns;
		end_queue(l, &l->queues[i]);
	}
}

void locks_fini(struct locks *l)
{
	for (uint32_t i = 0; i < l->rows_n; i++) {
		durations_fini(&l->rows[i].wait);
		durations_fini(&l->rows[i].hold);
		durations_fini(&l->rows[i].handover);
	}
	free(l->rows);
	free(l->queues);
	map_fini(&l->row_of);
	map_fini(&l->queue_of);
	holders_fini(&l->holders);
}
