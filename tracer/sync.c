#include "tracer/sync.h"

void (*sync_turned)(bool on);

void sync_start(struct segment *s)
{
	uint64_t ticks = trace_ticks_of(SYNC_STACK_NS);

	sync_settings.objects = trace_object_at(s, 1) - 1;
	sync_settings.stack_ticks = ticks;
	sync_settings.long_ticks = ticks * SYNC_LONG_NS / SYNC_STACK_NS;
	sync_trace_waits();
	atomic_fetch_add_explicit(&sync_settings.epoch, 1, memory_order_relaxed);
	/* all look up what they know of locks, and find the new epoch: enter() */
	trace_forget_objects();
	if (sync_turned != NULL)
		sync_turned(true);
	atomic_fetch_or_explicit(&wait_is_on, WAIT_TRACED,
				 memory_order_release); /* pairs: wait_begin */
}

void sync_stop(void)
{
	atomic_fetch_and_explicit(&wait_is_on, ~WAIT_TRACED, memory_order_seq_cst);
	if (sync_turned != NULL)
		sync_turned(false);
}

void sync_forked(void)
{
	sync_stop();
}
