#include "core/labels.h"

#include <string.h>

static void put(const struct segment *s, struct segment_label_set *set, uint32_t key,
		uint32_t value)
{
	const char *text = segment_text(s, key);
	uint32_t at = 0;

	while (at < set->count && strcmp(segment_text(s, set->pairs[at][0]), text) < 0)
		at++;
	if (at < set->count && strcmp(segment_text(s, set->pairs[at][0]), text) == 0) {
		set->pairs[at][1] = value;
		return;
	}
	if (set->count == LABEL_SET_PAIRS)
		return; /* 15 labels on one thread: the reader's limit is 100, ours is the record */
	memmove(&set->pairs[at + 1], &set->pairs[at], (set->count - at) * sizeof(set->pairs[0]));
	set->pairs[at][0] = key;
	set->pairs[at][1] = value;
	set->count++;
}

/* Finds @wanted, or puts it into a free slot. Slots never become free again. */
static uint32_t intern(struct segment *s, const struct segment_label_set *wanted)
{
	struct segment_label_set *sets = segment_part(s, SEGMENT_LABEL_SETS, 0);
	uint32_t mask = segment_count(s, SEGMENT_LABEL_SETS, 0) - 1;
	uint64_t hash = wanted->count;

	for (uint32_t i = 0; i < wanted->count; i++)
		hash = (hash ^ wanted->pairs[i][0] ^ (uint64_t)wanted->pairs[i][1] << 32) *
		       UINT64_C(0x9e3779b97f4a7c15);
	hash ^= hash >> 29;
	for (uint32_t i = 0; i <= mask; i++) {
		uint32_t at = ((uint32_t)hash + i) & mask, state = 0;
		struct segment_label_set *set = &sets[at];

		if (at == 0)
			continue; /* the empty set */
		if (atomic_compare_exchange_strong_explicit(
			    &set->state, &state, 1, memory_order_acquire, memory_order_acquire)) {
			set->count = wanted->count;
			memcpy(set->pairs, wanted->pairs, sizeof(set->pairs));
			atomic_fetch_add_explicit(&s->header->label_sets_used, 1,
						  memory_order_relaxed);
			atomic_store_explicit(&set->state, 2,
					      memory_order_release); /* pairs: labels_set */
			return at;
		}
		if (state == 2 && set->count == wanted->count &&
		    memcmp(set->pairs, wanted->pairs, wanted->count * sizeof(set->pairs[0])) == 0)
			return at;
	}
	return 0;
}

SIGSAFE uint32_t labels_overlay(struct segment *s, uint32_t base, const char *const *pairs,
				unsigned count)
{
	const struct segment_label_set *from = labels_set(s, base);
	struct segment_label_set set = {0};
	uint32_t id;

	if (from != NULL) {
		set.count = from->count;
		memcpy(set.pairs, from->pairs, sizeof(set.pairs));
	}
	for (unsigned i = 0; i < count; i++) {
		uint32_t key = segment_string(s, pairs[2 * i], strlen(pairs[2 * i]));
		uint32_t value = segment_string(s, pairs[2 * i + 1], strlen(pairs[2 * i + 1]));

		if (key != 0 && value != 0 && pairs[2 * i][0] != '\0')
			put(s, &set, key, value);
	}
	if (set.count == 0)
		return 0;
	id = intern(s, &set);
	if (id == 0) {
		segment_count_lost(s, LOST_STRINGS, 1);
		return base;
	}
	return id;
}

SIGSAFE const struct segment_label_set *labels_set(const struct segment *s, uint32_t id)
{
	const struct segment_label_set *set;

	if (id == 0 || id >= segment_count(s, SEGMENT_LABEL_SETS, 0))
		return NULL;
	set = (const struct segment_label_set *)segment_part(s, SEGMENT_LABEL_SETS, 0) + id;
	if (atomic_load_explicit(&set->state, memory_order_acquire) != 2 ||
	    set->count > LABEL_SET_PAIRS)
		return NULL;
	return set;
}
