#include "tracer/sync.h"

#include <errno.h>
#include <linux/futex.h>

#include "core/sites.h"

struct sync_settings sync_settings;

#define NO_PLACE UINT32_MAX

static uint64_t word_of(const struct trace_here *here)
{
	const struct trace_chunk *c = trace_chunk_of(here);

	return c != NULL ? atomic_load_explicit(&c->word, memory_order_relaxed) : CHUNK_CLOSED;
}

/* What it held was held in another trace, or is the parent's. */
static void begin_epoch(struct trace_here *here, struct trace_thread *thread, uint32_t epoch)
{
	uint32_t paused = here->sync.paused;

	memset(&here->sync, 0, sizeof(here->sync));
	here->sync.paused = paused;
	here->sync.epoch = epoch;
	memset(here->sync.is_slow, 1, sizeof(here->sync.is_slow)); /* until it is known */
	for (uint32_t i = 0; i < TRACE_HELD_MAX; i++)
		atomic_store_explicit(&thread->held[i].object, 0, memory_order_relaxed);
	atomic_store_explicit(&thread->held_n, 0, memory_order_relaxed);
}

/* The calling thread's, when there is something to record; it has a chunk then, if there is one. */
static struct trace_here *enter_for(bool is_event, struct segment **ret, uint64_t *ret_ticks)
{
	struct trace_here *here = &trace_here;
	struct thread *self = thread_self_block;
	struct segment *s = segment_live();
	struct trace_thread *thread;
	uint32_t epoch;

	if (s == NULL || !trace_is_on(TRACE_LEVEL_LOCKS) || here->sync.paused != 0 ||
	    (self != NULL &&
	     atomic_load_explicit(&self->record->flags, memory_order_relaxed) & THREAD_IS_OURS))
		return NULL;
	*ret = s;
	*ret_ticks = trace_ticks();
	if (trace_chunk_of(here) == NULL && here->writer == 0) /* else it is just being changed */
		trace_begin_thread();
	thread = trace_record_of(here);
	if (thread == NULL) {
		if (is_event)
			segment_count_lost(s, LOST_EVENTS, 1);
		return NULL;
	}
	epoch = atomic_load_explicit(&sync_settings.epoch, memory_order_relaxed);
	if (unlikely(here->sync.epoch != epoch))
		begin_epoch(here, thread, epoch);
	return here;
}

/* For an event: without a place for it it is lost. */
static struct trace_here *enter(struct segment **ret, uint64_t *ret_ticks)
{
	return enter_for(true, ret, ret_ticks);
}

/* ---- what a thread holds ---- */

static uint32_t place_of(const struct trace_here *here, const void *lock)
{
	for (uint32_t i = 0; i < TRACE_HELD_MAX; i++)
		if (SYNC_ADDRESS(here->sync.locks[i]) == (uintptr_t)lock)
			return i;
	return NO_PLACE;
}

/* As sync_taken(), at any place, and with what that leaves aside. */
static void hold(struct trace_here *here, const void *lock, uint32_t number, uint32_t mode,
		 uint8_t how, uint64_t ticks)
{
	struct trace_thread *thread = trace_record_of(here);
	uint32_t place = trace_cache_place(lock), i = 0;
	struct trace_held *held;

	if (thread == NULL)
		return;
	while (i < TRACE_HELD_MAX && SYNC_ADDRESS(here->sync.locks[i]) != 0)
		i++;
	if (i == TRACE_HELD_MAX) {
		atomic_fetch_add_explicit(&thread->held_more, 1, memory_order_relaxed);
		return;
	}
	held = &thread->held[i];
	here->sync.is_slow[SYNC_PLACE(here->sync.locks[i])] =
		ticks - held->since >= sync_settings.long_ticks;
	if (here->sync.is_slow[place])
		how |= SYNC_MEASURED;
	here->sync.locks[i] = SYNC_LOCK(lock, how, place);
	atomic_signal_fence(memory_order_seq_cst);
	held->since = ticks;
	held->written = word_of(here);
	sync_put_held(held, number, mode);
	if (atomic_load_explicit(&thread->held_n, memory_order_relaxed) <= i)
		atomic_store_explicit(&thread->held_n, i + 1, memory_order_relaxed);
}

/* The place in the cache stays, and what was special. */
static void let_go(struct trace_here *here, uint32_t i)
{
	struct trace_thread *thread = trace_record_of(here);

	if (thread == NULL)
		return;
	sync_put_held(&thread->held[i], 0, 0);
	atomic_signal_fence(memory_order_seq_cst);
	here->sync.locks[i] &= 0xffff;
}

SIGSAFE int sync_take(const void *lock, enum trace_object_kind kind, enum sync_mode mode)
{
	int saved = errno;
	struct trace_here *here;
	struct segment *s;
	uint32_t number;
	uint64_t ticks;

	here = enter_for(false, &s, &ticks);
	if (here != NULL) {
		number = trace_object(s, lock, kind);
		if (number != 0)
			hold(here, lock, number, mode, 0, ticks);
	}
	errno = saved;
	return 0;
}

SIGSAFE int sync_got(const void *lock, enum trace_object_kind kind, enum sync_mode mode)
{
	trace_here.sync.refused = 0;
	return sync_taken(lock, kind, mode);
}

SIGSAFE int sync_refused(const void *lock, enum trace_object_kind kind, enum sync_mode mode,
			 int result)
{
	struct trace_here *here;
	int saved = errno;
	struct segment *s;
	uint64_t ticks;

	/* who tries again and again has said so */
	if (trace_here.sync.refused == (uintptr_t)lock)
		return result;
	here = enter(&s, &ticks);
	if (here != NULL) {
		TRACE_WRITE(TRACE_LOCK_FAILED_EVENT, ticks, trace_object(s, lock, kind), mode,
			    (uint64_t)result);
		here->sync.refused = (uintptr_t)lock;
	}
	errno = saved;
	return result;
}

/* ---- releases ---- */

static uint32_t pair_of(uint32_t mode)
{
	return SYNC_PAIR(mode);
}

/* An event right behind the one that @held was taken after, unless somebody has written since. */
static bool write_pair(struct trace_here *here, const struct trace_held *held, uint32_t object,
		       uint32_t mode)
{
	uint8_t event[1 + 2 * TRACE_NUMBER_MAX], *end = event, *at;
	struct trace_chunk *c = trace_chunk_of(here);
	uint64_t word = held->written;
	uint32_t bytes;
	bool is_done = false;

	/* before the last event: a handler came between its stamp and held[] */
	if (c == NULL || here->writer != 0 || word & CHUNK_CLOSED ||
	    held->since < CHUNK_TICKS(word))
		return false;
	*end++ = (uint8_t)pair_of(mode);
	end = trace_encode(end, held->since - CHUNK_TICKS(word));
	end = trace_encode(end, object);
	bytes = (uint32_t)(end - event);
	if (CHUNK_USED(word) + bytes > c->room)
		return false;
	at = c->bytes + CHUNK_USED(word);
	here->writer = arch_stack_pointer();
	here->end = at + bytes;
	atomic_signal_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&c->word, memory_order_relaxed) == word) {
		memcpy(at, event, bytes);
		atomic_thread_fence(memory_order_release); /* pairs: the reader's load */
		is_done = arch_swap_here(&c->word, &word,
					 held->since << 16 | (CHUNK_USED(word) + bytes));
	}
	atomic_signal_fence(memory_order_seq_cst);
	here->writer = 0;
	if (unlikely(here->parked != NULL))
		trace_unpark(here);
	return is_done;
}

SIGSAFE bool sync_pairs(const void *lock)
{
	struct trace_here *here = &trace_here;
	struct trace_thread *thread = trace_record_of(here);
	uint32_t i = place_of(here, lock), object;
	struct trace_held *held;
	uint64_t what;

	if (i == NO_PLACE || thread == NULL || SYNC_HOW(here->sync.locks[i]) != 0 ||
	    !trace_is_on(TRACE_LEVEL_LOCKS))
		return false;
	held = &thread->held[i];
	what = sync_get_held(held);
	object = (uint32_t)what;
	if (object == 0 ||
	    atomic_load_explicit(&sync_settings.objects[object].waiters, memory_order_relaxed) != 0)
		return false;
	if (!write_pair(here, held, object, (uint32_t)(what >> 32)))
		return false;
	let_go(here, i);
	return true;
}

/* What is to be written of it, in @r. */
static void look_at_release(struct sync_release *r, const void *lock, enum trace_object_kind kind,
			    enum sync_mode mode)
{
	struct trace_here *here = &trace_here;
	int saved = errno;
	struct trace_thread *thread;
	struct trace_object *o;
	struct trace_held *held;
	struct segment *s;
	uint8_t how;

	r->event = 0;
	here = enter(&s, &r->ticks);
	if (here == NULL)
		goto out;
	r->held = r->order = 0;
	r->place = place_of(here, lock);
	r->mode = mode;
	thread = trace_record_of(here);
	held = r->place != NO_PLACE && thread != NULL ? &thread->held[r->place] : NULL;
	how = held != NULL ? SYNC_HOW(here->sync.locks[r->place]) : 0;
	r->object = held != NULL ? atomic_load_explicit(&held->object, memory_order_relaxed)
				 : trace_object(s, lock, kind);
	o = trace_object_at(s, r->object);
	if (o == NULL) {
		if (held != NULL)
			let_go(here, r->place);
		goto out;
	}
	r->waiters = atomic_load_explicit(&o->waiters, memory_order_relaxed);
	if (held != NULL) {
		r->held = r->ticks - held->since;
		r->mode = held->mode;
	}
	if (held == NULL || r->waiters != 0 || how & SYNC_WAITED) {
		r->event = TRACE_LOCK_RELEASED_EVENT;
		r->order = trace_object_next(o, r->mode == SYNC_EXCLUSIVE);
	} else if (how == 0 && held->written == word_of(here)) {
		r->event = pair_of(held->mode);
		r->ticks = held->since;
	} else {
		r->event = TRACE_LOCK_HELD_EVENT;
	}
out:
	errno = saved;
}

SIGSAFE void sync_released(const struct sync_release *r, uintptr_t callee)
{
	struct trace_here *here = &trace_here;
	int saved = errno;
	uint32_t stack = 0;

	if (r->event == 0 || here->thread == NULL)
		return;
	if (r->place != NO_PLACE)
		let_go(here, r->place);
	switch (r->event) {
	case TRACE_LOCK_RELEASED_EVENT:
		if (r->waiters != 0 && r->held >= sync_settings.stack_ticks)
			stack = trace_stack(callee);
		TRACE_WRITE(TRACE_LOCK_RELEASED_EVENT, r->ticks, r->object, r->mode, r->order,
			    r->held, r->waiters, stack);
		break;
	case TRACE_LOCK_HELD_EVENT:
		TRACE_WRITE(TRACE_LOCK_HELD_EVENT, r->ticks, r->object, r->mode, r->held);
		break;
	default:
		TRACE_WRITE(r->event, r->ticks, r->object);
		break;
	}
	errno = saved;
}

SIGSAFE void sync_releases(struct sync_release *r, const void *lock, enum trace_object_kind kind,
			   enum sync_mode mode, uintptr_t callee)
{
	look_at_release(r, lock, kind, mode);
	/* who holds it will have released it: before what the release itself writes, such as the call that wakes somebody */
	if (r->event != 0 && r->place != NO_PLACE) {
		sync_released(r, callee);
		r->event = 0;
	}
}

/* ---- waits ---- */

static enum trace_object_kind kind_of(unsigned code)
{
	switch (code) {
	case WAIT_LOCK:
		return TRACE_OBJECT_MUTEX;
	case WAIT_RWLOCK:
		return TRACE_OBJECT_RWLOCK;
	case WAIT_SPIN:
		return TRACE_OBJECT_SPIN;
	case WAIT_COND:
		return TRACE_OBJECT_COND;
	case WAIT_SEM:
		return TRACE_OBJECT_SEM;
	case WAIT_BARRIER:
		return TRACE_OBJECT_BARRIER;
	case WAIT_ONCE:
		return TRACE_OBJECT_ONCE;
	default:
		return TRACE_OBJECT_FUTEX;
	}
}

static bool is_for_lock(unsigned code)
{
	return code == WAIT_LOCK || code == WAIT_RWLOCK || code == WAIT_SPIN;
}

#define SHORT_WAITS 4 /* after so many in a row nobody walks for them */

/* The trace's number of the thread with @tid; 0: it has none. */
static uint32_t number_of(const struct segment *s, int tid)
{
	struct thread *t = tid > 0 ? thread_find(s, tid) : NULL;
	const struct trace_thread *all = segment_part(s, SEGMENT_TRACE_THREADS, 0);

	/* a stride of its own */
	return t != NULL && t->index < segment_count(s, SEGMENT_TRACE_THREADS, 0)
		       ? atomic_load_explicit(
				 &((const struct trace_thread *)((const uint8_t *)all +
								 (size_t)t->index *
									 TRACE_THREAD_STRIDE))
					  ->thread,
				 memory_order_relaxed)
		       : 0;
}

/* The mutex of a condition is let go of inside the call. */
static void release_for_cond(const void *mutex)
{
	struct sync_release r;

	look_at_release(&r, mutex, TRACE_OBJECT_MUTEX, SYNC_EXCLUSIVE);
	if (r.event == TRACE_LOCK_PAIR_EVENT) {
		/* how long it was is known: until now */
		r.event = TRACE_LOCK_HELD_EVENT;
		r.ticks += r.held;
	}
	sync_released(&r, 0);
}

static void write_begin(struct segment *s, struct trace_here *here, struct wait *w,
			struct trace_object *o, uint64_t ticks)
{
	uint32_t number = w->traced.object, stack = 0;
	bool is_short = is_for_lock(w->code) && here->sync.short_waits >= SHORT_WAITS;

	if (!is_short)
		stack = trace_stack(w->place.callee);
	switch (w->code) {
	case WAIT_LOCK:
	case WAIT_RWLOCK:
	case WAIT_SPIN:
		TRACE_WRITE(TRACE_LOCK_WAIT_EVENT, ticks, number, w->with[0],
			    number_of(s, (int)w->with[1]), stack);
		break;
	case WAIT_COND: {
		/* after the mutex, at the same time */
		uint32_t mutex = w->with[0] != 0 ? trace_object(s, (const void *)w->with[0],
								TRACE_OBJECT_MUTEX)
						 : 0;

		TRACE_WRITE(TRACE_COND_WAIT_EVENT, ticks, number, mutex, w->with[1], stack);
		break;
	}
	case WAIT_SEM:
		TRACE_WRITE(TRACE_SEM_WAIT_EVENT, ticks, number, stack);
		break;
	case WAIT_BARRIER: {
		uint64_t none = 0;

		/* those who came before anybody looked */
		if (o != NULL) {
			if (w->with[1] != 0 &&
			    atomic_load_explicit(&o->order, memory_order_relaxed) == 0)
				atomic_compare_exchange_strong_explicit(
					&o->order, &none, w->with[1], memory_order_relaxed,
					memory_order_relaxed);
			w->traced.order = trace_object_next(o, false);
		}
		TRACE_WRITE(TRACE_BARRIER_WAIT_EVENT, ticks, number, w->traced.order, stack);
		break;
	}
	case WAIT_JOIN:
		TRACE_WRITE(TRACE_JOIN_BEGIN_EVENT, ticks, w->with[0], stack);
		break;
	case WAIT_ONCE:
		TRACE_WRITE(TRACE_ONCE_BEGIN_EVENT, ticks, number, stack);
		break;
	default:
		TRACE_WRITE(TRACE_FUTEX_WAIT_EVENT, ticks, number, w->with[0], w->with[1], stack);
		break;
	}
}

/* One that nobody returned from. */
static void write_left(const struct trace_sync_wait *left, uint64_t ticks)
{
	uint64_t number = left->object;

	switch (left->code) {
	case WAIT_LOCK:
	case WAIT_RWLOCK:
	case WAIT_SPIN:
		TRACE_WRITE(TRACE_LOCK_FAILED_EVENT, ticks, number, 0, ECANCELED);
		break;
	case WAIT_COND:
		TRACE_WRITE(TRACE_COND_END_EVENT, ticks, number, ECANCELED, 0);
		break;
	case WAIT_SEM:
		TRACE_WRITE(TRACE_SEM_END_EVENT, ticks, number, ECANCELED, 0);
		break;
	case WAIT_BARRIER:
		TRACE_WRITE(TRACE_BARRIER_END_EVENT, ticks, number, 0, 0);
		break;
	case WAIT_JOIN:
		TRACE_WRITE(TRACE_JOIN_END_EVENT, ticks, ECANCELED);
		break;
	case WAIT_ONCE:
		TRACE_WRITE(TRACE_ONCE_END_EVENT, ticks, number, 0);
		break;
	default:
		TRACE_WRITE(TRACE_FUTEX_END_EVENT, ticks, number, ECANCELED);
		break;
	}
}

static void count_waiter(struct trace_object *o, int by)
{
	/* seq_cst: a waiter is seen by who releases the lock after the wait's beginning */
	if (o != NULL)
		atomic_fetch_add_explicit(&o->waiters, (uint32_t)by, memory_order_seq_cst);
}

static void leave_last(struct segment *s, struct trace_sync *sync, uint64_t ticks)
{
	struct trace_sync_wait left = sync->waits[--sync->waits_n];

	count_waiter(trace_object_at(s, left.object), -1);
	write_left(&left, ticks);
}

/* Those further down the stack than @now were left by a longjmp() that nobody told of. */
static void leave_lost(struct segment *s, struct trace_sync *sync, const void *now, uint64_t ticks)
{
	const struct thread *self = thread_self_block;

	while (sync->waits_n > 0 && self != NULL) {
		uintptr_t last = (uintptr_t)sync->waits[sync->waits_n - 1].wait;

		if (last < self->stack_low || last >= (uintptr_t)now ||
		    (uintptr_t)now >= self->stack_high)
			break;
		leave_last(s, sync, ticks);
	}
}

static void on_wait(struct wait *w)
{
	int saved = errno;
	struct trace_here *here;
	struct trace_object *o = NULL;
	struct segment *s;
	uint64_t ticks;

	here = enter(&s, &ticks);
	if (here == NULL)
		goto out;
	if (unlikely(here->sync.waits_n > 0))
		leave_lost(s, &here->sync, w, ticks);
	w->traced = (struct wait_traced){.is_open = true, .begun = ticks};
	if (w->object != NULL) {
		w->traced.object = trace_object(s, w->object, kind_of(w->code));
		o = trace_object_at(s, w->traced.object);
	}
	count_waiter(o, 1);
	if (o != NULL) /* after: releases from here on see it */
		w->traced.order = atomic_load_explicit(&o->order, memory_order_seq_cst);
	if (here->sync.waits_n < TRACE_WAITS) {
		here->sync.waits[here->sync.waits_n] =
			(struct trace_sync_wait){w->code, w, w->traced.object};
		w->traced.is_listed = true;
		atomic_signal_fence(memory_order_release);
		here->sync.waits_n++;
	}
	if (w->code == WAIT_COND && w->with[0] != 0)
		release_for_cond((const void *)w->with[0]);
	write_begin(s, here, w, o, ticks);
out:
	errno = saved;
}

static void write_taken(struct segment *s, struct trace_here *here, const struct wait *w,
			struct trace_object *o, uint64_t ticks)
{
	uint64_t order = 0, waited = ticks - w->traced.begun;
	bool is_alone = w->with[0] == SYNC_EXCLUSIVE;

	if (o != NULL) {
		order = trace_object_next(o, is_alone);
		/* nobody wrote a number since: who had it before did not see us */
		if (order == w->traced.order + 1)
			order = trace_object_next(o, is_alone);
	}
	here->sync.short_waits =
		waited >= sync_settings.stack_ticks ? 0 : here->sync.short_waits + 1;
	TRACE_WRITE(TRACE_LOCK_ACQUIRED_EVENT, ticks, w->traced.object, w->with[0], order, waited);
	if (o != NULL)
		hold(here, w->object, w->traced.object, (uint32_t)w->with[0], SYNC_WAITED, ticks);
}

static uint64_t next_of(struct trace_object *o)
{
	return o != NULL ? trace_object_next(o, false) : 0;
}

static void on_wait_over(struct wait *w)
{
	struct trace_here *here = &trace_here;
	struct segment *s = segment_live();
	uint64_t number = w->traced.object, ticks,
		 error = (uint64_t)(w->result > 0 ? w->result : 0);
	int saved = errno;
	struct trace_object *o;

	w->traced.is_open = false;
	/* a child of fork, made in a handler: this is its parent's. Stopped meanwhile: the wait stays open. */
	if (s == NULL || here->thread == NULL)
		goto out;
	o = trace_object_at(s, w->traced.object);
	for (uint32_t i = 0; i < here->sync.waits_n; i++) {
		if (here->sync.waits[i].wait != w)
			continue;
		here->sync.waits_n = i;
		w->traced.is_listed = false;
	}
	/* else a handler's longjmp() that stayed in the handler was taken for one out of it */
	if (!w->traced.is_listed)
		count_waiter(o, -1);
	if (!trace_is_on(TRACE_LEVEL_LOCKS))
		goto out;
	ticks = trace_ticks();
	switch (w->code) {
	case WAIT_LOCK:
	case WAIT_RWLOCK:
	case WAIT_SPIN:
		if (w->result == 0 || w->result == EOWNERDEAD)
			write_taken(s, here, w, o, ticks);
		else
			TRACE_WRITE(TRACE_LOCK_FAILED_EVENT, ticks, number, w->with[0], error);
		break;
	case WAIT_COND:
		TRACE_WRITE(TRACE_COND_END_EVENT, ticks, number, error, next_of(o));
		if (w->with[0] != 0) {
			const void *mutex = (const void *)w->with[0];
			uint32_t taken = trace_object(s, mutex, TRACE_OBJECT_MUTEX);

			if (taken != 0)
				hold(here, mutex, taken, SYNC_EXCLUSIVE, 0, ticks);
		}
		break;
	case WAIT_SEM:
		TRACE_WRITE(TRACE_SEM_END_EVENT, ticks, number, error, error == 0 ? next_of(o) : 0);
		break;
	case WAIT_BARRIER:
		TRACE_WRITE(TRACE_BARRIER_END_EVENT, ticks, number, w->result < 0,
			    w->with[0] != 0 ? (w->traced.order + w->with[0] - 1) / w->with[0] : 0);
		break;
	case WAIT_JOIN:
		TRACE_WRITE(TRACE_JOIN_END_EVENT, ticks, error);
		break;
	case WAIT_ONCE:
		TRACE_WRITE(TRACE_ONCE_END_EVENT, ticks, number, w->with[0]);
		break;
	default:
		TRACE_WRITE(TRACE_FUTEX_END_EVENT, ticks, number, error);
		break;
	}
out:
	errno = saved;
}

SIGSAFE void sync_runs_once(const struct wait *w)
{
	int saved = errno;

	if (w->traced.is_open && segment_live() != NULL && trace_here.thread != NULL &&
	    trace_is_on(TRACE_LEVEL_LOCKS))
		TRACE_WRITE(TRACE_ONCE_RUN_EVENT, trace_ticks(), w->traced.object);
	errno = saved;
}

static void on_leave(void)
{
	struct trace_here *here = &trace_here;
	struct segment *s = segment_live();
	int saved = errno;

	if (s == NULL || here->thread == NULL)
		return;
	while (here->sync.waits_n > 0)
		leave_last(s, &here->sync, trace_ticks());
	errno = saved;
}

/* ---- all else ---- */

/* Of who makes others go on: only where somebody waits. */
static uint32_t stack_for(const struct trace_object *o, uintptr_t callee)
{
	return o != NULL && atomic_load_explicit(&o->waiters, memory_order_relaxed) != 0
		       ? trace_stack(callee)
		       : 0;
}

SIGSAFE void sync_signals(const void *cond, bool is_broadcast, uintptr_t callee)
{
	int saved = errno;
	struct trace_here *here;
	struct trace_object *o;
	struct segment *s;
	uint32_t number, stack;
	uint64_t ticks;

	here = enter(&s, &ticks);
	if (here == NULL)
		goto out;
	number = trace_object(s, cond, TRACE_OBJECT_COND);
	o = trace_object_at(s, number);
	stack = stack_for(o, callee);
	TRACE_WRITE(TRACE_COND_SIGNAL_EVENT, ticks, number, is_broadcast, next_of(o), stack);
out:
	errno = saved;
}

SIGSAFE void sync_posts(const void *sem, uintptr_t callee)
{
	int saved = errno;
	struct trace_here *here;
	struct trace_object *o;
	struct segment *s;
	uint32_t number, stack;
	uint64_t ticks;

	here = enter(&s, &ticks);
	if (here == NULL)
		goto out;
	number = trace_object(s, sem, TRACE_OBJECT_SEM);
	o = trace_object_at(s, number);
	stack = stack_for(o, callee);
	TRACE_WRITE(TRACE_SEM_POST_EVENT, ticks, number, next_of(o), stack);
out:
	errno = saved;
}

SIGSAFE void sync_got_token(const void *sem)
{
	int saved = errno;
	struct trace_here *here;
	struct segment *s;
	uint32_t number;
	uint64_t ticks;

	here = enter(&s, &ticks);
	if (here != NULL) {
		number = trace_object(s, sem, TRACE_OBJECT_SEM);
		TRACE_WRITE(TRACE_SEM_END_EVENT, ticks, number, 0,
			    next_of(trace_object_at(s, number)));
	}
	errno = saved;
}

SIGSAFE uint64_t sync_stamp(void)
{
	return trace_is_on(TRACE_LEVEL_LOCKS) ? trace_ticks() : 0;
}

SIGSAFE void sync_woke(uint64_t stamp, const void *word, unsigned operation, unsigned asked,
		       long result, uintptr_t callee)
{
	int saved = errno;
	uint32_t stack = 0;
	struct trace_here *here;
	struct segment *s;
	uint64_t ticks;

	here = enter(&s, &ticks);
	if (here == NULL || stamp == 0)
		goto out;
	if (result > 0)
		stack = trace_stack(callee);
	TRACE_WRITE(TRACE_FUTEX_WAKE_EVENT, stamp, trace_object(s, word, TRACE_OBJECT_FUTEX),
		    operation, asked, trace_zigzag(result < 0 ? -saved : result), stack);
out:
	errno = saved;
}

/* As sites_sig.c: a table that may forget, of two words that are not written at once. */
#define THREADS 4096u
static struct {
	_Atomic uint64_t both, number;
} threads[THREADS];

static uint32_t place_of_thread(uint64_t pthread)
{
	return (uint32_t)((pthread >> 6) * UINT32_C(0x9e3779b1)) >> 20;
}
_Static_assert(THREADS == 1u << (32 - 20), "place_of_thread() is below it");

SIGSAFE void sync_thread_is(uintptr_t pthread, uint32_t number)
{
	uint32_t i = place_of_thread(pthread);

	atomic_store_explicit(&threads[i].both, pthread ^ number, memory_order_relaxed);
	atomic_store_explicit(&threads[i].number, number, memory_order_relaxed);
}

SIGSAFE uint32_t sync_thread(uintptr_t pthread)
{
	uint32_t i = place_of_thread(pthread);
	uint64_t number = atomic_load_explicit(&threads[i].number, memory_order_relaxed);

	return (atomic_load_explicit(&threads[i].both, memory_order_relaxed) ^ number) == pthread
		       ? (uint32_t)number
		       : 0;
}

SIGSAFE void sync_joined(uint32_t thread)
{
	int saved = errno;
	struct segment *s;
	uint64_t ticks;

	if (enter(&s, &ticks) != NULL) {
		TRACE_WRITE(TRACE_JOIN_BEGIN_EVENT, ticks, thread, 0);
		TRACE_WRITE(TRACE_JOIN_END_EVENT, ticks, 0);
	}
	errno = saved;
}

SIGSAFE void sync_detaches(uint32_t thread)
{
	int saved = errno;
	struct segment *s;
	uint64_t ticks;

	if (enter(&s, &ticks) != NULL)
		TRACE_WRITE(TRACE_THREAD_DETACH_EVENT, ticks, thread);
	errno = saved;
}

SIGSAFE void sync_gone(const void *object)
{
	int saved = errno;
	struct trace_here *here;
	struct segment *s;
	uint32_t number, place;
	uint64_t ticks;

	here = enter(&s, &ticks);
	if (here == NULL)
		goto out;
	/* one that the caller still holds is let go of with it */
	while ((place = place_of(here, object)) != NO_PLACE)
		let_go(here, place);
	number = trace_object_gone(s, object);
	if (number != 0)
		TRACE_WRITE(TRACE_OBJECT_DESTROY_EVENT, ticks, number);
out:
	errno = saved;
}

SIGSAFE void sync_made(const void *object, uintptr_t pc)
{
	sites_put(object, pc);
	sync_gone(object);
}

SIGSAFE void sync_trace_waits(void)
{
	wait_tracer = (struct wait_tracer){on_wait, on_wait_over, on_leave};
}
