#include "viewer/across.h"

#include <errno.h>
#include <stdlib.h>

struct inside {
	uint64_t begin_ns, end_ns;
	uint32_t call, file, object, stack;
	uint8_t wait_type; /* 0: a call */
};

struct across_thread {
	uint64_t n; /* ever */
	struct inside list[ACROSS_KEPT];
};

static struct across_thread *thread_of(struct across *a, uint32_t index)
{
	uint32_t at = map_get(&a->thread_of, index);
	struct across_thread **list, *t;

	if (at != MAP_NONE)
		return a->threads_list[at];
	if ((a->threads_n & (a->threads_n - 1)) == 0) {
		list = reallocarray(a->threads_list,
				    a->threads_n > 0 ? 2 * (size_t)a->threads_n : 1,
				    sizeof(struct across_thread *));
		if (list == NULL)
			return NULL;
		a->threads_list = list;
	}
	t = calloc(1, sizeof(*t));
	if (t == NULL || map_set(&a->thread_of, index, a->threads_n) < 0) {
		free(t);
		return NULL;
	}
	return a->threads_list[a->threads_n++] = t;
}

static bool is_same(const struct across_row *row, uint32_t lock, const struct inside *in)
{
	return row->lock == lock && row->is_wait == (in->wait_type != 0) && row->call == in->call &&
	       row->file == in->file && row->object == in->object &&
	       row->wait_type == in->wait_type;
}

/* 0 or -ENOMEM; *@ret is NULL when there is no room for another. */
static int row_of(struct across *a, uint32_t lock, const struct inside *in, struct across_row **ret)
{
	uint64_t key = ((uint64_t)lock << 32 | in->object) * UINT64_C(0x9e3779b97f4a7c15);
	struct across_row *rows;
	uint32_t at;

	*ret = NULL;
	key = (key ^ key >> 29 ^ ((uint64_t)in->file << 32 | in->call)) *
	      UINT64_C(0x9e3779b97f4a7c15);
	for (; (at = map_get(&a->row_of, key)) != MAP_NONE; key++) {
		if (is_same(&a->rows[at], lock, in)) {
			*ret = &a->rows[at];
			return 0;
		}
	}
	if (a->rows_n >= ACROSS_ROWS_MAX) {
		a->left_out++;
		return 0;
	}
	if ((a->rows_n & (a->rows_n - 1)) == 0) {
		rows = reallocarray(a->rows, a->rows_n > 0 ? 2 * (size_t)a->rows_n : 1,
				    sizeof(*rows));
		if (rows == NULL)
			return -ENOMEM;
		a->rows = rows;
	}
	if (map_set(&a->row_of, key, a->rows_n) < 0)
		return -ENOMEM;
	*ret = &a->rows[a->rows_n++];
	**ret = (struct across_row){.lock = lock,
				    .is_wait = in->wait_type != 0,
				    .wait_type = in->wait_type,
				    .call = in->call,
				    .file = in->file,
				    .object = in->object};
	return 0;
}

static int remember(struct across *a, uint32_t thread, const struct inside *in)
{
	struct across_thread *t = thread_of(a, thread);

	if (t == NULL)
		return -ENOMEM;
	t->list[t->n++ % ACROSS_KEPT] = *in;
	return 0;
}

static int on_call(void *context, const struct story_call *call)
{
	struct across *a = context;

	/* to sleep with a lock is no better than to read */
	if (!a->with_calls)
		return 0;
	return remember(a, call->thread,
			&(struct inside){.begin_ns = call->begin_ns,
					 .end_ns = call->end_ns,
					 .call = call->number,
					 .file = same_file(&a->files, a->tables, call->file),
					 .stack = call->stack});
}

static int on_wait(void *context, const struct story_wait *w)
{
	struct across *a = context;
	struct across_thread *t = thread_of(a, w->thread);

	if (t == NULL)
		return -ENOMEM;
	/* the calls within are what the wait is made of */
	while (t->n > 0 && t->list[(t->n - 1) % ACROSS_KEPT].wait_type == 0 &&
	       t->list[(t->n - 1) % ACROSS_KEPT].begin_ns >= w->begin_ns)
		t->list[--t->n % ACROSS_KEPT] = (struct inside){0};
	if (!a->with_waits)
		return 0;
	return remember(a, w->thread,
			&(struct inside){.begin_ns = w->begin_ns,
					 .end_ns = w->end_ns,
					 .object = w->object,
					 .stack = w->stack,
					 .wait_type = w->type});
}

static int on_hold(void *context, const struct story_hold *h)
{
	struct across *a = context;
	uint32_t at = map_get(&a->thread_of, h->thread);
	const struct across_thread *t = at != MAP_NONE ? a->threads_list[at] : NULL;
	struct across_row *row;
	uint64_t ns, i;

	if (t == NULL || h->begin_ns == h->end_ns ||
	    (a->threads != NULL && !select_has_thread(a->threads, h->thread)) ||
	    (a->wants_object != NULL && !a->wants_object(a->context, h->object)))
		return 0;
	for (i = 1; i <= ACROSS_KEPT && i <= t->n; i++) {
		const struct inside *in = &t->list[(t->n - i) % ACROSS_KEPT];

		if (in->end_ns <= h->begin_ns)
			return 0;
		/* what began before the lock was taken is not done with it: it may be how it was taken */
		if (in->begin_ns < h->begin_ns || in->end_ns > h->end_ns ||
		    in->end_ns - in->begin_ns < a->min_ns)
			continue;
		ns = story_within(in->begin_ns, in->end_ns, a->from_ns, a->to_ns);
		if (row_of(a, h->object, in, &row) < 0)
			return -ENOMEM;
		if (row == NULL)
			continue;
		row->n++;
		row->sum_ns += ns;
		if (ns >= row->max_ns) {
			row->max_ns = ns;
			row->max_begin_ns = in->begin_ns;
			row->max_stack = in->stack;
			row->max_thread = h->thread;
		}
	}
	a->cut += t->n > ACROSS_KEPT && i > ACROSS_KEPT;
	return 0;
}

struct story_listener across_listener(struct across *a)
{
	return (struct story_listener){
		.context = a, .call = on_call, .wait = on_wait, .hold = on_hold};
}

void across_fini(struct across *a)
{
	for (uint32_t i = 0; i < a->threads_n; i++)
		free(a->threads_list[i]);
	free(a->threads_list);
	free(a->rows);
	map_fini(&a->row_of);
	map_fini(&a->thread_of);
	same_files_fini(&a->files);
}
