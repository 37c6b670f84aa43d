#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/export_perfetto.h"
#include "viewer/varint.h"

enum { KERNEL_UNKNOWN, KERNEL_RUNNABLE = 2, KERNEL_RUNNING, KERNEL_SLEEPING, KERNEL_DEAD = 7 };

/* ---- slices ---- */

/* An instant on @thread, where @flow begins or ends. */
static int put_wake(struct export *x, uint32_t thread, uint64_t ns, const struct story_edge *e,
		    uint64_t flow, bool is_from)
{
	struct perfetto *f = x->own;
	struct thread_tracks *t = perfetto_tracks(x, thread);
	struct sequence *s;
	unsigned i = 0;
	size_t at;

	if (t == NULL)
		return -ENOMEM;
	while (i + 1 < WAKES_MAX && t->wakes[i].last_ns > ns)
		i++;
	s = &t->wakes[i];
	perfetto_begin_packet(x, s, ns, is_from ? e->stack : e->to_stack);
	at = perfetto_begin_event(x, INSTANT, CATEGORY_WAKE, 0);
	name_clear(&x->name);
	if (e->kind == EDGE_CREATE)
		name_format(&x->name, "%s", is_from ? "create " : "created by ");
	else if (is_from)
		name_format(&x->name, "%s wakes ", story_edge_name(e->kind));
	else
		name_format(&x->name, "%s from ", story_edge_name(e->kind));
	name_thread(&x->name, x->tables, is_from ? e->to : e->from);
	perfetto_put_name(x, 23);
	proto_fixed64(&f->p, is_from ? 47 : 48, flow);
	if (perfetto_has_stack(x, is_from ? e->stack : e->to_stack))
		proto_u64(&f->p, 56, is_from ? e->stack : e->to_stack);
	if (e->object != 0 && e->kind != EDGE_PIPE) {
		name_clear(&x->name);
		name_object(&x->name, x->tables, e->object);
		perfetto_note_name(x, NOTE_OBJECT);
	} else if (e->object != 0) {
		name_clear(&x->name);
		name_file(&x->name, x->tables, e->object);
		perfetto_note_name(x, NOTE_FILE);
	}
	if (e->certainty != STORY_EXACT) {
		name_clear(&x->name);
		name_format(&x->name, "%s", story_certainty_name(e->certainty));
		perfetto_note_name(x, NOTE_CERTAINTY);
	}
	return perfetto_end_event(x, at);
}

static void notes_of_wait(struct export *x, const struct story_wait *w)
{
	if (w->object != 0) {
		name_clear(&x->name);
		name_object(&x->name, x->tables, w->object);
		perfetto_note_name(x, NOTE_OBJECT);
	}
	if (w->type == TRACE_LOCK_WAIT_EVENT && w->other != 0) {
		export_thread_name(x, w->other);
		perfetto_note_name(x, NOTE_HOLDER);
	}
	if (w->lock != 0) {
		name_clear(&x->name);
		name_object(&x->name, x->tables, w->lock);
		perfetto_note_name(x, NOTE_HELD);
	}
	if (w->error != 0)
		perfetto_note_error(x, w->error);
	if (w->task != 0)
		perfetto_note_number(x, NOTE_TASK, (int64_t)w->task);
}

static void notes_of_call(struct export *x, const struct story_call *c)
{
	if (!c->is_open)
		perfetto_note_number(x, NOTE_RESULT, c->result);
	if (c->result < 0 && c->result > -4096)
		perfetto_note_error(x, (uint64_t)-c->result);
	if (c->file != 0) {
		name_clear(&x->name);
		name_file(&x->name, x->tables, c->file);
		perfetto_note_name(x, NOTE_FILE);
	}
	if (c->path != 0) {
		export_string(x, c->path);
		perfetto_note_name(x, NOTE_PATH);
	}
	if (c->lock != 0) {
		name_clear(&x->name);
		name_object(&x->name, x->tables, c->lock);
		perfetto_note_name(x, NOTE_HELD);
	}
	if (c->task != 0)
		perfetto_note_number(x, NOTE_TASK, (int64_t)c->task);
}

static int on_open(void *context, uint32_t thread, const struct lane_item *item, uint64_t ns)
{
	struct export *x = context;
	struct perfetto *f = x->own;
	struct thread_tracks *t;
	uint32_t stack = item->kind == LANE_WAIT   ? item->wait.stack
			 : item->kind == LANE_CALL ? item->call.stack
						   : item->region.stack;
	uint64_t flow = 0;
	size_t at;
	int r = 0;

	if (item->has_edge) {
		flow = perfetto_uuid(f, OF_FLOW, ++f->flows);
		r = put_wake(x, item->edge.from, item->edge.from_ns, &item->edge, flow, true);
	}
	t = perfetto_tracks(x, thread);
	if (t == NULL || r != 0)
		return r != 0 ? r : -ENOMEM;
	perfetto_begin_packet(x, &t->slices, ns, stack);
	at = perfetto_begin_event(x, SLICE_BEGIN, perfetto_category(export_item_category(item)), 0);
	export_item_name(x, item);
	perfetto_put_name(x, 23);
	if (flow != 0)
		proto_fixed64(&f->p, 48, flow);
	if (perfetto_has_stack(x, stack))
		proto_u64(&f->p, 56, stack);
	if (item->kind == LANE_WAIT)
		notes_of_wait(x, &item->wait);
	else if (item->kind == LANE_CALL)
		notes_of_call(x, &item->call);
	else if (item->region.task != 0)
		perfetto_note_number(x, NOTE_TASK, (int64_t)item->region.task);
	if (item->has_edge) {
		export_thread_name(x, item->edge.from);
		perfetto_note_name(x, NOTE_WAKER);
	}
	return perfetto_end_event(x, at);
}

/* What is open at the end has none: the viewer draws it to its end. */
static int on_close(void *context, uint32_t thread, const struct lane_item *item, uint64_t ns,
		    bool has_end)
{
	struct export *x = context;
	struct thread_tracks *t = perfetto_tracks(x, thread);

	(void)item;
	if (t == NULL)
		return -ENOMEM;
	if (!has_end)
		return 0;
	perfetto_begin_packet(x, &t->slices, ns, 0);
	return perfetto_end_event(x, perfetto_begin_event(x, SLICE_END, 0, 0));
}

static int on_edge(void *context, const struct story_edge *e)
{
	struct export *x = context;
	struct perfetto *f = x->own;
	uint64_t flow = perfetto_uuid(f, OF_FLOW, ++f->flows);
	int r = put_wake(x, e->from, e->from_ns, e, flow, true);

	return r != 0 ? r : put_wake(x, e->to, e->to_ns, e, flow, false);
}

/* ---- states and locks ---- */

static int put_state(struct export *x, struct thread_tracks *t, uint64_t ns, const char *state)
{
	struct perfetto *f = x->own;
	size_t at;

	perfetto_begin_packet(x, &t->states, ns, 0);
	at = perfetto_begin_event(x, STATE, 0, 0);
	perfetto_put_text(&f->p, 23, state);
	return perfetto_end_event(x, at);
}

static int on_interval(struct export *x, const struct interval *i)
{
	struct perfetto *f = x->own;
	struct thread_tracks *t = perfetto_tracks(x, i->thread);
	int r = 0;

	if (t == NULL)
		return -ENOMEM;
	if (t->state != i->state + 1 || t->state_end_ns != i->begin_ns)
		r = put_state(x, t, i->begin_ns, story_state_name(i->state));
	t->state = i->state + 1;
	t->state_end_ns = i->end_ns;
	levels_add(f->levels, i->begin_ns, i->end_ns, i->state);
	return r;
}

static int on_life(struct export *x, const struct story_life *life)
{
	struct thread_tracks *t = perfetto_tracks(x, life->thread);

	if (t == NULL)
		return -ENOMEM;
	return t->state != 0 ? put_state(x, t, t->state_end_ns, "") : 0;
}

static int on_hold(struct export *x, const struct story_hold *h, uint32_t reader)
{
	struct sequence *s = perfetto_lock(x, h->object, reader);
	struct perfetto *f = x->own;
	size_t at;
	int r;

	if (s == NULL)
		return -ENOMEM;
	perfetto_begin_packet(x, s, h->begin_ns, h->stack);
	at = perfetto_begin_event(x, SLICE_BEGIN, CATEGORY_HELD, 0);
	export_thread_name(x, h->thread);
	perfetto_put_name(x, 23);
	if (perfetto_has_stack(x, h->stack))
		proto_u64(&f->p, 56, h->stack);
	if (h->waiters > 0)
		perfetto_note_number(x, NOTE_WAITERS, h->waiters);
	r = perfetto_end_event(x, at);
	if (r != 0)
		return r;
	perfetto_begin_packet(x, s, h->end_ns, 0);
	return perfetto_end_event(x, perfetto_begin_event(x, SLICE_END, 0, 0));
}

/* ---- events ---- */

/* The name of its track is in x->name. */
static int put_counter(struct export *x, uint64_t ns, uint64_t uuid, unsigned unit, int64_t value)
{
	struct perfetto *f = x->own;
	struct track track = {
		.uuid = uuid, .parent = perfetto_uuid(f, OF_PROCESS, 0), .counter = unit};
	size_t at;
	int r = 0;

	if (perfetto_is_undescribed(f, uuid))
		r = perfetto_describe(x, &track);
	if (r != 0)
		return r;
	perfetto_begin_packet(x, &f->main, ns, 0);
	at = perfetto_begin_event(x, COUNTER, 0, uuid);
	proto_s64(&f->p, 30, value);
	return perfetto_end_event(x, at);
}

static int put_heap(struct export *x, const struct merged *m)
{
	static const char *const names[] = {"heap live",  "heap objects", "heap allocated",
					    "heap freed", "mapped",       "resident"};
	struct perfetto *f = x->own;
	int r = 0;

	for (unsigned i = 0; i < 6 && r == 0; i++) {
		if (m->event->arguments[i] == 0)
			continue;
		name_clear(&x->name);
		name_format(&x->name, "%s", names[i]);
		r = put_counter(x, m->event->ns, perfetto_uuid(f, OF_HEAP, i), i == 1 ? 2 : 3,
				(int64_t)m->event->arguments[i]);
	}
	return r;
}

static uint64_t task_track(const struct perfetto *f, uint32_t type, uint32_t number)
{
	return perfetto_uuid(f, OF_TASK, (uint64_t)type << 32 | number);
}

static int begin_task(struct export *x, const struct merged *m)
{
	struct perfetto *f = x->own;
	const uint64_t *a = m->event->arguments;
	struct track track = {.parent = perfetto_uuid(f, OF_PROCESS, 0), .merge = 1};
	uint32_t number, type = (uint32_t)a[2];
	size_t at;
	int r = 0;

	if (!export_task_begin(x, a[0], type, &number))
		return 0;
	track.uuid = task_track(f, type, number);
	export_string(x, type);
	if (x->name.n == 0)
		name_format(&x->name, "task");
	if (perfetto_is_undescribed(f, track.uuid))
		r = perfetto_describe(x, &track);
	if (r != 0)
		return r;
	perfetto_begin_packet(x, &f->main, m->event->ns, (uint32_t)a[3]);
	at = perfetto_begin_event(x, SLICE_BEGIN, CATEGORY_TASK, track.uuid);
	perfetto_put_name(x, 23);
	if (perfetto_has_stack(x, (uint32_t)a[3]))
		proto_u64(&f->p, 56, a[3]);
	perfetto_note_number(x, NOTE_TASK, (int64_t)a[0]);
	return perfetto_end_event(x, at);
}

static int end_task(struct export *x, const struct merged *m)
{
	struct perfetto *f = x->own;
	uint32_t type, number;

	if (!export_task_end(x, m->event->arguments[0], &type, &number))
		return 0;
	perfetto_begin_packet(x, &f->main, m->event->ns, 0);
	return perfetto_end_event(
		x, perfetto_begin_event(x, SLICE_END, 0, task_track(f, type, number)));
}

/* An instant on the track of the event's thread, called as x->name says. */
static int put_instant(struct export *x, const struct merged *m, const char *category,
		       uint32_t note)
{
	struct perfetto *f = x->own;
	size_t at;

	if (m->thread != 0 && m->thread != TRACE_ALL && perfetto_tracks(x, m->thread) == NULL)
		return -ENOMEM;
	perfetto_begin_packet(x, &f->main, m->event->ns, 0);
	at = perfetto_begin_event(x, INSTANT, perfetto_category(category),
				  m->thread != 0 && m->thread != TRACE_ALL
					  ? perfetto_uuid(f, OF_THREAD, m->thread)
					  : perfetto_uuid(f, OF_PROCESS, 0));
	perfetto_put_name(x, 23);
	if (note != 0) {
		export_string(x, note);
		perfetto_note_name(x, NOTE_CATEGORY);
	}
	return perfetto_end_event(x, at);
}

static int put_lost(struct export *x, uint64_t ns, uint64_t n)
{
	struct perfetto *f = x->own;
	size_t at;

	perfetto_begin_packet(x, &f->main, ns, 0);
	proto_u64(&f->p, PREVIOUS_DROPPED, 1);
	at = perfetto_begin_event(x, INSTANT, CATEGORY_LOST, perfetto_uuid(f, OF_PROCESS, 0));
	name_clear(&x->name);
	name_format(&x->name, "%" PRIu64 " events lost", n);
	perfetto_put_name(x, 23);
	return perfetto_end_event(x, at);
}

static int put_sample(struct export *x, const struct merged *m)
{
	struct perfetto *f = x->own;
	struct proto *p = &f->p;
	const uint64_t *a = m->event->arguments;
	uint32_t thread = a[3] != 0 ? (uint32_t)a[3] : m->thread;
	size_t at, inner;

	if (!perfetto_has_stack(x, (uint32_t)a[0]) || !select_has_thread(x->threads, thread))
		return 0;
	perfetto_begin_packet(x, &f->main, m->event->ns, (uint32_t)a[0]);
	at = proto_begin(p, STACK_SAMPLE);
	inner = proto_begin(p, 1);
	proto_u64(p, 2, x->reader->header.pid);
	proto_u64(p, 3, export_tid(x, thread));
	proto_end(p, inner);
	if (m->cpu != MERGE_NO_CPU) {
		inner = proto_begin(p, 3);
		proto_u64(p, 2, m->cpu);
		proto_end(p, inner);
	}
	proto_u64(p, 6, a[0]);
	inner = proto_begin(p, 9);
	perfetto_put_text(p, 2, "cpu");
	proto_u64(p, 3, 1);
	proto_end(p, inner);
	proto_u64(p, 11, a[1]);
	proto_end(p, at);
	return perfetto_end_packet(x);
}

/* The kernel's own records: a thread that runs twice without an end in between would be an error. */
static int put_switch(struct export *x, const struct merged *m)
{
	struct perfetto *f = x->own;
	struct proto *p = &f->p;
	struct thread_tracks *t;
	uint64_t reason = m->event->arguments[1];
	uint8_t state = m->event->type == TRACE_SCHED_IN_EVENT ? KERNEL_RUNNING
			: reason == TRACE_OUT_PREEMPTED        ? KERNEL_RUNNABLE
			: reason == TRACE_OUT_BLOCKED          ? KERNEL_SLEEPING
			: reason == TRACE_OUT_ENDED            ? KERNEL_DEAD
							       : KERNEL_UNKNOWN;
	size_t at;

	if (m->thread == 0 || !(x->reader->header.flags & TRACE_HAS_SWITCHES))
		return 0;
	t = perfetto_tracks(x, m->thread);
	if (t == NULL)
		return -ENOMEM;
	if (t->kernel_state == state + 1)
		return 0;
	t->kernel_state = state + 1;
	perfetto_begin_packet(x, &f->kernel, m->event->ns, 0);
	at = proto_begin(p, TASK_STATE);
	if (state == KERNEL_RUNNING)
		proto_u64(p, 1, m->cpu);
	export_thread_name(x, m->thread);
	perfetto_put_name(x, 2);
	proto_u64(p, 3, export_tid(x, m->thread));
	proto_u64(p, 4, state);
	proto_end(p, at);
	return perfetto_end_packet(x);
}

static int put_clock(struct export *x, uint64_t monotonic, uint64_t realtime, uint64_t boottime)
{
	struct perfetto *f = x->own;
	struct proto *p = &f->p;
	const uint64_t clocks[][2] = {{CLOCK_MONOTONIC_ID, monotonic},
				      {CLOCK_REALTIME_ID, realtime},
				      {CLOCK_BOOTTIME_ID, boottime}};
	size_t at, inner;

	perfetto_begin_packet(x, &f->main, 0, 0);
	at = proto_begin(p, CLOCK_SNAPSHOT);
	for (unsigned i = 0; i < 3; i++) {
		if (clocks[i][1] == 0)
			continue;
		inner = proto_begin(p, 1);
		proto_u64(p, 1, clocks[i][0]);
		proto_u64(p, 2, clocks[i][1]);
		proto_end(p, inner);
	}
	proto_u64(p, 2, CLOCK_MONOTONIC_ID);
	proto_end(p, at);
	return perfetto_end_packet(x);
}

/* What a block's header says was lost before it. */
static int note_lost(struct export *x, const struct merged *m)
{
	struct thread_tracks *t;

	if (reader_is_switches(m->block) || m->thread == 0 || m->thread == TRACE_ALL)
		return 0;
	t = perfetto_tracks(x, m->thread);
	if (t == NULL)
		return -ENOMEM;
	if (t->block == m->block)
		return 0;
	t->block = m->block;
	return m->block->lost_before > 0 ? put_lost(x, m->event->ns, m->block->lost_before) : 0;
}

static int on_event(struct export *x, const struct merged *m)
{
	struct perfetto *f = x->own;
	const uint64_t *a = m->event->arguments;
	const char *category;
	uint32_t note;
	int r;

	/* tasks that were begun before go on */
	if (m->event->ns > x->to_ns ||
	    (m->event->ns < x->from_ns && m->event->type != TRACE_TASK_BEGIN_EVENT &&
	     m->event->type != TRACE_TASK_END_EVENT))
		return 0;
	r = note_lost(x, m);
	if (r != 0)
		return r;
	switch ((enum trace_event_type)m->event->type) {
	case TRACE_CLOCK_SYNC_EVENT:
		return put_clock(x, a[0], a[1], a[2]);
	case TRACE_SCHED_IN_EVENT:
	case TRACE_SCHED_OUT_EVENT:
		return put_switch(x, m);
	case TRACE_TASK_BEGIN_EVENT:
		return begin_task(x, m);
	case TRACE_TASK_END_EVENT:
		return end_task(x, m);
	case TRACE_LOST_EVENT:
		return put_lost(x, m->event->ns, a[0]);
	case TRACE_HEAP_SAMPLE_EVENT:
		return put_heap(x, m);
	case TRACE_COUNTER_EVENT:
		export_string(x, a[0]);
		return put_counter(x, m->event->ns, perfetto_uuid(f, OF_COUNTER, a[0]),
				   name_counts_bytes(&x->name) ? 3 : 2, varint_signed(a[1]));
	case TRACE_CPU_SAMPLE_EVENT:
		return put_sample(x, m);
	default:
		return export_instant(x, m, &category, &note) ? put_instant(x, m, category, note)
							      : 0;
	}
}

/* ---- the file ---- */

static int begin(struct export *x)
{
	struct perfetto *f = calloc(1, sizeof(*f));
	const struct trace_file_header *h = &x->reader->header;
	int r;

	x->own = f;
	if (f == NULL)
		return -ENOMEM;
	perfetto_set_trace(f, h->uuid);
	f->main = (struct sequence){.id = 1, .last_ns = x->begun_ns};
	f->kernel = (struct sequence){.id = 2};
	f->levels = malloc(sizeof(*f->levels));
	if (f->levels == NULL)
		return -ENOMEM;
	levels_init(f->levels, x->from_ns > x->begun_ns ? x->from_ns : x->begun_ns);
	r = put_clock(x, h->begun_monotonic_ns, h->begun_realtime_ns, 0);
	if (r == 0)
		r = perfetto_describe_process(x);
	for (uint32_t i = 0; i < x->tables->threads_n && r == 0; i++) {
		uint32_t thread = x->tables->threads[i].index;

		if (select_has_thread(x->threads, thread) && perfetto_tracks(x, thread) == NULL)
			r = -ENOMEM;
	}
	return r;
}

/* From @ns on, @n threads on the average. */
static int put_level(struct export *x, uint64_t ns, unsigned state, double n)
{
	struct perfetto *f = x->own;
	uint64_t bits;
	size_t at;

	memcpy(&bits, &n, sizeof(bits));
	perfetto_begin_packet(x, &f->counts, ns, 0);
	at = perfetto_begin_event(x, COUNTER, 0, perfetto_uuid(f, OF_LEVEL, state));
	proto_fixed64(&f->p, 44, bits);
	return perfetto_end_event(x, at);
}

/* How many threads were in a state, as it went. */
static int put_levels(struct export *x, unsigned state, uint64_t end_ns)
{
	struct perfetto *f = x->own;
	const struct levels *l = f->levels;
	struct track track = {
		.uuid = perfetto_uuid(f, OF_LEVEL, state),
		.parent = perfetto_uuid(f, OF_PROCESS, 0),
		.counter = 2,
		.share = "threads",
	};
	uint64_t sum = 0, ns, next;
	double n, last = 0;
	int r;

	for (unsigned i = 0; i < LEVELS_STEPS; i++)
		sum += l->ns[i][state];
	if (sum == 0 || end_ns <= l->from_ns)
		return 0;
	name_clear(&x->name);
	name_format(&x->name, "threads %s", story_state_name(state));
	r = perfetto_describe(x, &track);
	for (unsigned i = 0; i < LEVELS_STEPS && r == 0; i++) {
		if (i > (end_ns - l->from_ns - 1) / l->step_ns)
			break;
		ns = l->from_ns + i * l->step_ns;
		next = end_ns - ns > l->step_ns ? ns + l->step_ns : end_ns;
		n = (double)l->ns[i][state] / (double)(next - ns);
		if (n != last || i == 0)
			r = put_level(x, ns, state, n);
		last = n;
	}
	return r == 0 ? put_level(x, end_ns, state, 0) : r;
}

static int end(struct export *x, const struct story_counts *counts)
{
	struct perfetto *f = x->own;
	int r = 0;

	for (unsigned state = 0; state < TRACE_STATES && r == 0; state++) {
		/* each from the beginning on, with an order of time of its own */
		f->counts = (struct sequence){.id = COUNTS_ID + state};
		r = put_levels(x, state, counts->end_ns);
		map_fini(&f->counts.seen);
	}
	return r != 0 ? r : x->out->error;
}

static void fini(struct export *x)
{
	struct perfetto *f = x->own;

	if (f == NULL)
		return;
	for (uint32_t i = 0; i < f->threads_n; i++) {
		map_fini(&f->threads[i].slices.seen);
		map_fini(&f->threads[i].states.seen);
		for (unsigned k = 0; k < WAKES_MAX; k++)
			map_fini(&f->threads[i].wakes[k].seen);
	}
	for (uint32_t i = 0; i < f->locks_n; i++)
		map_fini(&f->locks[i].seen);
	map_fini(&f->main.seen);
	map_fini(&f->kernel.seen);
	map_fini(&f->thread_of);
	map_fini(&f->lock_of);
	map_fini(&f->described);
	free(f->threads);
	free(f->locks);
	free(f->levels);
	proto_fini(&f->p);
	free(f);
	x->own = NULL;
}

const struct export_format export_perfetto = {
	.name = "perfetto",
	.about = "Perfetto's protocol buffers: ui.perfetto.dev, trace_processor",
	.is_binary = true,
	.has_lanes = true,
	.has_holds = true,
	.begin = begin,
	.end = end,
	.fini = fini,
	.event = on_event,
	.interval = on_interval,
	.hold = on_hold,
	.life = on_life,
	.lanes = {.open = on_open, .close = on_close, .edge = on_edge},
};
