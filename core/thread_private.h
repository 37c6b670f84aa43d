/*
 * The private blocks behind thread_at(), one for each record; shared by thread.c and thread_sig.c.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct thread_blocks {
	uint8_t *memory;
	size_t bytes, stride, scratch_offset;
};
extern struct thread_blocks thread_blocks;
