#include "viewer/texts.h"

#include <stdlib.h>
#include <string.h>

const char *texts_get(const struct texts *t, uint32_t number, size_t *ret_size)
{
	size_t begin = number > 0 ? t->ends[number - 1] : 0;

	*ret_size = t->ends[number] - begin;
	return t->bytes + begin;
}

/* FNV-1a */
static uint64_t hash_of(const char *bytes, size_t size)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (uint8_t)bytes[i]) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 32;
}

/* Where a text is, or would be. */
static uint32_t *find(const struct texts *t, const char *bytes, size_t size)
{
	uint32_t at = (uint32_t)hash_of(bytes, size) & (t->slots_n - 1);
	size_t other_size;
	const char *other;

	for (; t->slots[at] != 0; at = (at + 1) & (t->slots_n - 1)) {
		other = texts_get(t, t->slots[at] - 1, &other_size);
		if (other_size == size && (size == 0 || memcmp(other, bytes, size) == 0))
			break;
	}
	return &t->slots[at];
}

/* Twice as many slots as texts, at least. */
static int grow_slots(struct texts *t)
{
	struct texts bigger = *t;
	const char *text;
	size_t size;

	if (t->n < t->slots_n / 2)
		return 0;
	bigger.slots_n = t->slots_n != 0 ? t->slots_n * 2 : 256;
	bigger.slots = calloc(bigger.slots_n, sizeof(*bigger.slots));
	if (bigger.slots == NULL)
		return -1;
	for (uint32_t i = 0; i < t->n; i++) {
		text = texts_get(t, i, &size);
		*find(&bigger, text, size) = i + 1;
	}
	free(t->slots);
	*t = bigger;
	return 0;
}

static int grow(struct texts *t, size_t size)
{
	size_t bytes_room = (t->size + size) * 2 + 4096, *ends;
	uint32_t room = t->room != 0 ? t->room * 2 : 256;
	char *bytes;

	if (size > t->bytes_room - t->size || t->bytes == NULL) {
		bytes = realloc(t->bytes, bytes_room);
		if (bytes == NULL)
			return -1;
		t->bytes = bytes;
		t->bytes_room = bytes_room;
	}
	if (t->n == t->room) {
		ends = realloc(t->ends, room * sizeof(*ends));
		if (ends == NULL)
			return -1;
		t->ends = ends;
		t->room = room;
	}
	return grow_slots(t);
}

uint32_t texts_add(struct texts *t, const char *bytes, size_t size)
{
	uint32_t *slot;

	if (t->n == TEXTS_NONE / 2 || grow(t, size) < 0)
		return TEXTS_NONE;
	slot = find(t, bytes, size);
	if (*slot == 0) {
		if (size > 0)
			memcpy(t->bytes + t->size, bytes, size);
		t->size += size;
		t->ends[t->n++] = t->size;
		*slot = t->n;
	}
	return *slot - 1;
}

void texts_fini(struct texts *t)
{
	free(t->bytes);
	free(t->ends);
	free(t->slots);
	memset(t, 0, sizeof(*t));
}
