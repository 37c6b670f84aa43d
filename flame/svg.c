/*
 * A drawing for documents: no script; a box's numbers are its title. Names stand in it as XML has them, and nothing else does.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "flame/flame.h"

#define ROW       17
#define MARGIN    10
#define TOP       46 /* the title and the facts */
#define LEGEND    30
#define LETTER    6.65 /* of a monospace font of 11 pixels: 0.602 of its size */
#define SEEN      0.4  /* pixels: what is narrower is left out */
#define MODULES   7    /* that have a colour of their own */
#define STEPS     4    /* of change, each way */
#define ROWS_MOST 2000

struct drawing {
	const struct flame *f;
	const struct flame_ask *ask;
	struct flame_sizes sizes;
	struct out *out;
	double *x;        /* of each node, pixels; below 0: it is left out */
	unsigned *colour; /* of each frame */
	const char *modules[MODULES];
	unsigned modules_n, rows;
	double scale, least;
	double height;
};

static const char style[] =
	"text{font:11px ui-monospace,Menlo,Consolas,monospace;fill:#1b1f23}"
	".h{font-weight:bold;font-size:13px}.l{fill:#57606a}.p{fill:#fff}rect{shape-rendering:"
	"crispEdges}"
	".c0 rect{fill:#f7b267}.c1 rect{fill:#9ccbe8}.c2 rect{fill:#8fd3ba}.c3 rect{fill:#e3b4d3}"
	".c4 rect{fill:#efe287}.c5 rect{fill:#bcc3f0}.c6 rect{fill:#f0a58f}.c7 rect{fill:#cfd4d9}"
	".d0 rect{fill:#4a9fe0}.d1 rect{fill:#7fbbe9}.d2 rect{fill:#aed3f1}.d3 rect{fill:#d3e5f4}"
	".d4 rect{fill:#e4e6e8}"
	".d5 rect{fill:#fbe3cb}.d6 rect{fill:#fbca9a}.d7 rect{fill:#f6ac66}.d8 rect{fill:#ee8a2d}"
	"@media(prefers-color-scheme:dark){text{fill:#e6e8ea}.l{fill:#a2abb5}.p{fill:#16181b}"
	".c0 rect{fill:#8a5313}.c1 rect{fill:#23618a}.c2 rect{fill:#1b6b50}.c3 rect{fill:#7d3c68}"
	".c4 rect{fill:#6b6110}.c5 rect{fill:#454f9c}.c6 rect{fill:#8a3b24}.c7 rect{fill:#4b525a}"
	".d0 rect{fill:#1468ad}.d1 rect{fill:#20598a}.d2 rect{fill:#284d6d}.d3 rect{fill:#2f4252}"
	".d4 rect{fill:#3a3f45}"
	".d5 rect{fill:#553f2b}.d6 rect{fill:#6e4522}.d7 rect{fill:#8a4a14}.d8 rect{fill:#a84f00}}";

/* As XML 1.0 has it: what it cannot have becomes U+FFFD. */
static void put_xml(struct out *out, const char *text, size_t n)
{
	char *mended = malloc(n * 3 + 1);

	if (mended == NULL)
		return;
	n = profile_mend_utf8(text, n, mended);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)mended[i];
		bool is_last_of_plane = c == 0xef && n - i > 2 &&
					(unsigned char)mended[i + 1] == 0xbf &&
					(unsigned char)mended[i + 2] >= 0xbe;

		if (c == '<')
			out_text(out, "&lt;");
		else if (c == '>')
			out_text(out, "&gt;");
		else if (c == '&')
			out_text(out, "&amp;");
		else if (c == '"')
			out_text(out, "&quot;");
		else if (c < ' ' || c == 0x7f || is_last_of_plane)
			out_text(out, "\xef\xbf\xbd");
		else
			out_char(out, (char)c);
		i += is_last_of_plane ? 2 : 0;
	}
	free(mended);
}

/* The first @letters of @text, with "…" when there are more. */
static void put_clipped(struct out *out, const char *text, unsigned letters)
{
	size_t at = 0, last = 0;

	for (unsigned n = 0; text[at] != '\0'; n++) {
		if (n + 1 == letters)
			last = at;
		if (n == letters) {
			put_xml(out, text, last);
			out_text(out, "…");
			return;
		}
		do
			at++;
		while (((unsigned char)text[at] & 0xc0) == 0x80);
	}
	put_xml(out, text, at);
}

/* The modules that have most by themselves, the first colours. */
static int choose_colours(struct drawing *d)
{
	const struct flame *f = d->f;
	double *has = calloc((size_t)f->frames_n + 1, sizeof(*has)), *best;

	d->colour = calloc((size_t)f->frames_n + 1, sizeof(*d->colour));
	if (has == NULL || d->colour == NULL) {
		free(has);
		return -ENOMEM;
	}
	for (uint32_t i = 1; i < f->nodes_n; i++) {
		const struct flame_size *size = &d->sizes.of[i];

		has[f->nodes[i].frame] += (double)size->self_now + (double)size->self_before;
	}
	/* what a frame has counts for the first frame of its module */
	for (uint32_t i = 0; i < f->frames_n; i++) {
		uint32_t j = 0;

		d->colour[i] = MODULES;
		for (; j < i && j < 512 && f->frames[j].module != f->frames[i].module; j++)
			;
		if (j < i && j < 512) {
			has[j] += has[i];
			has[i] = 0;
		}
	}
	for (d->modules_n = 0; d->modules_n < MODULES; d->modules_n++) {
		best = has;
		for (uint32_t i = 1; i < f->frames_n; i++)
			if (has[i] > *best)
				best = &has[i];
		if (f->frames_n == 0 || *best <= 0)
			break;
		*best = 0;
		d->modules[d->modules_n] = f->frames[best - has].module;
		for (uint32_t i = 0; i < f->frames_n; i++)
			if (f->frames[i].module == d->modules[d->modules_n])
				d->colour[i] = d->modules_n;
	}
	free(has);
	return 0;
}

static int lay_out(struct drawing *d)
{
	const struct flame *f = d->f;
	double room = d->ask->width - 2 * MARGIN;

	d->x = malloc((size_t)f->nodes_n * sizeof(*d->x));
	if (d->x == NULL)
		return -ENOMEM;
	d->scale = d->sizes.of[0].width > 0 ? room / (double)d->sizes.of[0].width : 0;
	d->least = d->ask->fraction >= 0 ? d->ask->fraction * room : SEEN;
	d->least = d->least > 0.01 ? d->least : 0.01;
	d->rows = 1;
	d->x[0] = MARGIN;
	for (uint32_t i = 0; i < f->nodes_n; i++) {
		const struct flame_size *size = &d->sizes.of[i];
		double x = d->x[i];

		if (x >= 0 && f->nodes[i].depth + 1 > d->rows)
			d->rows = f->nodes[i].depth + 1;
		for (uint32_t c = 0; c < size->children_n; c++) {
			uint32_t child = d->sizes.order[size->children + c];
			double width = (double)d->sizes.of[child].width * d->scale;

			d->x[child] =
				x >= 0 && width >= d->least && f->nodes[child].depth < ROWS_MOST
					? x
					: -1;
			x += x >= 0 ? width : 0;
		}
	}
	d->height = TOP + d->rows * ROW + LEGEND;
	return 0;
}

static void put_size(struct drawing *d, int64_t value, int64_t all)
{
	struct unit_label label = report_label(d->f->report, value);

	out_format(d->out, "%s%s", label.number, label.unit);
	if (all != 0)
		out_format(d->out, " (%.2f%%)", (double)value / (double)all * 100);
}

/* As the page has them: what is within 2 % is the same. */
static int step_of(double change)
{
	double size = change < 0 ? -change : change;
	int step = size < 0.02 ? 0 : 1 + (int)(size * STEPS);

	step = step > STEPS ? STEPS : step;
	return change < 0 ? -step : step;
}

static void put_box(struct drawing *d, uint32_t node)
{
	const struct flame *f = d->f;
	const struct flame_size *size = &d->sizes.of[node], *all = &d->sizes.of[0];
	const char *name = node == 0 ? "all" : f->frames[f->nodes[node].frame].name;
	const struct flame_frame *frame = node == 0 ? NULL : &f->frames[f->nodes[node].frame];
	double width = (double)size->width * d->scale;
	double y = d->ask->grows_up ? TOP + (d->rows - 1 - f->nodes[node].depth) * ROW
				    : TOP + f->nodes[node].depth * ROW;
	unsigned letters = width > 9 ? (unsigned)((width - 6) / LETTER) : 0;

	if (f->is_diff)
		out_format(d->out, "<g class=\"d%d\">", STEPS + step_of(flame_change(size)));
	else
		out_format(d->out, "<g class=\"c%u\">",
			   node == 0 ? MODULES : d->colour[f->nodes[node].frame]);
	out_text(d->out, "<title>");
	put_xml(d->out, name, strlen(name));
	out_text(d->out, ": ");
	put_size(d, size->now, all->now);
	if (f->is_diff) {
		out_text(d->out, ", before ");
		put_size(d, size->before, all->before);
	}
	if (size->self_now != 0 && !f->is_inverted) {
		out_text(d->out, ", itself ");
		put_size(d, size->self_now, all->now);
	}
	if (frame != NULL && frame->file[0] != '\0') {
		out_char(d->out, '\n');
		put_xml(d->out, frame->file, strlen(frame->file));
		if (f->nodes[node].line > 0)
			out_format(d->out, ":%" PRId64, f->nodes[node].line);
	}
	if (frame != NULL && frame->module[0] != '\0') {
		out_char(d->out, '\n');
		put_xml(d->out, frame->module, strlen(frame->module));
	}
	out_format(d->out, "</title><rect x=\"%.2f\" y=\"%.0f\" width=\"%.2f\" height=\"%d\"/>",
		   d->x[node], y, width > 2 ? width - 1 : width, ROW - 1);
	if (letters >= 2) {
		out_format(d->out, "<text x=\"%.2f\" y=\"%.0f\">", d->x[node] + 3, y + 12);
		put_clipped(d->out, name, letters);
		out_text(d->out, "</text>");
	}
	out_text(d->out, "</g>\n");
}

static void put_swatch(struct drawing *d, double *x, const char *class, const char *name)
{
	double y = d->height - LEGEND + 12;
	size_t n = strlen(name);

	if (*x + 20 + (double)n * LETTER > d->ask->width - MARGIN)
		return;
	out_format(d->out,
		   "<g class=\"%s\"><rect x=\"%.1f\" y=\"%.0f\" width=\"12\" height=\"11\"/></g>"
		   "<text class=\"l\" x=\"%.1f\" y=\"%.0f\">",
		   class, *x, y, *x + 17, y + 9);
	put_xml(d->out, name, n);
	out_text(d->out, "</text>\n");
	*x += 34 + (double)n * LETTER;
}

static void put_legend(struct drawing *d)
{
	static const char *const changes[] = {"gone", "less", "",     "",   "the same",
					      "",     "",     "more", "new"};
	double x = MARGIN;
	char class[16];

	for (unsigned i = 0; d->f->is_diff && i < sizeof(changes) / sizeof(changes[0]); i++) {
		snprintf(class, sizeof(class), "d%u", i);
		if (changes[i][0] != '\0')
			put_swatch(d, &x, class, changes[i]);
	}
	if (d->f->is_diff) {
		put_swatch(d, &x, "p", "width: the larger of both, stack by stack");
		return;
	}
	for (unsigned i = 0; i < d->modules_n; i++) {
		const char *name = d->modules[i], *slash = strrchr(name, '/');

		snprintf(class, sizeof(class), "c%u", i);
		name = name[0] == '\0'                     ? "no module"
		       : slash != NULL && slash[1] != '\0' ? slash + 1
							   : name;
		put_swatch(d, &x, class, name);
	}
	if (d->modules_n == MODULES)
		put_swatch(d, &x, "c7", "others");
}

static void put_head(struct drawing *d)
{
	struct report *r = d->f->report;
	struct out *out = d->out;
	size_t letters = (size_t)((d->ask->width - 2 * MARGIN) / LETTER);

	out_format(out,
		   "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%.0f\" "
		   "viewBox=\"0 0 %u %.0f\" role=\"img\" aria-labelledby=\"t\">\n<title id=\"t\">",
		   d->ask->width, d->height, d->ask->width, d->height);
	put_xml(out, d->ask->title, strlen(d->ask->title));
	out_text(out, ": flame graph of ");
	put_xml(out, r->type, strlen(r->type));
	out_format(out, "</title>\n<style>%s</style>\n", style);
	out_format(out, "<rect class=\"p\" width=\"%u\" height=\"%.0f\"/>\n", d->ask->width,
		   d->height);
	out_format(out, "<text class=\"h\" x=\"%d\" y=\"19\">", MARGIN);
	put_clipped(out, d->ask->title, (unsigned)(letters * 11 / 13));
	out_format(out, "</text>\n<text class=\"l\" x=\"%d\" y=\"36\">", MARGIN);
	put_xml(out, r->type, strlen(r->type));
	out_text(out, ", ");
	put_size(d, d->sizes.of[0].now, 0);
	if (d->f->is_diff) {
		out_text(out, ", before ");
		put_size(d, d->sizes.of[0].before, 0);
		if (d->ask->base_title != NULL) {
			out_text(out, " in ");
			put_clipped(out, d->ask->base_title, 60);
		}
	}
	out_format(out, "%s</text>\n",
		   d->f->is_inverted ? "; callers are below what they call" : "");
}

int flame_put_svg(const struct flame *f, const struct flame_ask *ask, struct out *out,
		  struct why *why)
{
	struct drawing d = {.f = f, .ask = ask, .out = out};
	int r = flame_sizes_init(&d.sizes, f, f->report->column);

	why_set(why, "out of memory");
	if (r == 0)
		r = lay_out(&d);
	if (r == 0)
		r = choose_colours(&d);
	if (r == 0) {
		put_head(&d);
		for (uint32_t i = 0; i < f->nodes_n; i++)
			if (d.x[i] >= 0)
				put_box(&d, i);
		put_legend(&d);
		out_text(out, "</svg>\n");
		r = out_flush(out);
	}
	flame_sizes_fini(&d.sizes);
	free(d.x);
	free(d.colour);
	return r;
}
