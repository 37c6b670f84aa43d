#include "profiles/mutex/contention_private.h"

static int block_start(struct segment *s, const struct option_set *options, struct why *why)
{
	(void)why;
	contention_settings.block_is_rate = options->block_rate_ns != 0;
	contention_settings.block_ns =
		options->block_rate_ns != 0 ? options->block_rate_ns : options->block_ns;
	if (!options->block_io)
		atomic_fetch_and_explicit(&wait_is_on, ~WAIT_IO, memory_order_relaxed);
	contention_begin(s, RUN_BLOCK, WAIT_TIMED | (options->block_io ? WAIT_IO : 0),
			 options->seed);
	return 0;
}

static void block_stop(struct segment *s)
{
	contention_end(s, RUN_BLOCK, WAIT_TIMED | WAIT_IO);
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
	.forked = contention_forked,
};
