#include "core/mem.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

/* The lasting ones are a handful; what finds no room is treated as the host's. */
#define RANGES 16
static struct range {
	_Atomic uintptr_t start; /* 0 free, 1 being set */
	_Atomic size_t bytes;
} ranges[RANGES];

static void note(void *memory, size_t bytes)
{
	for (int i = 0; i < RANGES; i++) {
		uintptr_t none = 0;

		if (!atomic_compare_exchange_strong_explicit(
			    &ranges[i].start, &none, 1, memory_order_acq_rel, memory_order_relaxed))
			continue;
		atomic_store_explicit(&ranges[i].bytes, bytes, memory_order_relaxed);
		atomic_store_explicit(&ranges[i].start, (uintptr_t)memory,
				      memory_order_release); /* pairs: mem_each acquire */
		return;
	}
}

static void forget(const void *memory)
{
	for (int i = 0; i < RANGES; i++)
		if (atomic_load_explicit(&ranges[i].start, memory_order_relaxed) ==
		    (uintptr_t)memory)
			atomic_store_explicit(&ranges[i].start, 0, memory_order_release);
}

/*
 * After mlockall(MCL_FUTURE) a new mapping is locked, and filled with pages at once unless nobody may touch it yet. So
 * it is let go before it is opened.
 */
static void *map(size_t bytes, int flags, int fd)
{
	void *memory = mmap(NULL, bytes, PROT_NONE, flags, fd, 0);
	int error;

	if (memory == MAP_FAILED)
		return NULL;
	munlock(memory, bytes);
	if (mprotect(memory, bytes, PROT_READ | PROT_WRITE) < 0) {
		error = errno;
		munmap(memory, bytes);
		errno = error;
		return NULL;
	}
	note(memory, bytes);
	return memory;
}

void *mem_map(size_t size_bytes)
{
	return map(size_bytes, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
}

void *mem_map_file(size_t size_bytes, int fd)
{
	return map(size_bytes, MAP_SHARED, fd);
}

void mem_unmap(void *memory, size_t size_bytes)
{
	if (memory == NULL)
		return;
	forget(memory);
	munmap(memory, size_bytes);
}

void mem_each(void (*each)(uintptr_t start, size_t bytes))
{
	for (int i = 0; i < RANGES; i++) {
		uintptr_t start = atomic_load_explicit(&ranges[i].start,
						       memory_order_acquire); /* pairs: note */

		if (start > 1)
			each(start, atomic_load_explicit(&ranges[i].bytes, memory_order_relaxed));
	}
}

bool mem_is_ours(uintptr_t address)
{
	for (int i = 0; i < RANGES; i++) {
		uintptr_t start = atomic_load_explicit(&ranges[i].start, memory_order_acquire);

		if (start > 1 &&
		    address - start < atomic_load_explicit(&ranges[i].bytes, memory_order_relaxed))
			return true;
	}
	return false;
}

size_t mem_bytes(void)
{
	size_t sum = 0;

	for (int i = 0; i < RANGES; i++)
		if (atomic_load_explicit(&ranges[i].start, memory_order_acquire) > 1)
			sum += atomic_load_explicit(&ranges[i].bytes, memory_order_relaxed);
	return sum;
}
