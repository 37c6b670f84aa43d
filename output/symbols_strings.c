#include "output/symbols_strings.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES (64 << 10) /* some 1,000 C++ names */

struct strings_chunk {
	struct strings_chunk *next;
	alignas(16) char bytes[];
};

void strings_fini(struct strings *st)
{
	struct strings_chunk *next;

	if (st == NULL)
		return;
	for (struct strings_chunk *c = st->chunks; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	free(st->table);
	*st = (struct strings){0};
}

void *strings_alloc(struct strings *st, size_t size)
{
	struct strings_chunk *chunk;
	void *p;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + 7) & ~(size_t)7;
	if (size > CHUNK_BYTES / 4) {
		/* A chunk of its own, behind the current one, which goes on being filled. */
		chunk = malloc(sizeof(*chunk) + size);
		if (chunk == NULL)
			return NULL;
		if (st->chunks == NULL) {
			chunk->next = NULL;
			st->chunks = chunk;
			st->chunk_used = CHUNK_BYTES;
		} else {
			chunk->next = st->chunks->next;
			st->chunks->next = chunk;
		}
		return chunk->bytes;
	}
	if (st->chunks == NULL || st->chunk_used + size > CHUNK_BYTES) {
		chunk = malloc(sizeof(*chunk) + CHUNK_BYTES);
		if (chunk == NULL)
			return NULL;
		chunk->next = st->chunks;
		st->chunks = chunk;
		st->chunk_used = 0;
	}
	p = st->chunks->bytes + st->chunk_used;
	st->chunk_used += size;
	return p;
}

static uint64_t hash_bytes(const char *text, size_t length)
{
	uint64_t h = 0xcbf29ce484222325; /* FNV-1a, eight bytes at a step */
	uint64_t word;

	for (; length >= 8; length -= 8, text += 8) {
		memcpy(&word, text, 8);
		h = (h ^ word) * 0x9e3779b97f4a7c15;
		h ^= h >> 29;
	}
	for (; length > 0; length--, text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3;
	return h ^ (h >> 32);
}

static int grow_table(struct strings *st)
{
	size_t size = st->table_size != 0 ? st->table_size * 2 : 1024;
	struct strings_entry **table = calloc(size, sizeof(*table));
	size_t at;

	if (table == NULL)
		return -1;
	for (size_t i = 0; i < st->table_size; i++) {
		if (st->table[i] == NULL)
			continue;
		for (at = st->table[i]->hash & (size - 1); table[at] != NULL;
		     at = (at + 1) & (size - 1))
			;
		table[at] = st->table[i];
	}
	free(st->table);
	st->table = table;
	st->table_size = size;
	return 0;
}

struct strings_entry *strings_get(struct strings *st, const char *text, size_t length)
{
	uint64_t hash = hash_bytes(text, length);
	struct strings_entry *e;
	char *copy;
	size_t at;

	if (st->entries_n * 4 >= st->table_size * 3 && grow_table(st) < 0)
		return NULL;
	for (at = hash & (st->table_size - 1); (e = st->table[at]) != NULL;
	     at = (at + 1) & (st->table_size - 1))
		if (e->hash == hash && strncmp(e->text, text, length) == 0 &&
		    e->text[length] == '\0')
			return e;

	e = strings_alloc(st, sizeof(*e) + length + 1);
	if (e == NULL)
		return NULL;
	copy = (char *)(e + 1);
	memcpy(copy, text, length);
	copy[length] = '\0';
	*e = (struct strings_entry){.text = copy, .hash = hash};
	st->table[at] = e;
	st->entries_n++;
	return e;
}

const char *strings_intern(struct strings *st, const char *text)
{
	struct strings_entry *e = strings_get(st, text, strlen(text));

	return e != NULL ? e->text : "";
}
