/*
 * requests: what the launcher asks a process to start and to stop (struct segment_request).
 *
 * It runs on the helper, a thread that the C library does not know (core/helper.h). What it calls may use no more than this of it:
 * system calls, texts (uselocale() gives this thread what they need), no memory of the allocator's, no lock, not the loader.
 * What starts a profile keeps to that; what cannot is done when the process begins (process.c, begin_obeying()).
 */
#pragma once

#include "core/helper.h"

/* HELPER_REQUESTS. */
uint64_t requests_obey(struct segment *s, struct thread *self, uint64_t now_ns);
