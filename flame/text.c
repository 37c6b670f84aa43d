/*
 *     1.20s  96.8%  ████████████████████  └ main
 *     0.90s  72.6%  ██████████████▌         ├ parse
 *     0.90s  72.6%  ██████████████▌         │ read
 *     0.30s  24.2%  █████                   └ draw
 *
 * A box that is its caller's only one stands right below it: a line of calls would leave no room for their names.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "flame/flame.h"

#define FRACTION  0.005
#define BAR_LEAST 8
#define BAR_MOST  40
#define NUMBERS   19 /* columns: "    1.23ms 100.0%  " */
#define CHANGE    8  /* "  +12.3%" */
#define INLINE    9  /* " (inline)" */

struct texting {
	const struct flame *f;
	const struct flame_ask *ask;
	struct flame_sizes sizes;
	struct out *out, *scratch;
	int64_t least; /* boxes of less are left out */
	unsigned bar, names;
	uint64_t left_out;
	bool *is_open; /* by level: a box of it comes below */
};

struct step {
	uint32_t node;
	unsigned level;
	bool begins; /* it is one of several */
	bool is_last;
};

static void blanks(struct out *out, unsigned n)
{
	while (n-- > 0)
		out_char(out, ' ');
}

static void put_right(struct out *out, const char *text, unsigned columns)
{
	unsigned n = (unsigned)strlen(text);

	blanks(out, columns > n ? columns - n : 0);
	out_text(out, text);
}

/* How much of @whole, in eighths of a column where there are such characters. */
static void put_bar(struct texting *t, double share)
{
	static const char *const parts[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
	unsigned eighths = (unsigned)(share * t->bar * 8 + 0.5), n = 0;

	if (eighths > t->bar * 8)
		eighths = t->bar * 8;
	if (t->ask->is_ascii)
		eighths = (eighths + 4) / 8 * 8;
	for (; n < eighths / 8; n++)
		out_text(t->out, t->ask->is_ascii ? "#" : "█");
	if (eighths % 8 != 0) {
		out_text(t->out, parts[eighths % 8]);
		n++;
	}
	out_colour(t->out, OUT_PLAIN);
	blanks(t->out, t->bar - n);
}

static void put_change(struct texting *t, const struct flame_size *size)
{
	double change = ((double)size->now - (double)size->before) / (double)size->before * 100;
	char text[64];

	if (size->before == 0)
		snprintf(text, sizeof(text), "new");
	else if (size->now == 0)
		snprintf(text, sizeof(text), "gone");
	else if (change >= 9999.5)
		snprintf(text, sizeof(text), ">9999%%");
	else
		snprintf(text, sizeof(text), "%+.1f%%", change);
	put_right(t->out, text, CHANGE);
}

/* The lines that lead to a box. Returns how many columns they take. */
static unsigned put_branches(struct texting *t, const struct step *step)
{
	unsigned most = t->names / 4, first = step->level > most ? step->level - most : 0;
	bool is_ascii = t->ask->is_ascii;

	for (unsigned i = first; i < step->level; i++) {
		bool is_own = i + 1 == step->level && step->begins;

		if (is_own)
			out_text(t->out, step->is_last ? (is_ascii ? "` " : "└ ")
						       : (is_ascii ? "+ " : "├ "));
		else if (t->is_open[i])
			out_text(t->out, is_ascii ? "| " : "│ ");
		else
			out_text(t->out, "  ");
	}
	return (step->level - first) * 2;
}

static void put_line(struct texting *t, const struct step *step)
{
	uint32_t node = step->node;
	const struct flame *f = t->f;
	const struct flame_size *size = &t->sizes.of[node], *all = &t->sizes.of[0];
	struct unit_label label = report_label(f->report, size->now);
	const char *name = node == 0 ? "all" : f->frames[f->nodes[node].frame].name;
	double change = f->is_diff ? flame_change(size) : 0;
	char text[400];
	unsigned left;

	snprintf(text, sizeof(text), "%s%s", label.number, label.unit);
	put_right(t->out, text, 10);
	snprintf(text, sizeof(text), "%.1f%%",
		 all->now == 0 ? 0 : (double)size->now / (double)all->now * 100);
	put_right(t->out, text, 7);
	if (f->is_diff)
		put_change(t, size);
	blanks(t->out, 2);
	if (change >= 0.005)
		out_colour(t->out, OUT_YELLOW);
	else if (change <= -0.005)
		out_colour(t->out, OUT_BLUE);
	else if (!f->is_diff)
		out_colour(t->out, OUT_GREEN);
	put_bar(t, all->width == 0 ? 0 : (double)size->width / (double)all->width);
	blanks(t->out, 1);
	left = t->names - put_branches(t, step);
	if (node != 0 && f->nodes[node].is_inlined && left > INLINE + 20) {
		out_cut(t->out, t->scratch, name, strlen(name), left - INLINE, t->ask->is_ascii);
		out_text(t->out, " (inline)");
	} else {
		out_cut(t->out, t->scratch, name, strlen(name), left, t->ask->is_ascii);
	}
	out_char(t->out, '\n');
}

static uint32_t shown_children(struct texting *t, uint32_t node)
{
	const struct flame_size *size = &t->sizes.of[node];
	uint32_t n = 0;

	while (n < size->children_n &&
	       t->sizes.of[t->sizes.order[size->children + n]].width >= t->least)
		n++;
	return n;
}

static int put_tree(struct texting *t)
{
	struct step *steps = malloc((size_t)t->f->nodes_n * sizeof(*steps));
	uint32_t n = 0, kept;

	t->is_open = calloc((size_t)t->f->nodes_n + 1, sizeof(*t->is_open));
	if (steps == NULL || t->is_open == NULL) {
		free(steps);
		return -ENOMEM;
	}
	steps[n++] = (struct step){0};
	while (n > 0) {
		struct step step = steps[--n];
		const struct flame_size *size = &t->sizes.of[step.node];
		bool branches;

		if (step.begins)
			t->is_open[step.level - 1] = !step.is_last;
		put_line(t, &step);
		kept = shown_children(t, step.node);
		branches = kept > 1 || step.node == 0;
		t->left_out += size->children_n - kept;
		for (uint32_t i = kept; i-- > 0;)
			steps[n++] = (struct step){t->sizes.order[size->children + i],
						   step.level + branches, branches, i + 1 == kept};
	}
	free(steps);
	return t->out->error;
}

static int put_header(struct texting *t)
{
	struct report *r = t->f->report;
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);
	int failed;

	if (to == NULL)
		return -ENOMEM;
	report_print_header(r, to);
	report_print_filters(r, to);
	report_print_idle(r, to);
	failed = fclose(to);
	for (char *line = text, *next; failed == 0 && *line != '\0'; line = next) {
		next = strchrnul(line, '\n');
		out_name(t->out, line, (size_t)(next - line));
		out_char(t->out, '\n');
		next += *next != '\0';
	}
	free(text);
	if (t->ask->base_title != NULL) {
		out_text(t->out, "Compared with: ");
		out_name(t->out, t->ask->base_title, strlen(t->ask->base_title));
		out_char(t->out, '\n');
	}
	if (t->f->is_inverted)
		out_text(t->out, "Inverted: callers are below what they call\n");
	return failed == 0 ? 0 : -ENOMEM;
}

static void measure(struct texting *t)
{
	const struct flame_ask *ask = t->ask;
	double fraction = ask->fraction >= 0 ? ask->fraction : FRACTION;
	unsigned numbers = NUMBERS + (t->f->is_diff ? CHANGE : 0);

	t->bar = ask->width / 4;
	t->bar = t->bar < BAR_LEAST ? BAR_LEAST : t->bar > BAR_MOST ? BAR_MOST : t->bar;
	t->names = ask->width > numbers + t->bar + 1 + 16 ? ask->width - numbers - t->bar - 1 : 16;
	t->least = unit_truncate((double)t->sizes.of[0].width * fraction);
	if (t->least < 1)
		t->least = 1;
}

int flame_put_text(const struct flame *f, const struct flame_ask *ask, struct out *out,
		   struct why *why)
{
	struct texting t = {.f = f, .ask = ask, .out = out};
	int r;

	why_set(why, "out of memory");
	t.scratch = malloc(sizeof(*t.scratch));
	r = t.scratch != NULL ? flame_sizes_init(&t.sizes, f, f->report->column) : -ENOMEM;
	if (r == 0) {
		measure(&t);
		r = put_header(&t);
	}
	if (r == 0)
		r = put_tree(&t);
	if (r == 0 && t.left_out > 0)
		out_format(out, "Left out: %" PRIu64 " box%s below %.3g%%, and what is in them\n",
			   t.left_out, t.left_out == 1 ? "" : "es",
			   (ask->fraction >= 0 ? ask->fraction : FRACTION) * 100);
	if (r == 0)
		r = out_flush(out);
	flame_sizes_fini(&t.sizes);
	free(t.scratch);
	free(t.is_open);
	return r;
}
