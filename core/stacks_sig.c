#include "core/stacks.h"

#include <string.h>

static inline uint64_t fold(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/*
 * Multiply and fold, two words at once and in two lanes that do not wait for each other. The numbers are odd and
 * differ, so that a word's place matters.
 */
static uint64_t hash_frames(const uint64_t *frames, uint32_t depth)
{
	const uint64_t a = UINT64_C(0x9e3779b97f4a7c15), b = UINT64_C(0xd6e8feb86659fd93);
	const uint64_t c = UINT64_C(0xa0761d6478bd642f), d = UINT64_C(0xe7037ed1a0b428db);
	uint64_t h = depth * a, g = b;
	uint32_t i = 0;

	for (; i + 4 <= depth; i += 4) {
		h = fold(h ^ frames[i] ^ a, frames[i + 1] ^ b) + (h << 1);
		g = fold(g ^ frames[i + 2] ^ c, frames[i + 3] ^ d) + (g << 1);
	}
	for (; i < depth; i++)
		h = fold(h ^ frames[i], b) ^ (h << 1);
	h = fold(h ^ c, g ^ d);
	return h ^ h >> 32;
}

static uint32_t find(const uint64_t *words, uint32_t id, uint32_t stop, uint64_t hash,
		     const uint64_t *frames, uint32_t depth)
{
	while (id != 0 && id != stop) {
		const uint64_t *entry = words + id;

		if (entry[1] == hash && entry[0] >> 32 == depth &&
		    memcmp(entry + STACKS_HEAD, frames, depth * sizeof(*frames)) == 0)
			return id;
		id = (uint32_t)entry[0];
	}
	return 0;
}

SIGSAFE uint32_t stacks_intern(struct segment *s, unsigned generation, const uint64_t *frames,
			       uint32_t depth)
{
	uint64_t *words = segment_part(s, SEGMENT_STACK_WORDS, generation);
	uint64_t room = segment_count(s, SEGMENT_STACK_WORDS, generation);
	_Atomic uint32_t *bucket = segment_part(s, SEGMENT_STACK_BUCKETS, generation);
	struct segment_generation *g = &s->header->generations[generation];
	uint64_t hash = hash_frames(frames, depth), at;
	uint32_t first, seen, id;

	bucket += hash & (segment_count(s, SEGMENT_STACK_BUCKETS, generation) - 1);
	first = atomic_load_explicit(bucket, memory_order_acquire); /* pairs: the release below */
	id = find(words, first, 0, hash, frames, depth);
	if (id != 0)
		return id;

	/* Checked before it is taken, so that a full array is not pushed towards an overflow by years of samples. */
	if (atomic_load_explicit(&g->stack_used, memory_order_relaxed) + STACKS_HEAD + depth > room)
		return 0;
	at = atomic_fetch_add_explicit(&g->stack_used, STACKS_HEAD + depth, memory_order_relaxed);
	if (at + STACKS_HEAD + depth > room)
		return 0;
	words[at + 1] = hash;
	memcpy(words + at + STACKS_HEAD, frames, depth * sizeof(*frames));
	for (;;) {
		words[at] = (uint64_t)depth << 32 | first;
		seen = first;
		if (atomic_compare_exchange_strong_explicit(
			    bucket, &first, (uint32_t)at,
			    memory_order_release, /* pairs: the acquire above */
			    memory_order_acquire))
			return (uint32_t)at;
		id = find(words, first, seen, hash, frames,
			  depth); /* what others added meanwhile */
		if (id != 0)
			return id;
	}
}
