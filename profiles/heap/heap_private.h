/*
 * The parts of heap among themselves.
 */
#pragma once

#include "profiles/heap/heap.h"

/* The columns of its table begin at these. */
#define HEAP_ALLOCATED 0
#define HEAP_FREED     2

struct heap_settings {
	uint64_t mean; /* bytes between samples */
	uint64_t seed;
	_Atomic uint64_t strangers; /* threads without a number that began to count */
};
extern struct heap_settings heap_settings;

/* A row's key has the size class beside the label set: 23 bits are more sets than any segment has room for. */
SIGSAFE static inline uint32_t heap_row_labels(uint32_t labels, uint64_t size)
{
	return labels << SAMPLE_CLASS_BITS | sample_class(size);
}

/* The calling thread counts from the beginning, as in a child of fork. */
void heap_forget_thread(void);
