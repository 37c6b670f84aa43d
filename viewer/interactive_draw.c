#include <inttypes.h>
#include <string.h>

#include "viewer/interactive_private.h"
#include "viewer/sentence.h"

#define SUMMARIES 3 /* lines of them, at most a quarter of what there is */

static void at_line(struct interactive *in, unsigned line)
{
	out_format(in->out, "\033[%u;1H\033[0m\033[K", line + 1);
}

static void text_line(struct interactive *in, const char *text, unsigned columns)
{
	chart_text(&in->chart, text, strlen(text), columns, false);
}

static void draw_header(struct interactive *in)
{
	struct out *out = in->out;
	struct name *name = in->name;

	at_line(in, 0);
	name_clear(name);
	name_format(name, "%s  ", in->ask.title);
	sentence_duration(name, in->view.to_ns - in->view.from_ns);
	name_format(name, " of ");
	sentence_duration(name, view_whole_ns(in));
	if (in->now != NULL)
		name_format(name, "  %" PRIu32 " thread%s", in->now->threads,
			    in->now->threads == 1 ? "" : "s");
	if (in->now != NULL && in->now->is_estimate && !in->is_guess)
		name_format(name, "  from headers");
	if (in->making != NULL)
		name_format(name, "  index %.0f %%", in->making_share * 100);
	if (in->is_guess)
		name_format(name, in->chart.is_ascii ? "  ..." : "  …");
	out_text(out, "\033[1m");
	chart_text(&in->chart, name->text, name->n, in->columns, false);
	out_text(out, "\033[0m");
}

/* As much of the sentence as @lines lines have room for, broken between words. */
static void wrapped(struct interactive *in, unsigned line, unsigned lines, const char *text,
		    size_t n)
{
	while (lines-- > 0) {
		size_t part = n;

		at_line(in, line++);
		if (part > in->columns && lines > 0) {
			part = in->columns;
			while (part > 0 && text[part] != ' ')
				part--;
			if (part == 0)
				part = in->columns;
		}
		chart_text(&in->chart, text, part, in->columns, false);
		part += part < n && text[part] == ' ';
		text += part;
		n -= part;
	}
}

static void add_time(struct interactive *in, struct name *name, uint64_t ns)
{
	struct out *out = in->chart.out;

	in->chart.out = in->chart.scratch;
	out_init(in->chart.scratch, -1, false);
	out_seconds(in->chart.scratch, ns > in->ask.begun_ns ? ns - in->ask.begun_ns : 0);
	in->chart.out = out;
	name_add(name, in->chart.scratch->buffer, in->chart.scratch->n);
	name_format(name, "s  ");
}

static void add_shares(struct name *name, const struct timeline_cell *cell)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < TRACE_STATES; i++)
		sum += cell->ns[i];
	for (unsigned i = 0; i < TRACE_STATES; i++)
		if (cell->ns[i] > 0)
			name_format(name, " %s %.0f %%", story_state_name(i),
				    (double)cell->ns[i] * 100 / (double)sum);
	if (sum == 0)
		name_format(name, " does not live then");
}

static void draw_details(struct interactive *in, unsigned line)
{
	const struct timeline_row *row = view_row(in);
	struct name *name = in->name;
	struct interval i;

	name_clear(name);
	add_time(in, name, view_cursor_ns(in));
	if (row == NULL) {
		name_format(name, "no thread lived then");
	} else if (row->members > 1 || !view_interval(in, &i)) {
		timeline_name(in->now, row, name);
		if (row->members > 1)
			name_format(name, " (%" PRIu32 " threads)", row->members);
		add_shares(name, &row->cells[in->column]);
	} else {
		sentence_interval(name, in->ask.tables, &i, i.begin_ns, i.end_ns, false);
	}
	wrapped(in, line, 2, name->text, name->n);
}

static unsigned summaries_n(const struct interactive *in)
{
	unsigned n = in->now != NULL ? chart_summaries_n(in->now) : 0, most = in->lines / 5;

	most = most < SUMMARIES ? most : SUMMARIES;
	return n < most ? n : most;
}

unsigned draw_rows_shown(const struct interactive *in)
{
	unsigned others = 6 + summaries_n(in) + (in->marks_n > 0);

	return in->lines > others ? in->lines - others : 1;
}

static void draw_marks(struct interactive *in, unsigned line)
{
	struct timeline_ask ask = view_ask(in);

	if (in->marks_n == 0)
		return;
	for (unsigned i = 0; i < in->marks_n; i++) {
		if (i == 0)
			at_line(in, line);
		if (in->marks[i] < in->view.from_ns || in->marks[i] > in->view.to_ns)
			continue;
		out_format(in->out, "\033[%u;%uH%u", line + 1,
			   in->chart.name_columns + 2 + timeline_column(&ask, in->marks[i]), i + 1);
	}
}

static void draw_row(struct interactive *in, unsigned line, uint32_t index)
{
	const struct timeline_row *row = &in->now->rows[index];
	struct name *name = in->name;

	at_line(in, line);
	name_clear(name);
	timeline_name(in->now, row, name);
	if (index == in->row)
		out_text(in->out, "\033[1m");
	chart_text(&in->chart, name->text, name->n, in->chart.name_columns, true);
	out_text(in->out, index == in->row ? ">\033[0m" : " ");
	chart_cells(&in->chart, in->now, row, index == in->row ? in->column : UINT32_MAX);
	if (in->chart.info_columns > 0) {
		out_text(in->out, "  ");
		chart_shares(&in->chart, row, in->chart.info_columns);
	}
}

void draw_keys(struct interactive *in, const char *instead)
{
	at_line(in, in->lines - 1);
	text_line(in,
		  instead != NULL ? instead
				  : "w s zoom  a d pan  j k rows  , . steps  [ ] wakes  L holders  "
				    "/ find  ? help  q quit",
		  in->columns - 1);
}

/* The current row is on the screen, and what is there is exact. */
static void scroll(struct interactive *in, uint32_t shown)
{
	uint32_t n = in->now->rows_n;

	if (in->row >= n)
		in->row = n > 0 ? n - 1 : 0;
	if (in->row < in->top)
		in->top = in->row;
	if (in->row >= in->top + shown)
		in->top = in->row - shown + 1;
	if (in->top + shown > n)
		in->top = n > shown ? n - shown : 0;
	pictures_sharpen(&in->pictures, in->now, in->top, shown);
}

void draw_all(struct interactive *in)
{
	uint32_t shown;
	unsigned line = 1, n;

	out_text(in->out, "\033[?25l");
	if (in->columns < COLUMNS_MIN || in->lines < ROWS_MIN) {
		out_text(in->out, "\033[2J");
		at_line(in, 0);
		text_line(in, "too small", in->columns);
		out_flush(in->out);
		return;
	}
	draw_header(in);
	n = summaries_n(in);
	shown = draw_rows_shown(in);
	if (in->now != NULL) {
		scroll(in, shown);
		for (unsigned i = 0; i < n; i++) {
			at_line(in, line++);
			chart_summary(&in->chart, in->now, i);
		}
		at_line(in, line++);
		chart_ruler(&in->chart, in->now);
		draw_marks(in, line);
		line += in->marks_n > 0;
		for (uint32_t i = in->top; i < in->top + shown && i < in->now->rows_n; i++)
			draw_row(in, line++, i);
	}
	while (line + 4 < in->lines)
		at_line(in, line++);
	draw_details(in, in->lines - 4);
	at_line(in, in->lines - 2);
	out_text(in->out, "\033[1m");
	text_line(in, in->message, in->columns - 1);
	draw_keys(in, NULL);
	out_flush(in->out);
}

static const char *const help[] = {
	"w s  zoom in, out        W S  five times faster",
	"a d  left, right         A D  five times faster",
	"0    the whole trace     f    centre, again: fit",
	"z Z  undo, redo          g    go to a time",
	"j k, up down  rows       left right, home end  cursor",
	", .  the interval before, the next one",
	"[ ]  who woke it; whom it woke",
	"L    who holds what it waits for, and so on",
	"/    find a thread, lock or file    n N  next, before",
	"m    bookmark            ' 1-9  go to it",
	"i    idle on, off        x    groups on, off",
	"Esc  clear               q    leave",
};

void draw_help(struct interactive *in)
{
	unsigned n = sizeof(help) / sizeof(help[0]);

	out_text(in->out, "\033[0m\033[2J");
	for (unsigned i = 0; i < n && i + 1 < in->lines; i++) {
		at_line(in, i);
		text_line(in, help[i], in->columns);
	}
	draw_keys(in, "a key goes back");
	out_flush(in->out);
}

void draw_prompt(struct interactive *in, const char *what, const char *text, size_t n)
{
	unsigned columns = (unsigned)strlen(what);

	at_line(in, in->lines - 1);
	out_text(in->out, what);
	if (columns < in->columns)
		chart_text(&in->chart, text, n, in->columns - columns - 1, false);
	out_text(in->out, "\033[7m \033[0m");
	out_flush(in->out);
}
