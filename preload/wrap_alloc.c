/*
 * Wrappers of the allocator, whichever one it is: the next in the line of those that define these names.
 *
 * While nothing is to be looked at they are a jump, and leave no frame. They take no part in what the allocator does, so
 * results and errno are its own. Sizes are counted as they were asked for. The four that are called most jump to where
 * a pointer says, which is the allocator's own function most of the time: any question would be as long as they are.
 *
 * Operators new and delete of the C++ library end here, too. An allocator with operators of its own, and what jemalloc
 * has beside malloc(), is the affair of rebind.h.
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "cprof/cprof.h"
#include "preload/real.h"
#include "preload/wrap_alloc.h"
#include "profiles/heap/heap.h"

/* In two functions, so that the one that is taken when nobody looks keeps no registers. */
#define WATCHED __attribute__((noinline)) static

WATCHED void *sampled_malloc(size_t size)
{
	return heap_sample(real.malloc(size), size);
}

static void *watched_malloc(size_t size)
{
	return likely(heap_passes(size)) ? real.malloc(size) : sampled_malloc(size);
}

static void *watched_calloc(size_t n, size_t size)
{
	return heap_on_alloc(real.calloc(n, size),
			     n * size); /* it has not overflown when there is a block */
}

/* What most frees go through while the heap is profiled has to be a jump, too: the rest stands elsewhere. */
WATCHED void sampled_free(void *p)
{
	heap_forget((uintptr_t)p);
	real.free(p);
}

static void watched_free(void *p)
{
	if (likely(!heap_may_be_live(p)))
		real.free(p);
	else
		sampled_free(p);
}

/*
 * The old block leaves the live set before the call, for inside it the address may become another thread's. NULL for a size
 * of 0 means with some allocators that the block was freed, and with none that it is still there.
 */
static void *watched_realloc(void *old, size_t size)
{
	struct heap_taken taken;
	void *p;

	taken = heap_on_realloc_begin(old);
	p = real.realloc(old, size);
	if (p == NULL && size != 0) {
		heap_on_realloc_failed(taken, old);
		return NULL;
	}
	heap_on_realloc_done(taken);
	return heap_on_alloc(p, size);
}

/* Until the allocator's functions are known. */

static void *unknown_malloc(size_t size)
{
	return real.malloc(size);
}

static void *unknown_calloc(size_t n, size_t size)
{
	return real.calloc(n, size);
}

static void *unknown_realloc(void *old, size_t size)
{
	return real.realloc(old, size);
}

static void unknown_free(void *p)
{
	real.free(p);
}

/* Read without order: who still goes the old way when it changes came a moment earlier. */
static struct {
	void *(*malloc)(size_t size);
	void *(*calloc)(size_t n, size_t size);
	void *(*realloc)(void *old, size_t size);
	void (*free)(void *p);
} way = {unknown_malloc, unknown_calloc, unknown_realloc, unknown_free};

#define GO(name)       __atomic_load_n(&way.name, __ATOMIC_RELAXED)
#define TAKE(name, to) __atomic_store_n(&way.name, to, __ATOMIC_RELAXED)

void wrap_alloc_turn(void)
{
	bool is_watched = heap_watches() != 0;

	TAKE(free, is_watched ? watched_free : real.free);
	TAKE(malloc, is_watched ? watched_malloc : real.malloc);
	TAKE(calloc, is_watched ? watched_calloc : real.calloc);
	TAKE(realloc, is_watched ? watched_realloc : real.realloc);
}

CPROF_PUBLIC void *malloc(size_t size)
{
	return GO(malloc)(size);
}

CPROF_PUBLIC void *calloc(size_t n, size_t size)
{
	return GO(calloc)(n, size);
}

CPROF_PUBLIC void *realloc(void *old, size_t size)
{
	return GO(realloc)(old, size);
}

CPROF_PUBLIC void free(void *p)
{
	GO(free)(p);
}

/* Not the next one's: what that does is known, and some of them call realloc(), which is ours. */
CPROF_PUBLIC void *reallocarray(void *old, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(old, bytes);
}

WATCHED void *watched_aligned_alloc(size_t alignment, size_t size)
{
	return heap_on_alloc(real.aligned_alloc(alignment, size), size);
}

CPROF_PUBLIC void *aligned_alloc(size_t alignment, size_t size)
{
	return likely(heap_watches() == 0) ? real.aligned_alloc(alignment, size)
					   : watched_aligned_alloc(alignment, size);
}

WATCHED void *watched_memalign(size_t alignment, size_t size)
{
	return heap_on_alloc(real.memalign(alignment, size), size);
}

CPROF_PUBLIC void *memalign(size_t alignment, size_t size)
{
	return likely(heap_watches() == 0) ? real.memalign(alignment, size)
					   : watched_memalign(alignment, size);
}

WATCHED int watched_posix_memalign(void **ret, size_t alignment, size_t size)
{
	int r = real.posix_memalign(ret, alignment, size);

	if (r == 0)
		heap_on_alloc(*ret, size);
	return r;
}

CPROF_PUBLIC int posix_memalign(void **ret, size_t alignment, size_t size)
{
	return likely(heap_watches() == 0) ? real.posix_memalign(ret, alignment, size)
					   : watched_posix_memalign(ret, alignment, size);
}

WATCHED void *watched_valloc(size_t size)
{
	return heap_on_alloc(real.valloc(size), size);
}

CPROF_PUBLIC void *valloc(size_t size)
{
	return likely(heap_watches() == 0) ? real.valloc(size) : watched_valloc(size);
}

WATCHED void *watched_pvalloc(size_t size)
{
	return heap_on_alloc(real.pvalloc(size), size);
}

CPROF_PUBLIC void *pvalloc(size_t size)
{
	return likely(heap_watches() == 0) ? real.pvalloc(size) : watched_pvalloc(size);
}

/* C23's. Where the C library does not have them yet, an allocator may. */
CPROF_PUBLIC void free_sized(void *p, size_t size);
CPROF_PUBLIC void free_sized(void *p, size_t size)
{
	if (unlikely(heap_watches() != 0))
		heap_on_free(p);
	real.free_sized(p, size);
}

CPROF_PUBLIC void free_aligned_sized(void *p, size_t alignment, size_t size);
CPROF_PUBLIC void free_aligned_sized(void *p, size_t alignment, size_t size)
{
	if (unlikely(heap_watches() != 0))
		heap_on_free(p);
	real.free_aligned_sized(p, alignment, size);
}
