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
 *
 * From one walk of a thread to the next most of its stack stays as it is. That part is not walked again but compared:
 * walk_rows_sig.c.
 */
#pragma once

#include <signal.h>
#include <stdatomic.h>

#include "core/arch.h"
#include "core/cfi.h"
#include "core/segment.h"
#include "core/thread.h"

#define WALK_DEPTH_MAX 1024

enum walk_way { WALK_AUTO, WALK_FP, WALK_LIBUNWIND };

struct walk_result {
	const uint64_t *frames; /* until the thread's next walk */
	uint32_t depth;
	bool is_truncated; /* its last word is FRAME_TRUNCATED */
};

/* One for each thread: what a walk writes, and what the next one may use of it (walk_rows_sig.c). */
struct walk_scratch {
	struct walk_result last; /* of depth 0 while a walk is at work */
	uintptr_t high;          /* the upper bits that all kept stack pointers share */
	/* frames of the last walk, at the ends of both arrays; 0 while a walk is at work */
	_Atomic uint32_t kept;
	uint32_t serial; /* of the module list they were found with */
	bool is_whole;   /* the last of them is the outermost frame */
	uint8_t in_vain; /* more often of late than it helped */
	uint8_t pause;   /* walks to come for which it is not tried */
	/* walk_room() + 1 frames, and behind them what else is known of each */
	uint64_t words[];
};

/* Where rows are computed. Most threads find theirs made by others, and never touch this. */
struct walk_rules {
	struct cfi_frame frame; /* the rules at one place */
	struct cfi_state states[CFI_STATES];
	struct arch_regs regs;
};

/* What the whole process walks with; set before the first walk. */
struct walk_settings {
	enum walk_way way;
	uint32_t depth;   /* frames kept */
	uint32_t shallow; /* a stack of fewer frames is walked sooner than compared */
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

/* What a walk has besides the frames of the deepest stack: see move_new(), and how old and new ones share the arrays. */
#define WALK_BEFORE 8
#define WALK_ASIDE  12

static inline uint32_t walk_room(void)
{
	return WALK_BEFORE + WALK_ASIDE + walk_settings.depth;
}

static inline size_t walk_scratch_bytes(void)
{
	return sizeof(struct walk_scratch) + 2 * (walk_room() + 1) * sizeof(uint64_t);
}

/* The next walk with @scratch starts from nothing. */
SIGSAFE static inline void walk_forget(struct walk_scratch *scratch)
{
	atomic_store_explicit(&scratch->kept, 0, memory_order_relaxed);
	scratch->last.depth = 0;
}

/* What the last walk on @t found; of depth 0 when there was none. */
SIGSAFE static inline struct walk_result walk_last(const struct thread *t)
{
	return t->scratch->last;
}

/* The stack that the signal with @uc interrupted on this thread. */
SIGSAFE struct walk_result walk_signal(struct segment *s, struct thread *t, const ucontext_t *uc);

/* This thread's own stack from the caller on. */
SIGSAFE struct walk_result walk_here(struct segment *s, struct thread *t);

/*
 * The same as the host sees it: our own frames are gone, and the leaf is @callee, the function that the host has called (0:
 * no such frame). It stands in the place of one of ours, which the next walk wants to find there: walk_host_done() is due.
 * @pc: where the stack begins, when what is above is not to be seen; 0.
 */
struct walk_host {
	uint64_t *frames, word;
	uint32_t depth;
	bool has_callee;
};
SIGSAFE struct walk_host walk_host(struct segment *s, struct thread *t, uintptr_t callee,
				   uintptr_t pc);
SIGSAFE void walk_host_done(struct walk_host *host);

/* Whether the stack that was just walked on @t has a signal's frame in it. Inside the guard. */
SIGSAFE bool walk_meets_handler(struct segment *s, struct thread *t,
				const struct walk_result *stack);

/*
 * False where it must not be called: on an alternate signal stack with little left. @t is the calling thread, NULL when it is
 * not known.
 */
SIGSAFE bool walk_has_room(const struct thread *t);

/* The same over registers, for tests. @regs is changed. */
SIGSAFE struct walk_result walk_regs(struct segment *s, struct thread *t, struct arch_regs *regs);
