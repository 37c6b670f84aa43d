/*
 * rows: arrays that grow by doubling, and rows of them that are found by a number that others have chosen.
 *
 * An array is given as the address of the pointer to it, with how many rows it has and has room for.
 */
#pragma once

#include "viewer/map.h"

/* Room for one more of @size bytes. 0 or -ENOMEM: then it is as it was. */
int rows_grow(void *array, uint32_t n, uint32_t *room, size_t size);

/* The row of @key by @of; a new one, zeroed, behind the others when it has none. NULL: no memory. */
void *rows_at(struct map *of, uint64_t key, void *array, uint32_t *n, uint32_t *room, size_t size,
	      bool *ret_is_new);
