/*
 * windows: differences of two readings of this process's profiles, by whoever wants one: cprof_cpu_start(), cprof_write_delta(),
 * the endpoint. Any number of them share one sampler; one that was off runs until the last window that asked for it has
 * stopped.
 *
 * Normal context. Nothing is wiped between windows_hold() and windows_release(); the functions below them are for in between.
 */
#pragma once

#include "core/profile.h"
#include "core/segment.h"
#include "core/why.h"
#include "output/output.h"

/* NULL: nothing is recorded, and there is nothing to release. */
struct segment *windows_hold(void);
void windows_release(void);

/*
 * What is now, such as the threads, is looked at when it is asked for. A profile that was stopped shows what it last saw;
 * @starts: one that is off is started for the look.
 */
int windows_look(const struct profile_ops *ops, bool starts, struct why *why);

/* -ENOSPC: 128 are open. @starts: the profile is switched on for it. */
int windows_begin(const struct profile_ops *ops, bool starts, struct reading_window **ret,
		  struct why *why);
/* It counts no more; a profile that nobody else wants is off again. windows_end() does that, too. */
void windows_stop(const struct reading_window *window);
void windows_end(struct reading_window *window);

/* Switches trace on until as many windows_end_trace(). */
int windows_begin_trace(struct why *why);
void windows_end_trace(void);

/* Held or not: somebody wants these, window or not. */
void windows_keep(unsigned profiles);
/* Of the bits @profiles, those that do not run for a window alone. */
unsigned windows_others(unsigned profiles);

/* Looks at all that is now. Not held. */
void windows_look_at_all(void);

/* In a child of fork: the parent's windows are not the child's. */
void windows_forked(void);
