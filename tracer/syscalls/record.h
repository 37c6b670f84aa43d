/*
 * record: system calls as events of the trace.
 *
 * A call that returns soon is one event, written behind it: which, how long, with what result. One that may wait for long is
 * begun before it (syscall.begin), so that it is in the trace when it never returns. Whatever waited longer than 10 us has its
 * stack.
 *
 * Files have instances: a number of its own for each time that a descriptor is opened. What is behind one is looked up when it
 * is first used, in /proc/self/fd, and stands in its fd.open.
 *
 * All of it runs between a host's function and the kernel, where vector registers are not ours: see sites.h. What needs them (a
 * walk, a text, a new chunk) is called with them saved.
 */
#pragma once

#include "tracer/syscalls/sites.h"

extern const struct syscall_probe record_probe;

/* Before the trace begins, and in a child of fork: no descriptor has an instance. */
SIGSAFE void record_begin(void);
