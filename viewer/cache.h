/*
 * cache: blocks that were unpacked, up to CACHE_BYTES of them. Who goes through many threads at once comes back to each block
 * again and again; a generation has 16 MiB of them, so one that is wanted again is still there.
 */
#pragma once

#include "viewer/reader.h"

#define CACHE_BYTES (UINT64_C(64) << 20)

struct cache_slot {
	uint8_t *raw;
	uint32_t block, older, newer; /* slots */
};

struct cache {
	const struct reader *reader;
	uint8_t *stored;   /* an LZ4 frame */
	uint32_t *slot_of; /* by block */
	struct cache_slot *slots;
	uint32_t slots_n, slots_room, free_slot;
	uint32_t oldest, newest;
	uint64_t bytes;
};

int cache_init(struct cache *c, const struct reader *r); /* 0 or -ENOMEM */
void cache_fini(struct cache *c);

/* The payload of a block, until the next call. What reader_unpack() returns. */
int cache_get(struct cache *c, uint32_t block, const uint8_t **ret, const char **ret_what,
	      struct why *why);
/* It will not be asked for again. */
void cache_drop(struct cache *c, uint32_t block);
