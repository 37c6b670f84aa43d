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
};
extern struct thread_blocks thread_blocks;

/* Held for the look at who has a record already, and for giving one, or a thread that two found could get two. */
extern struct lock thread_publishing;
SIGSAFE struct thread *thread_publish_alone(struct segment *s, struct thread *t, int tid);
