/*
 * lock: a futex lock for normal context. Not a pthread mutex: those are what we measure.
 *
 * Ranks give the order in which locks are taken, lowest first.
 */
#pragma once

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "core/arch.h"

enum lock_rank {
	LOCK_HTTP,    /* starting and stopping the endpoint */
	LOCK_WINDOWS, /* the open windows of cprof_cpu_start() */
	LOCK_CONTROL, /* starting and stopping profiles */
	LOCK_REBIND,  /* what the allocator's names lead to */
	LOCK_HELPER,  /* starting and stopping the helper thread */
	LOCK_MODULES, /* refreshing the module list */
	LOCK_THREADS, /* giving a thread its record */
	LOCK_MAKING,  /* making a profile of the program's own */
	LOCK_ENTRIES, /* a part of the entries of these */
};

struct lock {
	_Atomic uint32_t state; /* 0 free, 1 taken, 2 taken and waited for */
	enum lock_rank rank;
};

static inline void lock_take(struct lock *l)
{
	uint32_t seen = 0;

	if (atomic_compare_exchange_strong_explicit(&l->state, &seen, 1,
						    memory_order_acquire, /* pairs: lock_give */
						    memory_order_relaxed))
		return;
	while (atomic_exchange_explicit(&l->state, 2, memory_order_acquire) != 0)
		sys4(SYS_futex, &l->state, FUTEX_WAIT_PRIVATE, 2, 0);
}

/* For a handler, which may have interrupted the holder: it never waits. */
static inline bool lock_try(struct lock *l)
{
	uint32_t seen = 0;

	return atomic_compare_exchange_strong_explicit(&l->state, &seen, 1,
						       memory_order_acquire, /* pairs: lock_give */
						       memory_order_relaxed);
}

static inline void lock_give(struct lock *l)
{
	if (atomic_exchange_explicit(&l->state, 0, memory_order_release) == 2)
		sys3(SYS_futex, &l->state, FUTEX_WAKE_PRIVATE, 1);
}
