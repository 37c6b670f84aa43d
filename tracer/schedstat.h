/*
 * schedstat: how long a thread ran and waited for a processor, where its switches cannot be recorded.
 *
 * The kernel's sums, read from /proc: two looks tell how much of the time between them, not when. What is drawn from it is
 * "proportional".
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "core/context.h"
#include "core/why.h"

struct sched_times {
	uint64_t ran_ns, waited_ns; /* on a processor; runnable without one */
	uint64_t slices;            /* times it was given one */
	uint64_t voluntary, involuntary;
};

/*
 * What thread @tid of @pid (0: this process) did since the look that *last is of (zeroed: since it began), into *ret; *last
 * becomes this look. 1, or 0 when it has not run, or -ESRCH when it is gone, or another negative errno. A thread that has
 * not run costs one small file, one that has costs two.
 */
SIGSAFE int sched_delta(pid_t pid, pid_t tid, struct sched_times *last, struct sched_times *ret);

/* Does the kernel keep these sums? 0, or a negative errno with @why. */
int sched_delta_check(struct why *why);
