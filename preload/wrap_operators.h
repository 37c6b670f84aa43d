/*
 * wrap_operators: C++'s new and delete, and jemalloc's own functions, of an allocator that has them itself.
 *
 * Nothing of this is exported: see preload/rebind.h.
 */
#pragma once

#include "core/why.h"

/*
 * What heap_prepare is for. Refuses when the host's calls of malloc() do not reach ours, else stands in front of what the
 * process's allocator has beside it. 0 or -ENOTSUP with @why. Normal context, the first time; see rebind_allocator().
 */
int wrap_operators_prepare(struct why *why);
