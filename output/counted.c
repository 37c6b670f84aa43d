#include "output/counted.h"

#include <errno.h>
#include <stdlib.h>

#include "output/unsample.h"

int counted_each(const struct segment *s, const struct profile_ops *ops,
		 int (*each)(void *user, const struct table_row *row), void *user)
{
	return ops->read != NULL ? ops->read(s, ops, each, user)
				 : table_read(s, ops->table, each, user);
}

static int add_row(void *user, const struct table_row *row)
{
	struct counted *c = user;

	if (c->n == c->room) {
		size_t room = c->room ? c->room * 2 : 1024;
		struct counted_row *rows = realloc(c->rows, room * sizeof(*rows));

		if (rows == NULL)
			return -ENOMEM;
		c->rows = rows;
		c->room = room;
	}
	c->rows[c->n].row = *row;
	if (row->generation >= SEGMENT_SETS) /* of a record that others wrote */
		c->rows[c->n].row.generation = c->rows[c->n].row.stack = 0;
	c->n++;
	return 0;
}

/* Rows in the order in which their stacks were first seen. */
static int compare_rows(const void *a, const void *b)
{
	const struct table_row *x = &((const struct counted_row *)a)->row;
	const struct table_row *y = &((const struct counted_row *)b)->row;

	if (x->generation != y->generation)
		return x->generation < y->generation ? -1 : 1;
	if (x->stack != y->stack)
		return x->stack < y->stack ? -1 : 1;
	if (x->labels != y->labels)
		return x->labels < y->labels ? -1 : 1;
	return (x->kind > y->kind) - (x->kind < y->kind);
}

/* What is kept elsewhere than in a table may come in several parts. */
static void add_up_rows(struct counted *c)
{
	size_t to = 0;

	for (size_t i = 1; i < c->n; i++) {
		if (compare_rows(&c->rows[to], &c->rows[i]) != 0) {
			c->rows[++to] = c->rows[i];
			continue;
		}
		for (unsigned v = 0; v < TABLE_COLUMNS_MAX; v++)
			c->rows[to].row.values[v] += c->rows[i].row.values[v];
	}
	c->n = to + 1;
}

/*
 * Numbers of blocks and bytes are two words, and a process may have died, or be, between them: no blocks have no bytes.
 * Nobody has counted up to the half of what there is room for: what says so is kept from overflowing.
 */
static void mend_blocks(uint64_t values[TABLE_COLUMNS_MAX])
{
	for (unsigned v = 0; v < TABLE_COLUMNS_MAX; v++)
		if (values[v] > INT64_MAX / 2)
			values[v] = INT64_MAX / 2;
	for (unsigned v = 0; v < TABLE_COLUMNS_MAX; v += 2)
		if (values[v] == 0)
			values[v + 1] = 0;
}

static void set_shown(struct counted_row *r, const struct profile_ops *ops, uint64_t period,
		      bool as_sampled)
{
	if (ops->is_by_size)
		mend_blocks(r->row.values);
	for (unsigned v = 0; v < TABLE_COLUMNS_MAX; v++)
		r->shown[v] = (int64_t)r->row.values[v];
	if (ops->is_by_size && !as_sampled)
		for (unsigned v = 0; v < TABLE_COLUMNS_MAX; v += 2)
			unsample(period, &r->shown[v], &r->shown[v + 1]);
}

int counted_read(const struct segment *s, const struct profile_ops *ops, bool as_sampled,
		 struct counted *ret)
{
	uint64_t period = atomic_load_explicit(&profile_run(s, ops)->period, memory_order_relaxed);
	int r;

	*ret = (struct counted){0};
	r = counted_each(s, ops, add_row, ret);
	if (r < 0 || ret->n == 0)
		return r;
	qsort(ret->rows, ret->n, sizeof(*ret->rows), compare_rows);
	add_up_rows(ret);
	for (size_t i = 0; i < ret->n; i++)
		set_shown(&ret->rows[i], ops, period, as_sampled);
	return 0;
}

void counted_fini(struct counted *c)
{
	free(c->rows);
}

static void subtract_row(struct counted_row *from, const struct counted_row *what)
{
	for (unsigned v = 0; v < TABLE_COLUMNS_MAX; v++) {
		from->row.values[v] -= what->row.values[v];
		from->shown[v] = (int64_t)((uint64_t)from->shown[v] - (uint64_t)what->shown[v]);
	}
}

int counted_subtract(struct counted *now, const uint64_t now_serials[SEGMENT_SETS],
		     const struct counted *before, const uint64_t before_serials[SEGMENT_SETS])
{
	size_t n = now->n, at = 0;
	int r;

	for (size_t i = 0; i < before->n; i++) {
		const struct counted_row *was = &before->rows[i];

		if (before_serials[was->row.generation] != now_serials[was->row.generation])
			continue;
		while (at < n && compare_rows(&now->rows[at], was) < 0)
			at++;
		if (at < n && compare_rows(&now->rows[at], was) == 0) {
			subtract_row(&now->rows[at], was);
			continue;
		}
		r = add_row(now, &was->row);
		if (r < 0)
			return r;
		now->rows[now->n - 1] = (struct counted_row){.row = was->row};
		for (unsigned v = 0; v < TABLE_COLUMNS_MAX; v++)
			now->rows[now->n - 1].row.values[v] = 0;
		subtract_row(&now->rows[now->n - 1], was);
	}
	return 0;
}

int64_t counted_block_size(const struct table_row *row)
{
	for (unsigned v = 0; v < TABLE_COLUMNS_MAX; v += 2) {
		int64_t blocks = (int64_t)row->values[v], bytes = (int64_t)row->values[v + 1];

		if (blocks != 0)
			return bytes / blocks;
	}
	return 0;
}
