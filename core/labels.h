/*
 * labels: sets of key and value, interned; a thread has one current set, and what it records carries the set's id.
 *
 * Sets only grow in number. When there is no room for a new one the thread keeps the set it has, and that is counted.
 */
#pragma once

#include "core/segment.h"

/*
 * The set @base with @pairs over it (a key that is there gets the new value), as text: key, value, key, value …
 * @count pairs. Returns @base when there is no room. Any thread, any context.
 */
SIGSAFE uint32_t labels_overlay(struct segment *s, uint32_t base, const char *const *pairs,
				unsigned count);

/* For readers: the set, or NULL when the id leads nowhere or is 0. */
SIGSAFE const struct segment_label_set *labels_set(const struct segment *s, uint32_t id);

/* For readers of what others write meanwhile: copies the set's pairs of string ids, returns how many; 0 as above. */
uint32_t labels_copy(const struct segment *s, uint32_t id, uint32_t ret[LABEL_SET_PAIRS][2]);
