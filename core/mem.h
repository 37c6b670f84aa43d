/*
 * mem: private memory straight from the kernel; never the host's malloc.
 */
#pragma once

#include <stddef.h>

/* Zeroed pages, touched as they are used. NULL when there are none. Given back by mem_unmap(). */
void *mem_map(size_t size_bytes);
void mem_unmap(void *memory, size_t size_bytes); /* NULL is fine */
