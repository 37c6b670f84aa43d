/*
 * The list of profiles. A plain list can be searched, and its order is known.
 */
#include "core/profile.h"
#include "profiles/cpu/cpu.h"
#include "profiles/custom/custom.h"
#include "profiles/heap/heap.h"
#include "profiles/mutex/contention.h"
#include "profiles/threads/threads.h"
#include "profiles/wall/wall.h"
#include "tracer/trace.h"

const struct profile_ops *const all_profiles[] = {
	&cpu_profile,   &wall_profile,    &heap_profile,         &allocs_profile, &block_profile,
	&mutex_profile, &threads_profile, &threadcreate_profile, &trace_profile,  &custom_profile,
	NULL,
};
