/*
 * texts: numbers for texts, from 0 on, each once.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TEXTS_NONE UINT32_MAX

/* A zeroed one is empty. */
struct texts {
	char *bytes; /* one behind the other */
	size_t size, bytes_room;
	size_t *ends; /* of each, by number */
	uint32_t n, room;
	uint32_t *slots; /* by hash, number + 1; 0: free */
	uint32_t slots_n;
};

/* The number of a text, which it has from now on. TEXTS_NONE: out of memory. */
uint32_t texts_add(struct texts *t, const char *bytes, size_t size);
/* The text of a number below t->n. */
const char *texts_get(const struct texts *t, uint32_t number, size_t *ret_size);
void texts_fini(struct texts *t);
