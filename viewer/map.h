/*
 * map: from a number that others have chosen to an index of ours. Open addressing, grows by doubling; nothing is removed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAP_NONE UINT32_MAX

struct map_slot {
	uint64_t key;
	uint32_t value; /* MAP_NONE: free */
};

struct map {
	struct map_slot *slots;
	uint32_t slots_n; /* a power of two */
	uint32_t used;
};

/* A zeroed map is empty. 0 or -ENOMEM; an older value is replaced. */
int map_set(struct map *m, uint64_t key, uint32_t value);
uint32_t map_get(const struct map *m, uint64_t key); /* MAP_NONE when it is not there */
void map_fini(struct map *m);

static inline size_t map_bytes(const struct map *m)
{
	return m->slots_n * sizeof(*m->slots);
}
