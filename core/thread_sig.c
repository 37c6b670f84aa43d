#include "core/thread.h"

#include <errno.h>

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

SIGSAFE struct thread *thread_reserve(struct segment *s)
{
	uint32_t room = segment_count(s, SEGMENT_THREADS, 0), index;
	struct thread_record *record = NULL;
	struct thread *t;

	for (index = 1; index < room; index++) {
		int32_t seen = 0;

		record = record_at(s, index);
		if (atomic_load_explicit(&record->tid, memory_order_relaxed) == 0 &&
		    atomic_compare_exchange_strong_explicit(&record->tid, &seen, THREAD_RESERVED,
							    memory_order_acquire,
							    memory_order_relaxed))
			break;
	}
	t = index < room ? thread_at(s, index) : NULL;
	if (t == NULL) {
		segment_count_lost(s, LOST_THREADS, 1);
		return NULL;
	}
	*t = (struct thread){
		.record = record,
		.index = index,
		.scratch = (struct walk_scratch *)((uint8_t *)t + thread_blocks.scratch_offset),
		.rules = (struct walk_rules *)(thread_blocks.memory + thread_blocks.rules_offset) +
			 index,
	};
	walk_forget(t->scratch); /* another thread's */
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

SIGSAFE struct thread *thread_publish_alone(struct segment *s, struct thread *t, int tid)
{
	struct thread *known = thread_find(s, tid);

	if (known != NULL) {
		thread_release(s, t);
		return known;
	}
	t->tid = tid;
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
	atomic_store_explicit(&t->record->tid, 0, memory_order_release);
}

SIGSAFE struct thread *thread_find(const struct segment *s, int tid)
{
	uint32_t high = high_of(s);

	for (uint32_t i = 1; i < high; i++)
		if (atomic_load_explicit(&record_at(s, i)->tid, memory_order_acquire) == tid)
			return thread_at(s, i);
	return NULL;
}
