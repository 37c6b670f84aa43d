/*
 * walk_far: the stack of another thread, which sleeps, from the helper.
 *
 * Only pc, sp and bp of its leaf are known, which is what nearly all code needs; where more would be, the walk is cut.
 * Nothing is read in place: the thread may wake up, return, and give its stack back while we look. Copies of it are made
 * through the kernel, a few KiB at a time, and whoever asked checks afterwards that the thread has not moved.
 */
#pragma once

#include "core/walk.h"

struct walk_far_start {
	uintptr_t pc, sp, bp;
	bool is_exact; /* pc is where it is, not where it will return to */
};

/* Frames into @frames, which has room for walk_settings.depth + 1; @rules are the caller's own. */
SIGSAFE struct walk_result walk_far(struct segment *s, struct walk_rules *rules,
				    struct walk_far_start at, uint64_t *frames);
