#include "viewer/table.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TEXT_MAX 1000 /* bytes of a cell that text shows; a terminal has no more columns */

/* What is left of texts where there is no room: of wide ones first, then of others, then of all. Numbers are never cut. */
#define CUT_WIDE  24
#define CUT_OTHER 16
#define CUT_LEAST 8

struct row {
	uint64_t place; /* before it is sorted */
	struct cell *cells;
};

struct table {
	const char *what;
	const struct column *columns;
	unsigned columns_n;
	struct row *rows;
	uint64_t rows_n, rows_room;
	char **notes;
	unsigned notes_n;
	void (*under)(void *context, struct out *o, const struct cell *cells);
	void *under_context;
	struct out cell; /* where a cell of text is made, to see how wide it is */
};

int table_create(struct table **ret, const char *what, const struct column *columns, unsigned n)
{
	struct table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return -ENOMEM;
	t->what = what;
	t->columns = columns;
	t->columns_n = n;
	out_init(&t->cell, -1, false);
	*ret = t;
	return 0;
}

void table_destroy(struct table *t)
{
	if (t == NULL)
		return;
	for (uint64_t i = 0; i < t->rows_n; i++)
		free(t->rows[i].cells);
	for (unsigned i = 0; i < t->notes_n; i++)
		free(t->notes[i]);
	free(t->rows);
	free(t->notes);
	free(t);
}

int table_row(struct table *t, const struct cell *cells)
{
	size_t bytes = t->columns_n * sizeof(*cells), n;
	struct cell *copy;
	char *text;

	if (t->rows_n == t->rows_room) {
		uint64_t room = t->rows_room * 2 + 64;
		struct row *rows = realloc(t->rows, room * sizeof(*rows));

		if (rows == NULL)
			return -ENOMEM;
		t->rows = rows;
		t->rows_room = room;
	}
	for (unsigned i = 0; i < t->columns_n; i++)
		if (t->columns[i].kind == COLUMN_TEXT && cells[i].text != NULL)
			bytes += strlen(cells[i].text) + 1;
	copy = malloc(bytes);
	if (copy == NULL)
		return -ENOMEM;
	text = (char *)(copy + t->columns_n);
	for (unsigned i = 0; i < t->columns_n; i++) {
		copy[i] = cells[i];
		if (t->columns[i].kind == COLUMN_SHARE && !isfinite(cells[i].share))
			copy[i].is_none = true;
		if (t->columns[i].kind != COLUMN_TEXT)
			continue;
		if (cells[i].text == NULL) {
			copy[i].is_none = true;
			continue;
		}
		n = strlen(cells[i].text) + 1;
		copy[i].text = memcpy(text, cells[i].text, n);
		text += n;
	}
	t->rows[t->rows_n] = (struct row){t->rows_n, copy};
	t->rows_n++;
	return 0;
}

uint64_t table_rows(const struct table *t)
{
	return t->rows_n;
}

/* How it is sorted. */
struct order {
	unsigned column;
	enum column_kind kind;
	bool is_falling;
};

#define COMPARE(a, b) ((a) < (b) ? -1 : (a) > (b))

static int compare_cells(const struct cell *a, const struct cell *b, enum column_kind kind)
{
	switch (kind) {
	case COLUMN_TEXT:
		return strcmp(a->text, b->text);
	case COLUMN_SIGNED:
		return COMPARE(a->s, b->s);
	case COLUMN_SHARE:
		return COMPARE(a->share, b->share);
	default:
		return COMPARE(a->n, b->n);
	}
}

static int compare_rows(const void *a, const void *b, void *context)
{
	const struct row *x = a, *y = b;
	const struct order *order = context;
	const struct cell *p = &x->cells[order->column], *q = &y->cells[order->column];
	int r;

	if (p->is_none != q->is_none)
		return p->is_none ? 1 : -1;
	r = p->is_none ? 0 : compare_cells(p, q, order->kind);
	if (r == 0)
		return COMPARE(x->place, y->place);
	return order->is_falling ? -r : r;
}

static int complain_column(const struct table *t, const char *key, struct why *why)
{
	char list[240] = "";
	size_t n = 0;

	for (unsigned i = 0; i < t->columns_n && n < sizeof(list); i++) {
		const struct column *column = &t->columns[i];
		const char *name = column->key != NULL ? column->key : column->title;

		if (name != NULL)
			n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", n > 0 ? ", " : "",
					      name);
	}
	why_set(why, "--sort %.40s: %s have no such column, but %s", key, t->what, list);
	return -EINVAL;
}

int table_sort(struct table *t, const char *key, const char *otherwise, bool reverse,
	       struct why *why)
{
	struct order order = {0};

	if (key == NULL)
		key = otherwise;
	if (key == NULL)
		return 0;
	while (order.column < t->columns_n) {
		const struct column *column = &t->columns[order.column];

		if ((column->key != NULL && strcasecmp(column->key, key) == 0) ||
		    (column->title != NULL && strcasecmp(column->title, key) == 0))
			break;
		order.column++;
	}
	if (order.column == t->columns_n)
		return complain_column(t, key, why);
	order.kind = t->columns[order.column].kind;
	order.is_falling =
		(order.kind != COLUMN_TEXT && !t->columns[order.column].is_ascending) != reverse;
	for (uint64_t i = 0; i < t->rows_n; i++)
		t->rows[i].place = i;
	qsort_r(t->rows, t->rows_n, sizeof(*t->rows), compare_rows, &order);
	return 0;
}

int table_note(struct table *t, const char *format, ...)
{
	char **notes = realloc(t->notes, (t->notes_n + 1) * sizeof(*notes));
	va_list args;
	int n;

	if (notes == NULL)
		return -ENOMEM;
	t->notes = notes;
	va_start(args, format);
	n = vasprintf(&t->notes[t->notes_n], format, args);
	va_end(args);
	if (n < 0)
		return -ENOMEM;
	t->notes_n++;
	return 0;
}

void table_under(struct table *t,
		 void (*under)(void *context, struct out *o, const struct cell *cells),
		 void *context)
{
	t->under = under;
	t->under_context = context;
}

/* JSON and CSV: numbers as they are. */
static void put_plain(struct out *o, const struct cell *cell, enum column_kind kind, bool is_json)
{
	if (cell->is_none) {
		out_text(o, is_json ? "null" : "");
		return;
	}
	switch (kind) {
	case COLUMN_TEXT:
		if (is_json)
			out_json(o, cell->text, strlen(cell->text));
		else
			out_csv(o, cell->text, strlen(cell->text));
		break;
	case COLUMN_SIGNED:
		out_s64(o, cell->s);
		break;
	case COLUMN_SHARE:
		out_format(o, "%.6g", cell->share);
		break;
	case COLUMN_BOOL:
		out_text(o, cell->n != 0 ? "true" : "false");
		break;
	default:
		out_u64(o, cell->n);
	}
}

static void json_row(const struct table *t, struct out *o, const struct row *row)
{
	const char *prefix = "", *key, *point;
	size_t prefix_n = 0;
	bool is_first = true;

	out_char(o, '{');
	for (unsigned i = 0; i < t->columns_n; i++) {
		key = t->columns[i].key;
		if (key == NULL)
			continue;
		point = strchr(key, '.');
		if (prefix_n > 0 && (point == NULL || (size_t)(point - key) != prefix_n ||
				     memcmp(prefix, key, prefix_n) != 0)) {
			out_char(o, '}');
			prefix_n = 0;
		}
		if (!is_first)
			out_char(o, ',');
		if (point != NULL && prefix_n == 0) {
			prefix = key;
			prefix_n = (size_t)(point - key);
			out_json(o, prefix, prefix_n);
			out_text(o, ":{");
		}
		is_first = false;
		if (point != NULL)
			key = point + 1;
		out_json(o, key, strlen(key));
		out_char(o, ':');
		put_plain(o, &row->cells[i], t->columns[i].kind, true);
	}
	out_text(o, prefix_n > 0 ? "}}" : "}");
}

static void out_of_json(const struct table *t, struct out *o, uint64_t n)
{
	out_char(o, '[');
	for (uint64_t i = 0; i < n && o->error == 0; i++) {
		out_text(o, i > 0 ? ",\n" : "");
		json_row(t, o, &t->rows[i]);
	}
	out_text(o, "]\n");
}

static void out_of_csv(const struct table *t, struct out *o, uint64_t n)
{
	bool is_first = true;

	for (unsigned k = 0; k < t->columns_n; k++) {
		if (t->columns[k].key == NULL)
			continue;
		out_text(o, is_first ? "" : ",");
		out_csv(o, t->columns[k].key, strlen(t->columns[k].key));
		is_first = false;
	}
	for (uint64_t i = 0; i < n && o->error == 0; i++) {
		out_text(o, "\r\n");
		is_first = true;
		for (unsigned k = 0; k < t->columns_n; k++) {
			if (t->columns[k].key == NULL)
				continue;
			out_text(o, is_first ? "" : ",");
			put_plain(o, &t->rows[i].cells[k], t->columns[k].kind, false);
			is_first = false;
		}
	}
	out_text(o, "\r\n");
}

/* A cell as people read it, in t->cell. */
static void make_cell(struct table *t, const struct cell *cell, enum column_kind kind)
{
	struct out *o = &t->cell;

	o->n = 0;
	if (cell->is_none) {
		out_char(o, '-');
		return;
	}
	switch (kind) {
	case COLUMN_TEXT:
		out_name(o, cell->text, strnlen(cell->text, TEXT_MAX));
		break;
	case COLUMN_COUNT:
		out_grouped(o, cell->n);
		break;
	case COLUMN_ID:
		out_u64(o, cell->n);
		break;
	case COLUMN_SIGNED:
		if (cell->s < 0)
			out_char(o, '-');
		out_grouped(o, cell->s < 0 ? 0 - (uint64_t)cell->s : (uint64_t)cell->s);
		break;
	case COLUMN_NS:
		out_duration(o, cell->n);
		break;
	case COLUMN_TIME:
		out_seconds(o, cell->n);
		break;
	case COLUMN_BYTES:
		out_size(o, cell->n);
		break;
	case COLUMN_SHARE:
		out_format(o, "%.1f %%", cell->share * 100);
		break;
	case COLUMN_BOOL:
		out_text(o, cell->n != 0 ? "yes" : "no");
		break;
	}
}

/* The title of a column, in t->cell. */
static void make_title(struct table *t, unsigned column)
{
	t->cell.n = 0;
	out_text(&t->cell, t->columns[column].title);
}

/* The width of what is in t->cell. */
static unsigned cell_width(const struct table *t)
{
	unsigned width = 0;
	size_t n;

	for (size_t at = 0; at < t->cell.n; at += n)
		width += out_width(t->cell.buffer + at, &n);
	return width;
}

static bool is_left(const struct column *column)
{
	return column->kind == COLUMN_TEXT;
}

/* "/var/log/app", "7:/var/log/app": the end of it says more than its beginning. */
static bool is_path(const struct table *t)
{
	size_t at = 0;

	while (at < t->cell.n && t->cell.buffer[at] >= '0' && t->cell.buffer[at] <= '9')
		at++;
	at += at > 0 && at < t->cell.n && t->cell.buffer[at] == ':';
	return at < t->cell.n && t->cell.buffer[at] == '/';
}

/* Writes t->cell, which has @has columns, @width wide: cut. Returns how many columns that took. */
static unsigned put_cut(const struct table *t, struct out *o, unsigned has, unsigned width)
{
	bool keeps_end = is_path(t);
	unsigned used = 0, more;
	size_t at, n;

	if (keeps_end)
		out_text(o, "…");
	for (at = 0; keeps_end ? has - used + 1 > width : true; at += n) {
		more = out_width(t->cell.buffer + at, &n);
		if (!keeps_end && used + more + 1 > width)
			break;
		used += more;
	}
	if (keeps_end) {
		out_bytes(o, t->cell.buffer + at, t->cell.n - at);
		return has - used + 1;
	}
	out_bytes(o, t->cell.buffer, at);
	out_text(o, "…");
	return used + 1;
}

/* Writes t->cell @width wide: filled up, or cut. */
static void put_cell(const struct table *t, struct out *o, unsigned width, bool left, bool is_last)
{
	unsigned has = cell_width(t), blanks = has < width ? width - has : 0;

	for (unsigned i = 0; i < blanks && !left; i++)
		out_char(o, ' ');
	if (has <= width)
		out_bytes(o, t->cell.buffer, t->cell.n);
	else
		blanks = width - put_cut(t, o, has, width);
	for (unsigned i = 0; i < blanks && left && !is_last; i++)
		out_char(o, ' ');
}

static unsigned sum_widths(const struct table *t, const unsigned *widths)
{
	unsigned all = 0;

	for (unsigned k = 0; k < t->columns_n; k++)
		if (t->columns[k].title != NULL)
			all += widths[k] + (all > 0 ? 2 : 0);
	return all;
}

/* Takes from the widest texts, again and again, until all have room or none has more than @least. */
static void cut_columns(const struct table *t, unsigned *widths, unsigned width, bool only_wide,
			unsigned least)
{
	for (unsigned all = sum_widths(t, widths); all > width; all--) {
		unsigned widest = t->columns_n;

		for (unsigned k = 0; k < t->columns_n; k++)
			if (t->columns[k].title != NULL && t->columns[k].kind == COLUMN_TEXT &&
			    (t->columns[k].is_wide || !only_wide) && widths[k] > least &&
			    (widest == t->columns_n || widths[k] >= widths[widest]))
				widest = k;
		if (widest == t->columns_n)
			return;
		widths[widest]--;
	}
}

static void measure(struct table *t, unsigned *widths, uint64_t n, unsigned width)
{
	for (unsigned k = 0; k < t->columns_n; k++) {
		if (t->columns[k].title == NULL)
			continue;
		make_title(t, k);
		widths[k] = cell_width(t);
		for (uint64_t i = 0; i < n; i++) {
			unsigned has;

			make_cell(t, &t->rows[i].cells[k], t->columns[k].kind);
			has = cell_width(t);
			widths[k] = has > widths[k] ? has : widths[k];
		}
	}
	if (width == 0)
		return;
	cut_columns(t, widths, width, true, CUT_WIDE);
	cut_columns(t, widths, width, false, CUT_OTHER);
	cut_columns(t, widths, width, false, CUT_LEAST);
}

/* @row, or the titles. */
static void text_row(struct table *t, struct out *o, const struct row *row, const unsigned *widths)
{
	unsigned last = 0, first = t->columns_n;

	for (unsigned k = 0; k < t->columns_n; k++) {
		if (t->columns[k].title == NULL)
			continue;
		last = k;
		if (first == t->columns_n)
			first = k;
	}
	if (row == NULL)
		out_colour(o, OUT_BOLD);
	for (unsigned k = first; k < t->columns_n; k++) {
		if (t->columns[k].title == NULL)
			continue;
		if (k > first)
			out_text(o, "  ");
		if (row == NULL)
			make_title(t, k);
		else
			make_cell(t, &row->cells[k], t->columns[k].kind);
		put_cell(t, o, widths[k], is_left(&t->columns[k]), k == last);
	}
	if (row == NULL)
		out_colour(o, OUT_PLAIN);
	out_char(o, '\n');
}

static void put_note(struct out *o, const char *text)
{
	out_colour(o, OUT_DIM);
	out_name(o, text, strlen(text));
	out_colour(o, OUT_PLAIN);
	out_char(o, '\n');
}

void table_out_notes(const struct table *t, struct out *o)
{
	for (unsigned i = 0; i < t->notes_n; i++)
		put_note(o, t->notes[i]);
}

static void out_of_text(struct table *t, struct out *o, uint64_t n, unsigned width)
{
	unsigned *widths = calloc(t->columns_n + 1, sizeof(*widths));
	char more[80];

	if (widths == NULL) {
		o->error = o->error < 0 ? o->error : -ENOMEM;
		return;
	}
	if (t->rows_n > 0) {
		measure(t, widths, n, width);
		text_row(t, o, NULL, widths);
	} else {
		out_format(o, "no %s\n", t->what);
	}
	for (uint64_t i = 0; i < n && o->error == 0; i++) {
		text_row(t, o, &t->rows[i], widths);
		if (t->under != NULL)
			t->under(t->under_context, o, t->rows[i].cells);
	}
	if (n < t->rows_n) {
		snprintf(more, sizeof(more), "… and %" PRIu64 " more (--limit 0)", t->rows_n - n);
		put_note(o, more);
	}
	if (t->notes_n > 0)
		out_char(o, '\n');
	table_out_notes(t, o);
	free(widths);
}

void table_out(struct table *t, struct out *o, enum args_format format, uint64_t limit,
	       unsigned width)
{
	uint64_t n = limit > 0 && limit < t->rows_n ? limit : t->rows_n;

	if (format == FORMAT_JSON)
		out_of_json(t, o, n);
	else if (format == FORMAT_CSV)
		out_of_csv(t, o, n);
	else
		out_of_text(t, o, n, width);
}
