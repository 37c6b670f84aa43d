/*
 * sync: what threads do to each other, as events: locks, conditions, semaphores, barriers, ends of threads, futexes.
 *
 * Nearly all locks are taken when they are free, and given back before anything else happens. Such a pair is one event, written
 * at the release, with one stamp, that of the acquisition:
 *
 *     lock      try, stamp, and both into held[] with the chunk's word of then
 *     unlock    the word is still the same: LOCK_PAIR. Else, with a stamp of the release: LOCK_HELD. Release
 *
 * A stamp costs more than a lock. So a pair says when it began and not how long it was, but no longer than until the thread's
 * next event. Where it was long until the thread took its next lock (SYNC_LONG_NS), this one's next release takes a stamp, too,
 * which is a small part of what there is to do between them. Holds of locks that are taken all the time are known to be short
 * by the next one.
 *
 * Who has to wait writes LOCK_WAIT before, and LOCK_ACQUIRED or LOCK_FAILED after. Who releases a lock that has waiters, or was
 * waited for, writes LOCK_RELEASED. Both have a number, @order, which is advanced while the lock is held: release n handed it
 * to acquisition n + 1. Acquisition n + 2 got it from somebody who saw nobody wait, and wrote no number.
 *
 * What a thread holds lies in the segment (struct trace_thread), where it stays when the process dies.
 *
 * Always true:
 *   - Nothing here allocates, locks, waits, or changes errno. A handler of the host's may interrupt any of it and do the same.
 *   - Who has no number for a lock, no room in held[], or did not see it taken (before the trace, by another thread, by a
 *     handler that was left) writes a LOCK_RELEASED that held it for 0 ticks: since when is not known.
 *   - Of a lock that a thread takes again and again while it has it, only the outermost is seen.
 */
#pragma once

#include <string.h>

#include "core/wait.h"
#include "tracer/chunk.h"
#include "tracer/object.h"

#define SYNC_LONG_NS UINT64_C(500) /* 2 per cent of it are a stamp */
#define SYNC_STACK_NS \
	UINT64_C(10000) /* waits of this length, and holds with waiters, are worth a walk */

enum sync_mode {
	SYNC_EXCLUSIVE = 1,
	SYNC_SHARED = 2,
};

enum sync_how {
	SYNC_WAITED = 1,   /* there is a LOCK_ACQUIRED */
	SYNC_MEASURED = 2, /* its release takes a stamp */
};

/* A lock that is held, in one word: its address, how, and its place in the cache of objects. All but the last are 0: free. */
#define SYNC_LOCK(lock, how, place) ((uint64_t)(uintptr_t)(lock) << 16 | (how) << 8 | (place))
#define SYNC_ADDRESS(word)          ((uintptr_t)((word) >> 16))
#define SYNC_HOW(word)              ((uint8_t)((word) >> 8))
#define SYNC_PLACE(word)            ((word)&0xff)

struct sync_settings {
	struct trace_object *objects; /* by number, from 1 */
	uint64_t long_ticks, stack_ticks;
	_Atomic uint32_t epoch;
};
/* Told when it begins, before anything is recorded, and when it is over. */
extern void (*sync_turned)(bool on);
extern struct sync_settings sync_settings __attribute__((visibility("hidden")));

/* While the trace's level has locks. Normal context; trace_base and its like are set. */
void sync_start(struct segment *s);
void sync_stop(void);
SIGSAFE void sync_trace_waits(void); /* sync_start()'s: sets wait_tracer */
void sync_forked(void);              /* in a child */

/* ---- locks ---- */

/* One was taken, or released, and it is not as simple as below. 0; false. */
SIGSAFE int sync_take(const void *lock, enum trace_object_kind kind, enum sync_mode mode);

/* The number of a held lock and its mode, which change together for whoever reads them. */
typedef uint64_t __attribute__((may_alias)) sync_held_word;
SIGSAFE static inline void sync_put_held(struct trace_held *held, uint32_t number, uint32_t mode)
{
	/* pairs: who reads it after the process is gone */
	__atomic_store_n((sync_held_word *)&held->object, (uint64_t)mode << 32 | number,
			 __ATOMIC_RELEASE);
}
SIGSAFE static inline uint64_t sync_get_held(const struct trace_held *held)
{
	return __atomic_load_n((const sync_held_word *)&held->object, __ATOMIC_RELAXED);
}
_Static_assert(offsetof(struct trace_held, mode) == 4 && offsetof(struct trace_held, object) == 0,
	       "one word, little endian");

/*
 * One was taken without a wait, by the outermost call. 0, so that wrappers can jump to it. In line, as a stamp has a shadow of
 * some hundred instructions, and a lock, an unlock and this fit into that if nothing is done twice.
 *
 * What makes a cached number valid stands for all else that has to be looked at: in a child of fork there is none, nor
 * before a trace, nor on a thread that is not known, or at work for cprof, nor where stamps are not the counter.
 */
SIGSAFE __attribute__((always_inline)) static inline int sync_taken(const void *lock,
								    enum trace_object_kind kind,
								    enum sync_mode mode)
{
	const struct segment_live *live = segment_live_page;
	struct trace_here *here = &trace_here;
	const struct trace_chunk *chunk = trace_chunk_of(here);
	struct trace_thread *thread = trace_record_of(here);
	uint32_t place = trace_cache_place(lock);
	const struct trace_cached *c = &here->objects[place];
	struct trace_held *held;
	uint32_t number = __atomic_load_n(&c->number, __ATOMIC_RELAXED);
	uint64_t ticks;

	atomic_signal_fence(memory_order_seq_cst);
	if (unlikely(c->address != (uintptr_t)lock || c->age != trace_objects_age() ||
		     here->sync.locks[0] > 0xff || here->sync.is_slow[place] || chunk == NULL ||
		     thread == NULL))
		return sync_take(lock, kind, mode);
	held = &thread->held[0];
	ticks = (arch_counter() - live->trace_base) >> live->trace_shift;
	if (unlikely(ticks - held->since >= sync_settings.long_ticks))
		return sync_take(lock, kind, mode);
	/*
	 * In this order: a handler that comes in between finds the place taken, or has left it as it was when it returns.
	 * One that keeps its lock and one that is left for good cost no more than a line of held[].
	 */
	here->sync.locks[0] = SYNC_LOCK(lock, 0, place);
	atomic_signal_fence(memory_order_seq_cst);
	held->since = ticks;
	held->written = atomic_load_explicit(&chunk->word, memory_order_relaxed);
	sync_put_held(held, number, mode);
	return 0;
}

SIGSAFE int sync_got(const void *lock, enum trace_object_kind kind,
		     enum sync_mode mode); /* by a try of the host's own */

/* One of those was in vain. Returns @result. */
SIGSAFE int sync_refused(const void *lock, enum trace_object_kind kind, enum sync_mode mode,
			 int result);

/*
 * Before a release: true when that is the other half of a pair, which is written then. As trace_write_text(), but when
 * somebody writes in between it is no pair any more. Small numbers only; the other does all.
 */
#define SYNC_PAIR(mode)          \
	(TRACE_LOCK_PAIR_EVENT + \
	 ((mode)-SYNC_EXCLUSIVE) * (TRACE_LOCK_PAIR_SHARED_EVENT - TRACE_LOCK_PAIR_EVENT))

SIGSAFE __attribute__((always_inline)) static inline bool sync_pairs_near(const void *lock)
{
	struct trace_here *here = &trace_here;
	struct trace_thread *thread = trace_record_of(here);
	struct trace_chunk *c = trace_chunk_of(here);
	uint64_t word, passed, what, fresh;
	struct trace_held *held;
	uint32_t used, event;
	bool is_done = false;
	uint8_t *at;

	if (unlikely((here->sync.locks[0] ^ SYNC_LOCK(lock, 0, 0)) > 0xff || c == NULL ||
		     thread == NULL || (here->writer | (uintptr_t)here->parked) != 0 ||
		     !(atomic_load_explicit(&segment_live_page->trace_level, memory_order_relaxed) &
		       TRACE_LEVEL_LOCKS)))
		return false;
	held = &thread->held[0];
	what = sync_get_held(held);
	word = held->written;
	used = (uint32_t)(word & 0xffff); /* of a closed one more than there is room */
	passed = held->since - CHUNK_TICKS(word);
	if (unlikely(used + 4 > c->room || (uint32_t)what >= 0x80 || passed >= 0x4000 ||
		     atomic_load_explicit(&sync_settings.objects[(uint32_t)what].waiters,
					  memory_order_relaxed) != 0))
		return false;
	/* bytes that are not used are written, too: one store is all there is to a pair */
	event = SYNC_PAIR((uint32_t)(what >> 32));
	if (likely(passed < 0x80))
		event |= (uint32_t)passed << 8 | (uint32_t)what << 16;
	else
		event |= ((uint32_t)passed & 0x7f) << 8 | 0x8000 | ((uint32_t)passed >> 7) << 16 |
			 (uint32_t)what << 24;
	fresh = held->since << 16 | (used + 3 + (passed >= 0x80));
	at = c->bytes + used;
	/* a handler that comes in between leaves this stretch alone, and the word is another one then */
	here->writer = arch_stack_pointer();
	here->end = at + 4;
	atomic_signal_fence(memory_order_seq_cst);
	if (likely(atomic_load_explicit(&c->word, memory_order_relaxed) == word)) {
		memcpy(at, &event, 4);
		atomic_thread_fence(memory_order_release); /* pairs: the reader's load */
		is_done = arch_swap_here(&c->word, &word, fresh);
	}
	atomic_signal_fence(memory_order_seq_cst);
	here->writer = 0;
	if (unlikely(!is_done))
		return false;
	sync_put_held(held, 0, 0);
	here->sync.locks[0] &= 0xff;
	return true;
}
SIGSAFE bool sync_pairs(const void *lock);

/*
 * Any other release: before the real one, and after it when that was one. @callee: the function that the host called. What a
 * thread is known to hold is written before, else after.
 */
struct sync_release {
	uint64_t ticks, held, order;
	uint32_t object, mode, waiters, place;
	uint32_t event; /* its type; 0: there is nothing to write */
};
SIGSAFE void sync_releases(struct sync_release *r, const void *lock, enum trace_object_kind kind,
			   enum sync_mode mode, uintptr_t callee);
SIGSAFE void sync_released(const struct sync_release *r, uintptr_t callee);

/* ---- what struct wait's @with is, by the code of the wait ---- */

/*
 *     WAIT_LOCK, WAIT_RWLOCK, WAIT_SPIN      enum sync_mode; the holder's tid, 0: not known
 *     WAIT_COND                              the mutex, NULL: it stays taken; whether there is a time limit
 *     WAIT_BARRIER                           how many threads it is for; how many have come and were not let go yet
 *     WAIT_JOIN                              sync_thread() of it
 *     WAIT_ONCE                              whether this thread does it
 *     WAIT_FUTEX, WAIT_FUTEX_LOCK            the operation; the value
 */

/* ---- all else; before the call but where it says otherwise ---- */

SIGSAFE void sync_signals(const void *cond, bool is_broadcast, uintptr_t callee);
SIGSAFE void sync_posts(const void *sem, uintptr_t callee);
SIGSAFE void sync_got_token(const void *sem); /* after one that did not wait */

SIGSAFE uint64_t sync_stamp(void); /* for the next */
/* After it: @result is what it returned, with errno. */
SIGSAFE void sync_woke(uint64_t stamp, const void *word, unsigned operation, unsigned asked,
		       long result, uintptr_t callee);

/* The thread in @w, of WAIT_ONCE, does what others wait for. */
SIGSAFE void sync_runs_once(const struct wait *w);

/* Threads by their pthread_t, for as long as nobody else has that. 0: not known. */
SIGSAFE void sync_thread_is(uintptr_t pthread, uint32_t number);
SIGSAFE uint32_t sync_thread(uintptr_t pthread);
SIGSAFE void sync_joined(uint32_t thread); /* after one that did not wait */
SIGSAFE void sync_detaches(uint32_t thread);

/* What makes and destroys objects. @pc: where. */
SIGSAFE void sync_made(const void *object, uintptr_t pc);
SIGSAFE void sync_gone(const void *object);

/* ---- for cprof's own work on a thread of the host's; they nest ---- */

SIGSAFE static inline void sync_pause(void)
{
	trace_here.sync.paused++;
	memset(trace_here.objects, 0, sizeof(trace_here.objects));
}

SIGSAFE static inline void sync_resume(void)
{
	trace_here.sync.paused--;
}

/* Around a handler of the host's that came in between. One that leaves by longjmp() leaves the work for good. */
SIGSAFE static inline uint32_t sync_interrupted(void)
{
	uint32_t paused = trace_here.sync.paused;

	trace_here.sync.paused = 0;
	return paused;
}

SIGSAFE static inline void sync_continues(uint32_t paused)
{
	trace_here.sync.paused = paused;
	memset(trace_here.objects, 0, sizeof(trace_here.objects));
}
