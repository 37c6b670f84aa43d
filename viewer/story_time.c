#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/story_private.h"

static uint8_t state_of_wait(const struct story *s, const struct open_wait *w)
{
	const struct table_object *o;

	if (w->type != TRACE_LOCK_WAIT_EVENT)
		return TRACE_WAIT;
	o = tables_object(s->tables, w->object);
	return o != NULL && o->kind == TRACE_OBJECT_SPIN ? TRACE_SPIN : TRACE_LOCK;
}

struct context story_context(const struct story *s, const struct story_thread *t)
{
	struct context c = {.state = TRACE_RUNNING};
	const struct open_wait *w;

	if (t->waits_n > 0) {
		w = &t->waits[t->waits_n - 1];
		c.state = state_of_wait(s, w);
		c.wait = w->type;
		c.object = w->object;
		c.stack = w->stack;
		c.other = w->other;
	} else if (t->has_call) {
		c.state = t->call.is_idle ? TRACE_IDLE : TRACE_SYSCALL;
		c.call = t->call.number + 1;
		c.file = t->call.file;
		c.stack = t->call.stack;
	}
	return c;
}

void story_note_recent(struct story *s, struct story_thread *t, enum recent_kind kind,
		       uint64_t begin_ns, uint64_t end_ns, uint32_t call, uint32_t file)
{
	if (s->listener->hold == NULL || end_ns <= begin_ns)
		return;
	if (t->recent == NULL) {
		t->recent = malloc(RECENT * sizeof(*t->recent));
		if (t->recent == NULL) {
			story_fail(s, -ENOMEM);
			return;
		}
	}
	t->recent[t->recent_n++ % RECENT] =
		(struct recent){begin_ns, end_ns, call, file, (uint8_t)kind};
}

static void tell(struct story *s, struct interval *i)
{
	i->begin_ns = i->begin_ns > s->from_ns ? i->begin_ns : s->from_ns;
	i->end_ns = i->end_ns < s->to_ns ? i->end_ns : s->to_ns;
	if (i->begin_ns >= i->end_ns)
		return;
	s->counts->state_ns[i->state] += i->end_ns - i->begin_ns;
	s->counts->uncertain_ns[i->certainty] += i->end_ns - i->begin_ns;
	if (s->listener->interval != NULL && s->result == 0)
		story_fail(s, s->listener->interval(s->listener->context, i));
}

/* A stretch of one piece, of @c. */
static void tell_piece(struct story *s, struct story_thread *t, uint64_t begin_ns, uint64_t end_ns,
		       enum piece_kind kind, const struct context *c)
{
	struct interval i = {
		.begin_ns = begin_ns,
		.end_ns = end_ns,
		.thread = t->index,
		.state = c->state,
		.wait = c->wait,
		.object = c->object,
		.call = c->call,
		.file = c->file,
		.stack = c->stack,
		.other = c->other,
		.task = t->task,
	};

	if (!s->has_switches ||
	    (kind == PIECE_ON && begin_ns < s->switches_ns && c->state != TRACE_RUNNING)) {
		i.certainty = c->state == TRACE_UNKNOWN   ? STORY_UNKNOWN
			      : c->state == TRACE_RUNNING ? STORY_INFERRED
							  : STORY_EXACT;
		tell(s, &i);
		return;
	}
	switch (kind) {
	case PIECE_ON:
		/* who spins is on a processor, and waits */
		if (c->state != TRACE_SPIN) {
			i.state = TRACE_RUNNING;
			i.other = 0;
		}
		break;
	case PIECE_PREEMPTED:
		i.state = TRACE_RUNNABLE;
		i.other = 0;
		story_note_recent(s, t, RECENT_RUNNABLE, begin_ns, end_ns, 0, 0);
		break;
	case PIECE_BLOCKED:
		if (c->state == TRACE_RUNNING || c->state == TRACE_UNKNOWN) {
			i.state = TRACE_UNKNOWN;
			i.certainty = STORY_UNKNOWN;
		} else if (c->woken_ns > begin_ns && c->woken_ns < end_ns) {
			i.end_ns = c->woken_ns;
			tell(s, &i);
			i.begin_ns = c->woken_ns;
			i.end_ns = end_ns;
			i.state = TRACE_RUNNABLE;
			i.certainty = STORY_INFERRED;
			i.other = c->waker;
			story_note_recent(s, t, RECENT_RUNNABLE, c->woken_ns, end_ns, 0, 0);
		}
		break;
	}
	tell(s, &i);
}

void story_advance(struct story *s, struct story_thread *t, uint64_t to_ns, const struct context *c)
{
	uint32_t done = 0;

	if (!t->is_alive || to_ns <= t->at_ns)
		return;
	for (uint32_t i = 0; i < t->pieces_n; i++) {
		uint64_t begin =
			t->pieces[i].begin_ns > t->at_ns ? t->pieces[i].begin_ns : t->at_ns;
		uint64_t end = i + 1 < t->pieces_n ? t->pieces[i + 1].begin_ns : to_ns;

		if (begin >= to_ns)
			break;
		if (end > to_ns)
			end = to_ns;
		done = i;
		if (t->pieces[i].kind == PIECE_ON && c->state != TRACE_RUNNING &&
		    begin < s->switches_ns && end > s->switches_ns) {
			tell_piece(s, t, begin, s->switches_ns, (enum piece_kind)t->pieces[i].kind,
				   c);
			begin = s->switches_ns;
		}
		if (end > begin)
			tell_piece(s, t, begin, end, (enum piece_kind)t->pieces[i].kind, c);
	}
	t->at_ns = to_ns;
	/* the last one goes on, unless the next begins just here */
	if (done + 1 < t->pieces_n && t->pieces[done + 1].begin_ns <= to_ns)
		done++;
	t->pieces_n -= done;
	memmove(t->pieces, t->pieces + done, t->pieces_n * sizeof(*t->pieces));
}

void story_switch(struct story *s, struct story_thread *t, uint64_t ns, enum piece_kind kind)
{
	struct piece *grown;
	struct context c;
	uint32_t room;

	if (!t->is_alive || ns < t->at_ns)
		ns = t->at_ns;
	if (t->pieces_n == PIECES_MAX) {
		/* a thread that is switched and switched, and does nothing that anybody sees */
		c = story_context(s, t);
		if (t->waits_n == 0 && !t->has_call)
			s->counts->pending_left++;
		story_advance(s, t, t->pieces[PIECES_MAX / 2].begin_ns, &c);
	}
	if (t->pieces_n == t->pieces_room) {
		room = t->pieces_room != 0 ? t->pieces_room * 2 : 8;
		grown = realloc(t->pieces, room * sizeof(*grown));
		if (grown == NULL) {
			story_fail(s, -ENOMEM);
			return;
		}
		t->pieces = grown;
		t->pieces_room = room;
	}
	if (t->pieces_n > 0 && t->pieces[t->pieces_n - 1].begin_ns >= ns) {
		ns = t->pieces[t->pieces_n - 1].begin_ns;
		t->pieces_n -= t->pieces_n > 1;
	}
	t->pieces[t->pieces_n++] = (struct piece){ns, (uint8_t)kind};
}

uint64_t story_ran_ns(const struct story *s, const struct story_thread *t, uint64_t begin_ns,
		      uint64_t ns)
{
	if (!s->has_switches)
		return ns;
	for (uint32_t i = t->pieces_n; i > 0; i--)
		if (t->pieces[i - 1].kind == PIECE_ON && t->pieces[i - 1].begin_ns <= ns)
			return t->pieces[i - 1].begin_ns > begin_ns ? t->pieces[i - 1].begin_ns
								    : begin_ns;
	return ns;
}

const char *story_state_name(unsigned state)
{
	static const char *const names[TRACE_STATES] = {
		[TRACE_UNKNOWN] = "unknown",   [TRACE_RUNNING] = "running",
		[TRACE_RUNNABLE] = "runnable", [TRACE_LOCK] = "lock",
		[TRACE_WAIT] = "wait",         [TRACE_SYSCALL] = "syscall",
		[TRACE_IDLE] = "idle",         [TRACE_SPIN] = "spin",
	};

	return state < TRACE_STATES ? names[state] : "unknown";
}

char story_state_letter(unsigned state)
{
	static const char letters[TRACE_STATES] = {
		[TRACE_UNKNOWN] = '?', [TRACE_RUNNING] = 'R', [TRACE_RUNNABLE] = 'r',
		[TRACE_LOCK] = 'L',    [TRACE_WAIT] = 'C',    [TRACE_SYSCALL] = 'S',
		[TRACE_IDLE] = 'Z',    [TRACE_SPIN] = 'X',
	};

	return state < TRACE_STATES ? letters[state] : '?';
}

const char *story_edge_name(unsigned kind)
{
	static const char *const names[STORY_EDGES] = {
		[EDGE_RELEASE] = "release", [EDGE_SIGNAL] = "signal", [EDGE_POST] = "post",
		[EDGE_BARRIER] = "barrier", [EDGE_ONCE] = "once",     [EDGE_EXIT] = "exit",
		[EDGE_CREATE] = "create",   [EDGE_FUTEX] = "futex",   [EDGE_PIPE] = "pipe",
		[EDGE_FLOW] = "flow",
	};

	return kind < STORY_EDGES ? names[kind] : "unknown";
}

const char *story_certainty_name(unsigned certainty)
{
	static const char *const names[] = {"exact", "inferred", "proportional", "unknown"};

	return certainty <= STORY_UNKNOWN ? names[certainty] : "unknown";
}
