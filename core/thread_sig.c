#include "core/thread.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "core/arch.h"
#include "core/clock.h"
#include "core/thread_private.h"
#include "core/walk.h"

__thread struct thread *thread_self_block __attribute__((tls_model("initial-exec")));

struct thread_blocks thread_blocks;
struct lock thread_publishing = {.rank = LOCK_THREADS};

SIGSAFE struct thread *thread_at(const struct segment *s, uint32_t index)
{
	if (index == 0 || index >= segment_count(s, SEGMENT_THREADS, 0) ||
	    thread_blocks.memory == NULL)
		return NULL;
	return (struct thread *)(thread_blocks.memory + index * thread_blocks.stride);
}

static struct thread_record *record_at(const struct segment *s, uint32_t index)
{
	return (struct thread_record *)segment_part(s, SEGMENT_THREADS, 0) + index;
}

static uint32_t high_of(const struct segment *s)
{
	uint32_t high = atomic_load_explicit(&s->header->threads_high, memory_order_acquire);
	uint32_t room = segment_count(s, SEGMENT_THREADS, 0);

	return high < room ? high : room;
}

/* The first free record from @index on, taken; the number of records when there is none. */
static uint32_t claim(struct segment *s, uint32_t index)
{
	uint32_t room = segment_count(s, SEGMENT_THREADS, 0);

	for (; index < room; index++) {
		_Atomic int32_t *tid = &record_at(s, index)->tid;
		int32_t seen = 0;

		if (atomic_load_explicit(tid, memory_order_relaxed) == 0 &&
		    atomic_compare_exchange_strong_explicit(tid, &seen, THREAD_RESERVED,
							    memory_order_acquire,
							    memory_order_relaxed)) {
			atomic_store_explicit(&thread_blocks.free_from, index + 1,
					      memory_order_relaxed);
			break;
		}
	}
	return index;
}

SIGSAFE struct thread *thread_reserve(struct segment *s)
{
	uint32_t room = segment_count(s, SEGMENT_THREADS, 0), index;
	struct thread_record *record = NULL;
	struct thread *t;

	index = claim(s, atomic_load_explicit(&thread_blocks.free_from, memory_order_relaxed));
	if (index == room)
		index = claim(s, 1);
	record = index < room ? record_at(s, index) : NULL;
	t = index < room ? thread_at(s, index) : NULL;
	if (t == NULL) {
		segment_count_lost(s, LOST_THREADS, 1);
		return NULL;
	}
	/*
	 * The helper may just be looking at the thread that had this block before: what leads to other memory stays, and is the
	 * same for all that have it.
	 */
	memset((uint8_t *)t + offsetof(struct thread, tid), 0,
	       offsetof(struct thread, scratch) - offsetof(struct thread, tid));
	t->record = record;
	t->index = index;
	t->scratch = (struct walk_scratch *)((uint8_t *)t + thread_blocks.scratch_offset);
	t->rules = (struct walk_rules *)(thread_blocks.memory + thread_blocks.rules_offset) + index;
	walk_forget(t->scratch); /* another thread's */
	memset((uint8_t *)segment_part(s, SEGMENT_TRACE_THREADS, 0) +
		       (size_t)index * TRACE_THREAD_STRIDE,
	       0, TRACE_THREAD_STRIDE);
	atomic_store_explicit(&record->labels, 0, memory_order_relaxed);
	atomic_store_explicit(&record->inside, 0, memory_order_relaxed);
	atomic_store_explicit(&record->flags, 0, memory_order_relaxed);
	atomic_store_explicit(&record->waits, 0, memory_order_relaxed);
	atomic_store_explicit(&record->idle_row, 0, memory_order_relaxed);
	atomic_store_explicit(&record->idle_looks, 0, memory_order_relaxed);
	atomic_store_explicit(&record->idle_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&record->snapshot_serial, 0, memory_order_relaxed);
	record->name[0] = '\0';
	record->begun_ns = clock_monotonic();
	for (uint32_t high = high_of(s); high <= index;)
		if (atomic_compare_exchange_weak_explicit(&s->header->threads_high, &high,
							  index + 1, memory_order_release,
							  memory_order_relaxed))
			break;
	return t;
}

static void note_tid(int tid, uint32_t index)
{
	if ((uint32_t)tid >= THREAD_TIDS)
		return;
	atomic_store_explicit(&thread_blocks.indexes[(uint32_t)tid % THREAD_INDEXES], index,
			      memory_order_relaxed);
	atomic_fetch_or_explicit(&thread_blocks.tids[tid / 64], UINT64_C(1) << tid % 64,
				 memory_order_release);
}

static void forget_tid(int tid)
{
	if (tid > 0 && (uint32_t)tid < THREAD_TIDS)
		atomic_fetch_and_explicit(&thread_blocks.tids[tid / 64], ~(UINT64_C(1) << tid % 64),
					  memory_order_relaxed);
}

SIGSAFE struct thread *thread_publish_alone(struct segment *s, struct thread *t, int tid)
{
	struct thread *known = thread_find(s, tid);

	if (known != NULL) {
		/* its own handlers go on with what others know it by, which has its number from here on */
		if (thread_self_block == t)
			thread_self_block = known;
		atomic_signal_fence(memory_order_seq_cst);
		t->tid = 0;
		thread_release(s, t);
		return known;
	}
	t->tid = tid;
	note_tid(tid, t->index);
	atomic_store_explicit(&t->record->tid, tid, memory_order_release); /* pairs: thread_find */
	return t;
}

SIGSAFE struct thread *thread_try_publish(struct segment *s, struct thread *t, int tid)
{
	if (!lock_try(&thread_publishing)) {
		thread_release(s, t);
		return NULL;
	}
	t = thread_publish_alone(s, t, tid);
	lock_give(&thread_publishing);
	return t;
}

SIGSAFE void thread_release(struct segment *s, struct thread *t)
{
	uint32_t from = atomic_load_explicit(&thread_blocks.free_from, memory_order_relaxed);

	(void)s;
	forget_tid(t->tid);
	atomic_store_explicit(&t->record->tid, 0, memory_order_release);
	while (t->index < from &&
	       !atomic_compare_exchange_weak_explicit(&thread_blocks.free_from, &from, t->index,
						      memory_order_relaxed, memory_order_relaxed))
		;
}

SIGSAFE struct thread *thread_begin(struct segment *s)
{
	struct thread *t = thread_self_block;

	if (t != NULL && thread_enter(s, t))
		return t;
	t = thread_reserve(s);
	if (t != NULL && !thread_enter(s, t)) {
		thread_release(s, t);
		t = NULL;
	}
	return t;
}

SIGSAFE void thread_done(struct segment *s, struct thread *t)
{
	thread_leave(t);
	if (t != thread_self_block)
		thread_release(s, t);
}

SIGSAFE struct thread *thread_find(const struct segment *s, int tid)
{
	uint32_t high = high_of(s), hint;
	const struct thread *ours = thread_blocks.ours;

	if (ours != NULL && ours->record != NULL &&
	    atomic_load_explicit(&ours->record->tid, memory_order_acquire) == tid)
		return thread_at(s, ours->index);
	if (tid > 0 && (uint32_t)tid < THREAD_TIDS && thread_blocks.memory != NULL) {
		/* pairs: note_tid */
		if (!(atomic_load_explicit(&thread_blocks.tids[tid / 64], memory_order_acquire) >>
			      tid % 64 &
		      1))
			return NULL;
		hint = atomic_load_explicit(&thread_blocks.indexes[(uint32_t)tid % THREAD_INDEXES],
					    memory_order_relaxed);
		if (hint > 0 && hint < high &&
		    atomic_load_explicit(&record_at(s, hint)->tid, memory_order_acquire) == tid)
			return thread_at(s, hint);
	}
	for (uint32_t i = 1; i < high; i++)
		if (atomic_load_explicit(&record_at(s, i)->tid, memory_order_acquire) == tid)
			return thread_at(s, i);
	return NULL;
}
