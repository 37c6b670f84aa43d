#include "tracer/object.h"

#include <stdbool.h>

#include "core/modules.h"
#include "core/sites.h"

SIGSAFE void trace_forget_objects(void)
{
	_Atomic uint32_t *age = &segment_live_page->trace_age;

	/* pairs: trace_objects_age */
	if (atomic_fetch_add_explicit(age, 1, memory_order_release) == UINT32_MAX)
		atomic_fetch_add_explicit(age, 1, memory_order_release);
}

static _Atomic uint32_t *bucket_of(const struct segment *s, uint64_t address)
{
	uint32_t n = segment_count(s, SEGMENT_TRACE_OBJECT_BUCKETS, 0);

	return (_Atomic uint32_t *)segment_part(s, SEGMENT_TRACE_OBJECT_BUCKETS, 0) +
	       ((address >> 2) * UINT64_C(0x9e3779b97f4a7c15) >> 32 & (n - 1));
}

/* From @number on; *ret_generation: how many there were before at this address. */
static uint32_t find(const struct segment *s, uint32_t number, uint64_t address,
		     uint32_t *ret_generation)
{
	struct trace_object *o;

	for (; (o = trace_object_at(s, number)) != NULL; number = o->next) {
		if (atomic_load_explicit(&o->address, memory_order_relaxed) != address)
			continue;
		*ret_generation = o->generation + 1;
		return atomic_load_explicit(&o->is_gone, memory_order_relaxed) ? 0 : number;
	}
	*ret_generation = 0;
	return 0;
}

static uint32_t make(struct segment *s, uint64_t address, enum trace_object_kind kind,
		     uint64_t site)
{
	_Atomic uint32_t *bucket = bucket_of(s, address);
	/* acquire pairs: the exchange below */
	uint32_t first = atomic_load_explicit(bucket, memory_order_acquire), number, generation;
	struct trace_object *o;

	number = find(s, first, address, &generation);
	if (number != 0)
		return number;
	/* a count that is not taken back would run over one day */
	if (atomic_load_explicit(&s->header->trace_objects, memory_order_relaxed) >=
	    segment_count(s, SEGMENT_TRACE_OBJECTS, 0)) {
		segment_count_lost(s, LOST_OBJECTS, 1);
		return 0;
	}
	number = atomic_fetch_add_explicit(&s->header->trace_objects, 1, memory_order_relaxed) + 1;
	o = trace_object_at(s, number);
	if (o == NULL)
		return 0;
	o->site = site;
	o->born_ticks = trace_ticks();
	o->kind = kind;
	for (;;) {
		uint32_t other = find(s, first, address, &generation);

		if (other != 0) { /* somebody was faster: this one stays unused */
			atomic_store_explicit(&o->address, 0, memory_order_relaxed);
			return other;
		}
		o->generation = generation;
		o->next = first;
		atomic_store_explicit(&o->address, address, memory_order_relaxed);
		if (atomic_compare_exchange_weak_explicit(
			    bucket, &first, number, memory_order_acq_rel, memory_order_acquire))
			return number;
	}
}

/* Where it was made, when that is still known. */
static uint64_t site_of(const struct segment *s, const void *address)
{
	uintptr_t pc = sites_find(address);
	uint32_t index;

	if (pc == 0)
		return 0;
	return FRAME_ADDRESS(pc) | (modules_find(s, pc, &index) ? (uint64_t)(index + 1) << 48 : 0);
}

SIGSAFE uint32_t trace_object(struct segment *s, const void *address, enum trace_object_kind kind)
{
	uint64_t a = (uint64_t)(uintptr_t)address;
	struct trace_cached *c = &trace_here.objects[trace_cache_place(address)];
	uint32_t now = trace_objects_age(), generation;
	uint32_t number = __atomic_load_n(&c->number, __ATOMIC_RELAXED);

	atomic_signal_fence(memory_order_seq_cst);
	if (likely(c->address == a && c->age == now && now != 0))
		return number;
	number = find(s, atomic_load_explicit(bucket_of(s, a), memory_order_acquire), a,
		      &generation);
	if (number == 0)
		number = make(s, a, kind, site_of(s, address));
	arch_store_pair_here(c, a, (uint64_t)(number != 0 ? now : 0) << 32 | number);
	return number;
}

SIGSAFE uint32_t trace_object_gone(struct segment *s, const void *address)
{
	uint64_t a = (uint64_t)(uintptr_t)address;
	uint32_t generation, number;

	number = find(s, atomic_load_explicit(bucket_of(s, a), memory_order_acquire), a,
		      &generation);
	if (number == 0)
		return 0;
	atomic_store_explicit(&trace_object_at(s, number)->is_gone, 1, memory_order_relaxed);
	trace_forget_objects();
	return number;
}

SIGSAFE uint32_t trace_object_made(struct segment *s, const void *address,
				   enum trace_object_kind kind, uint64_t site)
{
	trace_object_gone(s, address);
	return make(s, (uint64_t)(uintptr_t)address, kind, site);
}
