#include "viewer/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 64

/* Keys come in rows, and from people who know how this is done: spread, and a full table is never far. */
static uint32_t place(const struct map *m, uint64_t key)
{
	key ^= key >> 32;
	key *= UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(key >> 32) & (m->slots_n - 1);
}

static struct map_slot *find(const struct map *m, uint64_t key)
{
	uint32_t i = place(m, key);

	while (m->slots[i].value != MAP_NONE && m->slots[i].key != key)
		i = (i + 1) & (m->slots_n - 1);
	return &m->slots[i];
}

static int grow(struct map *m)
{
	struct map bigger = {.slots_n = m->slots_n == 0 ? SLOTS_MIN : 2 * m->slots_n};

	if (bigger.slots_n == 0)
		return -ENOMEM;
	bigger.slots = malloc(bigger.slots_n * sizeof(*bigger.slots));
	if (bigger.slots == NULL)
		return -ENOMEM;
	memset(bigger.slots, 0xff, bigger.slots_n * sizeof(*bigger.slots));
	for (uint32_t i = 0; i < m->slots_n; i++)
		if (m->slots[i].value != MAP_NONE)
			*find(&bigger, m->slots[i].key) = m->slots[i];
	bigger.used = m->used;
	free(m->slots);
	*m = bigger;
	return 0;
}

int map_set(struct map *m, uint64_t key, uint32_t value)
{
	struct map_slot *slot;

	/* half full at most */
	if (m->used >= m->slots_n / 2 && grow(m) < 0)
		return -ENOMEM;
	slot = find(m, key);
	m->used += slot->value == MAP_NONE;
	slot->key = key;
	slot->value = value;
	return 0;
}

uint32_t map_get(const struct map *m, uint64_t key)
{
	return m->slots_n == 0 ? MAP_NONE : find(m, key)->value;
}

void map_fini(struct map *m)
{
	free(m->slots);
	memset(m, 0, sizeof(*m));
}
