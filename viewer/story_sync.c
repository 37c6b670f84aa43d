#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "viewer/story_private.h"

#define IDLE_WAITS 3 /* fewer say nothing yet */

/* ---- objects, pipes and flows ---- */

/* Makes room for one more in a list of @size bytes each, up to @max. False: there is none. */
static bool grow(struct story *s, void **list, uint32_t n, uint32_t *room, size_t size,
		 uint32_t max)
{
	uint32_t wanted;
	void *grown;

	if (n < *room)
		return true;
	if (n >= max)
		return false;
	wanted = *room != 0 ? *room * 2 : 64;
	grown = realloc(*list, wanted * size);
	if (grown == NULL) {
		story_fail(s, -ENOMEM);
		return false;
	}
	*list = grown;
	*room = wanted;
	return true;
}

static struct story_object *object_of(struct story *s, uint64_t id)
{
	uint32_t at = map_get(&s->object_of, id);

	if (at != MAP_NONE)
		return &s->objects[at];
	if (!grow(s, (void **)&s->objects, s->objects_n, &s->objects_room, sizeof(*s->objects),
		  OBJECTS_MAX))
		return NULL;
	if (map_set(&s->object_of, id, s->objects_n) < 0) {
		story_fail(s, -ENOMEM);
		return NULL;
	}
	memset(&s->objects[s->objects_n], 0, sizeof(*s->objects));
	return &s->objects[s->objects_n++];
}

static void add_cause(struct story *s, struct story_thread *t, uint64_t object, uint8_t type,
		      uint64_t order, uint64_t ns, uint64_t stack)
{
	struct story_object *o = object_of(s, object);

	if (o != NULL)
		o->causes[o->causes_n++ % RING] = (struct cause){.order = order,
								 .ns = ns,
								 .thread = t->index,
								 .stack = (uint32_t)stack,
								 .type = type};
}

/*
 * The last of @object's causes of @type with an order below @below (0: any) and a time from @from_ns to @to_ns; the first that is
 * not used with @is_first. *@ret_n: how many there were.
 */
static struct cause *find_cause(struct story *s, uint64_t object, uint8_t type, uint64_t below,
				uint64_t from_ns, uint64_t to_ns, bool is_first, unsigned *ret_n)
{
	struct story_object *o = object_of(s, object);
	uint32_t n = o != NULL && o->causes_n < RING ? o->causes_n : RING;
	struct cause *found = NULL;

	*ret_n = 0;
	for (uint32_t i = 0; o != NULL && i < n; i++) {
		/* from the newest on */
		struct cause *c = &o->causes[(o->causes_n - 1 - i) % RING];

		if (c->type != type || (below != 0 && c->order >= below) || c->ns < from_ns ||
		    c->ns > to_ns || (is_first && c->is_used))
			continue;
		++*ret_n;
		if (found == NULL || is_first)
			found = c;
	}
	return found;
}

/* ---- edges ---- */

static void tell_edge(struct story *s, const struct story_edge *e)
{
	if (s->listener->edge != NULL && s->result == 0 && story_overlaps(s, e->from_ns, e->to_ns))
		story_fail(s, s->listener->edge(s->listener->context, e));
}

static void make_edge(struct story *s, struct story_thread *t, enum story_edge_kind kind,
		      enum story_certainty certainty, const struct cause *c, uint64_t begun_ns,
		      uint64_t ns, uint32_t object, uint32_t stack)
{
	struct story_edge e = {
		.kind = (uint8_t)kind,
		.certainty = (uint8_t)certainty,
		.from = c->thread,
		.to = t->index,
		.from_ns = c->ns,
		.begun_ns = begun_ns,
		.to_ns = ns,
		.object = object,
		.stack = c->stack,
		.to_stack = stack,
	};

	if (s->listener->edge == NULL)
		return;
	e.ran_ns = story_ran_ns(s, t, c->ns, ns);
	tell_edge(s, &e);
}

/* ---- holds ---- */

static void add_recent(const struct story_thread *t, struct story_hold *h)
{
	uint32_t n = t->recent_n < RECENT ? t->recent_n : RECENT;

	for (uint32_t i = 0; i < n; i++) {
		const struct recent *r = &t->recent[(t->recent_n - 1 - i) % RECENT];
		uint64_t ns = story_within(r->begin_ns, r->end_ns, h->begin_ns, h->end_ns);

		if (r->end_ns <= h->begin_ns) /* and so are those before it */
			break;
		if (ns == 0)
			continue;
		switch ((enum recent_kind)r->kind) {
		case RECENT_CALL:
			h->calls++;
			h->calls_ns += ns;
			if (ns > h->longest_ns) {
				h->longest_ns = ns;
				h->longest_call = r->call;
				h->longest_file = r->file;
			}
			break;
		case RECENT_WAIT:
			h->waits_ns += ns;
			break;
		case RECENT_RUNNABLE:
			h->off_ns += ns;
			break;
		}
	}
	/* those that no interval has been told of yet */
	for (uint32_t i = 0; i < t->pieces_n; i++) {
		uint64_t begin =
			t->pieces[i].begin_ns > t->at_ns ? t->pieces[i].begin_ns : t->at_ns;
		uint64_t end = i + 1 < t->pieces_n ? t->pieces[i + 1].begin_ns : h->end_ns;

		if (t->pieces[i].kind == PIECE_PREEMPTED)
			h->off_ns += story_within(begin, end, h->begin_ns, h->end_ns);
	}
}

static void tell_hold(struct story *s, struct story_thread *t, struct story_hold *h)
{
	if (s->listener->hold == NULL || s->result != 0 ||
	    !story_overlaps(s, h->begin_ns, h->end_ns))
		return;
	h->thread = t->index;
	if (h->end_ns > h->begin_ns)
		add_recent(t, h);
	story_fail(s, s->listener->hold(s->listener->context, h));
}

void story_flush_pair(struct story *s, struct story_thread *t)
{
	t->has_pair = false;
	tell_hold(s, t, &t->pair);
}

static struct open_hold *find_hold(struct story_thread *t, uint64_t object)
{
	for (uint32_t i = t->holds_n; i > 0; i--)
		if (t->holds[i - 1].object == object)
			return &t->holds[i - 1];
	return NULL;
}

static void drop_hold(struct story_thread *t, struct open_hold *h)
{
	uint32_t at = (uint32_t)(h - t->holds);

	t->holds_n--;
	memmove(h, h + 1, (t->holds_n - at) * sizeof(*h));
}

static void open_hold(struct story_thread *t, uint64_t object, uint64_t mode, uint64_t ns,
		      uint32_t stack, bool has_waited)
{
	if (t->holds_n == HOLDS_MAX)
		drop_hold(t, &t->holds[0]);
	t->holds[t->holds_n++] = (struct open_hold){.begin_ns = ns,
						    .object = (uint32_t)object,
						    .stack = stack,
						    .mode = (uint8_t)mode,
						    .has_waited = has_waited};
}

/* @held_ns 0: not known. */
static void end_hold(struct story *s, struct story_thread *t, uint64_t object, uint64_t mode,
		     uint64_t ns, uint64_t held_ns, uint64_t order, uint64_t waiters,
		     uint64_t stack)
{
	struct story_hold h = {
		.end_ns = ns,
		.object = (uint32_t)object,
		.mode = (uint8_t)mode,
		.waiters = waiters < UINT32_MAX ? (uint32_t)waiters : UINT32_MAX,
		.stack = (uint32_t)stack,
		.order = order,
	};
	struct open_hold *open = find_hold(t, object);

	/* whoever took it */
	for (uint32_t i = 0; open == NULL && held_ns == 0 && i < s->threads_n; i++) {
		open = find_hold(s->threads[i], object);
		if (open != NULL)
			t = s->threads[i];
	}
	h.begin_ns = held_ns != 0   ? ns - (held_ns < ns ? held_ns : ns)
		     : open != NULL ? open->begin_ns
				    : ns;
	if (open != NULL) {
		h.has_waited = open->has_waited;
		h.taken = open->stack;
		if (h.stack == 0)
			h.stack = open->stack;
		drop_hold(t, open);
	}
	tell_hold(s, t, &h);
}

/* ---- waits ---- */

void story_push_wait(struct story *s, struct story_thread *t, const struct open_wait *w)
{
	struct story_object *o;

	if (t->waits_n == WAITS_MAX)
		return;
	t->waits[t->waits_n++] = *w;
	o = s->listener->wait != NULL && w->object != 0 ? object_of(s, w->object) : NULL;
	if (o != NULL)
		o->waiting++;
}

/* Those above @to are no more. */
static void pop_waits(struct story *s, struct story_thread *t, uint32_t to)
{
	while (t->waits_n > to) {
		uint32_t at = map_get(&s->object_of, t->waits[--t->waits_n].object);

		if (at != MAP_NONE && s->objects[at].waiting > 0)
			s->objects[at].waiting--;
	}
}

static uint32_t waiting_for(const struct story *s, uint32_t object)
{
	uint32_t at = object != 0 ? map_get(&s->object_of, object) : MAP_NONE;

	return at != MAP_NONE ? s->objects[at].waiting : 0;
}

static bool is_work(uint8_t type)
{
	return type == TRACE_COND_WAIT_EVENT || type == TRACE_SEM_WAIT_EVENT ||
	       type == TRACE_FUTEX_WAIT_EVENT;
}

/* By the majority vote of Boyer and Moore. @is_ended: it was given work, or its time was up. */
static bool is_idle(struct story_thread *t, const struct open_wait *w, bool is_ended)
{
	if (!is_work(w->type) || t->task != 0)
		return false;
	t->idle_waits += t->idle_waits < IDLE_WAITS;
	if (t->idle_votes == 0)
		t->idle_stack = w->stack;
	if (t->idle_stack == w->stack)
		t->idle_votes += t->idle_votes < 1000;
	else
		t->idle_votes--;
	return is_ended && t->idle_waits >= IDLE_WAITS && t->idle_stack == w->stack &&
	       t->idle_votes > 0;
}

static void begin_wait(struct story *s, struct story_thread *t, const struct merged *m,
		       uint64_t object, uint64_t stack)
{
	const struct event *e = m->event;
	struct context c = story_context(s, t);

	story_advance(s, t, e->ns, &c);
	story_push_wait(s, t,
			&(struct open_wait){.begin_ns = e->ns,
					    .object = (uint32_t)object,
					    .stack = (uint32_t)stack,
					    .type = e->type});
}

static void tell_wait(struct story *s, struct story_thread *t, const struct open_wait *w,
		      uint64_t ns, uint64_t order, uint64_t error, bool is_open, bool idle)
{
	struct story_wait told = {
		.begin_ns = w->begin_ns,
		.end_ns = ns,
		.thread = t->index,
		.type = w->type,
		.mode = w->mode,
		.object = w->object,
		.other = w->other,
		.stack = w->stack,
		.error = (uint32_t)error,
		.order = order,
		.left = waiting_for(s, w->object),
		.task = t->task,
		.is_idle = idle,
		.is_open = is_open,
		.is_again = t->again_object != 0 && t->again_object == w->object,
		.lock = t->holds_n > 0 ? t->holds[t->holds_n - 1].object : 0,
	};

	if (s->listener->wait != NULL && s->result == 0 && story_overlaps(s, w->begin_ns, ns))
		story_fail(s, s->listener->wait(s->listener->context, &told));
}

/* The wait of @type is over: the innermost of its kind. False: nobody saw it begin. */
static bool end_wait(struct story *s, struct story_thread *t, uint8_t type, uint64_t ns,
		     uint64_t order, uint64_t error, const struct cause *cause,
		     struct open_wait *ret)
{
	uint32_t at = t->waits_n;
	struct context c;
	bool idle;

	while (at > 0 && t->waits[at - 1].type != type)
		at--;
	if (at == 0)
		return false;
	pop_waits(s, t, at); /* those above were left */
	*ret = t->waits[at - 1];
	idle = is_idle(t, ret, error == 0 || error == ETIMEDOUT);
	c = story_context(s, t);
	if (idle)
		c.state = TRACE_IDLE;
	if (cause != NULL) {
		c.woken_ns = cause->ns;
		c.waker = cause->thread;
	}
	story_advance(s, t, ns, &c);
	pop_waits(s, t, at - 1);
	if (t->waits_n == 0 && type != TRACE_ONCE_BEGIN_EVENT)
		story_note_recent(s, t, RECENT_WAIT, ret->begin_ns, ns, 0, 0);
	tell_wait(s, t, ret, ns, order, error, false, idle);
	return true;
}

/* The program ended by itself meanwhile: what was never given to the thread was nothing that anybody needed. */
static bool is_never_called(const struct story *s, const struct story_thread *t,
			    const struct open_wait *w)
{
	return is_work(w->type) && t->task == 0 && s->reader->has_trailer &&
	       s->reader->trailer.end_reason == TRACE_END_EXITED;
}

void story_leave_open(struct story *s, struct story_thread *t, uint64_t ns)
{
	struct open_wait w;
	struct context c;

	if (t->has_pair)
		story_flush_pair(s, t);
	if (t->waits_n > 0) {
		w = t->waits[t->waits_n - 1];
		c = story_context(s, t);
		if (is_idle(t, &w, true) || is_never_called(s, t, &w))
			c.state = TRACE_IDLE;
		story_advance(s, t, ns, &c);
		pop_waits(s, t, 0);
		tell_wait(s, t, &w, ns, 0, 0, true, c.state == TRACE_IDLE);
	}
	for (uint32_t i = 0; i < t->holds_n; i++) {
		struct story_hold h = {
			.begin_ns = t->holds[i].begin_ns,
			.end_ns = ns,
			.object = t->holds[i].object,
			.mode = t->holds[i].mode,
			.has_waited = t->holds[i].has_waited,
			.stack = t->holds[i].stack,
			.taken = t->holds[i].stack,
			.is_open = true,
		};

		tell_hold(s, t, &h);
	}
	t->holds_n = 0;
}

void story_forget(struct story *s, struct story_thread *t)
{
	if (t->has_pair)
		story_flush_pair(s, t);
	pop_waits(s, t, 0);
	t->holds_n = t->paths_n = 0;
	t->has_call = false;
}

/* ---- what ends waits ---- */

/* Release number @order, by its number: stamps of readers may be in another order. NULL: who let go before saw nobody. */
static struct cause *find_release(struct story *s, uint64_t object, uint64_t order, uint64_t to_ns)
{
	struct story_object *o = object_of(s, object);
	uint32_t n = o != NULL && o->causes_n < RING ? o->causes_n : RING;

	for (uint32_t i = 0; o != NULL && i < n; i++) {
		struct cause *c = &o->causes[(o->causes_n - 1 - i) % RING];

		if (c->type == TRACE_LOCK_RELEASED_EVENT && c->order == order && c->ns <= to_ns)
			return c;
	}
	return NULL;
}

static void end_lock(struct story *s, struct story_thread *t, const struct merged *m)
{
	const uint64_t *a = m->event->arguments;
	uint64_t ns = m->event->ns;
	struct cause *c = NULL;
	struct open_wait w;

	if (m->event->type == TRACE_LOCK_ACQUIRED_EVENT && a[2] > 1)
		c = find_release(s, a[0], a[2] - 1, ns);
	if (!end_wait(s, t, TRACE_LOCK_WAIT_EVENT, ns,
		      m->event->type == TRACE_LOCK_ACQUIRED_EVENT ? a[2] : 0,
		      m->event->type == TRACE_LOCK_FAILED_EVENT ? a[2] : 0, c, &w)) {
		if (m->event->type == TRACE_LOCK_FAILED_EVENT) /* a try */
			return;
		w = (struct open_wait){.begin_ns = ns};
	} else if (c != NULL) {
		make_edge(s, t, EDGE_RELEASE, STORY_EXACT, c, w.begin_ns, ns, (uint32_t)a[0],
			  w.stack);
	}
	if (m->event->type == TRACE_LOCK_ACQUIRED_EVENT)
		open_hold(t, a[0], a[1], ns, w.stack, true);
}

static void end_cond(struct story *s, struct story_thread *t, const struct merged *m)
{
	const uint64_t *a = m->event->arguments;
	uint32_t at = t->waits_n > 0 ? t->waits_n - 1 : 0, mutex = t->waits[at].mutex;
	uint64_t begun = t->waits_n > 0 ? t->waits[at].begin_ns : m->event->ns;
	struct cause *c = NULL;
	struct open_wait w;
	unsigned n = 0;

	if (a[1] == 0)
		c = find_cause(s, a[0], TRACE_COND_SIGNAL_EVENT, a[2], begun, m->event->ns, false,
			       &n);
	if (!end_wait(s, t, TRACE_COND_WAIT_EVENT, m->event->ns, a[2], a[1], c, &w))
		return;
	if (c != NULL)
		make_edge(s, t, EDGE_SIGNAL, n == 1 ? STORY_EXACT : STORY_INFERRED, c, w.begin_ns,
			  m->event->ns, (uint32_t)a[0], w.stack);
	if (mutex != 0)
		open_hold(t, mutex, 1, m->event->ns, w.stack, false);
	t->again_object = a[1] == 0 ? (uint32_t)a[0] : 0;
	t->again_released = false;
}

static void end_sem(struct story *s, struct story_thread *t, const struct merged *m)
{
	const uint64_t *a = m->event->arguments;
	struct cause *c = NULL;
	struct open_wait w;
	unsigned n = 0;

	/* each token has one taker, also where nobody had to wait */
	if (a[1] == 0)
		c = find_cause(s, a[0], TRACE_SEM_POST_EVENT, a[2], 0, m->event->ns, true, &n);
	if (c != NULL)
		c->is_used = true;
	if (end_wait(s, t, TRACE_SEM_WAIT_EVENT, m->event->ns, a[2], a[1], c, &w) && c != NULL &&
	    c->ns >= w.begin_ns)
		make_edge(s, t, EDGE_POST, STORY_INFERRED, c, w.begin_ns, m->event->ns,
			  (uint32_t)a[0], w.stack);
}

/* Whoever was the last to do @cause_type before @until. */
static void end_by_last(struct story *s, struct story_thread *t, const struct merged *m,
			uint64_t until, uint8_t wait_type, uint8_t cause_type,
			enum story_edge_kind kind, uint64_t error)
{
	const uint64_t *a = m->event->arguments;
	uint64_t begun = t->waits_n > 0 ? t->waits[t->waits_n - 1].begin_ns : m->event->ns;
	struct cause *c = NULL;
	struct open_wait w;
	unsigned n = 0;

	if (error == 0)
		c = find_cause(s, a[0], cause_type, 0, begun, until, false, &n);
	if (c != NULL && c->thread == t->index) /* it was the last itself */
		c = NULL;
	if (end_wait(s, t, wait_type, m->event->ns, 0, error, c, &w) && c != NULL)
		make_edge(s, t, kind, kind == EDGE_FUTEX ? STORY_INFERRED : STORY_EXACT, c,
			  w.begin_ns, m->event->ns, (uint32_t)a[0], w.stack);
}

/* Whoever comes to a barrier behind the first that leaves it comes for the next round. */
static uint64_t first_of_round(struct story *s, struct story_thread *t, const struct merged *m)
{
	const uint64_t *a = m->event->arguments;
	struct story_object *o = object_of(s, a[0]);

	for (uint32_t i = 0; o != NULL && i < RING && i < o->causes_n; i++) {
		const struct cause *c = &o->causes[(o->causes_n - 1 - i) % RING];

		if (c->type == TRACE_BARRIER_END_EVENT && c->order == a[2])
			return c->ns;
	}
	add_cause(s, t, a[0], TRACE_BARRIER_END_EVENT, a[2], m->event->ns, 0);
	return m->event->ns;
}

static void end_join(struct story *s, struct story_thread *t, const struct merged *m)
{
	const struct story_thread *gone = NULL;
	struct cause c;
	struct open_wait w;

	if (t->waits_n > 0 && t->waits[t->waits_n - 1].type == TRACE_JOIN_BEGIN_EVENT)
		gone = story_thread(s, t->waits[t->waits_n - 1].other);
	if (gone != NULL &&
	    (!gone->has_exit || gone->end_ns > m->event->ns || m->event->arguments[0] != 0))
		gone = NULL;
	if (gone != NULL)
		c = (struct cause){.ns = gone->end_ns, .thread = gone->index};
	if (end_wait(s, t, TRACE_JOIN_BEGIN_EVENT, m->event->ns, 0, m->event->arguments[0],
		     gone != NULL ? &c : NULL, &w) &&
	    gone != NULL && c.ns >= w.begin_ns)
		make_edge(s, t, EDGE_EXIT, STORY_EXACT, &c, w.begin_ns, m->event->ns, 0, w.stack);
}

static void follow_flow(struct story *s, struct story_thread *t, const struct merged *m)
{
	uint64_t flow = m->event->arguments[0];
	uint32_t at = map_get(&s->flow_of, flow);
	struct cause now = {.ns = m->event->ns, .thread = t->index};

	if (at == MAP_NONE) {
		if (!grow(s, (void **)&s->flows, s->flows_n, &s->flows_room, sizeof(*s->flows),
			  FLOWS_MAX))
			return;
		if (map_set(&s->flow_of, flow, s->flows_n) < 0) {
			story_fail(s, -ENOMEM);
			return;
		}
		s->flows[s->flows_n++] = now;
		return;
	}
	if (s->flows[at].thread != t->index && m->event->type != TRACE_FLOW_BEGIN_EVENT)
		make_edge(s, t, EDGE_FLOW, STORY_EXACT, &s->flows[at], m->event->ns, m->event->ns,
			  0, 0);
	s->flows[at] = now;
}

/* ---- pipes ---- */

static bool is_write(uint32_t number)
{
	return number == SYS_write || number == SYS_writev || number == SYS_pwrite64 ||
	       number == SYS_sendto || number == SYS_sendmsg || number == SYS_sendmmsg ||
	       number == SYS_splice;
}

static bool is_read(uint32_t number)
{
	return number == SYS_read || number == SYS_readv || number == SYS_recvfrom ||
	       number == SYS_recvmsg || number == SYS_recvmmsg;
}

/* Does it wait until one of many files is ready? */
static bool is_poll(uint32_t number)
{
	return number == SYS_poll || number == SYS_ppoll || number == SYS_select ||
	       number == SYS_pselect6 || number == SYS_epoll_wait || number == SYS_epoll_pwait ||
	       number == SYS_epoll_pwait2;
}

static uint64_t add_hash(uint64_t hash, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (uint8_t)bytes[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
	return hash;
}

#define KEY_END        (UINT64_C(1) << 32) /* an eventfd, which has one end */
#define KEY_CONNECTION (UINT64_C(1) << 63)

/*
 * What is written into "tcp A->B" is read from "tcp B->A", and from nothing else: a key of that direction. 0: who is at the other
 * end is not said, or may be one of many ("unix /run/x").
 */
static uint64_t connection_key(const struct table_text *name, bool is_write)
{
	const char *end = name->text + name->length, *from = name->text, *arrow, *to;
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	while (from < end && *from != ' ' && *from != ':')
		from++;
	arrow = memmem(from, (size_t)(end - from), "->", 2);
	if (arrow == NULL || arrow <= from + 1)
		return 0;
	to = arrow + 2;
	from++;
	hash = add_hash(hash, name->text, (size_t)(from - name->text));
	if (is_write) {
		hash = add_hash(hash, from, (size_t)(arrow - from));
		hash = add_hash(hash, "->", 2);
		hash = add_hash(hash, to, (size_t)(end - to));
	} else {
		hash = add_hash(hash, to, (size_t)(end - to));
		hash = add_hash(hash, "->", 2);
		hash = add_hash(hash, from, (size_t)(arrow - from));
	}
	return hash | KEY_CONNECTION;
}

/* By its key; it is made when there is none. MAP_NONE: there are too many. */
static uint32_t pipe_at(struct story *s, uint64_t key)
{
	uint32_t at = map_get(&s->pipe_of, key);

	if (at != MAP_NONE)
		return at;
	if (!grow(s, (void **)&s->pipes, s->pipes_n, &s->pipes_room, sizeof(*s->pipes), FLOWS_MAX))
		return MAP_NONE;
	if (map_set(&s->pipe_of, key, s->pipes_n) < 0) {
		story_fail(s, -ENOMEM);
		return MAP_NONE;
	}
	memset(&s->pipes[s->pipes_n], 0, sizeof(*s->pipes));
	return s->pipes_n++;
}

/* What is written into @file, or read from it. NULL: by whom is not known. */
static struct story_pipe *pipe_of(struct story *s, uint32_t file, bool is_write)
{
	const struct table_file *f = tables_file(s->tables, file);
	uint32_t at = MAP_NONE;
	const struct table_text *name;
	uint64_t key, end;

	if (f == NULL || f->name == 0)
		return NULL;
	switch ((enum trace_fd_kind)f->kind) {
	case TRACE_FD_PIPE: /* both ends have its name */
		at = pipe_at(s, f->name);
		break;
	case TRACE_FD_EVENT: /* which has the name of all eventfds */
		at = pipe_at(s, KEY_END | file);
		break;
	case TRACE_FD_SOCKET:
		/* to take a name apart takes longer than to look up whose it is */
		end = (uint64_t)(2 + is_write) << 32 | f->name;
		at = map_get(&s->pipe_of, end);
		if (at != MAP_NONE)
			break;
		name = tables_string(s->tables, f->name);
		key = name != NULL ? connection_key(name, is_write) : 0;
		if (key == 0)
			return NULL;
		at = pipe_at(s, key);
		if (at != MAP_NONE && map_set(&s->pipe_of, end, at) < 0)
			story_fail(s, -ENOMEM);
		break;
	default:
		return NULL;
	}
	return at != MAP_NONE ? &s->pipes[at] : NULL;
}

/* The edge that @c ends, from nobody yet. */
static struct story_edge edge_of_call(const struct story *s, const struct story_thread *t,
				      const struct story_call *c)
{
	return (struct story_edge){.kind = EDGE_PIPE,
				   .certainty = STORY_INFERRED,
				   .to = t->index,
				   .begun_ns = c->begin_ns,
				   .ran_ns = story_ran_ns(s, t, c->begin_ns, c->end_ns),
				   .to_ns = c->end_ns,
				   .object = c->file,
				   .to_stack = c->stack};
}

static void tell_pipe_edge(struct story *s, struct story_edge *e, const struct cause *from)
{
	e->from = from->thread;
	e->from_ns = from->ns;
	e->stack = from->stack;
	tell_edge(s, e);
}

static bool may_have_made(const struct cause *c, const struct story_edge *e)
{
	return c->ns >= e->begun_ns && c->ns <= e->to_ns && c->thread != e->to;
}

static void take_write(struct story *s, struct story_pipe *p, struct cause c)
{
	/* who read it may have been told of first: the write went on for a little */
	for (uint32_t i = 0; i < p->reads_n; i++) {
		if (!may_have_made(&c, &p->reads[i]))
			continue;
		tell_pipe_edge(s, &p->reads[i], &c);
		c.is_used = true;
		p->reads_n = 0;
	}
	p->writes[p->writes_n++ % RING] = c;
}

/* The first write of the wait: when the others came, nobody waited any more. What another has read was not there. */
static struct cause *find_write(struct story_pipe *p, const struct story_edge *e)
{
	for (uint32_t i = p->writes_n < RING ? p->writes_n : RING; i > 0; i--) {
		struct cause *c = &p->writes[(p->writes_n - i) % RING];

		if (!c->is_used && may_have_made(c, e))
			return c;
	}
	return NULL;
}

static void take_read(struct story *s, struct story_pipe *p, struct story_edge e)
{
	struct cause *c;

	p->reads[p->reads_n++] = e;
	for (uint32_t i = 0; i < p->reads_n; i++) {
		p->reads[i].object = e.object;
		c = find_write(p, &p->reads[i]);
		if (c == NULL)
			continue;
		tell_pipe_edge(s, &p->reads[i], c);
		p->reads_n = 0;
		c->is_used = true;
	}
}

void story_pipes(struct story *s, struct story_thread *t, const struct story_call *c)
{
	bool has_poll = t->has_poll;
	struct story_pipe *p;

	if (s->listener->edge == NULL)
		return;
	if (is_poll(c->number)) {
		t->has_poll = c->result > 0;
		if (t->has_poll)
			t->poll = edge_of_call(s, t, c);
		return;
	}
	if (c->file == 0 && !is_read(c->number))
		return; /* it says nothing of files */
	t->has_poll = false;
	if (c->file == 0 || c->result <= 0 || (!is_read(c->number) && !is_write(c->number)))
		return;
	p = pipe_of(s, c->file, is_write(c->number));
	if (p == NULL)
		return;
	if (is_write(c->number)) {
		take_write(
			s, p,
			(struct cause){.ns = c->begin_ns, .thread = t->index, .stack = c->stack});
		return;
	}
	/* what is read first is what was ready */
	p->reads_n = has_poll;
	if (has_poll)
		p->reads[0] = t->poll;
	take_read(s, p, edge_of_call(s, t, c));
}

/* ---- events ---- */

void story_sync(struct story *s, struct story_thread *t, const struct merged *m)
{
	const uint64_t *a = m->event->arguments;
	uint64_t ns = m->event->ns;
	uint32_t again = t->again_object;
	struct story_thread *other;
	struct open_wait w;
	uint64_t held;

	/*
	 * Between two waits for a condition, when nothing was done for it, lies the release of its mutex by the second. Whoever releases
	 * more than that looked at what it was woken for, and may have worked on it.
	 */
	if (t->again_released || (m->event->type != TRACE_LOCK_HELD_EVENT &&
				  m->event->type != TRACE_LOCK_RELEASED_EVENT))
		t->again_object = 0;
	t->again_released = true;
	switch ((enum trace_event_type)m->event->type) {
	case TRACE_LOCK_PAIR_EVENT:
	case TRACE_LOCK_PAIR_SHARED_EVENT:
		t->pair = (struct story_hold){
			.begin_ns = ns,
			.end_ns = ns,
			.object = (uint32_t)a[0],
			.mode = m->event->type == TRACE_LOCK_PAIR_EVENT ? 1 : 2,
		};
		t->has_pair = s->listener->hold != NULL;
		break;
	case TRACE_LOCK_HELD_EVENT:
		end_hold(s, t, a[0], a[1], ns, ticks_to_ns(&m->ticks, a[2]), 0, 0, 0);
		break;
	case TRACE_LOCK_RELEASED_EVENT:
		add_cause(s, t, a[0], TRACE_LOCK_RELEASED_EVENT, a[2], ns, a[5]);
		end_hold(s, t, a[0], a[1], ns, ticks_to_ns(&m->ticks, a[3]), a[2], a[4], a[5]);
		break;
	case TRACE_LOCK_WAIT_EVENT:
		begin_wait(s, t, m, a[0], a[3]);
		if (t->waits_n > 0) {
			t->waits[t->waits_n - 1].mode = (uint8_t)a[1];
			t->waits[t->waits_n - 1].other = (uint32_t)a[2];
		}
		break;
	case TRACE_LOCK_ACQUIRED_EVENT:
	case TRACE_LOCK_FAILED_EVENT:
		end_lock(s, t, m);
		break;
	case TRACE_COND_WAIT_EVENT:
		t->again_object = again;
		begin_wait(s, t, m, a[0], a[3]);
		if (t->waits_n > 0)
			t->waits[t->waits_n - 1].mutex = (uint32_t)a[1];
		break;
	case TRACE_COND_END_EVENT:
		t->again_object = again;
		end_cond(s, t, m);
		break;
	case TRACE_COND_SIGNAL_EVENT:
		add_cause(s, t, a[0], TRACE_COND_SIGNAL_EVENT, a[2], ns, a[3]);
		break;
	case TRACE_SEM_WAIT_EVENT:
		begin_wait(s, t, m, a[0], a[1]);
		break;
	case TRACE_SEM_END_EVENT:
		end_sem(s, t, m);
		break;
	case TRACE_SEM_POST_EVENT:
		add_cause(s, t, a[0], TRACE_SEM_POST_EVENT, a[1], ns, a[2]);
		break;
	case TRACE_BARRIER_WAIT_EVENT:
		add_cause(s, t, a[0], TRACE_BARRIER_WAIT_EVENT, a[1], ns, a[2]);
		begin_wait(s, t, m, a[0], a[2]);
		break;
	case TRACE_BARRIER_END_EVENT:
		end_by_last(s, t, m, first_of_round(s, t, m), TRACE_BARRIER_WAIT_EVENT,
			    TRACE_BARRIER_WAIT_EVENT, EDGE_BARRIER, 0);
		break;
	case TRACE_ONCE_BEGIN_EVENT:
		begin_wait(s, t, m, a[0], a[1]);
		break;
	case TRACE_ONCE_RUN_EVENT: /* it does what the others wait for */
		end_wait(s, t, TRACE_ONCE_BEGIN_EVENT, ns, 0, 0, NULL, &w);
		break;
	case TRACE_ONCE_END_EVENT:
		if (a[1] != 0)
			add_cause(s, t, a[0], TRACE_ONCE_END_EVENT, 0, ns, 0);
		end_by_last(s, t, m, ns, TRACE_ONCE_BEGIN_EVENT, TRACE_ONCE_END_EVENT, EDGE_ONCE,
			    0);
		break;
	case TRACE_FUTEX_WAIT_EVENT:
		begin_wait(s, t, m, a[0], a[3]);
		break;
	case TRACE_FUTEX_WAKE_EVENT:
		add_cause(s, t, a[0], TRACE_FUTEX_WAKE_EVENT, 0, ns, a[4]);
		break;
	case TRACE_FUTEX_END_EVENT:
		end_by_last(s, t, m, ns, TRACE_FUTEX_WAIT_EVENT, TRACE_FUTEX_WAKE_EVENT, EDGE_FUTEX,
			    a[1]);
		break;
	case TRACE_JOIN_BEGIN_EVENT:
		begin_wait(s, t, m, 0, a[1]);
		if (t->waits_n > 0)
			t->waits[t->waits_n - 1].other = (uint32_t)a[0];
		break;
	case TRACE_JOIN_END_EVENT:
		end_join(s, t, m);
		break;
	case TRACE_THREAD_CREATE_EVENT:
		other = story_thread(s, (uint32_t)a[0]);
		if (other != NULL) {
			other->creator = t->index;
			other->creator_stack = (uint32_t)a[2];
			other->created_ns = ns;
		}
		break;
	case TRACE_STATUS_HELD_EVENT:
		held = ticks_to_ns(&m->ticks, a[2]);
		if (find_hold(t, a[0]) == NULL)
			open_hold(t, a[0], a[1], ns - (held < ns ? held : ns), 0, false);
		break;
	case TRACE_FLOW_BEGIN_EVENT:
	case TRACE_FLOW_STEP_EVENT:
	case TRACE_FLOW_END_EVENT:
		follow_flow(s, t, m);
		break;
	default:
		break;
	}
}
