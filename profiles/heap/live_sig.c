#include "profiles/heap/live.h"

#define CHANGING 1u

static struct live_set *set_at(struct segment *s, uint32_t index)
{
	const struct segment_place *place = segment_place(s, SEGMENT_LIVE, 0);

	return (struct live_set *)(s->base + place->offset) + (index & (place->count - 1));
}

static unsigned region_bits;

void live_expect(uint64_t mean)
{
	region_bits = mean < LIVE_SPARSE ? 0 : 64 - (unsigned)__builtin_clzll(mean);
}

static uint32_t mix(uint64_t n)
{
	return (uint32_t)(n * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

static uint32_t home_of(uint64_t address)
{
	uint64_t region = address >> region_bits;

	if (region_bits == 0) /* blocks are multiples of 16 apart */
		return mix(address >> 4 ^ address << 60);
	return (mix(region / LIVE_REACH) & ~(LIVE_REACH - 1)) | (region & (LIVE_REACH - 1));
}

static bool put_in(struct live_set *set, uint64_t address, uint64_t what)
{
	for (unsigned i = 0; i < LIVE_WAYS; i++) {
		struct live_entry *e = &set->entries[i];
		uint64_t there = atomic_load_explicit(&e->address, memory_order_relaxed);

		if (there != 0 || !atomic_compare_exchange_strong_explicit(
					  &e->address, &there, CHANGING, memory_order_acquire,
					  memory_order_relaxed))
			continue;
		e->what = what;
		atomic_store_explicit(&e->address, address,
				      memory_order_release); /* pairs: take_from */
		return true;
	}
	return false;
}

static bool take_from(struct live_set *set, uint64_t address, uint64_t *ret_what)
{
	for (unsigned i = 0; i < LIVE_WAYS; i++) {
		struct live_entry *e = &set->entries[i];
		uint64_t there = atomic_load_explicit(&e->address, memory_order_relaxed);

		if (there != address ||
		    !atomic_compare_exchange_strong_explicit(
			    &e->address, &there, CHANGING, memory_order_acquire, /* pairs: put_in */
			    memory_order_relaxed))
			continue;
		*ret_what = e->what;
		atomic_store_explicit(&e->address, 0, memory_order_release);
		return true;
	}
	return false;
}

static void count_passed(struct segment *s, uint32_t home, unsigned sets, uint32_t change)
{
	for (unsigned i = 0; i < sets; i++)
		atomic_fetch_add_explicit(&set_at(s, home + i)->passed, change,
					  memory_order_relaxed);
}

SIGSAFE bool live_put(struct segment *s, uint64_t address, uint64_t what)
{
	uint32_t home = home_of(address);

	for (unsigned i = 0; i < LIVE_REACH; i++) {
		if (put_in(set_at(s, home + i), address, what)) {
			/* the block is the caller's: nobody looks for it yet */
			count_passed(s, home, i, 1);
			return true;
		}
	}
	return false;
}

SIGSAFE bool live_take(struct segment *s, uint64_t address, uint64_t *ret_what)
{
	uint32_t home = home_of(address);

	for (unsigned i = 0; i < LIVE_REACH; i++) {
		struct live_set *set = set_at(s, home + i);

		if (take_from(set, address, ret_what)) {
			count_passed(s, home, i, UINT32_MAX); /* one less */
			return true;
		}
		if (atomic_load_explicit(&set->passed, memory_order_relaxed) == 0)
			return false;
	}
	return false;
}
