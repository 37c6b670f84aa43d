#include "viewer/story.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "core/syscalls.h"
#include "viewer/story_private.h"
#include "viewer/varint.h"

/* What began within the time that is asked for is looked at for as long behind it, and to where each thread says what it does. */
#define AFTER_NS UINT64_C(100000000)
#define NOT_OFF_NS \
	UINT64_C(50000) /* a thread that does something is on a processor, whatever clocks say */

/* ---- threads ---- */

struct story_thread *story_thread(struct story *s, uint32_t index)
{
	uint32_t at = map_get(&s->thread_of, index);

	return at != MAP_NONE ? s->threads[at] : NULL;
}

/* Threads are those that wrote something. */
static int make_threads(struct story *s, const struct streams *streams)
{
	s->threads = calloc(streams->streams_n + 1, sizeof(struct story_thread *));
	s->by_stream = calloc(streams->streams_n + 1, sizeof(struct story_thread *));
	if (s->threads == NULL || s->by_stream == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < streams->streams_n; i++) {
		const struct stream *stream = &streams->streams[i];
		struct story_thread *t;

		if (stream->is_switches || stream->thread >= TRACE_THREAD_FOREIGN)
			continue;
		t = calloc(1, sizeof(*t));
		if (t == NULL || map_set(&s->thread_of, stream->thread, s->threads_n) < 0) {
			free(t);
			return -ENOMEM;
		}
		t->index = stream->thread;
		t->creator = THREAD_NONE;
		s->threads[s->threads_n++] = s->by_stream[i] = t;
	}
	return 0;
}

static void begin_thread(struct story *s, struct story_thread *t, uint64_t ns, bool is_its_begin)
{
	struct cause c = {.ns = t->created_ns, .thread = t->creator, .stack = t->creator_stack};
	struct story_edge e;

	t->is_alive = true;
	t->has_begin = is_its_begin;
	t->begin_ns = t->at_ns = t->last_ns = ns;
	t->pieces_n = 0;
	story_switch(s, t, ns, PIECE_ON);
	if (s->listener->edge == NULL || !is_its_begin || t->creator == THREAD_NONE ||
	    c.ns < s->from_ns || c.ns > s->to_ns)
		return;
	e = (struct story_edge){.kind = EDGE_CREATE,
				.certainty = STORY_EXACT,
				.from = c.thread,
				.to = t->index,
				.from_ns = c.ns,
				.begun_ns = ns,
				.ran_ns = ns,
				.to_ns = ns,
				.stack = c.stack};
	story_fail(s, s->listener->edge(s->listener->context, &e));
}

static void tell_call(struct story *s, struct story_thread *t, struct story_call *c)
{
	c->thread = t->index;
	c->task = t->task;
	c->locks = t->holds_n;
	c->lock = t->holds_n > 0 ? t->holds[t->holds_n - 1].object : 0;
	c->path = t->paths_n > 0 ? t->paths[0] : 0;
	t->paths_n = 0;
	story_pipes(s, t, c);
	if (s->listener->call != NULL && s->result == 0 &&
	    story_overlaps(s, c->begin_ns, c->end_ns))
		story_fail(s, s->listener->call(s->listener->context, c));
}

static void end_thread(struct story *s, struct story_thread *t, uint64_t ns, bool is_its_end)
{
	struct story_life life = {.thread = t->index,
				  .begin_ns = t->begin_ns,
				  .end_ns = ns,
				  .has_begin = t->has_begin,
				  .has_end = is_its_end,
				  .lost = t->lost};
	struct context c;

	if (!t->is_alive)
		return;
	if (t->waits_n == 0 && t->has_call) {
		c = story_context(s, t);
		story_advance(s, t, ns, &c);
	}
	if (t->has_call) {
		t->call.end_ns = ns;
		t->call.is_open = true;
		t->call.is_of_wait = t->waits_n > 0 && t->call.number == SYS_futex;
		t->has_call = false;
		tell_call(s, t, &t->call);
	}
	story_leave_open(s, t, ns);
	c = (struct context){.state = TRACE_RUNNING};
	story_advance(s, t, ns, &c);
	t->is_alive = false;
	s->awaited -= t->is_awaited;
	t->is_awaited = false;
	t->has_exit = is_its_end;
	t->end_ns = ns;
	if (s->result == 0 && story_overlaps(s, t->begin_ns, ns)) {
		s->counts->threads++;
		if (s->listener->life != NULL)
			story_fail(s, s->listener->life(s->listener->context, &life));
	}
}

/* Between its event before and @ns something is missing: nobody knows what it did then. */
static void pass_gap(struct story *s, struct story_thread *t, uint64_t ns, uint64_t lost)
{
	struct context c = story_context(s, t);

	story_advance(s, t, t->last_ns, &c);
	story_forget(s, t);
	c = (struct context){.state = TRACE_UNKNOWN};
	story_advance(s, t, ns, &c);
	t->lost += lost;
	if (ns >= s->from_ns && t->last_ns <= s->to_ns) {
		s->counts->lost_events += lost;
		s->counts->gaps++;
	}
}

/* ---- calls ---- */

static void end_call(struct story *s, struct story_thread *t, struct story_call *call)
{
	struct context c = story_context(s, t);

	if (t->has_pair && t->pair.begin_ns < call->begin_ns)
		story_flush_pair(s, t);
	call->is_of_wait = t->waits_n > 0 && call->number == SYS_futex;
	if (t->waits_n == 0) {
		if (!t->has_call)
			story_advance(s, t, call->begin_ns, &c);
		t->has_call = false;
		c = (struct context){.state = call->is_idle ? TRACE_IDLE : TRACE_SYSCALL,
				     .call = call->number + 1,
				     .file = call->file,
				     .stack = call->stack};
		story_advance(s, t, call->end_ns, &c);
		story_note_recent(s, t, RECENT_CALL, call->begin_ns, call->end_ns, call->number + 1,
				  call->file);
		t->again_object = 0;
	}
	t->has_call = false;
	tell_call(s, t, call);
}

static void take_call(struct story *s, struct story_thread *t, const struct merged *m)
{
	const uint64_t *a = m->event->arguments;
	uint64_t ns = m->event->ns, took;
	struct story_call call;
	struct context c;

	switch ((enum trace_event_type)m->event->type) {
	case TRACE_SYSCALL_PATH_EVENT:
		if (t->paths_n < 2)
			t->paths[t->paths_n++] = (uint32_t)a[0];
		return;
	case TRACE_SYSCALL_BEGIN_EVENT:
		c = story_context(s, t);
		if (t->has_pair)
			story_flush_pair(s, t);
		if (t->waits_n == 0)
			story_advance(s, t, ns, &c);
		t->call = (struct story_call){.begin_ns = ns,
					      .number = (uint32_t)a[0],
					      .file = (uint32_t)a[1],
					      .arguments = {a[2], a[3], a[4]},
					      .is_idle = syscalls_is_idle((uint32_t)a[0])};
		t->has_call = true;
		return;
	case TRACE_SYSCALL_END_EVENT:
		if (t->has_call && t->call.number == (uint32_t)a[0])
			call = t->call;
		else /* its beginning is missing */
			call = (struct story_call){.begin_ns = ns,
						   .number = (uint32_t)a[0],
						   .is_idle = syscalls_is_idle((uint32_t)a[0])};
		call.end_ns = ns;
		call.result = varint_signed(a[1]);
		call.stack = (uint32_t)a[2];
		end_call(s, t, &call);
		return;
	default:
		took = ticks_to_ns(&m->ticks, a[1]);
		call = (struct story_call){.begin_ns = ns - (took < ns ? took : ns),
					   .end_ns = ns,
					   .number = (uint32_t)a[0],
					   .result = varint_signed(a[2]),
					   .file = (uint32_t)a[3],
					   .arguments = {a[4], a[5], a[6]},
					   .stack = (uint32_t)a[7],
					   .is_idle = syscalls_is_idle((uint32_t)a[0])};
		end_call(s, t, &call);
		return;
	}
}

/* ---- events ---- */

/* In the middle of a thread's life: what it does, as somebody wrote down when a generation began. */
static void take_status(struct story *s, struct story_thread *t, const struct merged *m)
{
	const uint64_t *a = m->event->arguments;
	uint64_t since = ticks_to_ns(&m->ticks, a[4]),
		 begun = m->event->ns - (since < m->event->ns ? since : m->event->ns);

	s->awaited -= t->is_awaited;
	t->is_awaited = false;
	t->task = a[3];
	/* it did so before this trace begins */
	if (t->begin_ns == m->event->ns && !t->has_begin && a[0] != TRACE_RUNNING)
		story_switch(s, t, m->event->ns, PIECE_BLOCKED);
	if (a[0] == TRACE_SYSCALL || a[0] == TRACE_IDLE) {
		if (t->has_call || a[1] == 0)
			return;
		t->call = (struct story_call){.begin_ns = begun,
					      .number = (uint32_t)a[1] - 1,
					      .is_idle = syscalls_is_idle((uint32_t)a[1] - 1)};
		t->has_call = true;
	} else if ((a[0] == TRACE_LOCK || a[0] == TRACE_WAIT || a[0] == TRACE_SPIN) &&
		   t->waits_n == 0) {
		story_push_wait(s, t,
				&(struct open_wait){.begin_ns = begun,
						    .object = (uint32_t)a[2],
						    .type = a[1] <= UINT8_MAX ? (uint8_t)a[1] : 0});
	}
}

/* Files are opened and named by events, from where on they have that name. */
static void learn_file(struct story *s, const struct event *event)
{
	const uint64_t *a = event->arguments;
	const struct table_file *known = tables_file(s->tables, a[0]);
	struct table_file file = {.id = (uint32_t)a[0]};

	if (event->type == TRACE_FD_OPEN_EVENT) {
		file.number = (uint32_t)a[1];
		file.kind = a[2] <= UINT8_MAX ? (uint8_t)a[2] : TRACE_FD_UNKNOWN;
		file.name = (uint32_t)a[3];
	} else {
		if (known != NULL)
			file = *known;
		file.name = (uint32_t)a[1];
	}
	if (tables_set_file(s->tables, &file) < 0)
		story_fail(s, -ENOMEM);
}

/*
 * At @ns it comes onto a processor, so it was on none before. Where nothing says since when (records of switches begin later
 * than the trace, and some are lost), it is since it was last seen to do something.
 */
static void take_off(struct story *s, struct story_thread *t, uint64_t ns)
{
	const struct piece *last = t->pieces_n > 0 ? &t->pieces[t->pieces_n - 1] : NULL;
	uint64_t since;

	if (last == NULL || last->kind != PIECE_ON)
		return;
	since = last->begin_ns > t->last_ns ? last->begin_ns : t->last_ns;
	if (ns > since + NOT_OFF_NS)
		story_switch(s, t, since, PIECE_BLOCKED);
}

static void take_switch(struct story *s, const struct merged *m)
{
	struct story_thread *t = m->stream != MERGE_NO_STREAM ? s->by_stream[m->stream] : NULL;

	if (t == NULL || !t->is_alive)
		return;
	if (m->event->type == TRACE_SCHED_IN_EVENT) {
		take_off(s, t, m->event->ns);
		story_switch(s, t, m->event->ns, PIECE_ON);
	} else {
		story_switch(s, t, m->event->ns,
			     m->event->arguments[1] == TRACE_OUT_PREEMPTED ? PIECE_PREEMPTED
									   : PIECE_BLOCKED);
	}
}

/* Of these hardly anybody writes down when they return, as they do so twice. */
static bool returns_twice(uint32_t number)
{
	return number == SYS_clone || number == SYS_clone3 || number == SYS_vfork;
}

/*
 * It has returned when the thread does something else, unless that is what the event is about: its end, or what a child of vfork does
 * on its parent's thread.
 */
static bool has_returned(const struct story_call *call, const struct event *e)
{
	return e->type != TRACE_FORK_EVENT && e->type != TRACE_EXEC_EVENT &&
	       (e->type != TRACE_SYSCALL_END_EVENT || call->number != e->arguments[0]);
}

/* When a thread began to do what an event tells. */
static uint64_t begin_of(const struct merged *m)
{
	const struct event *e = m->event;
	uint64_t took =
		e->type == TRACE_SYSCALL_EVENT ? ticks_to_ns(&m->ticks, e->arguments[1]) : 0;

	return e->ns - (took < e->ns ? took : e->ns);
}

/* A thread's own event. */
static void take_own(struct story *s, struct story_thread *t, const struct merged *m)
{
	const struct event *e = m->event;
	struct context c;
	bool has_more = m->block != t->block && m->block->lost_before > 0;

	if (!t->is_alive) {
		if (t->has_exit) /* a thread has one life */
			return;
		begin_thread(s, t, e->ns, e->type == TRACE_THREAD_START_EVENT);
		has_more = false;
	}
	if (has_more)
		pass_gap(s, t, e->ns, m->block->lost_before);
	if (t->has_call && returns_twice(t->call.number) && has_returned(&t->call, e)) {
		struct story_call call = t->call;

		call.end_ns = begin_of(m);
		if (call.end_ns < call.begin_ns)
			call.end_ns = call.begin_ns;
		call.is_open = true;
		end_call(s, t, &call);
	}
	t->block = m->block;
	if (s->has_switches && t->pieces_n > 0 && t->pieces[t->pieces_n - 1].kind != PIECE_ON &&
	    e->ns > t->pieces[t->pieces_n - 1].begin_ns + NOT_OFF_NS &&
	    e->type != TRACE_THREAD_STATUS_EVENT && e->type != TRACE_STATUS_HELD_EVENT &&
	    e->type != TRACE_STATUS_REGION_EVENT && e->type != TRACE_THREAD_EXIT_EVENT)
		story_switch(s, t, e->ns, PIECE_ON);
	switch ((enum trace_event_type)e->type) {
	case TRACE_SYSCALL_EVENT:
	case TRACE_SYSCALL_BEGIN_EVENT:
	case TRACE_SYSCALL_END_EVENT:
	case TRACE_SYSCALL_PATH_EVENT:
		take_call(s, t, m);
		break;
	case TRACE_FD_OPEN_EVENT:
	case TRACE_FD_NAME_EVENT:
		learn_file(s, e);
		break;
	case TRACE_THREAD_STATUS_EVENT:
		take_status(s, t, m);
		break;
	case TRACE_LOST_EVENT:
		pass_gap(s, t, e->ns, e->arguments[0]);
		break;
	case TRACE_TASK_SWITCH_EVENT:
	case TRACE_REGION_BEGIN_EVENT:
	case TRACE_REGION_END_EVENT:
		/* who adds up what is between two of them keeps no more than the one that is open */
		if (t->has_pair)
			story_flush_pair(s, t);
		c = story_context(s, t);
		story_advance(s, t, e->ns, &c);
		if (e->type == TRACE_TASK_SWITCH_EVENT)
			t->task = e->arguments[0];
		break;
	case TRACE_THREAD_EXIT_EVENT:
		end_thread(s, t, e->ns, true);
		break;
	default:
		if (t->has_pair)
			story_flush_pair(s, t);
		story_sync(s, t, m);
		break;
	}
	t->last_ns = e->ns;
}

static void take_event(struct story *s, const struct merged *m)
{
	struct story_thread *t;

	s->last_ns = m->event->ns > s->last_ns ? m->event->ns : s->last_ns;
	if (s->listener->event != NULL) {
		story_fail(s, s->listener->event(s->listener->context, m));
		if (s->result != 0)
			return;
	}
	if (reader_is_switches(m->block)) {
		if (m->event->type == TRACE_SCHED_IN_EVENT ||
		    m->event->type == TRACE_SCHED_OUT_EVENT)
			take_switch(s, m);
		else if (m->event->type == TRACE_LOST_EVENT)
			s->counts->gaps++;
		return;
	}
	t = s->by_stream[m->stream];
	if (t != NULL)
		take_own(s, t, m);
}

static void finish(struct story *s)
{
	uint64_t end = s->last_ns;

	for (uint32_t i = 0; i < s->threads_n; i++)
		end_thread(s, s->threads[i], end, false);
	if (s->to_ns < end)
		end = s->to_ns;
	s->counts->end_ns = end;
}

static void fini(struct story *s)
{
	for (uint32_t i = 0; i < s->threads_n && s->threads != NULL; i++) {
		free(s->threads[i]->pieces);
		free(s->threads[i]->recent);
		free(s->threads[i]);
	}
	free(s->threads);
	free(s->by_stream);
	free(s->objects);
	free(s->pipes);
	free(s->flows);
	map_fini(&s->thread_of);
	map_fini(&s->object_of);
	map_fini(&s->pipe_of);
	map_fini(&s->flow_of);
}

/* The first record of any processor; the program may be at work for some ms before. */
static uint64_t switches_from(const struct reader *r, const struct streams *streams)
{
	uint64_t first = UINT64_MAX;

	for (uint32_t i = 0; i < streams->streams_n; i++) {
		const struct stream *stream = &streams->streams[i];

		if (stream->is_switches && stream->n > 0 &&
		    r->blocks[streams->order[stream->first]].first_ns < first)
			first = r->blocks[streams->order[stream->first]].first_ns;
	}
	return first;
}

/*
 * Behind the time that is asked for: what threads are in the middle of is known when a generation begins, or they end. Not all wants
 * to know.
 */
static void await_threads(struct story *s)
{
	const struct story_listener *l = s->listener;

	if (l->may_end ||
	    (l->interval == NULL && l->call == NULL && l->wait == NULL && l->hold == NULL))
		return;
	for (uint32_t i = 0; i < s->threads_n; i++) {
		s->threads[i]->is_awaited = s->threads[i]->is_alive;
		s->awaited += s->threads[i]->is_alive;
	}
}

int story_tell(struct reader *r, const struct streams *streams, struct tables *t, uint64_t from_ns,
	       uint64_t to_ns, const struct story_listener *listener, struct story_counts *ret,
	       const struct watch *watch, struct why *why)
{
	struct story s = {
		.reader = r,
		.tables = t,
		.listener = listener,
		.counts = ret,
		.from_ns = from_ns,
		.to_ns = to_ns,
		.has_switches = r->has_header && (r->header.flags & TRACE_HAS_SWITCHES) != 0,
	};
	uint64_t until = to_ns < UINT64_MAX - AFTER_NS ? to_ns + AFTER_NS : UINT64_MAX;
	struct merge *merge = NULL;
	bool is_behind = false;
	struct merged m;
	int result;

	*ret = (struct story_counts){.has_switches = s.has_switches};
	s.switches_ns = s.has_switches ? switches_from(r, streams) : 0;
	result = make_threads(&s, streams);
	if (result == 0)
		result = merge_create(&merge, r, streams, t);
	if (result == 0 && listener->may_seek)
		merge_seek(merge, from_ns);
	while (result == 0 && s.result == 0) {
		result = merge_next(merge, &m, watch, why);
		if (result <= 0)
			break;
		result = 0;
		if (ret->begin_ns == 0)
			ret->begin_ns = m.event->ns > from_ns ? m.event->ns : from_ns;
		if (m.event->ns > to_ns && !is_behind) {
			is_behind = true;
			await_threads(&s);
		}
		if (m.event->ns > until && s.awaited == 0)
			break;
		take_event(&s, &m);
		/* of the last of them, too, what it holds */
		if (is_behind && m.event->type == TRACE_THREAD_STATUS_EVENT && m.event->ns > until)
			until = m.event->ns;
	}
	if (is_behind && s.last_ns < to_ns)
		s.last_ns = to_ns;
	if (result == 0 && s.result == 0)
		finish(&s);
	if (merge != NULL)
		ret->merge = merge_counts(merge);
	merge_destroy(merge);
	if (result == 0)
		result = s.result;
	if (result == -ENOMEM)
		why_set(why, "out of memory");
	fini(&s);
	return result;
}
