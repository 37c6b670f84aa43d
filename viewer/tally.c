#include "viewer/tally.h"

#include <errno.h>
#include <stdlib.h>

static struct tally_row *add_row(struct tally *t, uint64_t key)
{
	struct tally_row *row, **grown;
	uint32_t room = t->room != 0 ? t->room * 2 : 16;

	if (t->n == t->room) {
		grown = realloc(t->rows, room * sizeof(struct tally_row *));
		if (grown == NULL)
			return NULL;
		t->rows = grown;
		t->room = room;
	}
	row = calloc(1, sizeof(*row));
	if (row == NULL)
		return NULL;
	row->key = key;
	row->index = t->n;
	t->rows[t->n++] = row;
	return row;
}

struct tally_row *tally_at(struct tally *t, uint64_t key)
{
	uint32_t i = map_get(&t->of, key),
		 rows_max = t->rows_max != 0 ? t->rows_max : TALLY_ROWS_MAX;
	struct tally_row *row;

	if (i != MAP_NONE)
		return t->rows[i];
	if (t->n >= rows_max || key == TALLY_OTHERS) {
		if (t->others == NULL)
			t->others = add_row(t, TALLY_OTHERS);
		return t->others;
	}
	row = add_row(t, key);
	if (row == NULL || map_set(&t->of, key, t->n - 1) < 0)
		return NULL;
	return row;
}

const struct tally_row *tally_find(const struct tally *t, uint64_t key)
{
	uint32_t i = map_get(&t->of, key);

	return i != MAP_NONE ? t->rows[i] : NULL;
}

void tally_fini(struct tally *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		free(t->rows[i]);
	free(t->rows);
	map_fini(&t->of);
	*t = (struct tally){0};
}

void tally_merge(struct tally_row *to, const struct tally_row *from)
{
	to->errors += from->errors;
	to->bytes += from->bytes;
	to->idle_n += from->idle_n;
	to->idle_ns += from->idle_ns;
	to->wait_ns += from->wait_ns;
	to->open_n += from->open_n;
	to->took.n += from->took.n;
	to->took.sum += from->took.sum;
	to->took.max = from->took.max > to->took.max ? from->took.max : to->took.max;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint32_t more = from->took.buckets[i], *bucket = &to->took.buckets[i];

		*bucket = more > UINT32_MAX - *bucket ? UINT32_MAX : *bucket + more;
	}
}
