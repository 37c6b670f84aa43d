#include "core/clock.h"
#include "core/sites.h"
#include "profiles/mutex/contention_private.h"

void contention_begin(struct segment *s, enum segment_run_id id, uint32_t bits, uint64_t seed)
{
	struct segment_run *run = &s->header->runs[id];
	uint64_t now = clock_monotonic();

	wait_keeper = (struct wait_keeper){contention_on_wait, contention_on_wait_over,
					   contention_on_leave};
	contention_settings.seed = seed != 0 ? seed : now ^ (uint64_t)s->header->pid << 32;
	atomic_store_explicit(&run->period, 1, memory_order_relaxed);
	if (atomic_load_explicit(&run->begun_ns, memory_order_relaxed) == 0)
		atomic_store_explicit(&run->begun_ns, now, memory_order_relaxed);
	atomic_store_explicit(&run->ended_ns, 0, memory_order_relaxed);
	atomic_fetch_or_explicit(&wait_is_on, bits, memory_order_release); /* pairs: wait_begin */
}

void contention_end(struct segment *s, enum segment_run_id id, uint32_t bits)
{
	if (!(atomic_fetch_and_explicit(&wait_is_on, ~bits, memory_order_seq_cst) & bits))
		return;
	thread_wait_outside(s, thread_self_block, NS_PER_SECOND / 10);
	atomic_store_explicit(&s->header->runs[id].ended_ns, clock_monotonic(),
			      memory_order_release);
}

void contention_forked(void)
{
	atomic_fetch_and_explicit(&wait_is_on, ~(WAIT_TIMED | WAIT_COUNTED | WAIT_IO),
				  memory_order_relaxed);
	contention_settings.process++;
	contention_settings.threads = 0;
	contention_forget_thread();
	waiters_forked();
}
