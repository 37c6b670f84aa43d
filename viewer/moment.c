#include "viewer/moment.h"

#include <errno.h>
#include <stdlib.h>

static struct moment_thread *thread_of(struct moment *m, uint32_t index)
{
	uint32_t at = map_get(&m->thread_of, index);
	struct moment_thread **threads, *t;

	if (at != MAP_NONE)
		return m->threads[at];
	if ((m->threads_n & (m->threads_n - 1)) == 0) {
		threads = reallocarray(m->threads, m->threads_n > 0 ? 2 * (size_t)m->threads_n : 1,
				       sizeof(struct moment_thread *));
		if (threads == NULL)
			return NULL;
		m->threads = threads;
	}
	t = calloc(1, sizeof(*t));
	if (t == NULL || map_set(&m->thread_of, index, m->threads_n) < 0) {
		free(t);
		return NULL;
	}
	return m->threads[m->threads_n++] = t;
}

/* What is over at the moment is over, unless nothing comes behind it. */
static bool is_then(const struct moment *m, uint64_t begin_ns, uint64_t end_ns, bool is_open)
{
	return begin_ns <= m->at_ns && (m->at_ns < end_ns || (is_open && m->at_ns == end_ns));
}

static int on_interval(void *context, const struct interval *i)
{
	struct moment *m = context;
	struct moment_thread *t;

	/* of two that meet there, the later one */
	if (!is_then(m, i->begin_ns, i->end_ns, true))
		return 0;
	t = thread_of(m, i->thread);
	if (t == NULL)
		return -ENOMEM;
	t->now = *i;
	t->has_now = true;
	return 0;
}

static int on_call(void *context, const struct story_call *c)
{
	struct moment *m = context;
	struct moment_thread *t;

	if (!is_then(m, c->begin_ns, c->end_ns, c->is_open))
		return 0;
	t = thread_of(m, c->thread);
	if (t == NULL)
		return -ENOMEM;
	/* the innermost */
	if (!t->has_call || c->begin_ns >= t->call.begin_ns)
		t->call = *c;
	t->has_call = true;
	return 0;
}

static int on_wait(void *context, const struct story_wait *w)
{
	struct moment *m = context;
	struct moment_thread *t;

	if (!is_then(m, w->begin_ns, w->end_ns, w->is_open))
		return 0;
	t = thread_of(m, w->thread);
	if (t == NULL)
		return -ENOMEM;
	if (!t->has_wait || w->begin_ns >= t->wait.begin_ns)
		t->wait = *w;
	t->has_wait = true;
	return 0;
}

static int on_hold(void *context, const struct story_hold *h)
{
	struct moment *m = context;
	struct story_hold *holds;

	if (!is_then(m, h->begin_ns, h->end_ns, h->is_open))
		return 0;
	if (m->holds_n == MOMENT_HOLDS) {
		m->is_cut = true;
		return 0;
	}
	if ((m->holds_n & (m->holds_n - 1)) == 0) {
		holds = reallocarray(m->holds, m->holds_n > 0 ? 2 * (size_t)m->holds_n : 1,
				     sizeof(*holds));
		if (holds == NULL)
			return -ENOMEM;
		m->holds = holds;
	}
	m->holds[m->holds_n++] = *h;
	return 0;
}

static int on_edge(void *context, const struct story_edge *e)
{
	struct moment *m = context;
	struct moment_thread *t;

	if (e->kind == EDGE_CREATE || e->kind == EDGE_FLOW ||
	    !is_then(m, e->begun_ns, e->to_ns, false))
		return 0;
	t = thread_of(m, e->to);
	if (t == NULL)
		return -ENOMEM;
	if (!t->has_wake || e->begun_ns >= t->wake.begun_ns)
		t->wake = *e;
	t->has_wake = true;
	return 0;
}

static int on_life(void *context, const struct story_life *l)
{
	struct moment *m = context;
	struct moment_thread *t = thread_of(m, l->thread);

	if (t == NULL)
		return -ENOMEM;
	t->life = *l;
	t->is_alive = is_then(m, l->begin_ns, l->end_ns, !l->has_end);
	return 0;
}

struct story_listener moment_listener(struct moment *m)
{
	return (struct story_listener){.context = m,
				       .interval = on_interval,
				       .call = on_call,
				       .wait = on_wait,
				       .hold = on_hold,
				       .edge = on_edge,
				       .life = on_life};
}

void moment_fini(struct moment *m)
{
	for (uint32_t i = 0; i < m->threads_n; i++)
		free(m->threads[i]);
	free(m->threads);
	free(m->holds);
	map_fini(&m->thread_of);
	*m = (struct moment){0};
}

const struct moment_thread *moment_thread(const struct moment *m, uint32_t index)
{
	uint32_t at = map_get(&m->thread_of, index);

	return at != MAP_NONE ? m->threads[at] : NULL;
}

/* Who has @object, but @except; of readers the one who leaves last. */
static const struct story_hold *holder_of(const struct moment *m, uint32_t object, uint32_t except)
{
	const struct story_hold *found = NULL;

	for (uint32_t i = 0; i < m->holds_n; i++) {
		const struct story_hold *h = &m->holds[i];

		if (h->object == object && h->thread != except &&
		    (found == NULL || h->end_ns > found->end_ns))
			found = h;
	}
	return found;
}

/* Who had the lock when the wait began, and has gone to wait for work since, has it no more. */
static bool may_hold(const struct moment *m, const struct story_wait *w)
{
	const struct moment_thread *t = moment_thread(m, w->other);

	return t == NULL || !t->has_wait || !t->wait.is_idle || t->wait.begin_ns < w->begin_ns;
}

static struct moment_step step_of_wait(const struct moment *m, struct moment_step s)
{
	const struct moment_thread *t = s.thread;
	const struct story_wait *w = &t->wait;
	bool has_wake = t->has_wake && t->wake.begun_ns == w->begin_ns;

	s.since_ns = w->begin_ns;
	if (w->type == TRACE_LOCK_WAIT_EVENT) {
		s.hold = holder_of(m, w->object, w->thread);
		s.why = MOMENT_HELD;
		if (s.hold != NULL)
			s.next = s.hold->thread;
		else if (has_wake && t->wake.from_ns <= m->at_ns)
			s.why = MOMENT_HANDOVER;
		else if (w->other != 0 && w->other != w->thread && may_hold(m, w))
			s.next = w->other;
		else
			s.why = MOMENT_NOBODY;
		return s;
	}
	if (w->is_idle) {
		s.why = MOMENT_WORK;
	} else if (w->type == TRACE_JOIN_BEGIN_EVENT && w->other != 0) {
		s.why = MOMENT_WAKER;
		s.next = w->other;
	} else if (has_wake && t->wake.from != w->thread) {
		s.why = MOMENT_WAKER;
		s.next = t->wake.from;
	} else {
		s.why = MOMENT_NOBODY;
	}
	return s;
}

struct moment_step moment_step(const struct moment *m, uint32_t index)
{
	const struct moment_thread *t = moment_thread(m, index);
	struct moment_step s = {.why = MOMENT_GONE, .index = index};

	if (t == NULL || !t->is_alive)
		return s;
	s.thread = t;
	s.why = MOMENT_UNKNOWN;
	if (!t->has_now)
		return s;
	s.since_ns = t->now.begin_ns;
	if (t->now.state == TRACE_RUNNABLE) {
		s.why = MOMENT_PROCESSOR;
		return s;
	}
	/* on a processor for a moment, in a wait: to look whether it is over */
	if (t->has_wait && t->now.state != TRACE_UNKNOWN)
		return step_of_wait(m, s);
	if (t->has_call && t->now.state != TRACE_UNKNOWN) {
		s.why = MOMENT_CALL;
		s.since_ns = t->call.begin_ns;
		/* what is read here was written by somebody */
		if (t->has_wake && t->wake.begun_ns == t->call.begin_ns && t->wake.from != index)
			s.next = t->wake.from;
		return s;
	}
	if (t->now.state == TRACE_RUNNING)
		s.why = MOMENT_RUNNING;
	return s;
}

static bool is_deadlock(const struct moment_chain *chain)
{
	for (uint32_t i = chain->cycle_at; i < chain->n; i++)
		if (!chain->steps[i].thread->has_wait || !chain->steps[i].thread->wait.is_open)
			return false;
	return chain->cycle_at != MOMENT_NO_CYCLE;
}

void moment_follow(const struct moment *m, uint32_t index, struct moment_chain *ret)
{
	*ret = (struct moment_chain){.cycle_at = MOMENT_NO_CYCLE};
	while (index != 0 && ret->cycle_at == MOMENT_NO_CYCLE) {
		if (ret->n == MOMENT_STEPS) {
			ret->is_cut = true;
			return;
		}
		ret->steps[ret->n++] = moment_step(m, index);
		index = ret->steps[ret->n - 1].next;
		for (uint32_t i = 0; i < ret->n; i++)
			if (ret->steps[i].index == index)
				ret->cycle_at = i;
	}
	ret->is_deadlock = is_deadlock(ret);
}
