#include "viewer/export.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/syscalls.h"
#include "viewer/varint.h"

#define TASK_SLOTS (2 * EXPORT_TASKS_MAX) /* a power of two */
#define TID_AGAIN  UINT64_C(1000000000)   /* no system has as many threads */

struct export_lock {
	bool is_contended;
	uint32_t n, room;
	uint64_t *ends; /* of what was last on each track */
};

struct export_task {
	uint64_t task;
	uint32_t type, next; /* next: of the same hash, or free, + 1 */
};

static const struct export_format *const formats[] = {
	&export_perfetto, &export_chrome_json, &export_speedscope,
	&export_firefox,  &export_folded,      &export_csv,
};

const struct export_format *export_nth(unsigned i)
{
	return i < sizeof(formats) / sizeof(formats[0]) ? formats[i] : NULL;
}

const struct export_format *export_find(const char *name)
{
	for (unsigned i = 0; export_nth(i) != NULL; i++)
		if (strcmp(formats[i]->name, name) == 0)
			return formats[i];
	return NULL;
}

/* ---- names ---- */

uint64_t export_tid(struct export *x, uint32_t thread)
{
	const struct table_thread *t = tables_thread(x->tables, thread);
	uint32_t first;

	if (t == NULL || t->tid == 0)
		return TID_AGAIN + thread;
	first = map_get(&x->tid_of, t->tid);
	return first == thread || first == MAP_NONE ? t->tid : TID_AGAIN + thread;
}

void export_program(const struct export *x, struct name *name)
{
	name_clear(name);
	if (!name_program(name, x->tables))
		name_format(name, "process");
}

void export_thread_name(struct export *x, uint32_t thread)
{
	name_clear(&x->name);
	name_thread(&x->name, x->tables, thread);
}

void export_string(struct export *x, uint64_t id)
{
	const struct table_text *text = tables_string(x->tables, id);

	name_clear(&x->name);
	if (text != NULL)
		name_add(&x->name, text->text, text->length);
}

void export_wait_name(struct export *x, uint8_t type, uint32_t object, uint32_t thread)
{
	const char *what = type == TRACE_LOCK_WAIT_EVENT      ? "lock "
			   : type == TRACE_COND_WAIT_EVENT    ? "cond "
			   : type == TRACE_SEM_WAIT_EVENT     ? "sem "
			   : type == TRACE_BARRIER_WAIT_EVENT ? "barrier "
			   : type == TRACE_ONCE_BEGIN_EVENT   ? "once "
			   : type == TRACE_JOIN_BEGIN_EVENT   ? "join "
			   : type == TRACE_FUTEX_WAIT_EVENT   ? "futex "
							      : "wait ";

	name_clear(&x->name);
	name_format(&x->name, "%s", what);
	if (type == TRACE_JOIN_BEGIN_EVENT && thread == 0) /* it is not known */
		x->name.n--;
	else if (type == TRACE_JOIN_BEGIN_EVENT)
		name_thread(&x->name, x->tables, thread);
	else
		name_object(&x->name, x->tables, object);
}

void export_call_name(struct export *x, uint32_t number)
{
	const char *name = syscalls_name(number);

	name_clear(&x->name);
	if (name != NULL)
		name_format(&x->name, "%s", name);
	else
		name_format(&x->name, "syscall %" PRIu32, number);
}

void export_item_name(struct export *x, const struct lane_item *item)
{
	switch ((enum lane_kind)item->kind) {
	case LANE_REGION:
		export_string(x, item->region.name);
		break;
	case LANE_WAIT:
		export_wait_name(x, item->wait.type, item->wait.object, item->wait.other);
		break;
	case LANE_CALL:
		export_call_name(x, item->call.number);
		break;
	}
	if (x->name.n == 0)
		name_format(&x->name, "region");
}

const char *export_item_category(const struct lane_item *item)
{
	switch ((enum lane_kind)item->kind) {
	case LANE_WAIT:
		return item->wait.is_idle                         ? "idle"
		       : item->wait.type == TRACE_LOCK_WAIT_EVENT ? "lock"
								  : "wait";
	case LANE_CALL:
		return item->call.is_idle ? "idle" : "syscall";
	default:
		return "region";
	}
}

static void name_pair(struct export *x, uint64_t key, uint64_t value)
{
	const struct table_text *text = tables_string(x->tables, value);

	export_string(x, key);
	name_format(&x->name, "=");
	if (text != NULL)
		name_add(&x->name, text->text, text->length);
}

bool export_instant(struct export *x, const struct merged *m, const char **ret_category,
		    uint32_t *ret_note)
{
	const uint64_t *a = m->event->arguments;
	bool is_exit = m->event->type == TRACE_PROCESS_EXIT_EVENT;
	const char *signal;

	*ret_note = 0;
	name_clear(&x->name);
	switch ((enum trace_event_type)m->event->type) {
	case TRACE_LOG_EVENT:
		*ret_category = "log";
		*ret_note = (uint32_t)a[0];
		export_string(x, a[1]);
		return true;
	case TRACE_ATTRIBUTE_EVENT:
		*ret_category = "attribute";
		name_pair(x, a[0], a[1]);
		return true;
	case TRACE_LABELS_EVENT:
		*ret_category = "labels";
		export_string(x, a[0]);
		return true;
	case TRACE_SIGNAL_EVENT:
	case TRACE_PROCESS_EXIT_EVENT:
		*ret_category = is_exit ? "exit" : "signal";
		signal = name_value(TRACE_SIGNAL_EVENT, 0, is_exit ? a[1] : a[0]);
		if (is_exit && a[1] == 0)
			name_format(&x->name, "exited %" PRId64, varint_signed(a[0]));
		else if (signal != NULL)
			name_format(&x->name, "%s%s", is_exit ? "ended by " : "signal ", signal);
		else
			name_format(&x->name, "%s%" PRIu64,
				    is_exit ? "ended by signal " : "signal ",
				    is_exit ? a[1] : a[0]);
		return true;
	default:
		return false;
	}
}

/* ---- locks ---- */

static struct export_lock *lock_of(struct export *x, uint32_t object)
{
	bool is_new;

	return rows_at(&x->lock_of, object, &x->locks, &x->locks_n, &x->locks_room,
		       sizeof(*x->locks), &is_new);
}

/* The first track of the lock that is free when the hold begins: it is alone on it, but for readers. */
static int take_hold(struct export *x, const struct story_hold *h)
{
	struct export_lock *lock = lock_of(x, h->object);
	uint32_t at = 0;
	uint64_t *bigger;

	if (lock == NULL)
		return -ENOMEM;
	lock->is_contended = lock->is_contended || h->has_waited || h->waiters > 0;
	if (!lock->is_contended) {
		x->left_holds++;
		return 0;
	}
	while (at < lock->n && lock->ends[at] > h->begin_ns)
		at++;
	if (at == EXPORT_READERS_MAX) {
		x->left_readers++;
		return 0;
	}
	if (at == lock->room) {
		bigger = realloc(lock->ends, (lock->room + 4) * sizeof(*bigger));
		if (bigger == NULL)
			return -ENOMEM;
		lock->ends = bigger;
		lock->room += 4;
	}
	lock->n += at == lock->n;
	lock->ends[at] = h->end_ns;
	return x->format->hold(x, h, at);
}

/* ---- tasks ---- */

static uint32_t *task_slot(const struct export *x, uint64_t task)
{
	return &x->task_slots[(task * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (TASK_SLOTS - 1)];
}

bool export_task_begin(struct export *x, uint64_t task, uint32_t type, uint32_t *ret_number)
{
	struct export_task *bigger;
	uint32_t at, *slot;

	if (x->task_slots == NULL)
		x->task_slots = calloc(TASK_SLOTS, sizeof(*x->task_slots));
	if (x->tasks_free == 0 && x->tasks_n == x->tasks_room && x->tasks_room < EXPORT_TASKS_MAX) {
		uint32_t room = x->tasks_room != 0 ? x->tasks_room * 2 : 64;

		bigger = realloc(x->tasks, room * sizeof(*bigger));
		if (bigger != NULL) {
			x->tasks = bigger;
			x->tasks_room = room;
		}
	}
	if (x->task_slots == NULL || (x->tasks_free == 0 && x->tasks_n == x->tasks_room)) {
		x->left_tasks++;
		return false;
	}
	if (x->tasks_free != 0) {
		at = x->tasks_free - 1;
		x->tasks_free = x->tasks[at].next;
	} else {
		at = x->tasks_n++;
	}
	slot = task_slot(x, task);
	x->tasks[at] = (struct export_task){task, type, *slot};
	*slot = at + 1;
	*ret_number = at;
	return true;
}

bool export_task_end(struct export *x, uint64_t task, uint32_t *ret_type, uint32_t *ret_number)
{
	uint32_t *slot = x->task_slots != NULL ? task_slot(x, task) : NULL, at;

	while (slot != NULL && *slot != 0 && x->tasks[*slot - 1].task != task)
		slot = &x->tasks[*slot - 1].next;
	if (slot == NULL || *slot == 0)
		return false;
	at = *slot - 1;
	*slot = x->tasks[at].next;
	*ret_type = x->tasks[at].type;
	*ret_number = at;
	x->tasks[at].next = x->tasks_free;
	x->tasks_free = at + 1;
	return true;
}

/* ---- the story ---- */

static bool has_thread(const struct export *x, uint32_t thread)
{
	return x->threads == NULL || select_has_thread(x->threads, thread);
}

/* An output that is over, for whatever reason, ends the story, too. */
static int result(struct export *x, int r)
{
	if (x->error == 0 && r != x->out->error)
		x->error = r;
	return r != 0 || x->out->error != 0;
}

static int on_event(void *context, const struct merged *m)
{
	struct export *x = context;

	/* some are of the process, and of no thread */
	if (m->thread != 0 && !has_thread(x, m->thread))
		return 0;
	if (x->format->has_lanes && lanes_event(&x->lanes, m) != 0)
		return result(x, x->lanes.error);
	return x->format->event != NULL ? result(x, x->format->event(x, m)) : 0;
}

static int on_interval(void *context, const struct interval *i)
{
	struct export *x = context;
	int r = 0;

	if (!has_thread(x, i->thread))
		return 0;
	if (x->format->has_lanes)
		r = lanes_interval(&x->lanes, i);
	if (r == 0 && x->format->interval != NULL)
		r = x->format->interval(x, i);
	return result(x, r);
}

static int on_wait(void *context, const struct story_wait *w)
{
	struct export *x = context;

	return has_thread(x, w->thread) ? result(x, lanes_wait(&x->lanes, w)) : 0;
}

static int on_call(void *context, const struct story_call *c)
{
	struct export *x = context;

	return has_thread(x, c->thread) ? result(x, lanes_call(&x->lanes, c)) : 0;
}

static int on_edge(void *context, const struct story_edge *e)
{
	struct export *x = context;

	if (!has_thread(x, e->from) || !has_thread(x, e->to)) {
		x->left_edges += has_thread(x, e->to);
		return 0;
	}
	return result(x, lanes_edge(&x->lanes, e));
}

static int on_hold(void *context, const struct story_hold *h)
{
	struct export *x = context;

	return has_thread(x, h->thread) ? result(x, take_hold(x, h)) : 0;
}

static int on_life(void *context, const struct story_life *life)
{
	struct export *x = context;
	int r = 0;

	if (!has_thread(x, life->thread))
		return 0;
	if (x->format->has_lanes)
		r = lanes_life(&x->lanes, life);
	if (r == 0 && x->format->life != NULL)
		r = x->format->life(x, life);
	return result(x, r);
}

struct story_listener export_listener(struct export *x)
{
	return (struct story_listener){
		.context = x,
		.event = on_event,
		.interval = on_interval,
		.wait = x->format->has_lanes ? on_wait : NULL,
		.call = x->format->has_lanes ? on_call : NULL,
		.edge = x->format->has_lanes ? on_edge : NULL,
		.hold = x->format->has_holds ? on_hold : NULL,
		.life = on_life,
	};
}

int export_begin(struct export *x)
{
	struct lanes_sink sink = x->format->lanes;
	int r = frames_create(&x->frames, x->tables);

	for (uint32_t i = 0; i < x->tables->threads_n && r == 0; i++) {
		const struct table_thread *t = &x->tables->threads[i];

		if (t->tid != 0 && map_get(&x->tid_of, t->tid) == MAP_NONE)
			r = map_set(&x->tid_of, t->tid, t->index);
	}
	sink.context = x;
	lanes_init(&x->lanes, &sink, x->from_ns, x->to_ns);
	return result(x, r < 0 ? r : x->format->begin(x));
}

int export_end(struct export *x, const struct story_counts *counts)
{
	return result(x, x->format->end(x, counts));
}

void export_fini(struct export *x)
{
	if (x->format != NULL && x->format->fini != NULL)
		x->format->fini(x);
	for (uint32_t i = 0; i < x->locks_n; i++)
		free(x->locks[i].ends);
	free(x->locks);
	free(x->tasks);
	free(x->task_slots);
	map_fini(&x->lock_of);
	map_fini(&x->tid_of);
	lanes_fini(&x->lanes);
	frames_destroy(x->frames);
}
