#include "core/wait.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>

#include "core/helper.h"
#include "core/syscalls.h"

_Atomic uint32_t wait_is_on, wait_is_dozing;
struct wait_keeper wait_keeper;
struct wait_tracer wait_tracer;

static const char *const names[WAIT_STATES] = {
	[WAIT_NOT] = "running",      [WAIT_RUNNABLE] = "runnable", [WAIT_LOCK] = "lock",
	[WAIT_COND] = "cond",        [WAIT_SEM] = "sem",           [WAIT_BARRIER] = "barrier",
	[WAIT_JOIN] = "join",        [WAIT_FUTEX] = "futex",       [WAIT_SLEEP] = "sleep",
	[WAIT_RWLOCK] = "lock",      [WAIT_SPIN] = "lock",         [WAIT_ONCE] = "lock",
	[WAIT_FUTEX_LOCK] = "futex",
};

static char *put(char *at, const char *end, const char *text)
{
	while (*text != '\0' && at < end)
		*at++ = *text++;
	*at = '\0';
	return at;
}

SIGSAFE const char *wait_name(unsigned code, char buffer[WAIT_NAME_SIZE])
{
	unsigned number = code - WAIT_SYSCALL;
	char digits[12], *digit = digits + sizeof(digits) - 1;
	const char *name, *end = buffer + WAIT_NAME_SIZE - 1;
	char *at;

	if (code < WAIT_STATES)
		return names[code];
	at = put(buffer, end, "syscall:");
	name = code >= WAIT_SYSCALL ? syscalls_name(number) : NULL;
	if (name == NULL) { /* younger than this program */
		*digit = '\0';
		do
			*--digit = (char)('0' + number % 10);
		while ((number /= 10) != 0);
		name = digit;
	}
	put(at, end, name);
	return buffer;
}

SIGSAFE unsigned wait_code_of_syscall(long number)
{
	switch (number) {
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
		return WAIT_SLEEP;
	case SYS_futex:
		return WAIT_FUTEX;
	default:
		return number >= 0 && number < WAIT_CODES - WAIT_SYSCALL
			       ? WAIT_SYSCALL + (unsigned)number
			       : WAIT_NOT;
	}
}

/*
 * The looker is between its announcement and its signal, or the signal is on its way: a microsecond, unless the looker lost
 * the processor there. A host that has the signal blocked is not held up. Nobody is held up for longer than the second
 * number; the call may end early after that, once.
 */
#define COMES_AT_ONCE_NS UINT64_C(10000)
#define COMES_WITHIN_NS  UINT64_C(20000000)

static bool is_blocked(void)
{
	uint64_t mask = 0;

	return sys4(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof(mask)) == 0 &&
	       (mask & UINT64_C(1) << (SIGPROF - 1));
}

static void let_it_come(struct thread *t)
{
	struct timespec pause = {0, 20000};
	uint64_t begun = clock_monotonic(), waited_ns;
	int saved = errno;

	/* the second: in a child of vfork() the question is for its parent */
	if ((atomic_load_explicit(&t->deaf, memory_order_relaxed) && is_blocked()) ||
	    (int)sys1(SYS_gettid, 0) != t->tid)
		return;
	while (atomic_load_explicit(&t->asked, memory_order_acquire) != 0) {
		waited_ns = clock_monotonic() - begun;
		if (waited_ns < COMES_AT_ONCE_NS)
			continue;
		if (is_blocked() || waited_ns > COMES_WITHIN_NS) {
			/* nobody waits for it again until it has come */
			atomic_store_explicit(&t->deaf, 1, memory_order_relaxed);
			break;
		}
		sys2(SYS_nanosleep, &pause, NULL); /* the signal ends it */
	}
	errno = saved;
}

static void say(struct thread *t, unsigned code)
{
	/* atomic: a handler that comes in between takes a number, too, and none is given twice */
	uint64_t sequence = __atomic_add_fetch(&t->waits_sequence, 1, __ATOMIC_RELAXED);

	/* pairs: ask() in look_sig.c, which sets @asked first and looks at the word after; both seq_cst */
	atomic_store_explicit(&t->record->waits, sequence << 16 | code, memory_order_seq_cst);
	if (unlikely(atomic_load_explicit(&t->asked, memory_order_seq_cst) != 0))
		let_it_come(t);
}

SIGSAFE void wait_rouse(struct segment *s)
{
	if (atomic_exchange_explicit(&wait_is_dozing, 0, memory_order_seq_cst))
		helper_rouse(s, HELPER_WALL);
}

static void take_word(struct segment *s, struct thread *t)
{
	/* pairs: whoever is about to doze says so first and looks at the word after; both seq_cst */
	atomic_store_explicit(&t->record->waits, 0, memory_order_seq_cst);
	if (unlikely(atomic_load_explicit(&wait_is_dozing, memory_order_seq_cst)))
		wait_rouse(s);
}

/* There is no word meanwhile: a look that began with the old one must not find the new place. */
static void place_at(struct thread *t, struct wait_place place, uint64_t since_ns)
{
	atomic_thread_fence(memory_order_release); /* pairs: look_at_waiting acquire */
	t->waits_at = place;
	atomic_store_explicit(&t->record->waits_since_ns, since_ns, memory_order_relaxed);
}

/*
 * True when a word that is still there is of a call that a handler left by longjmp(). A handler runs further down the stack
 * than the call it interrupts, but on a stack of its own.
 */
static bool is_left(const struct thread *t, const struct wait_place *before,
		    const struct wait_place *now)
{
	return before->sp >= t->stack_low && before->sp <= now->sp && now->sp < t->stack_high;
}

/* To a few milliseconds: it is for people to read, and costs a third of the exact one. */
static uint64_t clock_about(void)
{
	struct timespec t = {0, 0};

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return clock_of_timespec(t);
}

SIGSAFE void wait_announce(struct wait *w, unsigned code, struct wait_place place)
{
	struct segment *s = segment_live();
	struct thread *t = thread_self_block;
	int saved = errno;

	/* a child of fork() has its parent's block until it has one of its own */
	if (t == NULL || s == NULL)
		return;
	w->before = atomic_load_explicit(&t->record->waits, memory_order_relaxed);
	w->since_before_ns = atomic_load_explicit(&t->record->waits_since_ns, memory_order_relaxed);
	w->place_before = t->waits_at;
	if (w->before != 0) {
		take_word(s, t);
		if (is_left(t, &w->place_before, &place))
			w->before = 0;
	}
	place_at(t, place, clock_about());
	w->thread = t;
	say(t, code);
	errno = saved;
}

/*
 * A handler may interrupt any of this, wait in turn and come back, so all is put back as it was found. The word gets a new
 * number then: who reads the place between two looks at the word sees that it was elsewhere.
 */
SIGSAFE void wait_take_back(struct wait *w)
{
	struct segment *s = segment_live();
	struct thread *t = w->thread;

	/* a child of fork() that was made in a handler: what this is about is its parent's */
	if (t != thread_self_block || s == NULL)
		return;
	take_word(s, t);
	place_at(t, w->place_before, w->since_before_ns);
	if (w->before != 0)
		say(t, WAIT_CODE(w->before));
}

SIGSAFE void wait_begin(struct wait *w, unsigned code, struct wait_place place, const void *object)
{
	uint32_t on =
		atomic_load_explicit(&wait_is_on, memory_order_acquire); /* pairs: who sets it */

	if (on & WAIT_SHOWN)
		wait_announce(w, code, place);
	on &= wait_concern(code);
	if (on & ~WAIT_SHOWN) {
		w->code = code;
		w->place = place;
		w->object = object;
		w->result = 0;
		if (on & ~(WAIT_SHOWN | WAIT_TRACED))
			wait_keeper.begins(w);
		if (on & WAIT_TRACED)
			wait_tracer.begins(w);
	}
}

SIGSAFE void wait_show(struct wait *w, unsigned code, struct wait_place place, const void *object)
{
	(void)object;
	wait_announce(w, code, place);
}

SIGSAFE void wait_trace(struct wait *w, unsigned code, struct wait_place place, const void *object)
{
	w->code = code;
	w->place = place;
	w->object = object;
	w->result = 0;
	wait_tracer.begins(w);
}

SIGSAFE void wait_is_over(struct wait *w)
{
	uint64_t now = w->begun_ns != 0 ? clock_monotonic() : 0;

	if (w->traced.is_open)
		wait_tracer.ends(w);
	if (w->thread != NULL)
		wait_take_back(w);
	if (now != 0)
		wait_keeper.ends(w, now);
}

SIGSAFE void wait_leave(void)
{
	struct segment *s = segment_live();
	struct thread *t = thread_self_block;

	if (wait_tracer.leaves != NULL)
		wait_tracer.leaves();
	if (t == NULL || s == NULL)
		return;
	if (atomic_load_explicit(&t->record->waits, memory_order_relaxed) != 0)
		take_word(s, t);
	if (t->lock_waits_n != 0 || t->charges_n != 0)
		wait_keeper.leaves(t);
}

#define CLEANUP_PHASE 2
#define GO_ON         8

__attribute__((used)) SIGSAFE int wait_unwound(int version, int actions, uint64_t language,
					       struct _Unwind_Exception *exception,
					       struct _Unwind_Context *context)
{
	if (actions & CLEANUP_PHASE)
		wait_leave();
	return GO_ON;
}
