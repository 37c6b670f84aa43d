#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>

#include "core/clock.h"
#include "core/labels.h"
#include "core/modules.h"
#include "core/random.h"
#include "core/sites.h"
#include "core/table.h"
#include "core/walk.h"
#include "profiles/mutex/contention_private.h"

struct contention_settings contention_settings;

static __thread uint64_t random_state __attribute__((tls_model("initial-exec")));
static __thread unsigned paused __attribute__((tls_model("initial-exec")));

static uint64_t draw(void)
{
	if (unlikely(random_state == 0))
		random_state = random_seed(contention_settings.seed +
					   atomic_fetch_add_explicit(&contention_settings.threads,
								     1, memory_order_relaxed));
	return random_next(&random_state);
}

/* True in @part of @whole cases. */
static bool is_drawn(uint64_t part, uint64_t whole)
{
	return draw() % whole < part;
}

SIGSAFE void contention_weigh(uint64_t ns, uint64_t ret_values[BLOCK_COLUMNS])
{
	uint64_t rate = contention_settings.block_ns;

	ret_values[0] = 0;
	ret_values[1] = ns;
	if (ns >= rate) {
		ret_values[0] = 1;
	} else if (contention_settings.block_is_rate && ns > 0 && is_drawn(ns, rate)) {
		ret_values[0] = rate / ns + is_drawn(rate % ns, ns);
		ret_values[1] = rate;
	}
}

/* What the calling thread does is not the host's doing. */
static bool is_own_work(const struct thread *self)
{
	return paused != 0 ||
	       (self != NULL &&
		atomic_load_explicit(&self->record->flags, memory_order_relaxed) & THREAD_IS_OURS);
}

/* The calling thread's block, also when nobody has told it so yet. */
static struct thread *find_self(struct segment *s)
{
	struct thread *self = thread_self_block;

	return self != NULL ? self : thread_find(s, (int)sys1(SYS_gettid, 0));
}

/* ---- labels ---- */

static const char *kind_of(unsigned code)
{
	switch (code) {
	case WAIT_LOCK:
	case WAIT_SPIN:
		return "mutex";
	case WAIT_RWLOCK:
		return "rwlock";
	case WAIT_COND:
		return "cond";
	case WAIT_SEM:
		return "sem";
	case WAIT_BARRIER:
		return "barrier";
	case WAIT_JOIN:
		return "join";
	case WAIT_ONCE:
		return "once";
	case WAIT_FUTEX:
	case WAIT_FUTEX_LOCK:
		return "futex";
	default:
		return "io";
	}
}

static bool is_in_file(const struct segment *s, uintptr_t address)
{
	const struct segment_module *modules = segment_part(s, SEGMENT_MODULES, 0);
	uint32_t high = atomic_load_explicit(&s->header->modules_high, memory_order_acquire);

	for (uint32_t i = 0; i < high && i < segment_count(s, SEGMENT_MODULES, 0); i++)
		if (address >= modules[i].image_start && address < modules[i].image_end &&
		    atomic_load_explicit(&modules[i].state, memory_order_acquire) == MODULE_LOADED)
			return true;
	return false;
}

#define LOCK_TEXT_SIZE 24

/* "data:0x404060", a place in a file, or "init:0x401156", where it was made; NULL. Readers know the name. */
static const char *lock_text(struct segment *s, const void *lock, char text[LOCK_TEXT_SIZE])
{
	uintptr_t address = (uintptr_t)lock;
	char digits[16];
	int n = 0, at = 7;

	if (lock == NULL ||
	    /* a program of ten thousand locks: names must not take all room for labels */
	    atomic_load_explicit(&s->header->label_sets_used, memory_order_relaxed) >
		    segment_count(s, SEGMENT_LABEL_SETS, 0) / 2)
		return NULL;
	if (is_in_file(s, address)) {
		memcpy(text, "data:0x", 7);
	} else {
		address = sites_find(lock);
		if (address == 0)
			return NULL;
		memcpy(text, "init:0x", 7);
	}
	for (; address != 0; address >>= 4)
		digits[n++] = "0123456789abcdef"[address & 15];
	while (n > 0)
		text[at++] = digits[--n];
	text[at] = '\0';
	return text;
}

static uint32_t labels_of(struct segment *s, const struct thread *self, unsigned code,
			  const void *lock, bool is_idle)
{
	uint32_t base = self != NULL
				? atomic_load_explicit(&self->record->labels, memory_order_relaxed)
				: 0;
	char text[LOCK_TEXT_SIZE];
	const char *name = lock_text(s, lock, text);
	const char *pairs[6] = {"kind", kind_of(code)};
	unsigned n = 1;

	if (name != NULL) {
		pairs[2 * n] = "lock";
		pairs[2 * n++ + 1] = name;
	}
	if (is_idle) {
		pairs[2 * n] = "idle";
		pairs[2 * n++ + 1] = "yes";
	}
	return labels_overlay(s, base, pairs, n);
}

/* ---- idle waits ---- */

#define IDLE_WAITS  3 /* fewer say nothing yet */
#define IDLE_FRAMES 4

/* Innermost frames of the program itself: a runtime that is linked in waits at one place for all. */
static uint64_t site_of(const struct segment *s, const struct walk_host *stack)
{
	uint64_t site = 0;
	unsigned n = 0;

	for (uint32_t i = 0; i < stack->depth && n < IDLE_FRAMES; i++) {
		const struct segment_module *m = segment_frame_module(s, stack->frames[i]);

		if (m != NULL && (m->is_runtime || m->is_ours))
			continue;
		site = (site ^ stack->frames[i]) * UINT64_C(0x9e3779b97f4a7c15);
		n++;
	}
	return site;
}

/*
 * A thread that waits at the same place most of the time, and is ended there by another, waits for work: a pool's, say. By
 * the majority vote of Boyer and Moore, in two words for each thread.
 */
static bool is_idle_wait(const struct segment *s, struct thread *self, const struct wait *w,
			 const struct walk_host *stack)
{
	uint64_t site;

	if (self == NULL || (w->code != WAIT_COND && w->code != WAIT_SEM && w->code != WAIT_FUTEX &&
			     w->code < WAIT_SYSCALL))
		return false;
	site = site_of(s, stack);
	self->idle_waits += self->idle_waits < IDLE_WAITS;
	if (self->idle_votes == 0)
		self->idle_site = site;
	if (self->idle_site == site)
		self->idle_votes += self->idle_votes < 1000; /* a change of mind in finite time */
	else
		self->idle_votes--;
	return w->result == 0 && self->idle_waits >= IDLE_WAITS && self->idle_site == site &&
	       self->idle_votes > 0;
}

/* ---- block ---- */

static bool is_for_lock(unsigned code)
{
	return wait_concern(code) & WAIT_COUNTED;
}

/*
 * Before a wait for a lock, so that it does not have to be done with the lock. In vain when the wait is too short to be kept:
 * after some of those it is done when there comes a long one.
 */
#define SHORT_WAITS 4

static void prepare(struct segment *s, struct thread *self, struct wait *w)
{
	struct wait_kept *kept = &w->kept;
	struct walk_host stack;
	struct table_row row;
	struct thread *t;

	if (!walk_has_room(self))
		return;
	t = thread_begin(s);
	if (t == NULL)
		return;
	stack = walk_host(s, t, w->place.callee, 0);
	kept->labels = labels_of(s, self, w->code, w->object, false);
	row = table_record(s, SEGMENT_NO_TABLE, stack.frames, stack.depth, kept->labels, NULL);
	walk_host_done(&stack);
	kept->stack = row.stack;
	kept->generation = row.generation;
	kept->serial = atomic_load_explicit(&s->header->generations[row.generation].serial,
					    memory_order_relaxed);
	thread_done(s, t);
}

/* False: its stack has been given up meanwhile. Inside the guard, which holds on to the generation that is written. */
static bool add_prepared(struct segment *s, const struct wait_kept *kept, const uint64_t *values)
{
	return kept->stack != 0 &&
	       atomic_load_explicit(&s->header->generation, memory_order_relaxed) ==
		       kept->generation &&
	       atomic_load_explicit(&s->header->generations[kept->generation].serial,
				    memory_order_relaxed) == kept->serial &&
	       table_add(s, SEGMENT_TABLE_BLOCK, kept->generation, kept->stack, kept->labels,
			 values);
}

static void keep_wait(struct segment *s, struct thread *self, const struct wait *w,
		      const uint64_t *values)
{
	struct walk_host stack;
	struct thread *t;

	t = walk_has_room(self) ? thread_begin(s) : NULL;
	if (t == NULL) {
		segment_count_lost(s, LOST_WAITS, values[0]);
		return;
	}
	if (!add_prepared(s, &w->kept, values)) {
		stack = walk_host(s, t, w->place.callee, 0);
		table_record(
			s, SEGMENT_TABLE_BLOCK, stack.frames, stack.depth,
			labels_of(s, self, w->code, w->object, is_idle_wait(s, self, w, &stack)),
			values);
		walk_host_done(&stack);
	}
	thread_done(s, t);
}

/* ---- mutex ---- */

/*
 * @pc: where the stack begins, of a call that is left: below it is whoever leaves it. 0: where we are called.
 */
static void record_release(const void *lock, uint64_t ns, unsigned code, uintptr_t callee,
			   uintptr_t pc)
{
	uint64_t n = contention_settings.mutex_n;
	uint64_t values[MUTEX_COLUMNS] = {n, ns * n};
	struct segment *s = segment_live();
	struct thread *self, *t;
	struct walk_host stack;
	int saved = errno;

	if (s == NULL || is_own_work(thread_self_block) || !wait_is_wanted(WAIT_COUNTED) ||
	    !is_drawn(1, n))
		return;
	self = find_self(s);
	t = walk_has_room(self) ? thread_begin(s) : NULL;
	if (t == NULL) {
		segment_count_lost(s, LOST_RELEASES, n);
		goto out;
	}
	stack = walk_host(s, t, callee, pc);
	table_record(s, SEGMENT_TABLE_MUTEX, stack.frames, stack.depth,
		     labels_of(s, self, code, lock, false), values);
	walk_host_done(&stack);
	thread_done(s, t);
out:
	errno = saved;
}

SIGSAFE unsigned contention_releases(const void *lock)
{
	return waiters_mark(lock);
}

SIGSAFE void contention_kept(const void *lock, unsigned marked)
{
	waiters_unmark(lock, marked);
}

SIGSAFE void contention_released(const void *lock, unsigned marked, unsigned code, uintptr_t callee)
{
	uint64_t ns = waiters_charge(lock, marked, clock_monotonic());

	if (ns != 0)
		record_release(lock, ns, code, callee, 0);
}

/* True for those further down the stack than @sp, which were left by a longjmp() that nobody told of. */
static bool is_below(const struct thread *self, const void *frame, uintptr_t sp)
{
	return (uintptr_t)frame >= self->stack_low && (uintptr_t)frame < sp &&
	       sp < self->stack_high;
}

SIGSAFE void contention_charge(struct contention_charge *charge, const void *lock, unsigned code,
			       struct wait_place place)
{
	struct segment *s = segment_live();
	struct thread *self;

	if (s == NULL)
		return;
	charge->thread = NULL;
	charge->process = contention_settings.process;
	charge->of = (struct thread_charge){
		.call = charge,
		.lock = lock,
		.ns = waiters_charge(lock, 0, clock_monotonic()),
		.pc = place.pc - 1,
		.callee = place.callee,
		.code = code,
	};
	self = find_self(s);
	if (charge->of.ns == 0 || self == NULL)
		return;
	while (self->charges_n > 0 &&
	       is_below(self, self->charges[self->charges_n - 1].call, (uintptr_t)charge)) {
		self->charges_n--;
		segment_count_lost(s, LOST_RELEASES, 1);
	}
	if (self->charges_n == THREAD_LOCK_WAITS)
		return;
	charge->thread = self;
	self->charges[self->charges_n] = charge->of;
	atomic_signal_fence(memory_order_release);
	self->charges_n++;
}

/* False when it has been recorded: a handler's longjmp() that stayed in the handler was taken for one out of the call. */
static bool take_charge(struct thread *self, const void *call)
{
	for (uint32_t i = self->charges_n; i-- > 0;) {
		if (self->charges[i].call != call)
			continue;
		self->charges_n = i;
		return true;
	}
	return false;
}

SIGSAFE void contention_charged(struct contention_charge *charge, bool is_released)
{
	/* a child of fork, made in a handler: this is its parent's */
	if (charge->process != contention_settings.process ||
	    (charge->thread != NULL && !take_charge(charge->thread, charge)))
		return;
	if (is_released)
		record_release(charge->of.lock, charge->of.ns, charge->of.code, charge->of.callee,
			       0);
	else
		waiters_give_back(charge->of.lock, charge->of.ns);
}

/* ---- the keeper of waits ---- */

/* The wait is remembered in the thread's block, for its frame may be left without it being over. */
static void enter(struct segment *s, struct thread *self, struct wait *w)
{
	struct waiters *waiters = NULL;

	if (self == NULL || self->lock_waits_n < THREAD_LOCK_WAITS)
		waiters = waiters_enter(w->object, w->begun_ns);
	if (waiters == NULL) {
		segment_count_lost(s, LOST_RELEASES, 1);
		return;
	}
	w->kept.waiters = waiters;
	if (self != NULL) {
		self->lock_waits[self->lock_waits_n] =
			(struct thread_lock_wait){w, waiters, w->begun_ns};
		atomic_signal_fence(memory_order_release);
		self->lock_waits_n++;
	}
}

static void leave_lost(struct thread *self, uint64_t now, uintptr_t sp)
{
	while (self->lock_waits_n > 0) {
		struct thread_lock_wait *last = &self->lock_waits[self->lock_waits_n - 1];

		if (!is_below(self, last->wait, sp))
			break;
		self->lock_waits_n--;
		waiters_leave(last->waiters, last->begun_ns, now, WAITERS_GAVE_UP);
	}
}

SIGSAFE void contention_on_wait(struct wait *w)
{
	uint32_t on = atomic_load_explicit(&wait_is_on, memory_order_relaxed);
	struct segment *s = segment_live();
	int saved = errno;
	struct thread *self;

	if (s == NULL || is_own_work(thread_self_block))
		return;
	w->kept = (struct wait_kept){.process = contention_settings.process};
	w->begun_ns = clock_monotonic();
	if (!is_for_lock(w->code))
		goto out;
	self = find_self(s);
	if (self != NULL && unlikely(self->lock_waits_n > 0))
		leave_lost(self, w->begun_ns, (uintptr_t)w);
	if (on & WAIT_COUNTED)
		enter(s, self, w);
	if ((on & WAIT_TIMED) && (self == NULL || self->short_waits < SHORT_WAITS))
		prepare(s, self, w);
out:
	errno = saved;
}

SIGSAFE void contention_on_leave(struct thread *t)
{
	uint64_t now = clock_monotonic();

	while (t->lock_waits_n > 0) {
		struct thread_lock_wait *last = &t->lock_waits[--t->lock_waits_n];

		waiters_leave(last->waiters, last->begun_ns, now, WAITERS_GAVE_UP);
	}
	/* the release has been, or is about to be done by whoever leaves; its frame is still there */
	while (t->charges_n > 0) {
		struct thread_charge of = t->charges[--t->charges_n];

		record_release(of.lock, of.ns, of.code, of.callee, of.pc);
	}
}

/* A call that failed for another reason than time or a signal did not wait. */
static bool has_waited(const struct wait *w)
{
	switch (w->result) {
	case 0:
	case ETIMEDOUT:
	case EINTR:
	case EOWNERDEAD:
	case ENOTRECOVERABLE:
		return true;
	default:
		return w->code >= WAIT_SYSCALL; /* a file's may */
	}
}

/* Of glibc's locks; whoever asks has it. */
#define MUTEX_IS_SHARED 128

static bool is_shared(const struct wait *w)
{
	if (w->code == WAIT_LOCK)
		return ((const pthread_mutex_t *)w->object)->__data.__kind & MUTEX_IS_SHARED;
	return w->code == WAIT_RWLOCK &&
	       ((const pthread_rwlock_t *)w->object)->__data.__shared != 0;
}

static enum waiters_end end_of(const struct wait *w)
{
	if (w->result == 0 || w->result == EOWNERDEAD)
		return is_shared(w) ? WAITERS_GOT_SHARED : WAITERS_GOT_IT;
	return has_waited(w) ? WAITERS_GAVE_UP : WAITERS_DID_NOT;
}

static void leave(struct thread *self, const struct wait *w, uint64_t now)
{
	enum waiters_end how = end_of(w);
	bool is_there = self == NULL;

	for (uint32_t i = 0; self != NULL && i < self->lock_waits_n; i++) {
		if (self->lock_waits[i].wait != w)
			continue;
		is_there = true;
		self->lock_waits_n = i;
	}
	/* else a handler's longjmp() that stayed in the handler was taken for one out of it */
	if (is_there)
		waiters_leave(w->kept.waiters, w->begun_ns, now, how);
}

SIGSAFE void contention_on_wait_over(struct wait *w, uint64_t now_ns)
{
	uint32_t on = atomic_load_explicit(&wait_is_on, memory_order_relaxed);
	struct segment *s = segment_live();
	uint64_t values[BLOCK_COLUMNS];
	int saved = errno;
	struct thread *self;

	/* a child of fork, made in a handler: this is its parent's */
	if (s == NULL || w->kept.process != contention_settings.process)
		return;
	self = find_self(s);
	if (w->kept.waiters != NULL)
		leave(self, w, now_ns);
	if ((on & wait_concern(w->code) & (WAIT_TIMED | WAIT_IO)) && has_waited(w)) {
		contention_weigh(now_ns - w->begun_ns, values);
		if (self != NULL && is_for_lock(w->code))
			self->short_waits = values[0] != 0 ? 0 : self->short_waits + 1;
		if (values[0] != 0)
			keep_wait(s, self, w, values);
	}
	errno = saved;
}

SIGSAFE void contention_made(const void *lock, uintptr_t pc)
{
	sites_put(lock, pc);
}

SIGSAFE void contention_gone(const void *lock)
{
	sites_remove(lock);
	waiters_forget(lock);
}

SIGSAFE void contention_pause(void)
{
	paused++;
}

SIGSAFE void contention_resume(void)
{
	paused--;
}

void contention_forget_thread(void)
{
	random_state = 0;
}
