/*
 * listing: stacks as text, for people: what the endpoints of Go programs give for debug=1 and debug=2.
 */
#pragma once

#include <stddef.h>

#include "output/profile.h"
#include "output/reading.h"

/*
 * debug=1: each stack with its values, the largest first. @name is the profile's. pprof reads the text of a profile with
 * one column.
 *
 *     threads profile: total 12
 *     11 @ 0x55d0c3a01247 0x7f8a1c094ac4
 *     # labels: {"pool":"web"}
 *     #	0x55d0c3a01246	wait_for_work+0x36	/src/pool.c:71
 *     #	0x7f8a1c094ac3	start_thread+0x2f3	/src/nptl/pthread_create.c:442
 *
 * Addresses behind "@" are one higher, as a return address would be: that is what readers of the format subtract.
 *
 * Returns 0 or a negative errno.
 */
int listing_stacks(const struct profile *p, const char *name, int fd);

/*
 * debug=2: one block for each thread; @threads[i] is sample i of @p.
 *
 *     thread 4242 [cond, 12 minutes] "worker":
 *     # labels: {"pool":"web"}
 *     wait_for_work(...)
 *     	/src/pool.c:71 +0x36
 *     start_thread(...)
 *     	/src/nptl/pthread_create.c:442 +0x2f3
 */
int listing_threads(const struct profile *p, const struct reading_thread *threads, int fd);
