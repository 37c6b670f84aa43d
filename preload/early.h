/*
 * early: memory for whoever asks before the allocator's own functions are known.
 *
 * Looking them up may itself allocate: glibc before 2.34 does at the first dlsym(). Such requests are served from a fixed
 * buffer, which nothing ever comes back to: a block of it stays a block. From the first one on, HEAP_EARLY makes the
 * wrappers look for them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Zeroed; NULL when the buffer is full. @alignment is a power of two. Any context. */
void *early_get(size_t size, size_t alignment);
bool early_has(const void *p);
size_t early_size(const void *p); /* as it was asked for */
