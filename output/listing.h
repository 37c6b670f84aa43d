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
 * debug=1 of blocks of the heap, as reading_sampled() has them: what is in use, and in brackets what was allocated, the most
 * in use first; by R bytes between samples. pprof reads it, and unsamples by itself. @rss_bytes: the most memory that the
 * process has had resident, 0 when that is not known. (listing_heap.c)
 *
 *     heap profile: 3: 12288 [5: 20480] @ heap/2R
 *     3: 12288 [5: 20480] @ 0x55d0c3a01247 0x7f8a1c094ac4
 *     # labels: {"pool":"web"}
 *     #	0x55d0c3a01246	read_request+0x36	/src/pool.c:71
 *     …
 *     # estimates from the samples
 *     # Alloc = 1574912
 *     …
 *     # MaxRSS = 8388608
 *
 * Frames of the allocator are among the addresses, not among the functions.
 */
int listing_heap(const struct profile *p, uint64_t rss_bytes, int fd);

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
