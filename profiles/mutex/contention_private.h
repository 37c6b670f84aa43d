/*
 * The parts of contention among themselves.
 */
#pragma once

#include "profiles/mutex/contention.h"

struct contention_settings {
	uint64_t block_ns; /* shorter waits are not kept; with @block_is_rate, only some of them */
	bool block_is_rate;
	uint64_t mutex_n;
	uint64_t seed;
	_Atomic uint64_t threads; /* that drew a number */
	uint32_t process;         /* changes in a child of fork */
};
extern struct contention_settings contention_settings;

/* Normal context. */
void contention_begin(struct segment *s, enum segment_run_id id, uint32_t bits, uint64_t seed);
void contention_end(struct segment *s, enum segment_run_id id, uint32_t bits);
void contention_forked(void);

SIGSAFE void contention_on_wait(struct wait *w);
SIGSAFE void contention_on_wait_over(struct wait *w, uint64_t now_ns);
SIGSAFE void contention_on_leave(struct thread *t);

/* The calling thread's numbers begin anew. */
void contention_forget_thread(void);

/*
 * What an event of @ns counts: [0] how often, [1] for how long; [0] is 0 when it is not kept. Unbiased: over many events
 * the sums are those of all, but for what a threshold leaves out.
 */
SIGSAFE void contention_weigh(uint64_t ns, uint64_t ret_values[BLOCK_COLUMNS]);
