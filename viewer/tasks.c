#include "viewer/tasks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE       UINT32_MAX
#define LEFT_MAX   1024 /* stretches of a thread whose intervals are still to come */
#define DEPTH_MAX  64   /* parts of parts */
#define SEARCH_MAX 64

/*
 * A task from its first sight until nobody needs it: it is referred to while it is open, by its parts, by who works for it,
 * and by who did until that thread's intervals have come.
 */
struct task_slot {
	struct task task;
	uint64_t changed_ns; /* until when these two are right: */
	uint64_t covered_ns; /* somebody worked for it */
	uint64_t worked_ns;  /* the same, of each thread */
	uint32_t workers;
	uint32_t refs;
	uint32_t parent, depth;
	uint32_t next; /* of its hash, or free */
	uint32_t older, newer;
	uint32_t threads[TASKS_THREADS_MAX];
	bool is_open, is_selected;
};

struct task_left {
	uint64_t until_ns;
	uint32_t slot;
};

/* A thread: whom it works for. */
struct task_worker {
	uint64_t told_ns; /* its intervals have come up to here */
	uint32_t slot;
	uint32_t left_first, left_n, left_room;
	struct task_left *left; /* whom it worked for, the first first */
};

uint64_t task_work_ns(const uint64_t state_ns[TRACE_STATES])
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < TRACE_STATES; i++)
		sum += state_ns[i];
	return sum;
}

/* Types and the slowest */

static struct task_type *type_of(struct tasks *t, uint32_t type)
{
	uint32_t i = map_get(&t->types_of, type);
	bool is_rest = i == MAP_NONE && t->types_n >= TASKS_TYPES_MAX;
	struct task_type *types;

	if (is_rest && t->rest != 0)
		return &t->types[t->rest - 1];
	if (i != MAP_NONE)
		return &t->types[i];
	if ((t->types_n & (t->types_n - 1)) == 0) {
		types = realloc(t->types,
				(t->types_n != 0 ? 2 * (size_t)t->types_n : 1) * sizeof(*types));
		if (types == NULL)
			return NULL;
		t->types = types;
	}
	if (!is_rest && map_set(&t->types_of, type, t->types_n) < 0)
		return NULL;
	t->types[t->types_n] = (struct task_type){.type = is_rest ? 0 : type, .is_rest = is_rest};
	if (is_rest)
		t->rest = t->types_n + 1;
	return &t->types[t->types_n++];
}

static uint64_t latency(const struct task *task)
{
	return task->end_ns - task->begin_ns;
}

/* Of two that took as long, the one that began first comes first. */
static bool is_slower(const struct task *a, const struct task *b)
{
	return latency(a) != latency(b) ? latency(a) > latency(b) : a->begin_ns < b->begin_ns;
}

/* A heap whose first is the fastest. */
static int keep_slow(struct tasks *t, const struct task *task)
{
	struct task *slowest = t->slowest;
	uint32_t i, child;

	if (t->slowest_n < t->slowest_max) {
		if ((t->slowest_n & (t->slowest_n - 1)) == 0) {
			slowest = realloc(slowest,
					  (t->slowest_n != 0 ? 2 * (size_t)t->slowest_n : 1) *
						  sizeof(*slowest));
			if (slowest == NULL)
				return -ENOMEM;
			t->slowest = slowest;
		}
		for (i = t->slowest_n++; i > 0 && is_slower(&slowest[(i - 1) / 2], task);
		     i = (i - 1) / 2)
			slowest[i] = slowest[(i - 1) / 2];
		slowest[i] = *task;
		return 0;
	}
	if (t->slowest_max == 0 || !is_slower(task, &slowest[0]))
		return 0;
	for (i = 0; (child = 2 * i + 1) < t->slowest_n; i = child) {
		if (child + 1 < t->slowest_n && is_slower(&slowest[child], &slowest[child + 1]))
			child++;
		if (is_slower(&slowest[child], task))
			break;
		slowest[i] = slowest[child];
	}
	slowest[i] = *task;
	return 0;
}

static int count_task(struct tasks *t, const struct task_slot *s)
{
	struct task task = s->task;
	uint64_t work = task_work_ns(task.state_ns);
	struct task_type *type;

	if (task.end_ns < t->from_ns || task.begin_ns > t->to_ns || latency(&task) < t->min_ns ||
	    (t->threads != NULL && !s->is_selected) ||
	    (t->is_wanted != NULL && !t->is_wanted(t->context, &task)))
		return 0;
	/* of some of its time nobody may have told what it was */
	if (work < s->worked_ns) {
		task.state_ns[TRACE_UNKNOWN] += s->worked_ns - work;
		work = s->worked_ns;
	}
	task.gap_ns = latency(&task) - s->covered_ns;
	task.overlap_ns = work > s->covered_ns ? work - s->covered_ns : 0;
	type = type_of(t, task.type);
	if (type == NULL)
		return -ENOMEM;
	type->count++;
	type->total_ns += latency(&task);
	type->gap_ns += task.gap_ns;
	type->overlap_ns += task.overlap_ns;
	for (unsigned i = 0; i < TRACE_STATES; i++)
		type->state_ns[i] += task.state_ns[i];
	if (task.has_begin && task.has_end)
		histogram_add(&type->latency, latency(&task));
	else
		type->open++;
	return keep_slow(t, &task);
}

/* Slots */

static uint32_t *head_of(const struct tasks *t, uint64_t id)
{
	uint64_t hash = (id ^ id >> 32) * UINT64_C(0x9e3779b97f4a7c15);

	return &t->heads[(uint32_t)(hash >> 32) & (t->heads_n - 1)];
}

static uint32_t find(const struct tasks *t, uint64_t id)
{
	uint32_t i = t->heads_n != 0 ? *head_of(t, id) : NONE;

	while (i != NONE && t->slots[i].task.id != id)
		i = t->slots[i].next;
	return i;
}

/* Nobody finds it by its number any more. */
static void forget(struct tasks *t, uint32_t at)
{
	uint32_t *link = head_of(t, t->slots[at].task.id);

	while (*link != NONE && *link != at)
		link = &t->slots[*link].next;
	if (*link == at)
		*link = t->slots[at].next;
}

/* As many again. Indices stay. */
static int grow(struct tasks *t)
{
	uint32_t n = t->slots_n != 0 ? 2 * t->slots_n : 64;
	struct task_slot *slots = realloc(t->slots, n * sizeof(*slots));
	uint32_t *heads;

	if (slots == NULL)
		return -ENOMEM;
	t->slots = slots;
	heads = malloc(n * sizeof(*heads));
	if (heads == NULL)
		return -ENOMEM;
	free(t->heads);
	t->heads = heads;
	memset(heads, 0xff, n * sizeof(*heads));
	t->heads_n = n;
	if (t->slots_n == 0)
		t->oldest = t->newest = NONE;
	/* none of them is free */
	for (uint32_t i = 0; i < t->slots_n; i++) {
		uint32_t *head = head_of(t, slots[i].task.id);

		slots[i].next = *head;
		*head = i;
	}
	for (uint32_t i = t->slots_n; i < n; i++)
		slots[i] = (struct task_slot){.next = i + 1 < n ? i + 1 : NONE};
	t->free = t->slots_n;
	t->slots_n = n;
	return 0;
}

static void settle(struct task_slot *s, uint64_t now_ns)
{
	uint64_t ns = s->is_open && now_ns > s->changed_ns ? now_ns - s->changed_ns : 0;

	s->covered_ns += s->workers > 0 ? ns : 0;
	s->worked_ns += s->workers * ns;
	s->changed_ns += ns;
}

static int unref(struct tasks *t, uint32_t at)
{
	while (at != NONE) {
		struct task_slot *s = &t->slots[at];
		uint32_t parent = s->parent;

		if (--s->refs > 0)
			return 0;
		if (count_task(t, s) < 0)
			return -ENOMEM;
		forget(t, at);
		s->next = t->free;
		t->free = at;
		at = parent;
	}
	return 0;
}

/* It is over, or for us it is. */
static int close_slot(struct tasks *t, uint32_t at, uint64_t now_ns)
{
	struct task_slot *s = &t->slots[at];

	settle(s, now_ns);
	s->task.end_ns = s->changed_ns;
	s->is_open = false;
	*(s->older != NONE ? &t->slots[s->older].newer : &t->oldest) = s->newer;
	*(s->newer != NONE ? &t->slots[s->newer].older : &t->newest) = s->older;
	return unref(t, at);
}

/* Room for one more: an old one that nobody works for has to go. */
static int give_up(struct tasks *t, uint64_t now_ns)
{
	uint32_t at = t->oldest;

	for (unsigned i = 0; i < SEARCH_MAX && at != NONE; i++, at = t->slots[at].newer) {
		if (t->slots[at].refs > 1)
			continue;
		t->given_up++;
		return close_slot(t, at, now_ns);
	}
	return 0;
}

/* A new one, or NONE when there is no room. */
static int open_slot(struct tasks *t, uint64_t id, uint64_t now_ns, uint32_t *ret)
{
	struct task_slot *s;
	uint32_t *head;
	int r = 0;

	*ret = NONE;
	if (t->slots_n == 0 || (t->free == NONE && t->slots_n < TASKS_OPEN_MAX))
		r = grow(t);
	else if (t->free == NONE)
		r = give_up(t, now_ns);
	if (r < 0)
		return r;
	if (t->free == NONE) {
		t->left_out++;
		return 0;
	}
	*ret = t->free;
	s = &t->slots[*ret];
	t->free = s->next;
	head = head_of(t, id);
	*s = (struct task_slot){
		.task = {.id = id, .begin_ns = now_ns},
		.changed_ns = now_ns,
		.refs = 1,
		.parent = NONE,
		.next = *head,
		.older = t->newest,
		.newer = NONE,
		.is_open = true,
	};
	*head = *ret;
	*(t->newest != NONE ? &t->slots[t->newest].newer : &t->oldest) = *ret;
	t->newest = *ret;
	return 0;
}

/* Threads */

static struct task_worker *worker_of(struct tasks *t, uint32_t thread)
{
	uint32_t i = map_get(&t->workers_of, thread);
	struct task_worker *workers;

	if (i != MAP_NONE)
		return &t->workers[i];
	if ((t->workers_n & (t->workers_n - 1)) == 0) {
		workers = realloc(t->workers, (t->workers_n != 0 ? 2 * (size_t)t->workers_n : 1) *
						      sizeof(*workers));
		if (workers == NULL)
			return NULL;
		t->workers = workers;
	}
	if (map_set(&t->workers_of, thread, t->workers_n) < 0)
		return NULL;
	t->workers[t->workers_n] = (struct task_worker){.slot = NONE};
	return &t->workers[t->workers_n++];
}

static void note_thread(struct tasks *t, struct task_slot *s, uint32_t thread)
{
	uint32_t n = s->task.threads;

	s->task.worked_last = thread;
	s->is_selected |= t->threads != NULL && select_has_thread(t->threads, thread);
	for (uint32_t i = 0; i < n; i++)
		if (s->threads[i] == thread)
			return;
	if (n < TASKS_THREADS_MAX)
		s->threads[s->task.threads++] = thread;
}

/* @n more threads work for it, and so for what it is a part of. */
static void work(struct tasks *t, uint32_t at, uint32_t thread, int n, uint64_t now_ns)
{
	for (; at != NONE; at = t->slots[at].parent) {
		struct task_slot *s = &t->slots[at];

		settle(s, now_ns);
		s->workers += (uint32_t)n;
		if (s->is_open && s->workers > s->task.at_once)
			s->task.at_once = s->workers;
		if (n > 0 && s->is_open)
			note_thread(t, s, thread);
	}
}

/* It is kept until the thread's intervals have come. */
static int leave_later(struct tasks *t, struct task_worker *w, uint32_t at, uint64_t now_ns)
{
	struct task_left *left;
	int r = 0;

	if (w->left_n == w->left_room && w->left_n < LEFT_MAX) {
		uint32_t room = w->left_n != 0 ? 2 * w->left_n : 4;

		left = malloc(room * sizeof(*left));
		if (left == NULL)
			return -ENOMEM;
		for (uint32_t i = 0; i < w->left_n; i++)
			left[i] = w->left[(w->left_first + i) % w->left_room];
		free(w->left);
		w->left = left;
		w->left_first = 0;
		w->left_room = room;
	}
	if (w->left_n == w->left_room) {
		r = unref(t, w->left[w->left_first].slot);
		w->left_first = (w->left_first + 1) % w->left_room;
		w->left_n--;
	}
	w->left[(w->left_first + w->left_n++) % w->left_room] = (struct task_left){now_ns, at};
	return r;
}

static int switch_to(struct tasks *t, uint32_t thread, uint64_t id, uint64_t now_ns)
{
	struct task_worker *w = worker_of(t, thread);
	uint32_t old, new = id != 0 ? find(t, id) : NONE;
	int r = 0;

	if (w == NULL)
		return -ENOMEM;
	if (id != 0 && new == NONE)
		r = open_slot(t, id, now_ns, &new);
	old = w->slot;
	if (r < 0 || old == new)
		return r;
	/* whoever goes from a task to a part of it works for it all the while */
	work(t, old, thread, -1, now_ns);
	if (new != NONE)
		t->slots[new].refs++;
	work(t, new, thread, 1, now_ns);
	w->slot = new;
	if (old == NONE)
		return 0;
	return w->told_ns < now_ns ? leave_later(t, w, old, now_ns) : unref(t, old);
}

/* Events */

static int begin_task(struct tasks *t, const struct merged *m)
{
	const uint64_t *a = m->event->arguments;
	uint32_t at = find(t, a[0]), parent;
	struct task_slot *s;
	int r;

	if (at != NONE && (t->slots[at].task.has_begin || !t->slots[at].is_open)) {
		t->begun_twice++;
		return 0;
	}
	if (at == NONE) {
		r = open_slot(t, a[0], m->event->ns, &at);
		if (r < 0 || at == NONE)
			return r;
	}
	s = &t->slots[at];
	parent = a[1] != a[0] && a[1] != 0 ? find(t, a[1]) : NONE;
	/* one that somebody worked for a moment before, by another clock: that was nothing */
	memset(s->task.state_ns, 0, sizeof(s->task.state_ns));
	s->covered_ns = s->worked_ns = 0;
	s->task.begin_ns = s->changed_ns = m->event->ns;
	s->task.has_begin = true;
	s->task.parent = a[1];
	s->task.type = (uint32_t)a[2];
	s->task.stack = (uint32_t)a[3];
	s->task.begun_by = m->thread;
	s->is_selected |= t->threads != NULL && select_has_thread(t->threads, m->thread);
	/* who works for it already does not for its parent, until they begin anew */
	if (parent != NONE && s->workers == 0 && t->slots[parent].depth < DEPTH_MAX) {
		s->parent = parent;
		s->depth = t->slots[parent].depth + 1;
		t->slots[parent].refs++;
		t->slots[parent].task.parts++;
	}
	return 0;
}

static int end_task(struct tasks *t, const struct merged *m)
{
	uint64_t id = m->event->arguments[0];
	uint32_t at = find(t, id);
	int r = 0;

	if (at == NONE) {
		t->ended_unbegun++;
		r = open_slot(t, id, m->event->ns, &at);
		if (r < 0 || at == NONE)
			return r;
	}
	if (!t->slots[at].is_open) {
		t->ended_twice++;
		return 0;
	}
	t->slots[at].task.has_end = true;
	t->slots[at].task.ended_by = m->thread;
	t->slots[at].is_selected |= t->threads != NULL && select_has_thread(t->threads, m->thread);
	return close_slot(t, at, m->event->ns);
}

static int on_event(void *context, const struct merged *m)
{
	const struct event *event = m->event;

	switch (event->type) {
	case TRACE_TASK_BEGIN_EVENT:
		return event->arguments[0] != 0 ? begin_task(context, m) : 0;
	case TRACE_TASK_END_EVENT:
		return event->arguments[0] != 0 ? end_task(context, m) : 0;
	case TRACE_TASK_SWITCH_EVENT:
		return switch_to(context, m->thread, event->arguments[0], event->ns);
	case TRACE_THREAD_STATUS_EVENT:
		return switch_to(context, m->thread, event->arguments[3], event->ns);
	case TRACE_THREAD_EXIT_EVENT:
		return switch_to(context, m->thread, 0, event->ns);
	}
	return 0;
}

static int on_interval(void *context, const struct interval *i)
{
	struct tasks *t = context;
	uint32_t worker = map_get(&t->workers_of, i->thread),
		 at = i->task != 0 ? find(t, i->task) : NONE;
	struct task_worker *w;
	int r = 0;

	for (; at != NONE; at = t->slots[at].parent) {
		struct task_slot *s = &t->slots[at];

		s->task.state_ns[i->state % TRACE_STATES] +=
			story_within(i->begin_ns, i->end_ns, s->task.begin_ns,
				     s->is_open ? UINT64_MAX : s->task.end_ns);
	}
	if (worker == MAP_NONE)
		return 0;
	w = &t->workers[worker];
	w->told_ns = i->end_ns;
	while (r == 0 && w->left_n > 0 && w->left[w->left_first].until_ns <= i->end_ns) {
		at = w->left[w->left_first].slot;
		w->left_first = (w->left_first + 1) % w->left_room;
		w->left_n--;
		r = unref(t, at);
	}
	return r;
}

static int on_life(void *context, const struct story_life *l)
{
	struct tasks *t = context;

	return map_get(&t->workers_of, l->thread) != MAP_NONE
		       ? switch_to(t, l->thread, 0, l->end_ns)
		       : 0;
}

struct story_listener tasks_listener(struct tasks *t)
{
	return (struct story_listener){
		.context = t,
		.event = on_event,
		.interval = on_interval,
		.life = on_life,
	};
}

static int by_latency(const void *a, const void *b)
{
	return is_slower(a, b) ? -1 : is_slower(b, a);
}

int tasks_end(struct tasks *t, uint64_t end_ns)
{
	int r = 0;

	while (t->slots_n > 0 && t->oldest != NONE && r == 0)
		r = close_slot(t, t->oldest, end_ns);
	for (uint32_t i = 0; i < t->workers_n && r == 0; i++) {
		struct task_worker *w = &t->workers[i];

		for (; w->left_n > 0 && r == 0; w->left_n--, w->left_first++)
			r = unref(t, w->left[w->left_first % w->left_room].slot);
		if (r == 0 && w->slot != NONE)
			r = unref(t, w->slot);
		w->slot = NONE;
	}
	if (t->slowest_n > 0)
		qsort(t->slowest, t->slowest_n, sizeof(*t->slowest), by_latency);
	return r;
}

void tasks_fini(struct tasks *t)
{
	for (uint32_t i = 0; i < t->workers_n; i++)
		free(t->workers[i].left);
	free(t->workers);
	free(t->slots);
	free(t->heads);
	free(t->types);
	free(t->slowest);
	map_fini(&t->types_of);
	map_fini(&t->workers_of);
	memset(t, 0, sizeof(*t));
}
