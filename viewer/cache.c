#include "viewer/cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

int cache_init(struct cache *c, const struct reader *r)
{
	*c = (struct cache){.reader = r, .free_slot = NONE, .oldest = NONE, .newest = NONE};
	c->slot_of = malloc((r->blocks_n + 1) * sizeof(*c->slot_of));
	/* no more than there can be, as the reader has it */
	c->stored =
		malloc(r->source.size < READER_STORED_MAX ? r->source.size + 1 : READER_STORED_MAX);
	if (c->slot_of == NULL || c->stored == NULL)
		return -ENOMEM;
	memset(c->slot_of, 0xff, (r->blocks_n + 1) * sizeof(*c->slot_of));
	return 0;
}

void cache_fini(struct cache *c)
{
	for (uint32_t i = 0; i < c->slots_n; i++)
		free(c->slots[i].raw);
	free(c->slots);
	free(c->slot_of);
	free(c->stored);
	memset(c, 0, sizeof(*c));
}

static void unlink_slot(struct cache *c, uint32_t i)
{
	struct cache_slot *slot = &c->slots[i];

	if (slot->older != NONE)
		c->slots[slot->older].newer = slot->newer;
	else
		c->oldest = slot->newer;
	if (slot->newer != NONE)
		c->slots[slot->newer].older = slot->older;
	else
		c->newest = slot->older;
}

static void link_newest(struct cache *c, uint32_t i)
{
	struct cache_slot *slot = &c->slots[i];

	slot->older = c->newest;
	slot->newer = NONE;
	if (c->newest != NONE)
		c->slots[c->newest].newer = i;
	else
		c->oldest = i;
	c->newest = i;
}

void cache_drop(struct cache *c, uint32_t block)
{
	uint32_t i = c->slot_of[block];

	if (i == NONE)
		return;
	unlink_slot(c, i);
	c->bytes -= c->reader->blocks[block].raw_bytes + READER_PAD;
	free(c->slots[i].raw);
	c->slots[i].raw = NULL;
	c->slots[i].newer = c->free_slot;
	c->free_slot = i;
	c->slot_of[block] = NONE;
}

static uint32_t new_slot(struct cache *c)
{
	uint32_t i = c->free_slot, room = c->slots_room == 0 ? 64 : 2 * c->slots_room;
	struct cache_slot *slots;

	if (i != NONE) {
		c->free_slot = c->slots[i].newer;
		return i;
	}
	if (c->slots_n == c->slots_room) {
		slots = realloc(c->slots, room * sizeof(*slots));
		if (slots == NULL)
			return NONE;
		c->slots = slots;
		c->slots_room = room;
	}
	return c->slots_n++;
}

int cache_get(struct cache *c, uint32_t block, const uint8_t **ret, const char **ret_what,
	      struct why *why)
{
	const struct reader_block *b = &c->reader->blocks[block];
	uint64_t size = b->raw_bytes + READER_PAD;
	uint32_t i = c->slot_of[block];
	uint8_t *raw;
	int error;

	if (i != NONE) {
		if (c->newest != i) {
			unlink_slot(c, i);
			link_newest(c, i);
		}
		*ret = c->slots[i].raw;
		return 0;
	}
	while (c->bytes + size > CACHE_BYTES && c->oldest != NONE)
		cache_drop(c, c->slots[c->oldest].block);
	raw = malloc(size);
	i = raw != NULL ? new_slot(c) : NONE;
	error = i == NONE ? -ENOMEM : reader_unpack(c->reader, b, c->stored, raw, ret_what, why);
	if (error < 0) {
		if (i != NONE) {
			c->slots[i].raw = NULL;
			c->slots[i].newer = c->free_slot;
			c->free_slot = i;
		}
		free(raw);
		return error;
	}
	c->slots[i] = (struct cache_slot){.raw = raw, .block = block};
	c->slot_of[block] = i;
	c->bytes += size;
	link_newest(c, i);
	*ret = raw;
	return 0;
}
