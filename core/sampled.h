/*
 * sampled: whoever else wants what a profile samples, besides the profile's own table. The trace does.
 *
 * Set while the library sets itself up, before anything is sampled, and never taken back; NULL: nobody does.
 */
#pragma once

#include "core/segment.h"
#include "core/thread.h"

/*
 * @ns of CPU time of @t, which need not be the calling thread, spent at this stack. Signal context, inside the guard.
 */
extern void (*sampled_cpu)(struct segment *s, struct thread *t, const uint64_t *frames,
			   uint32_t depth, uint64_t ns);
