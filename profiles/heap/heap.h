/*
 * heap: who allocates, who keeps.
 *
 * The wrappers of the allocator's functions call what is here, in the host's own malloc() and free(): hook context, often
 * millions of times a second. So the ways that are taken nearly always are inline and short:
 *
 *     allocation   one subtraction from the thread's bytes left until its next sample (sample.h); below zero: heap_sample()
 *     free         one word of a filter, 0 where no sampled block can be; else heap_forget()
 *
 * A sample walks the stack and adds a block to the row of (stack, labels, size class). Its address goes into the live set
 * (live.h) with the number of its row, and the free adds to the same row. Rows hold what was sampled, as it is; whoever
 * writes a profile unsamples (output/reading.c).
 *
 * All counts only grow, so the launcher finds what was live in a process that was killed at any instruction.
 *
 * A block is in the live set between the return of the allocator's function and the call of its free: two threads never
 * disagree about one address.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>

#include "core/profile.h"
#include "core/walk.h"
#include "profiles/heap/sample.h"

/* heap_profile, and the same seen by what was allocated. */
extern const struct profile_ops heap_profile, allocs_profile;

/*
 * Asked in heap_start(), normal context: whether allocations of this process can be seen at all, and whatever has to be
 * done first. Set by who has the wrappers; NULL: nobody has. 0 or a negative errno with @why.
 */
extern int (*heap_prepare)(struct why *why);

/* Called when heap_watch has changed; NULL: nobody wants to know. */
extern void (*heap_turned)(void);

/*
 * Who knows the allocator may ask it something when a call of it has just been sampled. @may: whether the thread, with this stack, can;
 * inside the guard. Then @ask, outside of it. Set before heap_start(); NULL: nobody.
 */
struct heap_asker {
	bool (*may)(struct segment *s, struct thread *t, const struct walk_result *stack);
	void (*ask)(void);
};
extern const struct heap_asker *heap_asker;

/* What the wrappers have to look at; 0: nothing. */
#define HEAP_SAMPLES 1u /* allocations */
#define HEAP_FOLLOWS 2u /* frees: there are, or were, sampled blocks */
extern _Atomic unsigned heap_watch;

/*
 * A block of this thread is sampled when it is as large as this or larger; else its size is taken off. 0: each is. Not
 * signed: what is asked for may be more than there is memory in the world.
 */
extern __thread uint64_t heap_left __attribute__((tls_model("initial-exec")));
extern __thread uint64_t heap_samples
	__attribute__((tls_model("initial-exec"))); /* of this thread */

/*
 * Which pages have sampled blocks that are live: how many (the most it can say stays for ever), and the sum without carry of
 * their places in the page. Of a lone block that tells which one it is.
 *
 * Neighbours share a word, and then a line of cache: frees all over a heap of some megabytes touch few of them. With a byte
 * for each address such a program found the filter in the first cache never, and its own data there less often.
 */
#define HEAP_FILTER_PAGE 12
#define HEAP_FILTER_BITS 14 /* 64 MiB; what lies further on begins somewhere else in it */
extern _Atomic uint16_t heap_filter[1u << HEAP_FILTER_BITS];

#define HEAP_FILTER_COUNT        255u
#define HEAP_FILTER_TAG(address) ((uint32_t)((address) >> 4 & 255) << 8)

SIGSAFE static inline _Atomic uint16_t *heap_filter_at(uintptr_t address)
{
	uint32_t page = (uint32_t)(address >> HEAP_FILTER_PAGE);
	uint32_t part = (uint32_t)(address >> (HEAP_FILTER_PAGE + HEAP_FILTER_BITS));

	return &heap_filter[(page + part * UINT32_C(0x9e3779b1)) % (1u << HEAP_FILTER_BITS)];
}

/* Wrappers ask this first. */
SIGSAFE static inline unsigned heap_watches(void)
{
	return atomic_load_explicit(&heap_watch, memory_order_relaxed);
}

/* The ways that are taken once in 512 KiB. They keep errno. */
SIGSAFE void *heap_sample(void *p, size_t size);
SIGSAFE void heap_forget(uintptr_t address);

/*
 * True for all but one block in 512 KiB: the allocation of @size bytes is counted, and nothing is left to do. It is asked
 * before the allocator is, so that this can be jumped to. When that gives nothing it has been counted in vain, which is as
 * good: however far it still is to the next sample, the rest of the way is as long as a whole one on average.
 */
SIGSAFE static inline bool heap_passes(size_t size)
{
	uint64_t left = heap_left;

	if (unlikely(size >= left))
		return false;
	heap_left = left - size;
	return true;
}

/*
 * @p is what the allocator gave for @size bytes; NULL: nothing. Returned as it is, so that a wrapper that returns it, too,
 * need not keep it over the call that is seldom made.
 */
SIGSAFE static inline void *heap_on_alloc(void *p, size_t size)
{
	return likely(p == NULL || heap_passes(size)) ? p : heap_sample(p, size);
}

/* False for nearly all blocks that were not sampled: in 512 KiB is one page that has one. */
SIGSAFE static inline bool heap_may_be_live(const void *p)
{
	return atomic_load_explicit(heap_filter_at((uintptr_t)p), memory_order_relaxed) != 0;
}

/* @p is about to be freed, or NULL. */
SIGSAFE static inline void heap_on_free(const void *p)
{
	if (unlikely(heap_may_be_live(p)))
		heap_forget((uintptr_t)p);
}

/*
 * Around a call that may count inside, such as an operator new that calls malloc(): true when it did. To be wrong, the
 * next sample would have to lie as far off, to the byte, as it did before.
 */
SIGSAFE static inline uint64_t heap_mark(void)
{
	return heap_left + (heap_samples << 44);
}

SIGSAFE static inline bool heap_counted_since(uint64_t mark)
{
	return heap_mark() != mark;
}

/* A block that is on its way through realloc(): taken out, for its address may be another's before that returns. */
struct heap_taken {
	uint64_t what;
	bool is_there;
};

SIGSAFE struct heap_taken heap_take(uintptr_t address);
SIGSAFE void heap_taken_is_free(struct heap_taken taken);
SIGSAFE void heap_put_back(struct heap_taken taken, uintptr_t address);

SIGSAFE static inline struct heap_taken heap_on_realloc_begin(const void *old)
{
	if (likely(!heap_may_be_live(old)))
		return (struct heap_taken){0, false};
	return heap_take((uintptr_t)old);
}

/* The old block is gone: freed, moved, or changed where it lies. */
SIGSAFE static inline void heap_on_realloc_done(struct heap_taken taken)
{
	if (unlikely(taken.is_there))
		heap_taken_is_free(taken);
}

/* The call failed: the old block is what it was. */
SIGSAFE static inline void heap_on_realloc_failed(struct heap_taken taken, const void *old)
{
	if (unlikely(taken.is_there))
		heap_put_back(taken, (uintptr_t)old);
}

/* A pool's blocks, which may begin where a block of the allocator does. Any address; NULL is fine. */
SIGSAFE void heap_pool_alloc(const void *p, size_t size);
SIGSAFE void heap_pool_free(const void *p);

/* Between them this thread's allocations are cprof's own: they are not counted. They nest. */
SIGSAFE void heap_pause(void);
SIGSAFE void heap_resume(void);
