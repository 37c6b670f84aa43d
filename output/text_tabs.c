#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "output/profile.h"
#include "output/text_tabs.h"

struct cell {
	const char *text;
	size_t size, columns, width; /* as it is, and as it is printed */
};

struct line {
	struct cell *cells; /* the last one is what no tab ends */
	size_t cells_n;
	bool is_end; /* the next line has columns of its own */
};

struct table {
	struct cell *cells;
	struct line *lines;
	size_t *active; /* lines with a cell in the column that is looked at */
	size_t lines_n;
};

/* Between two bytes 0xff all is text, tabs too, and they take no room. Go has that, and labels may be any bytes. */
static void split(struct table *t, const char *text, size_t size)
{
	struct cell *cell = t->cells;
	struct line *line = t->lines;
	bool is_literal = false;
	size_t hidden = 0, start = 0, i;

	line->cells = cell;
	for (i = 0; i < size; i++) {
		if (text[i] == '\xff') {
			hidden += is_literal ? 2 : 0;
			is_literal = !is_literal;
			continue;
		}
		if (is_literal ||
		    (text[i] != '\t' && text[i] != '\v' && text[i] != '\n' && text[i] != '\f'))
			continue;
		*cell = (struct cell){text + start, i - start,
				      profile_columns(text + start, i - start) - hidden, 0};
		cell++;
		line->cells_n++;
		start = i + 1;
		hidden = 0;
		if (text[i] == '\n' || text[i] == '\f') {
			line->is_end = text[i] == '\f';
			(++line)->cells = cell;
		}
	}
	t->lines_n = (size_t)(line - t->lines);
	if (start < size) { /* no newline at the end: what is left is a line, and gets one */
		*cell = (struct cell){text + start, size - start, 0, 0};
		line->cells_n++;
		t->lines_n++;
	}
}

/* The cells of one column in lines of t->active that follow each other. Returns how many lines are in the next one. */
static size_t set_widths(struct table *t, size_t active_n, size_t column)
{
	size_t first, end, i, width, next_n = 0;

	for (first = 0; first < active_n; first = end) {
		width = 0;
		for (end = first; end < active_n; end++) {
			size_t columns = t->lines[t->active[end]].cells[column].columns;

			if (end > first && (t->active[end] != t->active[end - 1] + 1 ||
					    t->lines[t->active[end - 1]].is_end))
				break;
			if (columns + 1 > width)
				width = columns + 1;
		}
		for (i = first; i < end; i++)
			t->lines[t->active[i]].cells[column].width = width;
	}
	for (i = 0; i < active_n; i++)
		if (t->lines[t->active[i]].cells_n > column + 2)
			t->active[next_n++] = t->active[i];
	return next_n;
}

static void print(const struct table *t, FILE *to)
{
	size_t i, j, n;

	for (i = 0; i < t->lines_n; i++) {
		for (j = 0; j < t->lines[i].cells_n; j++) {
			const struct cell *cell = &t->lines[i].cells[j];

			for (n = cell->columns; n < cell->width; n++)
				fputc(' ', to);
			fwrite(cell->text, 1, cell->size, to);
		}
		fputc('\n', to);
	}
}

int tabs_print(const char *text, size_t size, FILE *to)
{
	struct table t = {0};
	size_t cells_n = 1, lines_n = 1, active_n = 0, column, i;
	int error = 0;

	for (i = 0; i < size; i++) {
		cells_n += text[i] == '\t' || text[i] == '\v' || text[i] == '\n' || text[i] == '\f';
		lines_n += text[i] == '\n' || text[i] == '\f';
	}
	t.cells = calloc(cells_n, sizeof(*t.cells));
	t.lines = calloc(lines_n, sizeof(*t.lines));
	t.active = calloc(lines_n, sizeof(*t.active));
	if (t.cells == NULL || t.lines == NULL || t.active == NULL) {
		error = -ENOMEM;
		goto out;
	}
	split(&t, text, size);
	for (i = 0; i < t.lines_n; i++)
		if (t.lines[i].cells_n > 1)
			t.active[active_n++] = i;
	for (column = 0; active_n > 0; column++)
		active_n = set_widths(&t, active_n, column);
	print(&t, to);
out:
	free(t.cells);
	free(t.lines);
	free(t.active);
	return error;
}
