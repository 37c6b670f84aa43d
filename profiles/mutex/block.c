#include "core/clock.h"
#include "profiles/mutex/contention.h"

void contention_run_begins(struct segment *s, enum segment_run_id id)
{
	struct segment_run *run = &s->header->runs[id];

	atomic_store_explicit(&run->period, 1, memory_order_relaxed);
	if (atomic_load_explicit(&run->begun_ns, memory_order_relaxed) == 0)
		atomic_store_explicit(&run->begun_ns, clock_monotonic(), memory_order_relaxed);
	atomic_store_explicit(&run->ended_ns, 0, memory_order_relaxed);
}

void contention_run_ends(struct segment *s, enum segment_run_id id)
{
	atomic_store_explicit(&s->header->runs[id].ended_ns, clock_monotonic(),
			      memory_order_release);
}

static int block_start(struct segment *s, const struct option_set *options, struct why *why)
{
	(void)options;
	(void)why;
	contention_run_begins(s, RUN_BLOCK);
	return 0;
}

static void block_stop(struct segment *s)
{
	contention_run_ends(s, RUN_BLOCK);
}

const struct profile_ops block_profile = {
	.name = "block",
	.bit = OPTION_BLOCK,
	.about = "who waited, for how long",
	.values = (const struct value_type[]){{"contentions", "count"},
					      {"delay", "nanoseconds"},
					      {0}},
	.period = {"contentions", "count"},
	.table = SEGMENT_TABLE_BLOCK,
	.run = RUN_BLOCK,
	.start = block_start,
	.stop = block_stop,
};
