#include "profiles/mutex/contention.h"

static int mutex_start(struct segment *s, const struct option_set *options, struct why *why)
{
	(void)options;
	(void)why;
	contention_run_begins(s, RUN_MUTEX);
	return 0;
}

static void mutex_stop(struct segment *s)
{
	contention_run_ends(s, RUN_MUTEX);
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
};
