/*
 * symbols_strings: one copy of each name, and the memory of everything that lives as long as a
 * struct symbols.
 *
 * Normal context. Running out of memory gives NULL.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct strings_entry {
	const char *text;
	const char *display; /* what symbols_demangle() made of @text; NULL: not asked yet */
	uint64_t hash;
};

struct strings {
	struct strings_chunk *chunks;
	size_t chunk_used;
	struct strings_entry **table; /* open addressing, a power of two */
	size_t table_size, entries_n;
};

void strings_fini(struct strings *st); /* a zeroed one is fine, and is how it starts */
void *strings_alloc(struct strings *st, size_t size);
struct strings_entry *strings_get(struct strings *st, const char *text, size_t length);
const char *strings_intern(struct strings *st, const char *text); /* "" when out of memory */
