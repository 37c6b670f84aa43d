#include "viewer/chart.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_COLUMNS_MIN 8
#define NAME_COLUMNS_MAX 24
#define CELLS_MIN        10
#define SERIES           4 /* states whose threads are counted */
#define LOGS_SHOWN       20
#define REGION_LANES     4

/* On a terminal of 256 colours, after Okabe and Ito. What is idle stays in the background. */
static const struct {
	uint8_t colour;
	bool has_background, is_white; /* the letter on it */
} palette[TRACE_STATES] = {
	[TRACE_UNKNOWN] = {245, true, false},  [TRACE_RUNNING] = {36, true, false},
	[TRACE_RUNNABLE] = {227, true, false}, [TRACE_LOCK] = {166, true, false},
	[TRACE_WAIT] = {175, true, false},     [TRACE_SYSCALL] = {25, true, true},
	[TRACE_IDLE] = {74, false, false},     [TRACE_SPIN] = {214, true, false},
};

static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
static const char heights[] = " .:-=+*#@";

int chart_init(struct chart *c, struct out *out, const struct tables *tables, uint64_t begun_ns)
{
	*c = (struct chart){.out = out, .tables = tables, .begun_ns = begun_ns};
	c->scratch = malloc(sizeof(*c->scratch));
	return c->scratch != NULL ? 0 : -ENOMEM;
}

void chart_fini(struct chart *c)
{
	free(c->scratch);
	c->scratch = NULL;
}

void chart_measure(struct chart *c, unsigned width, unsigned name_columns)
{
	unsigned most = width / 5 < NAME_COLUMNS_MAX ? width / 5 : NAME_COLUMNS_MAX;

	c->width = width;
	c->name_columns = name_columns < most ? name_columns : most;
	if (c->name_columns < NAME_COLUMNS_MIN)
		c->name_columns = NAME_COLUMNS_MIN;
	c->info_columns = width >= 160 ? 60 : width >= 100 ? 44 : width >= 70 ? 28 : 0;
	c->cells =
		c->name_columns + 1 + CELLS_MIN < width ? width - c->name_columns - 1 : CELLS_MIN;
	if (c->info_columns > 0)
		c->cells -= c->info_columns + 2;
	if (c->cells > TIMELINE_COLUMNS_MAX)
		c->cells = TIMELINE_COLUMNS_MAX;
}

/* What is rare, the most important first. */
static const struct {
	uint8_t flag;
	char letter;
	const char *text;
} rare[] = {{INDEX_LOST, '?', "lost"}, {INDEX_MARK, '!', "logged"}, {INDEX_ERROR, 'x', "failed"}};
#define RARE (sizeof(rare) / sizeof(rare[0]))

/* Texts */

unsigned chart_name_columns(struct chart *c, const struct name *name)
{
	return out_columns(c->scratch, name->text, name->n);
}

static void blanks(struct chart *c, unsigned n)
{
	while (n-- > 0)
		out_char(c->out, ' ');
}

unsigned chart_text(struct chart *c, const char *bytes, size_t size, unsigned columns,
		    bool is_padded)
{
	unsigned taken = out_cut(c->out, c->scratch, bytes, size, columns, c->is_ascii);

	if (is_padded && taken < columns) {
		blanks(c, columns - taken);
		taken = columns;
	}
	return taken;
}

static unsigned plain(struct chart *c, const char *text, unsigned columns, bool is_padded)
{
	return chart_text(c, text, strlen(text), columns, is_padded);
}

void chart_time(struct chart *c, uint64_t ns, uint64_t step_ns)
{
	unsigned digits = 0;
	char text[40];
	int n;

	ns = ns > c->begun_ns ? ns - c->begun_ns : 0;
	if (ns < 1000000000) {
		/* below a second in its own unit: 250us, 1.25ms */
		uint64_t unit = ns >= 1000000 ? 1000000 : ns >= 1000 ? 1000 : 1;

		for (uint64_t part = unit; part > step_ns && digits < 6; part /= 10)
			digits++;
		n = snprintf(text, sizeof(text), "%.*f%s", (int)(ns > 0 ? digits : 0),
			     (double)ns / (double)unit,
			     ns == 0           ? "s"
			     : unit == 1000000 ? "ms"
			     : unit == 1000    ? "us"
					       : "ns");
	} else {
		for (uint64_t part = 1000000000; part > step_ns && digits < 9; part /= 10)
			digits++;
		n = snprintf(text, sizeof(text), "%" PRIu64 ".%09" PRIu64, ns / 1000000000,
			     ns % 1000000000) -
		    9 + (int)digits;
		n -= digits == 0; /* nor the point */
		text[n++] = 's';
	}
	out_bytes(c->out, text, (size_t)n);
}

/* Colours */

static void paint(struct chart *c, unsigned state, bool is_letter)
{
	if (!c->out->has_colour)
		return;
	if (state >= TRACE_STATES)
		out_text(c->out, "\033[0m");
	else if (is_letter && palette[state].has_background)
		out_format(c->out, "\033[0;48;5;%u;38;5;%um", palette[state].colour,
			   palette[state].is_white ? 231 : 16);
	else
		out_format(c->out, "\033[0;38;5;%um", palette[state].colour);
}

static void unpaint(struct chart *c)
{
	if (c->out->has_colour)
		out_text(c->out, "\033[0m");
}

static char letter_of(unsigned state, double share)
{
	if (state >= TRACE_STATES)
		return ' ';
	if (share >= 0.5)
		return story_state_letter(state);
	if (state == TRACE_RUNNING)
		return '+';
	if (state == TRACE_RUNNABLE)
		return '-';
	return (char)(story_state_letter(state) >= 'A' && story_state_letter(state) <= 'Z'
			      ? story_state_letter(state) + ('a' - 'A')
			      : story_state_letter(state));
}

void chart_cells(struct chart *c, const struct timeline *t, const struct timeline_row *row,
		 uint32_t cursor)
{
	unsigned before = TRACE_STATES + 1;
	bool is_letter = !c->has_blocks || c->is_ascii || !c->out->has_colour;

	for (uint32_t i = 0; i < t->ask.columns; i++) {
		double share;
		unsigned state = timeline_dominant(&row->cells[i], &share);

		if (c->hides_idle && state == TRACE_IDLE)
			state = TRACE_STATES;
		/* the cursor is on a screen, which has this whether or not colours are wanted */
		if (i == cursor)
			out_text(c->out, "\033[0;1;7m");
		else if (state != before)
			paint(c, state, is_letter);
		before = state;
		if (is_letter)
			out_char(c->out, letter_of(state, share));
		else
			out_text(c->out, blocks[state < TRACE_STATES ? 1 + (int)(share * 7) : 0]);
		if (i == cursor) {
			out_text(c->out, "\033[0m");
			before = TRACE_STATES + 1;
		}
	}
	unpaint(c);
}

/* Shares */

static const char *const short_names[TRACE_STATES] = {
	[TRACE_UNKNOWN] = "unknown", [TRACE_RUNNING] = "run", [TRACE_RUNNABLE] = "ready",
	[TRACE_LOCK] = "lock",       [TRACE_WAIT] = "wait",   [TRACE_SYSCALL] = "sys",
	[TRACE_IDLE] = "idle",       [TRACE_SPIN] = "spin",
};

void chart_shares(struct chart *c, const struct timeline_row *row, unsigned columns)
{
	uint64_t ns[TRACE_STATES], sum = 0;
	struct name lock;
	unsigned used = 0;
	bool has_lock = false;

	for (unsigned k = 0; k < RARE && columns > RARE + 1; k++)
		if (row->rare & rare[k].flag) {
			out_char(c->out, rare[k].letter);
			used++;
		}
	if (used > 0) {
		out_char(c->out, ' ');
		columns -= used + 1;
		used = 0;
	}
	for (unsigned i = 0; i < TRACE_STATES; i++)
		sum += ns[i] = row->state_ns[i];
	for (;;) {
		unsigned most = 0;
		char text[40];
		int n;

		for (unsigned i = 1; i < TRACE_STATES; i++)
			if (ns[i] > ns[most])
				most = i;
		/* what would be 0 % is not said */
		if (ns[most] == 0 || (double)ns[most] * 200 < (double)sum)
			break;
		n = snprintf(text, sizeof(text), "%s%s %.0f %%", used > 0 ? " " : "",
			     short_names[most], (double)ns[most] * 100 / (double)sum);
		if (used + (unsigned)n > columns)
			break;
		out_text(c->out, text);
		used += (unsigned)n;
		has_lock = has_lock || most == TRACE_LOCK;
		ns[most] = 0;
	}
	if (!has_lock || used + 2 + 4 > columns || timeline_top_lock(row) == 0)
		return;
	name_clear(&lock);
	name_object(&lock, c->tables, timeline_top_lock(row));
	out_text(c->out, "  ");
	chart_text(c, lock.text, lock.n, columns - used - 2, false);
}

static void row_name(struct chart *c, const struct timeline *t, const struct timeline_row *row)
{
	struct name name;

	name_clear(&name);
	timeline_name(t, row, &name);
	chart_text(c, name.text, name.n, c->name_columns, true);
	out_char(c->out, ' ');
}

void chart_row(struct chart *c, const struct timeline *t, const struct timeline_row *row)
{
	row_name(c, t, row);
	chart_cells(c, t, row, UINT32_MAX);
	if (c->info_columns > 0) {
		out_text(c->out, "  ");
		chart_shares(c, row, c->info_columns);
	}
	out_char(c->out, '\n');
}

/* Summaries */

static const struct {
	const char *title;
	uint8_t states[2];
} series[SERIES] = {
	{"Running", {TRACE_RUNNING, TRACE_SPIN}},
	{"Runnable", {TRACE_RUNNABLE, TRACE_RUNNABLE}},
	{"In locks", {TRACE_LOCK, TRACE_LOCK}},
	{"In calls", {TRACE_SYSCALL, TRACE_SYSCALL}},
};

static uint64_t series_ns(const uint64_t ns[TRACE_STATES], unsigned i)
{
	return ns[series[i].states[0]] +
	       (series[i].states[1] != series[i].states[0] ? ns[series[i].states[1]] : 0);
}

unsigned chart_summaries_n(const struct timeline *t)
{
	unsigned n = (t->rare_all != 0) + (t->live_max > 0) + (t->resident_max > 0);

	for (unsigned i = 0; i < SERIES; i++)
		n += series_ns(t->state_ns, i) > 0;
	return n;
}

/* A bar of @value where @most is the highest. What there is a little of can be seen. */
static void bar(struct chart *c, double value, double most)
{
	int height = most > 0 ? (int)(value / most * 8 + 0.5) : 0;

	if (height == 0 && value > 0)
		height = 1;
	height = height > 8 ? 8 : height;
	if (c->is_ascii)
		out_char(c->out, heights[height]);
	else
		out_text(c->out, blocks[height]);
}

static void bytes_line(struct chart *c, const struct timeline *t, const char *title,
		       const uint64_t *bytes, uint64_t most)
{
	plain(c, title, c->name_columns, true);
	out_char(c->out, ' ');
	for (uint32_t i = 0; i < t->ask.columns; i++)
		bar(c, (double)bytes[i], (double)most);
	if (c->info_columns > 0) {
		out_text(c->out, "  up to ");
		out_size(c->out, most);
	}
}

static void count_line(struct chart *c, const struct timeline *t, unsigned i)
{
	double most = 0;

	for (uint32_t pass = 0; pass < 2; pass++) {
		if (pass == 1) {
			plain(c, series[i].title, c->name_columns, true);
			out_char(c->out, ' ');
		}
		for (uint32_t k = 0; k < t->ask.columns; k++) {
			uint64_t ns = timeline_column_begin(&t->ask, k + 1) -
				      timeline_column_begin(&t->ask, k);
			double n = ns > 0 ? (double)series_ns(t->sums[k].ns, i) / (double)ns : 0;

			if (pass == 0)
				most = n > most ? n : most;
			else
				bar(c, n, t->threads > 0 ? most : 0);
		}
	}
	if (c->info_columns > 0)
		out_format(c->out,
			   most < 9.95 ? "  up to %.2g of %" PRIu32 : "  up to %.0f of %" PRIu32,
			   most, t->threads);
}

/* Of each column the most important; and what there is, in words. */
static void rare_line(struct chart *c, const struct timeline *t)
{
	unsigned used = 0;

	plain(c, "Rare", c->name_columns, true);
	out_char(c->out, ' ');
	for (uint32_t i = 0; i < t->ask.columns; i++) {
		unsigned k = 0;

		while (k < RARE && !(t->rare[i] & rare[k].flag))
			k++;
		out_char(c->out, k < RARE ? rare[k].letter : ' ');
	}
	for (unsigned k = 0; k < RARE && c->info_columns > 0; k++)
		if (t->rare_all & rare[k].flag)
			out_format(c->out, "%s%c %s", used++ == 0 ? "  " : ", ", rare[k].letter,
				   rare[k].text);
}

void chart_summary(struct chart *c, const struct timeline *t, unsigned n)
{
	if (t->rare_all != 0 && n-- == 0)
		rare_line(c, t);
	else if (t->live_max > 0 && n-- == 0)
		bytes_line(c, t, "Heap", t->heap_live, t->live_max);
	else if (t->resident_max > 0 && n-- == 0)
		bytes_line(c, t, "Resident", t->heap_resident, t->resident_max);
	else
		for (unsigned i = 0; i < SERIES; i++)
			if (series_ns(t->state_ns, i) > 0 && n-- == 0)
				count_line(c, t, i);
}

/* Ruler */

#define LABELS_WITHIN_LEAST 5  /* columns from one to the next */
#define LABELS_WITHIN_MOST  14 /* beyond that they count from the left end */

static uint64_t nice_step(uint64_t least)
{
	uint64_t step = 1;

	for (;; step *= 10) {
		if (step >= least || step > UINT64_MAX / 100)
			return step;
		if (step * 2 >= least)
			return step * 2;
		if (step * 5 >= least)
			return step * 5;
	}
}

/* "+200us": steps behind the left end, where all digits of the time would not fit. */
static void offset_label(struct chart *c, uint64_t ns)
{
	uint64_t unit = ns >= 1000000 ? 1000000 : ns >= 1000 ? 1000 : 1;

	out_format(c->out, "+%g%s", (double)ns / (double)unit,
		   unit == 1000000 ? "ms"
		   : unit == 1000  ? "us"
				   : "ns");
}

/* Makes the label of @ns in c->scratch. */
static void make_label(struct chart *c, uint64_t ns, uint64_t step, uint64_t origin,
		       bool is_relative)
{
	struct out *out = c->out;

	out_init(c->scratch, -1, false);
	c->out = c->scratch;
	if (is_relative && ns != origin)
		offset_label(c, ns - origin);
	else
		chart_time(c, ns, step);
	c->out = out;
}

void chart_ruler(struct chart *c, const struct timeline *t)
{
	uint64_t span = t->ask.to_ns - t->ask.from_ns, step = 0, origin, at;
	bool is_relative = true;
	unsigned column = 0;

	/* as narrow as the labels fit */
	for (unsigned within = LABELS_WITHIN_LEAST; within <= LABELS_WITHIN_MOST && is_relative;
	     within++) {
		step = nice_step(timeline_part(span, within, t->ask.columns) + 1);
		make_label(c, t->ask.to_ns, step, 0, false);
		is_relative = c->scratch->n + 2 > timeline_part(step, t->ask.columns, span);
	}
	origin = is_relative || c->begun_ns > t->ask.from_ns ? t->ask.from_ns : c->begun_ns;
	at = origin + (t->ask.from_ns - origin + step - 1) / step * step;
	blanks(c, c->name_columns + 1);
	for (; at < t->ask.to_ns; at += step) {
		unsigned to = timeline_column(&t->ask, at);

		make_label(c, at, step, origin, is_relative);
		/* the first has all digits, and may take the room of the next */
		if ((to < column + 1 && column > 0) || to + c->scratch->n > t->ask.columns)
			continue;
		blanks(c, to - column);
		out_bytes(c->out, c->scratch->buffer, c->scratch->n);
		column = to + (unsigned)c->scratch->n;
		if (at > UINT64_MAX - step)
			break;
	}
}

/* Marks */

static void region_lane(struct chart *c, const struct timeline *t, unsigned depth)
{
	char *lane = malloc(t->ask.columns);
	uint32_t last = 0;
	bool has_any = false;

	if (lane == NULL)
		return;
	memset(lane, ' ', t->ask.columns);
	for (uint32_t i = 0; i < t->marks_n; i++) {
		const struct timeline_mark *m = &t->marks[i];
		uint32_t from = timeline_column(&t->ask, m->begin_ns),
			 to = timeline_column(&t->ask, m->end_ns), at = from;
		const struct table_text *name = tables_string(c->tables, m->name);

		if (!m->is_region || m->depth != depth)
			continue;
		has_any = true;
		last = to > last ? to : last;
		if (lane[from] != ' ' && from < to)
			at = ++from;
		lane[at++] = '[';
		/* of its name what is plain: more would not fit anyway */
		for (uint32_t k = 0; name != NULL && k < name->length && at < to; k++)
			lane[at++] =
				name->text[k] > ' ' && name->text[k] < 127 ? name->text[k] : '_';
		while (at < to)
			lane[at++] = '-';
		if (at <= to && to > from)
			lane[to] = ']';
	}
	if (has_any) {
		plain(c, depth == 0 ? " regions" : "", c->name_columns, true);
		out_char(c->out, ' ');
		out_bytes(c->out, lane, last + 1);
		out_char(c->out, '\n');
	}
	free(lane);
}

static void log_lane(struct chart *c, const struct timeline *t,
		     const struct timeline_mark *const *logs, uint32_t n)
{
	uint32_t k = 0;

	plain(c, " logs", c->name_columns, true);
	out_char(c->out, ' ');
	for (uint32_t i = 0; i < t->ask.columns && k < n; i++) {
		uint32_t here = 0;

		for (; k < n && timeline_column(&t->ask, logs[k]->begin_ns) <= i; k++)
			here++;
		out_char(c->out, here == 0   ? ' '
				 : here == 1 ? '!'
				 : here < 10 ? (char)('0' + here)
					     : '#');
	}
	out_char(c->out, '\n');
	for (k = 0; k < n && k < LOGS_SHOWN; k++) {
		const struct table_text *category = tables_string(c->tables, logs[k]->name),
					*message = tables_string(c->tables, logs[k]->message);
		unsigned used;

		out_text(c->out, "  ! ");
		out_seconds(c->out,
			    logs[k]->begin_ns > c->begun_ns ? logs[k]->begin_ns - c->begun_ns : 0);
		out_text(c->out, "  ");
		used = 20;
		if (category != NULL && category->length > 0) {
			used += chart_text(c, category->text, category->length, 20, false) + 2;
			out_text(c->out, ": ");
		}
		if (message != NULL)
			chart_text(c, message->text, message->length,
				   c->width > used + 10 ? c->width - used : 10, false);
		out_char(c->out, '\n');
	}
	if (n > LOGS_SHOWN)
		out_format(c->out, "  %" PRIu32 " more logs\n", n - LOGS_SHOWN + t->marks_left_out);
}

static int by_time(const void *a, const void *b)
{
	const struct timeline_mark *const *x = a, *const *y = b;

	return (*x)->begin_ns < (*y)->begin_ns ? -1 : (*x)->begin_ns > (*y)->begin_ns;
}

void chart_marks(struct chart *c, const struct timeline *t)
{
	const struct timeline_mark **logs =
		malloc((t->marks_n + 1) * sizeof(const struct timeline_mark *));
	uint32_t n = 0;

	for (unsigned depth = 0; depth < REGION_LANES && t->marks_n > 0; depth++)
		region_lane(c, t, depth);
	for (uint32_t i = 0; i < t->marks_n && logs != NULL; i++)
		if (!t->marks[i].is_region)
			logs[n++] = &t->marks[i];
	if (n > 0) {
		qsort(logs, n, sizeof(const struct timeline_mark *), by_time);
		log_lane(c, t, logs, n);
	}
	free(logs);
}

void chart_legend(struct chart *c, const struct timeline *t)
{
	static const char *const names[TRACE_STATES] = {
		[TRACE_UNKNOWN] = "unknown",   [TRACE_RUNNING] = "running",
		[TRACE_RUNNABLE] = "runnable", [TRACE_LOCK] = "lock",
		[TRACE_WAIT] = "wait",         [TRACE_SYSCALL] = "system call",
		[TRACE_IDLE] = "idle",         [TRACE_SPIN] = "spin",
	};
	static const uint8_t order[] = {TRACE_RUNNING, TRACE_RUNNABLE, TRACE_LOCK, TRACE_WAIT,
					TRACE_SYSCALL, TRACE_IDLE,     TRACE_SPIN, TRACE_UNKNOWN};
	static const char small[] = "small, + -: less than half";
	bool is_letter = !c->has_blocks || c->is_ascii || !c->out->has_colour;
	unsigned used = 0;

	for (unsigned i = 0; i < TRACE_STATES; i++) {
		unsigned state = order[i], n = (unsigned)strlen(names[state]) + 2;

		if (t->state_ns[state] == 0)
			continue;
		if (used + n + 2 > c->width)
			break;
		if (used > 0)
			out_text(c->out, "  ");
		used += n + (used > 0 ? 2 : 0);
		paint(c, state, is_letter);
		out_text(c->out, is_letter ? (char[]){story_state_letter(state), '\0'} : "█");
		unpaint(c);
		out_format(c->out, " %s", names[state]);
	}
	if (is_letter && used > 0 && used + 2 + sizeof(small) <= c->width)
		out_format(c->out, "  %s", small);
	if (used > 0)
		out_char(c->out, '\n');
}
