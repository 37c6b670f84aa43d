/*
 * stacks: stack → id, insert-only, without locks, from any context.
 *
 *     buckets:  id ─→ entry ─→ entry          entry: [depth:32 | next id:32] [hash] word word word …   (leaf first)
 *
 * Entries are handed out from one array of words by an atomic add and hung into their bucket by one compare-and-swap
 * after they are complete. The id is the entry's index in the array. Two threads that add the same stack at the same
 * moment may both succeed for the words, but only one hangs its entry in; the other's words are wasted.
 */
#pragma once

#include "core/segment.h"

#define STACKS_FIRST_ID 2u /* id 0 is "no stack" */
#define STACKS_HEAD     2u /* words before the frames */

/* Returns 0 when there is no room. Signal safe. */
SIGSAFE uint32_t stacks_intern(struct segment *s, unsigned generation, const uint64_t *frames,
			       uint32_t depth);

/*
 * For readers, who trust nothing: the frames of @id and how many, or NULL when the id leads to no whole entry.
 */
const uint64_t *stacks_frames(const struct segment *s, unsigned generation, uint32_t id,
			      uint32_t *ret_depth);
