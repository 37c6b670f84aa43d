/*
 * contention: who waits for a lock, and who makes others wait. One set of wrappers, two profiles.
 *
 *     block    at the end of a wait: the stack of who waited, once, with how long it took
 *     mutex    after a release: the stack of who released, once, with what all that waited for the lock have waited
 *
 * A wrapper tries first, so what comes here does wait (core/wait.h: WAITING). Recording must not make others wait longer
 * than they do:
 *
 *     a lock      the waiter walks its stack before it goes to sleep, and when it has the lock only adds to two numbers
 *     a release   nothing before the real call but a mark, for a lock that has waiters (waiters.h)
 *     all else    walked when the wait is over, if it was long enough to be kept
 *
 * Whoever releases has no more than the lock's address afterwards: its memory may be gone.
 */
#pragma once

#include "core/profile.h"
#include "core/wait.h"
#include "profiles/mutex/waiters.h"

extern const struct profile_ops block_profile, mutex_profile;

/* ---- for wrappers of releases, while WAIT_COUNTED is on; all keep errno ---- */

/* False for nearly all locks that nobody waits for. */
SIGSAFE static inline bool contention_may_be(const void *lock)
{
	return unlikely(waiters_may_be(lock));
}

/* The same, and true of all locks while contention_watch() is on: all that a release looks at before it knows more. */
SIGSAFE static inline bool contention_may_be_seen(const void *lock)
{
	return unlikely(waiters_may_be_seen(lock));
}

static inline void contention_watch(bool on)
{
	waiters_watch(on);
}

/* Before a release; what it returns is for one of the two that follow, 0: nobody waits, and there is nothing to do after. */
SIGSAFE unsigned contention_releases(const void *lock);

/* After it. @code: what waits for such a lock; @callee: the function that released it. */
SIGSAFE void contention_released(const void *lock, unsigned marked, unsigned code,
				 uintptr_t callee);
SIGSAFE void contention_kept(const void *lock, unsigned marked); /* it failed */

/*
 * Of a reader's release, between the two: of those that leave a lock, the last one is charged, and others keep it. Before it,
 * with a look at the number of readers when that is asked for; and after it, true for who is to be charged (waiters.h).
 */
#define contention_leaves(lock, marked, readers)                          \
	do {                                                              \
		if (waiters_reader_leaves((lock), (marked)))              \
			waiters_readers_are((lock), (marked), (readers)); \
	} while (0)
SIGSAFE static inline bool contention_left(const void *lock, unsigned marked)
{
	return waiters_reader_left(lock, marked);
}

/*
 * Of a release inside a call that waits, such as pthread_cond_wait(): before it, what it is to be charged with; after it,
 * which may be much later, the recording. A call that is left in the middle is recorded by contention_on_leave().
 */
struct contention_charge {
	struct thread *thread; /* that remembers it; NULL: nobody does */
	struct thread_charge of;
	uint32_t process;
};
SIGSAFE void contention_charge(struct contention_charge *charge, const void *lock, unsigned code,
			       struct wait_place place);
/* @is_released: false when the call failed before that. */
SIGSAFE void contention_charged(struct contention_charge *charge, bool is_released);

/* ---- for wrappers of what makes and destroys locks, while anything but WAIT_SHOWN is on ---- */

SIGSAFE void contention_made(const void *lock, uintptr_t pc);
SIGSAFE void contention_gone(const void *lock);

/* ---- for cprof's own work on a thread of the host's: not kept; they nest ---- */

SIGSAFE void contention_pause(void);
SIGSAFE void contention_resume(void);
