#include "core/thread.h"

#include <errno.h>
#include <sys/syscall.h>
#include <time.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/thread_private.h"
#include "core/walk.h"

int thread_init(struct segment *s)
{
	static struct thread_blocks left;
	struct thread_blocks b = {0};
	size_t tids;

	/* a parent's, before fork: segment_leave() says why it stays for so long */
	mem_unmap(left.memory, left.bytes);
	left = thread_blocks;
	b.scratch_offset = (sizeof(struct thread) + 15) & ~(size_t)15;
	b.stride = (b.scratch_offset + walk_scratch_bytes() + 63) & ~(size_t)63;
	b.rules_offset = b.stride * segment_count(s, SEGMENT_THREADS, 0);
	tids = (b.rules_offset + sizeof(struct walk_rules) * segment_count(s, SEGMENT_THREADS, 0) +
		63) &
	       ~(size_t)63;
	b.bytes = tids + THREAD_TIDS / 8 + THREAD_INDEXES * sizeof(b.indexes[0]);
	b.memory = mem_map(b.bytes);
	b.tids = (_Atomic uint64_t *)(b.memory + tids);
	b.indexes = (_Atomic uint32_t *)(b.memory + tids + THREAD_TIDS / 8);
	b.free_from = 1;
	thread_blocks = b;
	thread_self_block = NULL;
	thread_publishing = (struct lock){
		.rank = LOCK_THREADS}; /* another thread of the parent's may have held it */
	return b.memory == NULL ? -ENOMEM : 0;
}

struct thread *thread_publish(struct segment *s, struct thread *t, int tid)
{
	lock_take(&thread_publishing);
	t = thread_publish_alone(s, t, tid);
	lock_give(&thread_publishing);
	return t;
}

void thread_each(struct segment *s, void (*each)(struct thread *t, void *user), void *user)
{
	uint32_t high = atomic_load_explicit(&s->header->threads_high, memory_order_acquire);

	for (uint32_t i = 1; i < high; i++) {
		struct thread *t = thread_at(s, i);

		/* pairs: thread_claim release */
		if (t != NULL && t->record != NULL &&
		    atomic_load_explicit(&t->record->tid, memory_order_acquire) > 0 &&
		    !(atomic_load_explicit(&t->record->flags, memory_order_relaxed) &
		      THREAD_IS_OURS))
			each(t, user);
	}
}

/* Waits for threads whose @inside is @inside, or anything but 0 when that is 0. */
static int wait_for(struct segment *s, const struct thread *except, uint32_t inside,
		    uint64_t wait_ns)
{
	uint32_t high = atomic_load_explicit(&s->header->threads_high, memory_order_seq_cst);
	uint64_t until = clock_monotonic() + wait_ns;

	for (uint32_t i = 1; i < high; i++) {
		struct thread *t = thread_at(s, i);

		while (t != NULL && t != except && t->record != NULL) {
			struct timespec pause = {0, 20000};
			/* pairs: thread_enter's seq_cst store */
			uint32_t seen =
				atomic_load_explicit(&t->record->inside, memory_order_seq_cst);

			if (seen == 0 || (inside != 0 && seen != inside))
				break;
			if (clock_monotonic() > until)
				return -ETIMEDOUT;
			sys2(SYS_nanosleep, &pause,
			     NULL); /* the C library's is a cancellation point */
		}
	}
	return 0;
}

int thread_wait_outside(struct segment *s, const struct thread *except, uint64_t wait_ns)
{
	return wait_for(s, except, 0, wait_ns);
}

int thread_wait_generation(struct segment *s, unsigned generation, uint64_t wait_ns)
{
	return wait_for(s, NULL, generation + 1, wait_ns);
}

void thread_set_ours(struct thread *t)
{
	thread_blocks.ours = t;
}
