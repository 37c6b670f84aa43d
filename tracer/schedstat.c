#include "tracer/schedstat.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int sched_delta_check(struct why *why)
{
	struct sched_times last = {0}, since;
	int r = sched_delta(0, getpid(), &last, &since);

	if (r < 0)
		why_set(why, "/proc/self/task/%d/schedstat and status: %s", (int)getpid(),
			strerror(-r));
	else if (r == 0) /* though it is running */
		why_set(why, "this kernel does not keep the times of threads (CONFIG_SCHED_INFO)");
	return r < 0 ? r : r == 0 ? -EOPNOTSUPP : 0;
}
