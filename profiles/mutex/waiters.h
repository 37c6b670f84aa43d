/*
 * waiters: for each lock, how long threads have waited for it since it was last released.
 *
 * A release is to be charged with what all that wait have waited so far, and what is charged once is not charged again. With
 * n waiters that entered at the times e, that sum grows by n each nanosecond:
 *
 *     at the time T:   n * T - (the sum of the e)
 *
 * So two words are enough for a lock, n and minus the sum, and they are changed together by one compare-and-swap of 16
 * bytes, which also has the lock's address:
 *
 *     enter at T     n + 1    sum - T
 *     leave at T     n - 1    sum + T         what it has waited stays in the sum
 *     charge at T             sum = -n * T    the sum of all is 0 at T
 *
 * There is no lock: a waiter, a releaser and a handler of the host's that interrupted either may all be in the middle.
 *
 * Who releases does not look at a clock while it still holds the lock, and may lose the processor to the very thread that it
 * wakes. So it marks the lock before, which is one compare-and-swap and only for a lock that has waiters, and charges after.
 * A waiter that has got the lock seals what was waited until then: it is its predecessor's, who finds it under the number
 * that the lock had when it was marked, and never its own. When the predecessor has been there already, the rest (from the
 * release until a thread got the lock) is kept aside; it goes with the next charge, and is no contention by itself.
 *
 * Of a lock that other processes have, too, some releases are theirs. A waiter that gets such a lock when none of ours was
 * marked or charged since the last one got it drops what was waited: it is nobody's here.
 *
 * In front of the table is a filter of counts. It says 0 for a lock that nobody waited for since it was last released, and
 * that is all that an uncontended release looks at.
 *
 * Always true:
 *   - What was waited is charged once, is still in an entry, or was dropped: by waiters_forget(), for room, for another
 *     process.
 *   - An entry with waiters or marks in it is not given to another lock.
 *   - The filter's byte of a lock is not 0 while its entry has waiters, marks or a sum.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/context.h"
#include "core/segment.h"

#define WAITERS_WAYS 4u
#define WAITERS_SETS 512u

#define WAITERS_SEALS 4u

struct waiters {
	/* is charged << 63 | lock / 4 << 18 | marks << 12 | waiters: addresses of programs have 47 bits */
	_Alignas(64) _Atomic uint64_t who;
	_Atomic uint64_t sum; /* signed; with @who, one word of 16 bytes */
	_Atomic uint64_t aside;
	_Atomic uint32_t seals;                 /* how often it was sealed */
	_Atomic uint32_t readers;               /* that are leaving: waiters_reader_leaves() */
	_Atomic uint64_t sealed[WAITERS_SEALS]; /* by the number before it was */
};

/* How many entries that are not idle share this byte; the most it can say stays. */
#define WAITERS_FILTER_BITS 12
extern _Atomic uint8_t waiters_filter[1u << WAITERS_FILTER_BITS];

SIGSAFE static inline _Atomic uint8_t *waiters_filter_at(const void *lock)
{
	/* neighbours differ; what hashes better costs a fifth of a nanosecond at each release */
	return &waiters_filter[((uintptr_t)lock >> 3) % (1u << WAITERS_FILTER_BITS)];
}

/*
 * While somebody else wants to see every release, the filter says that there may be waiters, of all locks: then it stays the only
 * thing that releases look at. They ask the second function what the first would have said.
 */
extern _Atomic uint8_t waiters_watched; /* 1, or 0 */
void waiters_watch(bool on);

SIGSAFE static inline bool waiters_may_be_seen(const void *lock)
{
	return atomic_load_explicit(waiters_filter_at(lock), memory_order_relaxed) != 0;
}

SIGSAFE static inline bool waiters_may_be(const void *lock)
{
	return atomic_load_explicit(waiters_filter_at(lock), memory_order_relaxed) >
	       atomic_load_explicit(&waiters_watched, memory_order_relaxed);
}

/* The entry that the wait is counted in; NULL when there is no room. */
SIGSAFE struct waiters *waiters_enter(const void *lock, uint64_t now);

enum waiters_end {
	WAITERS_GOT_IT,
	WAITERS_GOT_SHARED, /* the same, and other processes may have it, too */
	WAITERS_GAVE_UP,    /* what it has waited is charged to the next release */
	WAITERS_DID_NOT,    /* it did not wait at all */
};
SIGSAFE void waiters_leave(struct waiters *w, uint64_t begun, uint64_t now, enum waiters_end how);

/* Before a release. What to hand to the next; 0: nobody waits. */
SIGSAFE unsigned waiters_mark(const void *lock);

/*
 * After it, or before one that cannot be looked behind: what is to be charged now, 0 when this release made nobody wait.
 * The marks are gone.
 */
SIGSAFE uint64_t waiters_charge(const void *lock, unsigned marked, uint64_t now);

/* Takes the marks of a release back that did not come to be. */
SIGSAFE void waiters_unmark(const void *lock, unsigned marked);

/*
 * Of readers that leave a lock at once, one is the last, and which it is they cannot see in the lock: each may find the other
 * still there. So who leaves joins a group before the release, with its mark, and when that is true looks how many readers
 * there are and tells: at that moment none of the group is gone. Who is done last knows whether that were all.
 */
SIGSAFE bool waiters_reader_leaves(const void *lock, unsigned marked);
SIGSAFE void waiters_readers_are(const void *lock, unsigned marked, uint32_t readers);
/* After the release. True: all readers have left, and this one is to charge. */
SIGSAFE bool waiters_reader_left(const void *lock, unsigned marked);

/* What was charged by waiters_charge() and is not to be: it is the next one's. */
SIGSAFE void waiters_give_back(const void *lock, uint64_t ns);

/* The lock is no more. */
SIGSAFE void waiters_forget(const void *lock);

/* What has been waited until @now is nobody's. */
void waiters_begin(uint64_t now);

/* In a child of fork: nobody waits. */
void waiters_forked(void);
