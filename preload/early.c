#include "preload/early.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include "profiles/heap/heap.h"

#define EARLY_BYTES \
	32768u /* glibc 2.31 takes 32 bytes a thread that looks; the rest is for loaders that keep lists */

static alignas(4096) unsigned char buffer[EARLY_BYTES];
static _Atomic size_t used;

/* Before each block, as malloc() has it; far enough for every alignment. */
struct head {
	size_t size, reserved;
};

void *early_get(size_t size, size_t alignment)
{
	size_t from = atomic_load_explicit(&used, memory_order_relaxed), at, end;
	struct head *head;

	if (alignment < sizeof(*head))
		alignment = sizeof(*head);
	if (size > EARLY_BYTES || alignment > 4096)
		return NULL;
	do {
		at = (from + sizeof(*head) + alignment - 1) & ~(alignment - 1);
		end = (at + size + sizeof(*head) - 1) & ~(sizeof(*head) - 1);
		if (end > EARLY_BYTES)
			return NULL;
	} while (!atomic_compare_exchange_weak_explicit(&used, &from, end, memory_order_relaxed,
							memory_order_relaxed));
	head = (struct head *)(buffer + at) - 1;
	head->size = size;
	atomic_fetch_or_explicit(&heap_watch, HEAP_EARLY, memory_order_relaxed);
	return buffer + at;
}

bool early_has(const void *p)
{
	return (uintptr_t)p - (uintptr_t)buffer < EARLY_BYTES;
}

size_t early_size(const void *p)
{
	return ((const struct head *)p - 1)->size;
}
