/*
 * What helper.c and helper_sig.c share.
 */
#pragma once

#include "core/helper.h"

#define HELPER_LOOKS_SOON 50 /* a millisecond apart: a thread's last steps take less */

struct helper {
	struct segment *segment;
	struct thread *thread;      /* its record and block, NULL while it does not run */
	_Atomic int32_t tid;        /* cleared by the kernel at its very end */
	_Atomic uint32_t is_ending; /* it is to end */
	_Atomic uint32_t look_soon; /* so often in short intervals: has everybody gone? */
	uint8_t *memory; /* guard page, stack, thread-local block; kept for the next one */
	struct {
		_Atomic(helper_job) run;
		_Atomic uint64_t next_ns;
		uint32_t wanted; /* the segment's snapshots_asked, as it was answered */
		_Atomic uint32_t asked, done; /* calls, and those that are answered: a futex */
	} jobs[HELPER_JOBS];
};
extern struct helper helper;

/* The thread's first and last words. */
SIGSAFE void helper_main(void);
