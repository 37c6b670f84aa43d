/*
 * The private blocks behind thread_at(), one for each record; shared by thread.c and thread_sig.c.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/lock.h"
#include "core/thread.h"

/* First all blocks with their scratch, then all rules, which few threads touch. */
struct thread_blocks {
	uint8_t *memory;
	size_t bytes, stride, scratch_offset, rules_offset;

	/*
	 * Who has a record, for questions about ten thousand threads: a bit for each number a thread can have, and for some
	 * numbers the index that the last thread with one like it got. Hints: the records decide.
	 */
	_Atomic uint64_t *tids;
	_Atomic uint32_t *indexes;
	_Atomic uint32_t free_from; /* the lowest record that may be free */
	struct thread *ours;        /* the helper's, whose number the kernel itself writes */
};

#define THREAD_TIDS    (UINT32_C(1) << 22) /* the kernel's highest number */
#define THREAD_INDEXES (UINT32_C(1) << 14)
extern struct thread_blocks thread_blocks;

/* Held for the look at who has a record already, and for giving one, or a thread that two found could get two. */
extern struct lock thread_publishing;
SIGSAFE struct thread *thread_publish_alone(struct segment *s, struct thread *t, int tid);
