#include "core/table.h"

int table_read(const struct segment *s, enum segment_part table,
	       int (*each)(void *user, const struct table_row *row), void *user)
{
	for (unsigned g = 0; g < SEGMENT_SETS; g++) {
		const struct segment_place *place = segment_place(s, table, g);
		unsigned columns = (place->stride - TABLE_STRIDE(0)) / sizeof(uint64_t);

		if (atomic_load_explicit(&s->header->generations[g].serial, memory_order_acquire) ==
		    0)
			continue;
		for (uint32_t i = 0; i < place->count; i++) {
			struct table_slot *slot =
				(struct table_slot *)(s->base + place->offset +
						      (uint64_t)i * place->stride);
			uint64_t key = atomic_load_explicit(
				&slot->key, memory_order_acquire); /* pairs: table_add */
			struct table_row row = {
				.generation = g,
				.stack = (uint32_t)key,
				.labels = (uint32_t)(key >> 32),
			};
			int r;

			if (key == 0)
				continue;
			for (unsigned c = 0; c < columns && c < TABLE_COLUMNS_MAX; c++)
				row.values[c] = atomic_load_explicit(&slot->values[c],
								     memory_order_relaxed);
			r = each(user, &row);
			if (r != 0)
				return r;
		}
	}
	return 0;
}
