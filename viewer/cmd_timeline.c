#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "viewer/chart.h"
#include "viewer/cmd.h"
#include "viewer/cmd_timeline.h"
#include "viewer/interactive.h"

#define ROWS      40 /* unless --limit says: a screen, with what stands around them */
#define WIDTH_MIN 40
#define WIDTH_MAX 1000

#define INDEXED UINT64_C(1000000) /* events beyond which an index is worth being looked for */

enum group { GROUP_NONE, GROUP_NAME };

static struct {
	bool text, interactive, exact, ascii, blocks, no_cache;
	uint64_t width;
	int group; /* enum group */
	struct page page;
} own;

static const char *const groups[] = {[GROUP_NONE] = "none", [GROUP_NAME] = "name", NULL};

#define OWN(member) offsetof(__typeof__(own), member)
static const struct args_option options[] = {
	{.name = "port",
	 .type = ARGS_COUNT,
	 .offset = OWN(page.port),
	 .takes = "N",
	 .about = "the page's, in place of a free one"},
	{.name = "http",
	 .type = ARGS_TEXT,
	 .offset = OWN(page.http),
	 .takes = "ADDR:PORT",
	 .about = "who may ask, in place of this machine alone"},
	{.name = "no-open",
	 .letter = 'n',
	 .type = ARGS_FLAG,
	 .offset = OWN(page.no_open),
	 .about = "print the URL, and open no browser"},
	{.name = "open",
	 .type = ARGS_FLAG,
	 .offset = OWN(page.open),
	 .about = "open a browser, also of a file, or where the output is no terminal"},
	{.name = "at",
	 .type = ARGS_TEXT,
	 .offset = OWN(page.at),
	 .takes = "TIME",
	 .about = "the page opens there, with a mark"},
	{.name = "select",
	 .type = ARGS_TEXT,
	 .offset = OWN(page.select),
	 .takes = "A..B",
	 .about = "the page opens with that stretch selected"},
	{.name = "source-root",
	 .type = ARGS_TEXT,
	 .offset = OWN(page.source_root),
	 .takes = "DIR",
	 .about = "source lines come from there, in place of where the program says"},
	{.name = "html",
	 .type = ARGS_TEXT,
	 .offset = OWN(page.html),
	 .takes = "OUT",
	 .about = "write the page and what it shows into one file, in place of serving it"},
	{.name = "html-size",
	 .type = ARGS_TEXT,
	 .offset = OWN(page.html_size),
	 .takes = "SIZE",
	 .about = "of that file at most, in place of 20M"},
	{.name = "idle-timeout",
	 .type = ARGS_DURATION,
	 .offset = OWN(page.idle_ns),
	 .takes = "DUR",
	 .about = "end when nobody has asked for so long"},
	{.name = "text",
	 .type = ARGS_FLAG,
	 .offset = OWN(text),
	 .about = "a picture of letters: a row for each thread, a column for each stretch of time"},
	{.name = "interactive",
	 .type = ARGS_FLAG,
	 .offset = OWN(interactive),
	 .about = "the same on the whole terminal, with keys; ? lists them"},
	{.name = "group",
	 .type = ARGS_WORD,
	 .offset = OWN(group),
	 .takes = "HOW",
	 .words = groups,
	 .about = "name: threads whose names differ by a number are one row; or none"},
	{.name = "width",
	 .type = ARGS_COUNT,
	 .offset = OWN(width),
	 .takes = "N",
	 .about = "columns, in place of the terminal's"},
	{.name = "ascii", .type = ARGS_FLAG, .offset = OWN(ascii), .about = "no block glyphs"},
	{.name = "blocks",
	 .type = ARGS_FLAG,
	 .offset = OWN(blocks),
	 .about = "with colour: blocks as high as a state's share, not its letter"},
	{.name = "exact",
	 .type = ARGS_FLAG,
	 .offset = OWN(exact),
	 .about = "read all events, also of a large trace"},
	{.name = "no-cache",
	 .type = ARGS_FLAG,
	 .offset = OWN(no_cache),
	 .about = "look for no index of the trace, and leave none"},
	{.name = NULL},
};

/* What is drawn, of the trace's clock, and how it is sorted. */
struct plan {
	uint64_t begin_ns, end_ns; /* of the trace */
	uint64_t from_ns, to_ns;
	enum timeline_key key;
};

static int read_key(const struct args *args, enum timeline_key *ret)
{
	static const char *const keys[] = {[TIMELINE_BY_START] = "start",
					   [TIMELINE_BY_NAME] = "name",
					   [TIMELINE_BY_LOCK] = "lock",
					   [TIMELINE_BY_RUN] = "run"};

	*ret = TIMELINE_BY_START;
	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]) && args->sort != NULL; i++) {
		if (strcmp(args->sort, keys[i]) != 0)
			continue;
		*ret = (enum timeline_key)i;
		return STATUS_OK;
	}
	if (args->sort == NULL)
		return STATUS_OK;
	cmd_complain("--sort %s: one of start, name, lock, run was expected", args->sort);
	return STATUS_USAGE;
}

static int make_plan(struct cmd *c, struct plan *p)
{
	uint64_t begun = cmd_begun_ns(c);

	timeline_range(c->reader, &p->begin_ns, &p->end_ns);
	/* from 0, unless it is the end of a longer run */
	if (begun < p->begin_ns && p->begin_ns - begun < (p->end_ns - p->begin_ns) / 50)
		p->begin_ns = begun;
	p->from_ns = c->range.from_ns > p->begin_ns ? c->range.from_ns : p->begin_ns;
	p->to_ns = c->range.to_ns < p->end_ns ? c->range.to_ns : p->end_ns;
	if (p->from_ns < p->to_ns)
		return STATUS_OK;
	cmd_complain("there is nothing between --from and --to: the trace is from %.9fs to %.9fs",
		     (double)(p->begin_ns - begun) / 1e9, (double)(p->end_ns - begun) / 1e9);
	return STATUS_USAGE;
}

static struct select_threads *threads_of(struct cmd *c)
{
	return c->range.threads.n > 0 ? &c->range.threads : NULL;
}

/* The only thread that is wanted, or TRACE_ALL; and how many columns the longest name has. */
static uint32_t look_at_threads(struct cmd *c, struct chart *chart, unsigned *ret_columns)
{
	uint32_t one = TRACE_ALL, n = 0;
	struct name name;

	*ret_columns = 0;
	for (uint32_t i = 0; i < c->tables.threads_n; i++) {
		uint32_t index = c->tables.threads[i].index;
		unsigned columns;

		if (!select_has_thread(&c->range.threads, index))
			continue;
		name_clear(&name);
		name_thread(&name, &c->tables, index);
		columns = chart_name_columns(chart, &name);
		*ret_columns = columns > *ret_columns ? columns : *ret_columns;
		one = n++ == 0 ? index : TRACE_ALL;
	}
	return n == 1 ? one : TRACE_ALL;
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static void put_header(struct cmd *c, struct chart *chart, const struct timeline *t,
		       const struct plan *p)
{
	struct out *out = c->out;
	struct name program;

	out_colour(out, OUT_BOLD);
	out_name(out, base_of(c->reader->name), strlen(base_of(c->reader->name)));
	name_clear(&program);
	if (name_program(&program, &c->tables)) {
		out_text(out, "  ");
		out_name(out, program.text, program.n);
	}
	out_colour(out, OUT_PLAIN);
	out_text(out, "  ");
	if (p->from_ns != p->begin_ns || p->to_ns != p->end_ns) {
		chart_time(chart, p->from_ns, (p->to_ns - p->from_ns) / 100);
		out_text(out, " to ");
		chart_time(chart, p->to_ns, (p->to_ns - p->from_ns) / 100);
		out_text(out, " of ");
	}
	/* of none, the end is only there for there to be one */
	out_duration(out, t->threads > 0 ? p->end_ns - p->begin_ns : 0);
	out_format(out, "  %" PRIu32 " thread%s  ", t->threads, t->threads == 1 ? "" : "s");
	out_grouped(out, t->events);
	out_text(out, " events  ");
	if (c->reader->damages_n > 0 || c->streams.holes_unknown > 0)
		out_text(out, "damaged");
	else if (c->streams.lost_events > 0 || c->streams.holes_n > 0)
		out_text(out, "with losses");
	else
		out_text(out, c->reader->has_trailer ? "complete" : "no end");
	out_char(out, '\n');
}

static int put_notes(struct cmd *c, const struct timeline *t)
{
	struct table *notes;
	int r = table_create(&notes, "notes", NULL, 0);

	if (r < 0)
		return r;
	if (t->left_out > 0)
		r = table_note(notes,
			       "%" PRIu32 " threads have no row, for they are too many; "
			       "--threads picks some",
			       t->left_out);
	if (r == 0 && !t->is_estimate)
		r = cmd_notes(c, notes, &t->counts);
	else if (r == 0)
		r = table_note(notes, "from headers, where a block's states are spread over its "
				      "time; --exact reads all");
	if (r == 0)
		table_out_notes(notes, c->out);
	table_destroy(notes);
	return r;
}

static int put(struct cmd *c, struct chart *chart, const struct timeline *t, const struct plan *p)
{
	uint64_t limit = c->args->limit == ARGS_LIMIT_DEFAULT ? ROWS : c->args->limit;
	uint32_t n = limit > 0 && limit < t->rows_n ? (uint32_t)limit : t->rows_n;

	put_header(c, chart, t, p);
	for (unsigned i = 0; i < chart_summaries_n(t); i++) {
		chart_summary(chart, t, i);
		out_char(c->out, '\n');
	}
	if (n > 0) {
		chart_ruler(chart, t);
		out_char(c->out, '\n');
	}
	for (uint32_t i = 0; i < n && c->out->error == 0; i++)
		chart_row(chart, t, &t->rows[i]);
	if (n < t->rows_n)
		out_format(c->out, "%s and %" PRIu32 " more (--limit 0)\n", own.ascii ? "..." : "…",
			   t->rows_n - n);
	if (t->rows_n == 0)
		out_text(c->out, "no threads\n");
	chart_marks(chart, t);
	chart_legend(chart, t);
	return put_notes(c, t);
}

/*
 * Fills the picture with what is exact and quick: a story of what is not much, else the index, which --exact makes, else headers.
 * Marks are in the story only.
 */
static int fill(struct cmd *c, struct timeline *t, struct why *why)
{
	uint64_t events = timeline_events(c->reader, t->ask.from_ns, t->ask.to_ns);
	bool is_large = events > TIMELINE_EXACT_MAX, has_marks = t->ask.marks_of != TRACE_ALL;
	struct index *x = NULL;
	int r = -ENOENT;

	if (events <= INDEXED || (has_marks && (own.exact || !is_large)))
		return timeline_tell(t, c->reader, &c->streams, &c->tables, &c->progress.watch,
				     why);
	if (is_large && own.exact)
		r = index_open(&x, c->reader, &c->streams, &c->tables, !own.no_cache,
			       &c->progress.watch, why);
	else if (!own.no_cache)
		r = index_find(&x, c->reader, &c->tables);
	if (r == 0) {
		t->ask.marks_of = TRACE_ALL;
		r = timeline_index(t, c->reader, &c->streams, x, UINT64_MAX, why);
		index_close(x);
	} else if (r == -ENOENT && is_large) {
		r = timeline_estimate(t, c->reader, &c->streams, &c->progress.watch, why);
	} else if (r == -ENOENT) {
		r = timeline_tell(t, c->reader, &c->streams, &c->tables, &c->progress.watch, why);
	}
	return r;
}

static int draw_text(struct cmd *c, struct chart *chart, const struct plan *p, uint32_t one)
{
	struct timeline_ask ask = {.from_ns = p->from_ns,
				   .to_ns = p->to_ns,
				   .columns = chart->cells,
				   .by_group = own.group == GROUP_NAME,
				   .marks_of = one,
				   .threads = threads_of(c)};
	struct why why = {"out of memory"};
	struct timeline t;
	int r = timeline_init(&t, &ask, &c->tables), status = STATUS_OK;

	if (r == 0)
		r = fill(c, &t, &why);
	/* its file was changed: the next one is made anew */
	for (unsigned tries = 0; r == -EBADMSG && tries < 2; tries++) {
		timeline_fini(&t);
		r = timeline_init(&t, &ask, &c->tables);
		if (r == 0)
			r = fill(c, &t, &why);
	}
	terminal_watch_end(&c->progress);
	if (r == -EINTR) {
		c->is_interrupted = true;
		cmd_complain("interrupted: this is what was read until then");
		r = 0;
	}
	if (r == 0) {
		timeline_sort(&t, p->key, c->args->reverse);
		status = cmd_open_out(c, true);
	}
	if (r == 0 && status == STATUS_OK) {
		chart->out = c->out;
		r = put(c, chart, &t, p);
	}
	if (r < 0)
		status = cmd_failed(c, r, &why);
	if (status == STATUS_OK && c->args->strict)
		status = cmd_warn_damage(c, t.counts.merge.unreadable);
	timeline_fini(&t);
	return status;
}

static int draw_interactive(struct cmd *c, const struct plan *p)
{
	const struct interactive_ask ask = {
		.reader = c->reader,
		.streams = &c->streams,
		.tables = &c->tables,
		.threads = threads_of(c),
		.begun_ns = cmd_begun_ns(c),
		.begin_ns = p->begin_ns,
		.end_ns = p->end_ns,
		.from_ns = p->from_ns,
		.to_ns = p->to_ns,
		.title = base_of(c->reader->name),
		.key = p->key,
		.is_reverse = c->args->reverse,
		.is_kept = !own.no_cache,
		.by_group = own.group == GROUP_NAME,
		.is_ascii = own.ascii,
		.has_blocks = own.blocks,
		.has_colour =
			terminal_has_colour(STDOUT_FILENO, (enum terminal_colour)c->args->colour),
	};
	struct why why = {""};
	int r;

	terminal_watch_end(&c->progress);
	r = interactive_run(&ask, &why);
	if (r == -ENOTTY) {
		cmd_complain("%s", why.text);
		return STATUS_USAGE;
	}
	return r < 0 ? cmd_failed(c, r, &why) : STATUS_OK;
}

static int check_own(const struct args *args, enum timeline_key *ret_key)
{
	if (!own.text && !own.interactive && strcmp(args->file, "-") == 0) {
		cmd_complain("the page is of a file, not of what comes through a pipe");
		return STATUS_USAGE;
	}
	if (!own.text && !own.interactive &&
	    (args->threads != NULL || args->sort != NULL || args->output != NULL ||
	     args->limit != ARGS_LIMIT_DEFAULT)) {
		cmd_complain(
			"--threads, --sort, --limit and -o are for --text and --interactive; the "
			"page has all threads");
		return STATUS_USAGE;
	}
	if (own.page.port > UINT16_MAX) {
		cmd_complain("--port %" PRIu64 ": 0 to 65535 was expected", own.page.port);
		return STATUS_USAGE;
	}
	if ((own.text || own.interactive) && (own.page.html != NULL || own.page.at != NULL ||
					      own.page.select != NULL || own.page.open)) {
		cmd_complain("--html, --at, --select and --open are of the page, and not for "
			     "--text and --interactive");
		return STATUS_USAGE;
	}
	if (own.width != 0 && (own.width < WIDTH_MIN || own.width > WIDTH_MAX)) {
		cmd_complain("--width %" PRIu64 ": %d to %d was expected", own.width, WIDTH_MIN,
			     WIDTH_MAX);
		return STATUS_USAGE;
	}
	return read_key(args, ret_key);
}

static int run(const struct args *args)
{
	unsigned width = own.width != 0 ? (unsigned)own.width : tty_width(), names;
	struct args args_out = *args; /* with --html as what -o says */
	struct chart chart = {0};
	struct plan plan;
	struct cmd c;
	int status = check_own(args, &plan.key);

	if (status != STATUS_OK)
		return status;
	if (own.page.html != NULL) {
		args_out.output = own.page.html;
		args_out.no_pager = true;
	}
	status = cmd_begin(&c, &args_out);
	if (status == STATUS_OK)
		status = make_plan(&c, &plan);
	if (status == STATUS_OK && own.interactive) {
		status = draw_interactive(&c, &plan);
	} else if (status == STATUS_OK && !own.text) {
		status = page_show(&c, &own.page,
				   &(struct page_times){.begin_ns = plan.begin_ns,
							.end_ns = plan.end_ns,
							.from_ns = plan.from_ns,
							.to_ns = plan.to_ns},
				   !own.no_cache);
	} else if (status == STATUS_OK) {
		if (chart_init(&chart, NULL, &c.tables, cmd_begun_ns(&c)) < 0)
			return cmd_close(&c,
					 cmd_failed(&c, -ENOMEM, &(struct why){"out of memory"}));
		uint32_t one = look_at_threads(&c, &chart, &names);

		chart.is_ascii = own.ascii;
		chart.has_blocks = own.blocks;
		chart_measure(&chart,
			      width < WIDTH_MIN   ? WIDTH_MIN
			      : width < WIDTH_MAX ? width
						  : WIDTH_MAX,
			      names);
		status = draw_text(&c, &chart, &plan, one);
	}
	status = cmd_close(&c, status);
	page_end(&c, &own.page, status);
	chart_fini(&chart);
	return status;
}

const struct command command_timeline = {
	.name = "timeline",
	.about = "what every thread did, on a page in a browser or as a picture of letters",
	.synopsis = "timeline [--text] [OPTION...]",
	.text = "Prints the URL of a page, which only this machine can ask for, and opens a "
		"browser "
		"where there\nis a display. Ctrl-C ends it. With --html: one file "
		"that has all of it, for who has no cprof.\n"
		"\n"
		"With --text: a row for each thread, a column for each stretch of time. A cell has "
		"the letter "
		"of the "
		"state\n"
		"that there is most of:\n"
		"\n"
		"  R running   r runnable   L lock    C condition, semaphore, barrier, join\n"
		"  S system call   Z idle   X spin    ? unknown\n"
		"\n"
		"A small letter: less than half of it. Of running and runnable that is + and -.\n"
		"\n"
		"The line Rare has ! where something was logged, x where a call failed, ? where "
		"events are\n"
		"missing. --sort is by start, name, lock or run.\n",
	.groups = ARGS_RANGE | ARGS_THREADS | ARGS_SORT | ARGS_LIMIT | ARGS_OUTPUT,
	.options = options,
	.own = &own,
	.run = run,
};
