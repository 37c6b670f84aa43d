#include "core/clock.h"
#include "profiles/mutex/contention_private.h"

static int mutex_start(struct segment *s, const struct option_set *options, struct why *why)
{
	(void)why;
	contention_settings.mutex_n = options->mutex_n;
	/* who waits since before is counted on, but what was waited until now is nobody's */
	if (!wait_is_wanted(WAIT_COUNTED))
		waiters_begin(clock_monotonic());
	contention_begin(s, RUN_MUTEX, WAIT_COUNTED, options->seed);
	return 0;
}

static void mutex_stop(struct segment *s)
{
	contention_end(s, RUN_MUTEX, WAIT_COUNTED);
}

const struct profile_ops mutex_profile = {
	.name = "mutex",
	.bit = OPTION_MUTEX,
	.about = "who made others wait",
	.values = (const struct value_type[]){{"contentions", "count"},
					      {"delay", "nanoseconds"},
					      {0}},
	.period = {"contentions", "count"},
	.table = SEGMENT_TABLE_MUTEX,
	.run = RUN_MUTEX,
	.start = mutex_start,
	.stop = mutex_stop,
	.forked = contention_forked,
};
