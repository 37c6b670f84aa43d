#include "viewer/profiles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define TASKS_KEPT (UINT32_C(1) << 18) /* the latest of tasks, by their numbers' last bits */

struct profiles_waits {
	struct story_wait wait;
	bool is_open; /* nobody was told of who ended it */
};

struct profiles_task {
	uint64_t task;
	uint32_t type;
};

static const char *const kinds[PROFILES_KINDS] = {
	[PROFILES_SYNC] = "sync",       [PROFILES_LOCK] = "lock",     [PROFILES_COND] = "cond",
	[PROFILES_SYSCALL] = "syscall", [PROFILES_SCHED] = "sched",   [PROFILES_SLEEP] = "sleep",
	[PROFILES_IDLE] = "idle",       [PROFILES_OFFCPU] = "offcpu", [PROFILES_CPU] = "cpu",
	[PROFILES_ALL] = "all",
};

const char *profiles_kind_name(unsigned kind)
{
	return kind < PROFILES_KINDS ? kinds[kind] : "";
}

int profiles_find_kind(const char *name)
{
	for (int i = 0; i < PROFILES_KINDS; i++)
		if (strcmp(kinds[i], name) == 0)
			return i;
	return -1;
}

unsigned profiles_find_label(const char *name, size_t size)
{
	static const char *const labels[] = {"thread", "lock",   "syscall",  "kind",
					     "path",   "holder", "task_type"};

	for (unsigned i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
		if (strlen(labels[i]) == size && memcmp(labels[i], name, size) == 0)
			return 1u << i;
	return 0;
}

const char *profiles_what_name(unsigned what)
{
	static const char *const names[PROFILES_WHATS] = {
		[PROFILES_MUTEX] = "mutex",
		[PROFILES_RWLOCK] = "rwlock",
		[PROFILES_SPIN] = "spin",
		[PROFILES_OTHER_LOCK] = "lock",
		[PROFILES_COND_WAIT] = "cond",
		[PROFILES_SEM] = "sem",
		[PROFILES_BARRIER] = "barrier",
		[PROFILES_ONCE] = "once",
		[PROFILES_JOIN] = "join",
		[PROFILES_FUTEX] = "futex",
		[PROFILES_NOBODY] = "holder not known",
	};

	if (what >= PROFILES_STATE && what < PROFILES_STATE + TRACE_STATES)
		return story_state_name(what - PROFILES_STATE);
	return what < PROFILES_WHATS && names[what] != NULL ? names[what] : "not known";
}

void profiles_init(struct profiles *p, const struct profiles_options *options,
		   const struct tables *t)
{
	*p = (struct profiles){.options = *options, .tables = t};
}

void profiles_fini(struct profiles *p)
{
	free(p->rows);
	free(p->slots);
	free(p->waits);
	free(p->tasks);
	map_fini(&p->wait_of);
	memset(p, 0, sizeof(*p));
}

/* ---- rows ---- */

#define KEY_BYTES offsetof(struct profiles_row, count)

static uint32_t hash(const struct profiles_row *row)
{
	const uint32_t *words = (const uint32_t *)row;
	uint64_t h = 0;

	for (size_t i = 0; i < KEY_BYTES / sizeof(*words); i++)
		h = (h ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15) ^ h >> 29;
	return (uint32_t)(h >> 32);
}

static uint32_t *find_slot(const struct profiles *p, const struct profiles_row *row)
{
	uint32_t at = hash(row) & (p->slots_n - 1);

	while (p->slots[at] != 0 && memcmp(&p->rows[p->slots[at] - 1], row, KEY_BYTES) != 0)
		at = (at + 1) & (p->slots_n - 1);
	return &p->slots[at];
}

static int make_room(struct profiles *p)
{
	struct profiles_row *rows;
	uint32_t room = p->rows_room != 0 ? p->rows_room * 2 : 256, *slots;

	if (p->rows_n < p->rows_room)
		return 0;
	slots = calloc(2 * (size_t)room, sizeof(*slots));
	rows = realloc(p->rows, room * sizeof(*rows));
	if (rows != NULL)
		p->rows = rows;
	if (rows == NULL || slots == NULL) {
		free(slots);
		return -ENOMEM;
	}
	free(p->slots);
	p->slots = slots;
	p->slots_n = 2 * room;
	p->rows_room = room;
	for (uint32_t i = 0; i < p->rows_n; i++)
		*find_slot(p, &p->rows[i]) = i + 1;
	return 0;
}

/* What the type of a task is, of those that were begun last. */
static uint32_t task_type(const struct profiles *p, uint64_t task)
{
	const struct profiles_task *t = p->tasks != NULL ? &p->tasks[task % TASKS_KEPT] : NULL;

	return task != 0 && t != NULL && t->task == task ? t->type : 0;
}

/* Adds @count and @ns to what @of, whose labels are all there, is with those that are wanted. */
static int add(struct profiles *p, const struct profiles_row *of, uint64_t task, uint64_t count,
	       uint64_t ns)
{
	unsigned labels = p->options.labels;
	struct profiles_row row = {.stack = of->stack};
	uint32_t *slot;

	/* without a stack, a word in its place says what it was */
	if (labels & PROFILES_CALL || row.stack == 0)
		row.call = of->call;
	if (labels & PROFILES_WHAT || row.stack == 0)
		row.what = of->what;
	if (labels & PROFILES_THREAD)
		row.thread = of->thread;
	if (labels & PROFILES_OBJECT)
		row.object = of->object;
	if (labels & PROFILES_HOLDER)
		row.holder = of->holder;
	if (labels & PROFILES_PATH) {
		row.file = of->path == 0 ? of->file : 0;
		row.path = of->path;
	}
	if (labels & PROFILES_TASK)
		row.task_type = task_type(p, task);
	if (make_room(p) < 0)
		return -ENOMEM;
	slot = find_slot(p, &row);
	if (*slot == 0 && p->rows_n >= PROFILES_ROWS_MAX) {
		/* no more than there are stacks */
		p->unlabelled++;
		row = (struct profiles_row){.stack = of->stack};
		slot = find_slot(p, &row);
	}
	if (*slot == 0) {
		p->rows[p->rows_n] = row;
		*slot = ++p->rows_n;
	}
	p->rows[*slot - 1].count += count;
	p->rows[*slot - 1].ns += ns;
	p->count += count;
	p->ns += ns;
	return 0;
}

static bool has_thread(const struct profiles *p, uint32_t thread)
{
	return p->options.threads == NULL || select_has_thread(p->options.threads, thread);
}

/* The part of it that was asked for; false: none. */
static bool within(const struct profiles *p, uint64_t begin_ns, uint64_t end_ns, uint64_t *ret_ns)
{
	*ret_ns = story_within(begin_ns, end_ns, p->options.from_ns, p->options.to_ns);
	return *ret_ns > 0 || begin_ns == end_ns;
}

/* ---- what is told ---- */

static uint32_t what_of_wait(const struct profiles *p, const struct story_wait *w)
{
	const struct table_object *object;

	switch (w->type) {
	case TRACE_LOCK_WAIT_EVENT:
		object = tables_object(p->tables, w->object);
		return object == NULL                        ? PROFILES_OTHER_LOCK
		       : object->kind == TRACE_OBJECT_MUTEX  ? PROFILES_MUTEX
		       : object->kind == TRACE_OBJECT_RWLOCK ? PROFILES_RWLOCK
		       : object->kind == TRACE_OBJECT_SPIN   ? PROFILES_SPIN
							     : PROFILES_OTHER_LOCK;
	case TRACE_COND_WAIT_EVENT:
		return PROFILES_COND_WAIT;
	case TRACE_SEM_WAIT_EVENT:
		return PROFILES_SEM;
	case TRACE_BARRIER_WAIT_EVENT:
		return PROFILES_BARRIER;
	case TRACE_ONCE_BEGIN_EVENT:
		return PROFILES_ONCE;
	case TRACE_JOIN_BEGIN_EVENT:
		return PROFILES_JOIN;
	case TRACE_FUTEX_WAIT_EVENT:
		return PROFILES_FUTEX;
	default:
		return PROFILES_NOTHING;
	}
}

/* @e: who made it go on, or NULL. */
static int add_wait(struct profiles *p, const struct story_wait *w, const struct story_edge *e)
{
	struct profiles_row row = {
		.stack = w->stack,
		.thread = w->thread,
		.object = w->object,
		.holder = w->type == TRACE_LOCK_WAIT_EVENT ? w->other : 0,
		.what = what_of_wait(p, w),
	};
	uint64_t ns;

	if (!within(p, w->begin_ns, w->end_ns, &ns))
		return 0;
	if (p->options.by_holder) {
		row.stack = e != NULL ? e->stack : 0;
		row.thread = row.holder = e != NULL ? e->from : 0;
		if (e == NULL)
			row.what = PROFILES_NOBODY;
	}
	return add(p, &row, w->task, 1, ns);
}

static struct profiles_waits *wait_of(struct profiles *p, uint32_t thread)
{
	uint32_t at = map_get(&p->wait_of, thread);
	struct profiles_waits *grown;

	if (at != MAP_NONE)
		return &p->waits[at];
	if (p->waits_n == p->waits_room) {
		uint32_t room = p->waits_room != 0 ? p->waits_room * 2 : 16;

		grown = realloc(p->waits, room * sizeof(*grown));
		if (grown == NULL)
			return NULL;
		p->waits = grown;
		p->waits_room = room;
	}
	if (map_set(&p->wait_of, thread, p->waits_n) < 0)
		return NULL;
	p->waits[p->waits_n] = (struct profiles_waits){.is_open = false};
	return &p->waits[p->waits_n++];
}

/* Nobody has said who ended it. */
static int close_wait(struct profiles *p, struct profiles_waits *w)
{
	if (!w->is_open)
		return 0;
	w->is_open = false;
	return add_wait(p, &w->wait, NULL);
}

static int on_wait(void *context, const struct story_wait *w)
{
	struct profiles *p = context;
	struct profiles_waits *pending;
	enum profiles_kind kind = p->options.kind;
	uint64_t ns;
	int r;

	if ((kind == PROFILES_LOCK && w->type != TRACE_LOCK_WAIT_EVENT) ||
	    (kind == PROFILES_COND && w->type != TRACE_COND_WAIT_EVENT) ||
	    !has_thread(p, w->thread))
		return 0;
	if (w->is_idle && !p->options.include_idle) {
		if (within(p, w->begin_ns, w->end_ns, &ns)) {
			p->idle_count++;
			p->idle_ns += ns;
		}
		return 0;
	}
	if (!p->options.by_holder)
		return add_wait(p, w, NULL);
	pending = wait_of(p, w->thread);
	if (pending == NULL)
		return -ENOMEM;
	r = close_wait(p, pending);
	*pending = (struct profiles_waits){*w, true};
	return r;
}

static int on_edge(void *context, const struct story_edge *e)
{
	struct profiles *p = context;
	uint32_t at = map_get(&p->wait_of, e->to);
	struct profiles_waits *pending = at != MAP_NONE ? &p->waits[at] : NULL;

	if (pending == NULL || !pending->is_open || pending->wait.begin_ns != e->begun_ns ||
	    pending->wait.object != e->object || e->kind == EDGE_PIPE)
		return 0;
	pending->is_open = false;
	return add_wait(p, &pending->wait, e);
}

/* Time is all that these wait for. */
static bool is_sleep(const struct story_call *c)
{
	switch (c->number) {
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
		return true;
#ifdef SYS_poll
	case SYS_poll:
		return c->arguments[0] == 0 && c->arguments[1] == 0;
#endif
	default:
		return false;
	}
}

static int on_call(void *context, const struct story_call *c)
{
	struct profiles *p = context;
	struct profiles_row row = {
		.stack = c->stack,
		.thread = c->thread,
		.call = c->number + 1,
		.file = c->file,
		.path = c->path,
	};
	uint64_t ns;

	if (!has_thread(p, c->thread) || !within(p, c->begin_ns, c->end_ns, &ns) ||
	    (p->options.kind == PROFILES_SLEEP && !is_sleep(c)))
		return 0;
	if (p->options.kind == PROFILES_SYSCALL && c->is_idle && !p->options.include_idle) {
		p->idle_count++;
		p->idle_ns += ns;
		return 0;
	}
	return add(p, &row, c->task, 1, ns);
}

static bool is_on_cpu_or_unknown(uint8_t state)
{
	return state == TRACE_RUNNING || state == TRACE_SPIN || state == TRACE_UNKNOWN;
}

static int on_interval(void *context, const struct interval *i)
{
	struct profiles *p = context;
	struct profiles_row row = {
		.stack = i->stack,
		.thread = i->thread,
		.object = i->object,
		.call = i->call,
		.file = i->file,
		.what = PROFILES_STATE + i->state,
	};

	if ((p->options.kind == PROFILES_SCHED && i->state != TRACE_RUNNABLE) ||
	    (p->options.kind == PROFILES_IDLE && i->state != TRACE_IDLE) ||
	    (p->options.kind != PROFILES_ALL && is_on_cpu_or_unknown(i->state)) ||
	    !has_thread(p, i->thread))
		return 0;
	if (i->state == TRACE_LOCK)
		row.holder = i->other;
	return add(p, &row, i->task, 1, i->end_ns - i->begin_ns);
}

static int on_event(void *context, const struct merged *m)
{
	struct profiles *p = context;
	const uint64_t *a = m->event->arguments;
	struct profiles_row row = {.what = PROFILES_STATE + TRACE_RUNNING};

	if (m->event->type == TRACE_TASK_BEGIN_EVENT && (p->options.labels & PROFILES_TASK)) {
		if (p->tasks == NULL)
			p->tasks = calloc(TASKS_KEPT, sizeof(*p->tasks));
		if (p->tasks == NULL)
			return -ENOMEM;
		p->tasks[a[0] % TASKS_KEPT] = (struct profiles_task){a[0], (uint32_t)a[2]};
	}
	if (m->event->type != TRACE_CPU_SAMPLE_EVENT || p->options.kind != PROFILES_CPU ||
	    m->event->ns < p->options.from_ns || m->event->ns > p->options.to_ns)
		return 0;
	row.stack = (uint32_t)a[0];
	row.thread = a[3] != 0 ? (uint32_t)a[3] : m->thread;
	if (!has_thread(p, row.thread))
		return 0;
	return add(p, &row, 0, 1, a[1]);
}

struct story_listener profiles_listener(struct profiles *p)
{
	struct story_listener l = {.context = p};

	if (p->options.kind == PROFILES_CPU || (p->options.labels & PROFILES_TASK))
		l.event = on_event;
	switch (p->options.kind) {
	case PROFILES_SYNC:
	case PROFILES_LOCK:
	case PROFILES_COND:
		l.wait = on_wait;
		if (p->options.by_holder)
			l.edge = on_edge;
		break;
	case PROFILES_SYSCALL:
	case PROFILES_SLEEP:
		l.call = on_call;
		break;
	case PROFILES_SCHED:
	case PROFILES_IDLE:
	case PROFILES_OFFCPU:
	case PROFILES_ALL:
		l.interval = on_interval;
		break;
	default:
		break;
	}
	return l;
}

int profiles_finish(struct profiles *p)
{
	int r = 0;

	for (uint32_t i = 0; i < p->waits_n && r == 0; i++)
		r = close_wait(p, &p->waits[i]);
	return r;
}
