#include "core/cfi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

/* Calls @each for every FDE of the .eh_frame at @at until it ends or makes no sense. */
static uint32_t scan(const struct segment_module *m, uintptr_t at, struct cfi_own_entry *table,
		     uint32_t room)
{
	uint32_t count = 0;

	while (at >= m->readable_start && at + 8 <= m->readable_end) {
		uint32_t length, id;
		uint64_t code;

		memcpy(&length, (const void *)at, 4);
		memcpy(&id, (const void *)(at + 4), 4);
		if (length == 0 || length == UINT32_MAX || length > m->readable_end - at - 4)
			break;
		if (id != 0 && cfi_fde_code(m, at, &code) && code >= m->start && code < m->end) {
			if (count < room)
				table[count] =
					(struct cfi_own_entry){(int32_t)(code - m->start),
							       (int32_t)(at - m->readable_start)};
			count++;
		}
		at += 4 + length;
	}
	return count;
}

static int compare(const void *a, const void *b)
{
	int32_t x = ((const struct cfi_own_entry *)a)->code,
		y = ((const struct cfi_own_entry *)b)->code;

	return (x > y) - (x < y);
}

int cfi_build_table(const struct segment_module *m, uintptr_t eh_frame, struct cfi_own_entry **ret,
		    uint32_t *ret_count)
{
	uint32_t count = scan(m, eh_frame, NULL, 0);
	struct cfi_own_entry *table;

	if (count == 0)
		return -ENOENT;
	table = mem_map(count * sizeof(*table));
	if (table == NULL)
		return -ENOMEM;
	scan(m, eh_frame, table, count);
	qsort(table, count, sizeof(*table),
	      compare); /* nearly sorted; glibc's may use malloc for large ones: normal context */
	*ret = table;
	*ret_count = count;
	return 0;
}
