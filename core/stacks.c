#include "core/stacks.h"

const uint64_t *stacks_frames(const struct segment *s, unsigned generation, uint32_t id,
			      uint32_t *ret_depth)
{
	const uint64_t *words = segment_part(s, SEGMENT_STACK_WORDS, generation);
	uint32_t room = segment_count(s, SEGMENT_STACK_WORDS, generation);
	uint64_t depth;

	if (id < STACKS_FIRST_ID || id >= room || room - id < STACKS_HEAD)
		return NULL;
	depth = __atomic_load_n(&words[id], __ATOMIC_RELAXED) >> 32; /* once: it may change */
	if (depth > room - id - STACKS_HEAD)
		return NULL;
	*ret_depth = (uint32_t)depth;
	return words + id + STACKS_HEAD;
}
