#include <stdio.h>
#include <string.h>

#include "viewer/interactive_private.h"

uint64_t view_whole_ns(const struct interactive *in)
{
	return in->ask.end_ns - in->ask.begin_ns;
}

struct timeline_ask view_ask(const struct interactive *in)
{
	return (struct timeline_ask){.from_ns = in->view.from_ns,
				     .to_ns = in->view.to_ns,
				     .columns = in->chart.cells,
				     .by_group = in->by_group,
				     .marks_of = TRACE_ALL,
				     .threads = in->ask.threads};
}

static uint64_t column_ns(const struct interactive *in, uint32_t column)
{
	struct timeline_ask ask = view_ask(in);

	return timeline_column_begin(&ask, column);
}

uint64_t view_cursor_ns(const struct interactive *in)
{
	uint64_t begin = column_ns(in, in->column);

	return begin + (column_ns(in, in->column + 1) - begin) / 2;
}

const struct timeline_row *view_row(const struct interactive *in)
{
	return in->now != NULL && in->row < in->now->rows_n ? &in->now->rows[in->row] : NULL;
}

bool view_interval(struct interactive *in, struct interval *ret)
{
	const struct timeline_row *row = view_row(in);
	struct index *x = in->pictures.index;
	uint32_t track;

	if (in->has_selected) {
		*ret = in->selected;
		return true;
	}
	if (row == NULL || row->members > 1 || x == NULL)
		return false;
	track = index_track_of(x, row->thread);
	return track != MAP_NONE && index_longest(x, track, column_ns(in, in->column),
						  column_ns(in, in->column + 1), ret) == 0;
}

void view_say(struct interactive *in, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(in->message, sizeof(in->message), format, args);
	va_end(args);
}

struct view view_fitted(const struct interactive *in, double from, double span)
{
	double least = in->chart.cells > 16 ? in->chart.cells : 16,
	       whole = (double)view_whole_ns(in);
	struct view v;

	if (span < least)
		span = least;
	if (span >= whole)
		return (struct view){in->ask.begin_ns, in->ask.end_ns};
	if (from < 0)
		from = 0;
	if (from + span > whole)
		from = whole - span;
	v.from_ns = in->ask.begin_ns + (uint64_t)from;
	v.to_ns = v.from_ns + (uint64_t)span;
	if (v.to_ns > in->ask.end_ns)
		v.to_ns = in->ask.end_ns;
	return v;
}

void view_go(struct interactive *in, struct view v)
{
	if (v.from_ns == in->view.from_ns && v.to_ns == in->view.to_ns)
		return;
	if (in->undo_at == UNDO_MAX) {
		memmove(in->undo, in->undo + 1, (UNDO_MAX - 1) * sizeof(in->undo[0]));
		in->undo_at--;
	}
	in->undo[in->undo_at++] = in->view;
	in->undo_n = in->undo_at;
	in->view = v;
}

void view_undo(struct interactive *in, bool is_redo)
{
	struct view v = in->view;
	unsigned at;

	if (is_redo ? in->undo_at == in->undo_n : in->undo_at == 0) {
		view_say(in, is_redo ? "nothing to redo" : "nothing to undo");
		return;
	}
	at = is_redo ? in->undo_at++ : --in->undo_at;
	in->view = in->undo[at];
	in->undo[at] = v;
}

void view_put_cursor(struct interactive *in, uint64_t ns)
{
	struct timeline_ask ask = view_ask(in);

	in->column = timeline_column(&ask, ns);
}

void view_zoom(struct interactive *in, double factor)
{
	double span = (double)(in->view.to_ns - in->view.from_ns), at, share;
	uint64_t ns = view_cursor_ns(in);

	/* what is under the cursor stays there */
	at = (double)(ns - in->ask.begin_ns);
	share = ((double)in->column + 0.5) / in->chart.cells;
	view_go(in, view_fitted(in, at - span * factor * share, span * factor));
	view_put_cursor(in, ns);
}

void view_pan(struct interactive *in, double share)
{
	double span = (double)(in->view.to_ns - in->view.from_ns);

	view_go(in, view_fitted(in, (double)(in->view.from_ns - in->ask.begin_ns) + span * share,
				span));
	in->has_selected = false;
}

void view_centre(struct interactive *in, uint64_t ns)
{
	double span = (double)(in->view.to_ns - in->view.from_ns);

	view_go(in, view_fitted(in, (double)(ns - in->ask.begin_ns) - span / 2, span));
	view_put_cursor(in, ns);
}

void view_visit(struct interactive *in, uint64_t ns)
{
	if (ns < in->ask.begin_ns)
		ns = in->ask.begin_ns;
	if (ns > in->ask.end_ns)
		ns = in->ask.end_ns;
	if (ns < in->view.from_ns || ns > in->view.to_ns)
		view_centre(in, ns);
	else
		view_put_cursor(in, ns);
}

void view_move_row(struct interactive *in, int64_t by)
{
	int64_t n = in->now != NULL ? in->now->rows_n : 0, to = (int64_t)in->row + by;

	in->row = (uint32_t)(to < 0 || n == 0 ? 0 : to >= n ? n - 1 : to);
	in->has_selected = false;
}

void view_move_column(struct interactive *in, int64_t by)
{
	int64_t to = (int64_t)in->column + by, last = in->chart.cells - 1;

	in->has_selected = false;
	if (to < 0 || to > last) {
		view_pan(in, to < 0 ? -0.1 : 0.1);
		to = to < 0 ? 0 : last;
	}
	in->column = (uint32_t)to;
}

bool view_to_thread(struct interactive *in, uint32_t thread)
{
	uint32_t row = in->now != NULL ? timeline_row_of(in->now, thread) : MAP_NONE;

	if (row == MAP_NONE) {
		view_say(in, "that thread is not among those shown");
		return false;
	}
	in->row = row;
	return true;
}

void view_select(struct interactive *in, const struct interval *i)
{
	uint64_t begin = i->begin_ns, end = i->end_ns;

	if (!view_to_thread(in, i->thread))
		return;
	if (end <= in->view.from_ns || begin >= in->view.to_ns)
		view_centre(in, begin + (end - begin) / 2);
	begin = begin > in->view.from_ns ? begin : in->view.from_ns;
	end = end < in->view.to_ns ? end : in->view.to_ns;
	view_put_cursor(in, begin + (end - begin) / 2);
	in->selected = *i;
	in->has_selected = true;
}
