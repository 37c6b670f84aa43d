/*
 * object: what threads wait for, by number: locks and their like.
 *
 * An address gets a number when it is first seen; destroyed, or made anew, it gets another one. Insert-only and without
 * locks:
 *
 *     bucket ─→ newest object ─→ older one         of all addresses that fall into it
 *
 * @order counts what happens to it, for a total order that no clock is needed for: it is advanced by who holds it.
 */
#pragma once

#include <stdatomic.h>

#include "core/segment.h"
#include "tracer/chunk.h"
#include "tracer/format.h"

struct trace_object {
	_Atomic uint64_t address; /* 0: not complete yet */
	_Atomic uint64_t order;
	uint64_t site; /* frame word: where it was made, 0: not known */
	uint64_t born_ticks;
	uint32_t kind, generation; /* of its address, as far as it is known */
	uint32_t next;             /* in its bucket */
	_Atomic uint32_t is_gone;
	_Atomic uint32_t waiters; /* threads that wait for it at the moment */
	uint8_t reserved[12];
};
_Static_assert(sizeof(struct trace_object) == TRACE_OBJECT_STRIDE, "as the segment has it");

/*
 * Changes when a number ends: what a thread remembers from before says nothing. Never 0, but where there is no trace: in a child
 * of fork, and before the first.
 */
SIGSAFE static inline uint32_t trace_objects_age(void)
{
	/* pairs: trace_forget_objects */
	return atomic_load_explicit(&segment_live_page->trace_age, memory_order_acquire);
}

SIGSAFE static inline uint32_t trace_cache_place(const void *address)
{
	uintptr_t a = (uintptr_t)address;

	return (a >> 3 ^ a >> 6) % TRACE_CACHE;
}

/* The number of what is at @address, 0 when there is no room for more, which is counted. Hook context. */
SIGSAFE uint32_t trace_object(struct segment *s, const void *address, enum trace_object_kind kind);

/* NULL when there is none with that number. */
SIGSAFE static inline struct trace_object *trace_object_at(const struct segment *s, uint32_t number)
{
	struct trace_object *objects = segment_part(s, SEGMENT_TRACE_OBJECTS, 0);

	return number == 0 || number > segment_count(s, SEGMENT_TRACE_OBJECTS, 0)
		       ? NULL
		       : &objects[number - 1];
}

/* It was made just now, at @site (a frame word) if that is known: it has a number, and not one of before. */
SIGSAFE uint32_t trace_object_made(struct segment *s, const void *address,
				   enum trace_object_kind kind, uint64_t site);
/* Its number, which is nobody's from here on; 0: it had none. */
SIGSAFE uint32_t trace_object_gone(struct segment *s, const void *address);

/* What threads remember is of another trace, or of the parent of this child. */
SIGSAFE void trace_forget_objects(void);

/* The next of its order. @is_alone: only the caller can do so, it holds the lock. */
SIGSAFE static inline uint64_t trace_object_next(struct trace_object *o, bool is_alone)
{
	uint64_t n;

	if (!is_alone)
		return atomic_fetch_add_explicit(&o->order, 1, memory_order_relaxed) + 1;
	n = atomic_load_explicit(&o->order, memory_order_relaxed) + 1;
	atomic_store_explicit(&o->order, n, memory_order_relaxed);
	return n;
}
