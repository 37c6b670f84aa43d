/*
 * own_work: cprof at work on a thread of the host's. What it allocates there and waits for is not the host's doing. They nest.
 */
#pragma once

#include "profiles/heap/heap.h"
#include "profiles/mutex/contention.h"
#include "tracer/sync.h"

static inline void own_work_begins(void)
{
	heap_pause();
	contention_pause();
	sync_pause();
}

static inline void own_work_ends(void)
{
	sync_resume();
	contention_resume();
	heap_resume();
}
