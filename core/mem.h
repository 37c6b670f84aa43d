/*
 * mem: memory straight from the kernel; never the host's malloc. It is never locked, and it is known by its addresses, so
 * that mlockall() can leave it out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed pages, touched as they are used. NULL with errno when there are none. Given back by mem_unmap(). */
void *mem_map(size_t size_bytes);
void *mem_map_file(size_t size_bytes, int fd);   /* shared */
void mem_unmap(void *memory, size_t size_bytes); /* NULL is fine */

/* All of it. */
void mem_each(void (*each)(uintptr_t start, size_t bytes));
bool mem_is_ours(uintptr_t address);
size_t mem_bytes(void);
