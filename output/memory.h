/*
 * memory: how much memory a process has at this moment, by the counters of its heap profile and by the kernel's.
 *
 * For the heap's events in the trace. Whoever empties the trace's buffers reads it, from outside: nothing runs in the host
 * for it, whose sampled allocations are counted in its segment anyway.
 *
 *     struct memory_reader reader = {0};
 *
 *     each time round:  if (memory_read(&reader, segment, pid, now_ns, &now))
 *                               write a heap event of the process, with what is in now
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/segment.h"

struct memory_now {
	/* estimates, as in the profile's file; all 0 where it does not run */
	uint64_t live_bytes, live_objects, allocated_bytes, freed_bytes;
	uint64_t mapped_bytes, rss_bytes;
};

struct memory_reader {
	uint64_t next_ns; /* not before this */
	struct memory_now last;
};

/*
 * True with what there is now of the process @pid, when that differs from what was read last; of one that is gone, what its heap
 * had in the end. At most every 10 ms, and seldom enough to be at work for a hundredth of the time: a large segment's table has
 * 65,536 rows. @now_ns: CLOCK_MONOTONIC.
 */
bool memory_read(struct memory_reader *r, const struct segment *s, int pid, uint64_t now_ns,
		 struct memory_now *ret);
