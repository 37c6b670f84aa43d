/*
 * walk: the stack of a thread, leaf first, as words (FRAME_* in segment.h).
 *
 * At each frame, in this order:
 *   1. a row from the cache: where the caller's frame lies, as two additions (rows.h);
 *   2. a row computed from .eh_frame on a miss (cfi.h);
 *   3. the frame pointer, where the code has no CFI and the pointer stands up to checks.
 * A frame whose rule needs more than stack and frame pointer makes the walk start over with all registers, by CFI alone.
 *
 * A walk reads the thread's stack and the modules' unwind tables, nothing else. Memory it does not know to be mapped
 * is asked for by a system call first. It ends after WALK_STEPS at the latest.
 */
#pragma once

#include <signal.h>

#include "core/arch.h"
#include "core/cfi.h"
#include "core/segment.h"
#include "core/thread.h"

#define WALK_DEPTH_MAX 1024

enum walk_way { WALK_AUTO, WALK_FP, WALK_LIBUNWIND };

struct walk_scratch {
	struct cfi_frame frame; /* the rules at one place */
	struct cfi_state states[CFI_STATES];
	struct arch_regs regs;
	uint64_t frames[]; /* depth + 1 words */
};

struct walk_result {
	uint64_t *frames;
	uint32_t depth;
	bool is_truncated; /* its last word is FRAME_TRUNCATED */
};

/* What the whole process walks with; set before the first walk. */
struct walk_settings {
	enum walk_way way;
	uint32_t depth; /* frames kept */
	/* for WALK_LIBUNWIND: how many addresses to look up, at most @max, and whether the last is the outermost frame */
	int (*libunwind)(const ucontext_t *uc, uint64_t *ret_addresses, int max,
			 bool *ret_is_complete);
};
extern struct walk_settings walk_settings;

/*
 * Makes WALK_LIBUNWIND possible. -ENOTSUP with @why where libunwind is not installed or was not known when this was
 * built. Normal context.
 */
int walk_libunwind_init(struct why *why);

static inline size_t walk_scratch_bytes(void)
{
	return sizeof(struct walk_scratch) + (walk_settings.depth + 1) * sizeof(uint64_t);
}

/* The stack that the signal with @uc interrupted on this thread. */
SIGSAFE struct walk_result walk_signal(struct segment *s, struct thread *t, const ucontext_t *uc);

/* This thread's own stack from the caller on. */
SIGSAFE struct walk_result walk_here(struct segment *s, struct thread *t);

/* The same over registers, for tests. @regs is changed. */
SIGSAFE struct walk_result walk_regs(struct segment *s, struct thread *t, struct arch_regs *regs);
