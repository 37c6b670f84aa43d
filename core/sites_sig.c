#include "core/sites.h"

#include <stdatomic.h>

#define SITES 4096u

/* Two words that are not written at once: the first is the lock's address and the second, by exclusive or. */
static struct {
	_Atomic uintptr_t both, pc;
} sites[SITES];

static uint32_t at(const void *lock)
{
	return (uint32_t)((uintptr_t)lock >> 3) * UINT32_C(0x9e3779b1) >> 20;
}
_Static_assert(SITES == 1u << (32 - 20), "at() is below it");

SIGSAFE void sites_put(const void *lock, uintptr_t pc)
{
	uint32_t i = at(lock);

	atomic_store_explicit(&sites[i].both, (uintptr_t)lock ^ pc, memory_order_relaxed);
	atomic_store_explicit(&sites[i].pc, pc, memory_order_relaxed);
}

SIGSAFE uintptr_t sites_find(const void *lock)
{
	uint32_t i = at(lock);
	uintptr_t pc = atomic_load_explicit(&sites[i].pc, memory_order_relaxed);

	return (atomic_load_explicit(&sites[i].both, memory_order_relaxed) ^ pc) == (uintptr_t)lock
		       ? pc
		       : 0;
}

SIGSAFE void sites_remove(const void *lock)
{
	if (sites_find(lock) != 0)
		atomic_store_explicit(&sites[at(lock)].pc, 0, memory_order_relaxed);
}
