/*
 * switches: the kernel's records of when threads ran, on their way into a trace (tracer/sched.h). One for each traced process.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/why.h"
#include "tracer/drain.h"

struct switches;

/* 0, or a negative errno with @why: not permitted, or not possible here. */
int switches_open(struct switches **ret, pid_t pid, struct why *why);

/* What was recorded up to now, into @d: in a pass of its. In any but the last something may be kept for the next. NULL is fine. */
void switches_pass(struct switches *w, struct drain *d, bool is_last);

void switches_close(struct switches *w); /* NULL is fine */

/* The same in a child of fork. */
void switches_forget(struct switches *w);
