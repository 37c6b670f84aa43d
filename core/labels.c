#include "core/labels.h"

#include <string.h>

uint32_t labels_copy(const struct segment *s, uint32_t id, uint32_t ret[LABEL_SET_PAIRS][2])
{
	const struct segment_label_set *set = labels_set(s, id);
	uint32_t count = set != NULL ? __atomic_load_n(&set->count, __ATOMIC_RELAXED) : 0;

	if (count == 0 || count > LABEL_SET_PAIRS)
		return 0;
	memcpy(ret, set->pairs, count * sizeof(ret[0]));
	return count;
}
