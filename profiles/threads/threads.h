/*
 * threads: what every thread is doing right now; and threadcreate: who starts threads.
 *
 * A snapshot looks at every thread once (core/look.h) and leaves what it found in the threads' records, under a number.
 * It is complete when the segment's header bears that number. Nobody is stopped: threads that wait are read from here,
 * those that run walk their own stacks. Who does not answer in 100 ms is listed with what the kernel tells.
 */
#pragma once

#include "core/helper.h"
#include "core/look.h"
#include "core/profile.h"

extern const struct profile_ops threads_profile, threadcreate_profile;

SIGSAFE uint64_t threads_snapshot(struct segment *s, struct thread *self, uint64_t now);
SIGSAFE void threads_sink(struct segment *s, struct thread *t, const struct look *look);
