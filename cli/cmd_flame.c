#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "cli/result.h"
#include "flame/flame.h"
#include "output/pprof.h"
#include "output/tty.h"

static const char help[] =
	"usage: cprof flame [OPTION…] [PROGRAM] FILE… [-o OUT.html]\n"
	"\n"
	"Draws the stacks of profiles: the wider a box, the more goes through it. It is\n"
	"one HTML file that needs no network, to zoom, search, turn around, compare in.\n"
	"Without -o it is named for the first FILE: cpu.pb.gz becomes ./cpu.html.\n"
	"\n"
	"  -o OUT          where to write; '-' is standard output\n"
	"  -text           lines of text instead, on standard output\n"
	"  -svg            a drawing without scripts, for documents\n"
	"  -diff_base=FILE what has become more and less since FILE\n"
	"  -normalize      the others count as if their total were that of FILE\n"
	"  -inverted       callers below what they call: who calls the busy functions?\n"
	"  -flames         roots at the bottom\n"
	"  -width=N        of the text in columns, of the drawing in pixels (1200)\n"
	"\n"
	"which number   -sample_index=NAME|N  -unit=UNIT  -divide_by=N\n"
	"which samples  -focus=RE  -ignore=RE\n"
	"               -tagfocus=[KEY=]RE|RANGE  -tagignore=[KEY=]RE|RANGE\n"
	"               -idle: also waiting that is idle, left out otherwise\n"
	"which frames   -show=RE  -hide=RE  -show_from=RE  -noinlines\n"
	"a box is       -functions (default)  -filefunctions  -files  -lines  -addresses\n"
	"how many       -nodefraction=F: boxes below this share of all are left out of\n"
	"               text (0.005) and drawing (what is not seen); -trim=false: none is\n"
	"others         -symbolize=none\n"
	"\n"
	"  cprof flame cpu.pb.gz\n"
	"  cprof flame -text -focus=parse -sample_index=alloc_space heap.pb.gz\n"
	"  cprof flame -diff_base=before/cpu.pb.gz after/cpu.pb.gz -o change.html\n"
	"\n"
	"Next: open the file in a browser; '?' shows its keys. More: cprof-flame(1).\n";

struct asked {
	struct cmd_report report;
	const char *out;
	bool text, svg, is_inverted, grows_up;
	int width;
	double fraction;
	enum granularity granularity;
};

/* Before those of all reports, of which some mean nothing here. */
static void list_options(struct asked *a, struct cmd_option *ret)
{
	const char *order = "boxes are in the order of their width";
	const char *count = "-nodefraction and -trim say which boxes are left out";
	const struct cmd_option own[] = {
		{"o", CMD_TEXT, &a->out, 0, NULL},
		{"text", CMD_FLAG, &a->text, 0, NULL},
		{"svg", CMD_FLAG, &a->svg, 0, NULL},
		{"base", CMD_LATER, NULL, 0, "what was taken away is seen by -diff_base"},
		{"inverted", CMD_FLAG, &a->is_inverted, 0, NULL},
		{"flames", CMD_FLAG, &a->grows_up, 0, NULL},
		{"width", CMD_INT, &a->width, 0, NULL},
		{"nodefraction", CMD_FLOAT, &a->fraction, 0, NULL},
		{"nodecount", CMD_LATER, NULL, 0, count},
		{"edgefraction", CMD_LATER, NULL, 0, count},
		{"sort", CMD_LATER, NULL, 0, order},
		{"cum", CMD_LATER, NULL, 0, order},
		{"flat", CMD_LATER, NULL, 0, order},
		{"mean", CMD_LATER, NULL, 0, "boxes add up, and means do not"},
		{"relative_percentages", CMD_LATER, NULL, 0,
		 "shares are those of what is left, and of what is zoomed to"},
		{"drop_negative", CMD_LATER, NULL, 0,
		 "what is below zero is what was before, see -diff_base"},
	};
	size_t n = sizeof(own) / sizeof(own[0]);

	memcpy(ret, own, sizeof(own));
	cmd_report_options(&a->report, ret + n);
}

static int check(const struct asked *a, const char *command, const struct cmd_files *files)
{
	if (a->text && a->svg) {
		cmd_complain(command, "-text and -svg: one of them was expected");
		return CMD_USAGE;
	}
	if (a->width != 0 && !a->text && !a->svg) {
		cmd_complain(command,
			     "-width is for -text and -svg; the page is as wide as its window");
		return CMD_USAGE;
	}
	if (a->width < 0 || (a->width != 0 && a->width < 40) || a->width > 20000) {
		cmd_complain(command, "-width=%d: 40 to 20000 was expected", a->width);
		return CMD_USAGE;
	}
	if (a->fraction > 1) {
		cmd_complain(command, "-nodefraction=%g: 0 to 1 was expected", a->fraction);
		return CMD_USAGE;
	}
	return CMD_OK;
}

/* ---- the file ---- */

/* "a/cpu.pb.gz" → "cpu.html"; from malloc. */
static char *name_for(const char *path, const char *ending)
{
	static const char *const endings[] = {".gz", ".pb", ".pprof", ".prof", ".proto"};
	const char *slash = strrchr(path, '/'), *base = slash != NULL ? slash + 1 : path;
	size_t n = strlen(base);
	char *name;

	for (unsigned i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		size_t m = strlen(endings[i]);

		if (n > m && memcmp(base + n - m, endings[i], m) == 0)
			n -= m;
	}
	if (n == 0 || (n == 1 && base[0] == '-'))
		return asprintf(&name, "flame%s", ending) < 0 ? NULL : name;
	return asprintf(&name, "%.*s%s", (int)n, base, ending) < 0 ? NULL : name;
}

static int write_to(const struct asked *a, const struct flame *f, const struct flame_ask *ask,
		    int fd, struct why *why)
{
	struct out *out = malloc(sizeof(*out));
	int r;

	if (out == NULL) {
		why_set(why, "out of memory");
		return -ENOMEM;
	}
	out_init(out, fd, a->text && a->out == NULL && tty_has_colour(fd));
	why_set(why, "%s", "");
	r = a->text  ? flame_put_text(f, ask, out, why)
	    : a->svg ? flame_put_svg(f, ask, out, why)
		     : flame_put_page(f, ask, flame_page, out, why);
	if (r == 0)
		r = out_flush(out);
	if (r < 0 && (r == out->error || why->text[0] == '\0'))
		why_set(why, "the output was not taken: %s", strerror(-r));
	free(out);
	return r;
}

static int write_out(struct asked *a, const char *command, const struct flame *f,
		     const struct flame_ask *ask, const char *first)
{
	char *named = NULL;
	const char *path = a->out;
	struct result result;
	struct why why;
	int status = CMD_OK, r;

	if (path == NULL && !a->text)
		path = named = name_for(first, a->svg ? ".svg" : ".html");
	if (!a->text)
		status = result_check_terminal(path, command, a->svg ? "a drawing" : "a page");
	if (status != CMD_OK)
		goto out;
	status = CMD_FAILED;
	r = result_open(&result, path, &why);
	if (r == 0) {
		r = write_to(a, f, ask, result.fd, &why);
		if (r == 0)
			r = result_commit(&result, &why);
		else
			result_abandon(&result);
	}
	if (r < 0) {
		cmd_complain(command, "%s", why.text);
		goto out;
	}
	status = CMD_OK;
	if (result.is_file)
		fprintf(stderr, "cprof: %s has %u stacks in %u boxes%s\n", path, f->samples_n,
			f->nodes_n, a->text ? "" : "; open it in a browser");
out:
	free(named);
	return status;
}

static int draw(struct asked *a, const char *command, const struct cmd_files *files)
{
	struct report *r = &a->report.report;
	struct flame f = {0};
	struct why why = {""};
	/* two that are compared often differ in their directory only */
	const char *base = r->options->bases_n > 0 ? r->options->bases[0] : NULL;
	unsigned parts = base != NULL ? 2 : 1;
	char *title = cmd_title(files, parts);
	bool is_drawn = a->text || a->svg;
	struct flame_ask ask = {.title = title != NULL ? title : "",
				.base_title = base != NULL ? cmd_tail(base, parts) : NULL,
				.grows_up = a->grows_up,
				.is_inverted = a->is_inverted,
				.fraction = a->report.trim ? a->fraction : 0,
				.width = (unsigned)a->width,
				.is_ascii = !tty_is_utf8()};
	int error, status = CMD_FAILED;

	if (ask.width == 0)
		ask.width = a->svg ? 1200 : tty_width();
	/* a box has a size of its own: no unit suits them all */
	if (strcmp(r->shown_unit, "minimum") == 0)
		r->shown_unit = "auto";
	error = flame_init(&f, r, a->granularity, is_drawn && a->is_inverted, &why);
	if (error < 0)
		cmd_complain(command, "%s", why.text);
	else
		status = write_out(a, command, &f, &ask, files->paths[0]);
	flame_fini(&f);
	free(title);
	return status;
}

int cmd_flame(int argc, char **argv)
{
	struct cmd_option options[CMD_REPORT_OPTIONS_MAX + 24];
	struct asked a = {.fraction = -1};
	struct cmd_files files;
	int status;

	cmd_report_init(&a.report);
	list_options(&a, options);
	status = cmd_parse(argc, argv, options, help, &files);
	if (status != 0)
		return status > 0 ? CMD_OK : CMD_USAGE;
	status = check(&a, argv[0], &files);
	if (status == CMD_OK)
		status = cmd_report_read(&a.report, argv[0], &files);
	/* files and lines are asked for where boxes are functions, too */
	a.granularity = a.report.options.granularity;
	a.report.options.granularity = BY_ADDRESS;
	if (status == CMD_OK)
		status = cmd_report_prepare(&a.report, argv[0]);
	if (status == CMD_OK)
		status = draw(&a, argv[0], &files);
	cmd_report_fini(&a.report);
	return status;
}
