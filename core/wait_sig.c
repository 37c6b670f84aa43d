#include "core/wait.h"

#include <errno.h>
#include <stdatomic.h>

#include "core/helper.h"
#include "core/syscalls.h"

_Atomic uint32_t wait_is_on, wait_is_dozing;

static const char *const names[WAIT_STATES] = {
	[WAIT_NOT] = "running", [WAIT_RUNNABLE] = "runnable", [WAIT_LOCK] = "lock",
	[WAIT_COND] = "cond",   [WAIT_SEM] = "sem",           [WAIT_BARRIER] = "barrier",
	[WAIT_JOIN] = "join",   [WAIT_FUTEX] = "futex",       [WAIT_SLEEP] = "sleep",
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
 * The looker is between its announcement and its signal, or the signal is on its way: a microsecond, unless it lost the
 * processor there. Then a millisecond is as long as a host is held up; its call may end early after that, once.
 */
#define COMES_WITHIN_NS UINT64_C(1000000)

static void let_it_come(struct thread *t)
{
	uint64_t until = clock_monotonic() + COMES_WITHIN_NS;

	for (unsigned i = 0; atomic_load_explicit(&t->asked, memory_order_acquire) != 0; i++) {
		if (atomic_load_explicit(&t->deaf, memory_order_relaxed))
			return;
		if (clock_monotonic() > until) {
			/* the host has the signal blocked: nobody waits for it again until it comes */
			atomic_store_explicit(&t->deaf, 1, memory_order_relaxed);
			return;
		}
		if (i > 100)
			sys1(SYS_sched_yield, 0);
	}
}

SIGSAFE void wait_announce(struct wait *w, unsigned code, struct wait_place place)
{
	struct thread *t = thread_self_block;
	struct thread_record *record;
	uint64_t sequence;
	int saved = errno;

	/* a child of vfork() shares the block with its parent */
	if (t == NULL || segment_live() == NULL)
		return;
	record = t->record;
	w->thread = t;
	w->before = atomic_load_explicit(&record->waits, memory_order_relaxed);
	w->place_before = t->waits_at;
	sequence = ++t->waits_sequence;
	/* a look at the old word must not find the new place: see look_sig.c */
	atomic_store_explicit(&record->waits, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	t->waits_at = place;
	atomic_store_explicit(&record->waits_since_ns, clock_monotonic(), memory_order_relaxed);
	/* pairs: look_at, which sets @asked first and looks at the word after; both seq_cst */
	atomic_store_explicit(&record->waits, sequence << 16 | code, memory_order_seq_cst);
	if (unlikely(atomic_load_explicit(&t->asked, memory_order_seq_cst) != 0)) {
		let_it_come(t);
		errno = saved;
	}
}

SIGSAFE void wait_rouse(struct segment *s)
{
	if (atomic_exchange_explicit(&wait_is_dozing, 0, memory_order_seq_cst))
		helper_rouse(s, HELPER_WALL);
}

SIGSAFE void wait_take_back(struct wait *w)
{
	struct thread *t = w->thread;
	struct segment *s;

	/* pairs: whoever is about to doze says so first and looks at the word after; both seq_cst */
	atomic_store_explicit(&t->record->waits, 0, memory_order_seq_cst);
	if (unlikely(atomic_load_explicit(&wait_is_dozing, memory_order_seq_cst))) {
		s = segment_live();
		if (s != NULL)
			wait_rouse(s);
	}
	if (w->before == 0)
		return;
	/* a host's handler returns into the call that it interrupted */
	atomic_thread_fence(memory_order_release);
	t->waits_at = w->place_before;
	atomic_store_explicit(&t->record->waits, w->before, memory_order_release);
}
