#include "profiles/mutex/waiters.h"

#include <string.h>

#include "core/arch.h"
#include "core/clock.h"

_Atomic uint8_t waiters_filter[1u << WAITERS_FILTER_BITS], waiters_watched;
static struct waiters table[WAITERS_SETS][WAITERS_WAYS];

#define COUNT_BITS  12
#define COUNT_MAX   ((UINT64_C(1) << COUNT_BITS) - 1)
#define MARK        (UINT64_C(1) << COUNT_BITS)
#define MARKS_BITS  6
#define MARKS_MAX   ((UINT64_C(1) << MARKS_BITS) - 1)
#define IN_USE      ((UINT64_C(1) << (COUNT_BITS + MARKS_BITS)) - 1) /* waiters and marks */
#define LOCK_BITS   47 /* a futex may be asked for at any address */
#define CHARGED     (UINT64_C(1) << 63)
#define FILTER_FULL UINT8_MAX

/* Both words of an entry, as they were read; a swap tells whether they were so at one time. */
struct both {
	uint64_t word[2];
};

static uint64_t lock_of(uint64_t who)
{
	return (who & ~CHARGED) >> (COUNT_BITS + MARKS_BITS) << 2;
}

/* As it stands in an entry. Whoever sleeps for a lock sleeps on a word of it, so two of them are four bytes apart. */
static uint64_t lock_at(const void *address)
{
	return (uintptr_t)address & ((UINT64_C(1) << LOCK_BITS) - 4);
}

static uint64_t who_is(uint64_t lock)
{
	return lock >> 2 << (COUNT_BITS + MARKS_BITS);
}

static uint64_t count_of(uint64_t who)
{
	return who & COUNT_MAX;
}

static uint64_t marks_of(uint64_t who)
{
	return who >> COUNT_BITS & MARKS_MAX;
}

/*
 * Two threads that both find no entry for a lock may make one each. Whoever charges looks at all, so nothing comes of it.
 */

/* Nobody waits, nobody is about to charge, and nothing is left to be charged. */
static bool is_idle(uint64_t who, uint64_t sum)
{
	return (who & IN_USE) == 0 && sum == 0;
}

static struct both look_at(const struct waiters *w)
{
	return (struct both){{atomic_load_explicit(&w->who, memory_order_relaxed),
			      atomic_load_explicit(&w->sum, memory_order_relaxed)}};
}

static void change_filter_at(_Atomic uint8_t *n, int by)
{
	uint8_t was = atomic_load_explicit(n, memory_order_relaxed);

	while (was != FILTER_FULL &&
	       !atomic_compare_exchange_weak_explicit(n, &was, (uint8_t)(was + by),
						      memory_order_seq_cst, memory_order_relaxed))
		;
}

static void change_filter(uint64_t lock, int by)
{
	change_filter_at(waiters_filter_at((const void *)(uintptr_t)lock), by);
}

static uint32_t seals_of(const struct waiters *w)
{
	return atomic_load_explicit(&w->seals, memory_order_acquire);
}

static _Atomic uint64_t *sealed_at(struct waiters *w, uint64_t number)
{
	return &w->sealed[number % WAITERS_SEALS];
}

/* From @old to @who and @sum, with the filter; @old is what is there when that was not so any more. */
static bool change(struct waiters *w, struct both *old, uint64_t who, uint64_t sum)
{
	bool was_idle = is_idle(old->word[0], old->word[1]), becomes_idle = is_idle(who, sum);
	bool is_done;

	/* the filter may say too much for a moment, never too little */
	if (!becomes_idle && was_idle)
		change_filter(lock_of(who), 1);
	is_done = arch_swap_two(w, old->word, who, sum);
	if (!becomes_idle && was_idle && !is_done)
		change_filter(lock_of(who), -1);
	if (becomes_idle && !was_idle && is_done)
		change_filter(lock_of(who), -1);
	return is_done;
}

static struct waiters *set_of(uint64_t lock)
{
	return table[(lock >> 2) * UINT64_C(0x9e3779b97f4a7c15) >> 32 & (WAITERS_SETS - 1)];
}

static struct waiters *find(uint64_t lock)
{
	struct waiters *set = set_of(lock);

	for (unsigned i = 0; i < WAITERS_WAYS; i++)
		if (lock_of(atomic_load_explicit(&set[i].who, memory_order_relaxed)) == lock)
			return &set[i];
	return NULL;
}

/* What is not to be charged any more. */
static void clear(struct waiters *w)
{
	atomic_store_explicit(&w->aside, 0, memory_order_relaxed);
	for (unsigned i = 0; i < WAITERS_SEALS; i++)
		atomic_store_explicit(&w->sealed[i], 0, memory_order_relaxed);
}

/*
 * Makes an entry of the set, which has none for @lock, its own with one waiter. @any: also one of a lock that was given up
 * by all who waited for it and not released since.
 */
static struct waiters *claim(uint64_t lock, uint64_t now, bool any)
{
	struct waiters *set = set_of(lock);

	for (unsigned i = 0; i < WAITERS_WAYS; i++) {
		struct both old = look_at(&set[i]);
		uint64_t before = lock_of(old.word[0]);
		bool was_idle = is_idle(old.word[0], old.word[1]);

		if (before == lock) /* somebody was faster */
			return waiters_enter((const void *)lock, now);
		if ((old.word[0] & IN_USE) != 0 || (!was_idle && !any))
			continue;
		change_filter(lock, 1);
		if (arch_swap_two(&set[i], old.word, who_is(lock) | 1, -now)) {
			clear(&set[i]);
			if (!was_idle)
				change_filter(before, -1);
			return &set[i];
		}
		change_filter(lock, -1);
		i--; /* look again */
	}
	return NULL;
}

SIGSAFE struct waiters *waiters_enter(const void *address, uint64_t now)
{
	uint64_t lock = lock_at(address);
	struct waiters *w = find(lock);

	if (w != NULL) {
		struct both old = look_at(w);

		while (lock_of(old.word[0]) == lock && count_of(old.word[0]) < COUNT_MAX) {
			uint64_t before = count_of(old.word[0]) != 0 ? 0 : CHARGED;

			if (change(w, &old, (old.word[0] & ~before) + 1, old.word[1] - now))
				return w;
		}
		if (lock_of(old.word[0]) == lock)
			return NULL;
	}
	w = claim(lock, now, false);
	return w != NULL ? w : claim(lock, now, true);
}

/*
 * All that was waited until @now, out of the sum. The caller is counted: the entry stays. @ret_who: what it was, with the marks
 * of a release that is to be charged and CHARGED by one that was.
 */
static uint64_t take_sum(struct waiters *w, uint64_t now, uint64_t *ret_who)
{
	struct both old = look_at(w);
	uint64_t open;

	do {
		open = old.word[1] + count_of(old.word[0]) * now;
		if ((int64_t)open < 0) /* charged at a later time than this */
			open = 0;
	} while (!change(w, &old, old.word[0] & ~CHARGED, old.word[1] - open));
	*ret_who = old.word[0];
	return open;
}

SIGSAFE void waiters_leave(struct waiters *w, uint64_t begun, uint64_t now, enum waiters_end how)
{
	uint64_t sum, debt;
	struct both old;

	if (how == WAITERS_GOT_IT || how == WAITERS_GOT_SHARED) {
		uint64_t who, open = take_sum(w, now, &who);
		bool is_marked = marks_of(who) != 0;

		if (how == WAITERS_GOT_SHARED && !is_marked && !(who & CHARGED))
			open = 0; /* another process has released it */
		if (open != 0)
			atomic_fetch_add_explicit(is_marked ? sealed_at(w, seals_of(w)) : &w->aside,
						  open, memory_order_relaxed);
		atomic_fetch_add_explicit(&w->seals, 1, memory_order_release); /* pairs: seals_of */
	}
	old = look_at(w);
	do {
		sum = old.word[1] + (how == WAITERS_DID_NOT ? begun : now);
		debt = 0;
		/* a release was charged at a later time than this one: with the next charge they are even */
		if (count_of(old.word[0]) == 1 && (int64_t)sum < 0) {
			debt = sum;
			sum = 0;
		}
	} while (!change(w, &old, old.word[0] - 1, sum));
	if (debt != 0)
		atomic_fetch_add_explicit(&w->aside, debt, memory_order_relaxed);
}

/* What a mark is to who made it, for each way in 8 bits: that it is there, and the number of seals then. */
#define MARK_BITS   8
#define MARK_THERE  0x80u
#define MARK_NUMBER 0x7fu

static unsigned mark_of(unsigned marked, unsigned way)
{
	return marked >> way * MARK_BITS & (MARK_THERE | MARK_NUMBER);
}

/* The lock is the caller's: nobody else gets it, and seals it, in the meantime. */
static unsigned mark(struct waiters *w, uint64_t lock)
{
	struct both old = look_at(w);

	while (lock_of(old.word[0]) == lock && !is_idle(old.word[0], old.word[1]) &&
	       marks_of(old.word[0]) < MARKS_MAX) {
		if (!change(w, &old, old.word[0] + MARK, old.word[1]))
			continue;
		/* nobody else comes: what was sealed for somebody who did not is the next charge's */
		for (unsigned i = 0; marks_of(old.word[0]) == 0 && i < WAITERS_SEALS; i++)
			if (atomic_load_explicit(&w->sealed[i], memory_order_relaxed) != 0)
				atomic_fetch_add_explicit(
					&w->aside,
					atomic_exchange_explicit(&w->sealed[i], 0,
								 memory_order_relaxed),
					memory_order_relaxed);
		return MARK_THERE | (seals_of(w) & MARK_NUMBER);
	}
	return 0;
}

SIGSAFE unsigned waiters_mark(const void *address)
{
	uint64_t lock = lock_at(address);
	struct waiters *set = set_of(lock);
	unsigned marked = 0;

	for (unsigned i = 0; i < WAITERS_WAYS; i++)
		marked |= mark(&set[i], lock) << i * MARK_BITS;
	return marked;
}
_Static_assert(WAITERS_WAYS *MARK_BITS <= 32, "they fit");

SIGSAFE void waiters_unmark(const void *address, unsigned marked)
{
	struct waiters *set = set_of(lock_at(address));

	for (unsigned i = 0; i < WAITERS_WAYS; i++) {
		struct both old = look_at(&set[i]);

		while (mark_of(marked, i) != 0 &&
		       !change(&set[i], &old, old.word[0] - MARK, old.word[1]))
			;
	}
}

/* What the waiter that got the lock from who made @mark has sealed; 0: none has got it yet. */
static uint64_t take_sealed(struct waiters *w, unsigned mark, bool *ret_is_sealed)
{
	*ret_is_sealed = mark != 0 && ((seals_of(w) ^ mark) & MARK_NUMBER) != 0;
	return *ret_is_sealed
		       ? atomic_exchange_explicit(sealed_at(w, mark), 0, memory_order_relaxed)
		       : 0;
}

static uint64_t charge(struct waiters *w, uint64_t lock, unsigned mark, uint64_t now)
{
	uint64_t open, charged, aside, who;
	struct both old = look_at(w);
	bool is_sealed, was_sealed;

	if (lock_of(old.word[0]) != lock)
		return 0;
	charged = take_sealed(w, mark, &was_sealed);
	do {
		if (lock_of(old.word[0]) != lock)
			return charged;
		/* when a waiter has got the lock since, the rest is that one's doing */
		open = was_sealed ? 0 : old.word[1] + count_of(old.word[0]) * now;
		if ((int64_t)open < 0)
			open = 0;
		if (open == 0 && mark == 0)
			break;
		who = old.word[0] - (mark != 0 ? MARK : 0);
		if (!was_sealed && count_of(who) != 0)
			who |= CHARGED;
	} while (!change(w, &old, who, old.word[1] - open));
	charged += open;
	if (!was_sealed) /* just now? */
		charged += take_sealed(w, mark, &is_sealed);
	if (charged != 0 && atomic_load_explicit(&w->aside, memory_order_relaxed) != 0) {
		aside = atomic_exchange_explicit(&w->aside, 0, memory_order_relaxed);
		if ((int64_t)(charged + aside) > 0)
			charged += aside;
		else
			atomic_fetch_add_explicit(&w->aside, aside, memory_order_relaxed);
	}
	return charged;
}

SIGSAFE uint64_t waiters_charge(const void *address, unsigned marked, uint64_t now)
{
	uint64_t lock = lock_at(address), charged = 0;
	struct waiters *set = set_of(lock);

	for (unsigned i = 0; i < WAITERS_WAYS; i++)
		charged += charge(&set[i], lock, mark_of(marked, i), now);
	return charged;
}

/* ---- readers ---- */

/* Of a group: whether it is known how many readers there are; who is in it and not done; how many stay when these are gone. */
#define READERS_KNOWN (UINT32_C(1) << 31)
#define READERS_ONE   (UINT32_C(1) << 20)
#define READERS_MAX   (READERS_ONE - 1)
_Static_assert(MARKS_MAX < READERS_KNOWN / READERS_ONE, "each of a group has a mark");

/* The entry in which all who mark this lock meet: as a rule there is but one. */
static struct waiters *meet(const void *address, unsigned marked)
{
	unsigned way = 0;

	while (mark_of(marked, way) == 0)
		way++;
	return &set_of(lock_at(address))[way];
}

SIGSAFE bool waiters_reader_leaves(const void *address, unsigned marked)
{
	/* acq_rel: who finds the number known finds it, and with it all that was before, as it was */
	return !(atomic_fetch_add_explicit(&meet(address, marked)->readers, READERS_ONE,
					   memory_order_acq_rel) &
		 READERS_KNOWN);
}

SIGSAFE void waiters_readers_are(const void *address, unsigned marked, uint32_t readers)
{
	_Atomic uint32_t *word = &meet(address, marked)->readers;
	uint32_t was = atomic_load_explicit(word, memory_order_acquire);

	if (readers > READERS_MAX)
		readers = READERS_MAX;
	while (!(was & READERS_KNOWN) &&
	       !atomic_compare_exchange_weak_explicit(word, &was, was | READERS_KNOWN | readers,
						      memory_order_acq_rel, memory_order_acquire))
		;
}

SIGSAFE bool waiters_reader_left(const void *address, unsigned marked)
{
	_Atomic uint32_t *word = &meet(address, marked)->readers;
	uint32_t was = atomic_load_explicit(word, memory_order_acquire), stay, is;

	do {
		if (was < READERS_ONE) /* a child of fork, made in a handler */
			return false;
		stay = was & READERS_MAX;
		stay -= stay > 0;
		is = (was & ~READERS_MAX) - READERS_ONE;
		is = is >= READERS_KNOWN + READERS_ONE ? is | stay : 0;
	} while (!atomic_compare_exchange_weak_explicit(word, &was, is, memory_order_acq_rel,
							memory_order_acquire));
	return is == 0 && stay == 0;
}

SIGSAFE void waiters_give_back(const void *address, uint64_t ns)
{
	uint64_t now = clock_monotonic();
	struct waiters *w = waiters_enter(address, now - ns);

	if (w != NULL)
		waiters_leave(w, now - ns, now, WAITERS_GAVE_UP);
}

static void forget(struct waiters *w, uint64_t lock)
{
	struct both old = look_at(w);

	/* one that has marks is about to be charged by who released it last */
	while (lock_of(old.word[0]) == lock && (old.word[0] & IN_USE) == 0) {
		if (change(w, &old, old.word[0], 0)) {
			clear(w);
			break;
		}
	}
}

SIGSAFE void waiters_forget(const void *address)
{
	uint64_t lock = lock_at(address);
	struct waiters *set = set_of(lock);

	for (unsigned i = 0; i < WAITERS_WAYS; i++)
		forget(&set[i], lock);
}

void waiters_begin(uint64_t now)
{
	for (unsigned i = 0; i < WAITERS_SETS; i++) {
		for (unsigned way = 0; way < WAITERS_WAYS; way++) {
			struct waiters *w = &table[i][way];
			struct both old = look_at(w);

			if (old.word[0] == 0)
				continue;
			while (!change(w, &old, old.word[0], -(count_of(old.word[0]) * now)))
				;
			clear(w);
		}
	}
}

void waiters_watch(bool on)
{
	if (atomic_exchange_explicit(&waiters_watched, on, memory_order_relaxed) == on)
		return;
	for (unsigned i = 0; i < 1u << WAITERS_FILTER_BITS; i++)
		change_filter_at(&waiters_filter[i], on ? 1 : -1);
}

void waiters_forked(void)
{
	atomic_store_explicit(&waiters_watched, 0, memory_order_relaxed);
	memset((void *)table, 0, sizeof(table));
	memset((void *)waiters_filter, 0, sizeof(waiters_filter));
}
