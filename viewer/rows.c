#include "viewer/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOM 16 /* at first */

int rows_grow(void *array, uint32_t n, uint32_t *room, size_t size)
{
	uint32_t wanted = *room != 0 ? 2 * *room : ROOM;
	void *rows;

	if (n < *room)
		return 0;
	if (wanted <= *room)
		return -ENOMEM;
	memcpy(&rows, array, sizeof(rows));
	rows = reallocarray(rows, wanted, size);
	if (rows == NULL)
		return -ENOMEM;
	memcpy(array, &rows, sizeof(rows));
	*room = wanted;
	return 0;
}

void *rows_at(struct map *of, uint64_t key, void *array, uint32_t *n, uint32_t *room, size_t size,
	      bool *ret_is_new)
{
	uint32_t at = map_get(of, key);
	char *rows;

	*ret_is_new = at == MAP_NONE;
	if (at == MAP_NONE) {
		at = *n;
		if (rows_grow(array, at, room, size) < 0 || map_set(of, key, at) < 0)
			return NULL;
		++*n;
	}
	memcpy(&rows, array, sizeof(rows));
	rows += (size_t)at * size;
	return *ret_is_new ? memset(rows, 0, size) : rows;
}
