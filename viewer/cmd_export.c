#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "viewer/cmd.h"
#include "viewer/export.h"

#define CHROME_MANY 1000000 /* events; older viewers die of more */

static const struct export_format *find_format(const char *name)
{
	const struct export_format *format = export_find(name);

	if (format != NULL)
		return format;
	cmd_complain(
		"there is no form \"%.40s\"; perfetto, chrome-json, speedscope, firefox, folded "
		"and csv are known",
		name);
	return NULL;
}

static void say_left(uint64_t n, const char *what)
{
	if (n > 0)
		cmd_complain("left out: %" PRIu64 " %s", n, what);
}

/* What is in the trace, and not in the file. */
static void say(struct cmd *c, const struct export *x, const struct story_counts *counts)
{
	if (c->args->quiet)
		return;
	if (x->format->left != NULL)
		cmd_complain("%s has no place for %s", x->format->name, x->format->left);
	say_left(x->left_holds, "holds of locks before anybody waited for them");
	say_left(x->left_readers, "holds of locks with too many readers at a time");
	say_left(x->left_tasks, "tasks, because too many were open");
	say_left(x->left_regions, "regions, because too many were open or began in one interval");
	say_left(x->left_edges, "wakes from threads that are not selected");
	say_left(x->lanes.dropped, "slices that do not fit between others");
	if (x->lanes.cut > 0)
		cmd_complain("%" PRIu64 " slices overlapped another by a little, and are cut",
			     x->lanes.cut);
	if (x->format == &export_chrome_json && x->written > CHROME_MANY)
		cmd_complain("%" PRIu64
			     " events: more than some viewers can take; --from and --to, "
			     "or perfetto",
			     x->written);
	if (counts->lost_events > 0)
		cmd_complain("%s has lost %" PRIu64 " events in %" PRIu64 " gaps", c->reader->name,
			     counts->lost_events, counts->gaps);
}

static int run(const struct args *args)
{
	const struct export_format *format = find_format(args->operand);
	struct export x = {.format = format};
	struct story_listener listener;
	struct story_counts counts = {0};
	struct cmd c;
	int status, r;

	if (format == NULL)
		return STATUS_USAGE;
	if (format->is_binary && (args->output == NULL || strcmp(args->output, "-") == 0) &&
	    isatty(STDOUT_FILENO)) {
		cmd_complain("%s is not for a terminal; -o FILE", format->name);
		return STATUS_USAGE;
	}
	status = cmd_begin(&c, args);
	if (status == STATUS_OK)
		status = cmd_open_out(&c, false);
	if (status != STATUS_OK)
		return cmd_close(&c, status);
	x.out = c.out;
	x.reader = c.reader;
	x.tables = &c.tables;
	x.threads = &c.range.threads;
	x.begun_ns = cmd_begun_ns(&c);
	x.from_ns = c.range.from_ns;
	x.to_ns = c.range.to_ns;
	why_set(&x.why, "out of memory");
	listener = export_listener(&x);
	r = export_begin(&x);
	if (r == 0)
		status = cmd_tell(&c, &listener, &counts);
	/* also after an interrupt: what there is until then is whole */
	if (status == STATUS_OK && x.error == 0 && c.out->error == 0)
		export_end(&x, &counts);
	terminal_watch_end(&c.progress);
	if (x.error != 0)
		status = cmd_failed(&c, x.error, &x.why);
	if (status == STATUS_OK && out_flush(c.out) == 0) {
		say(&c, &x, &counts);
		status = cmd_warn_damage(&c, counts.merge.unreadable);
	}
	export_fini(&x);
	return cmd_close(&c, status);
}

const struct command command_export = {
	.name = "export",
	.about = "write a trace in the form of another viewer",
	.synopsis = "export FORM [-o FILE] [OPTION...]",
	.text = "FORM is one of\n"
		"\n"
		"  perfetto     protocol buffers, for ui.perfetto.dev and trace_processor\n"
		"  chrome-json  trace events, for chrome://tracing and ui.perfetto.dev\n"
		"  speedscope   a profile for each thread, for speedscope.app\n"
		"  firefox      for profiler.firefox.com: its processed format, packed by gzip\n"
		"  folded       collapsed stacks by thread and state, in ns, for flame graphs\n"
		"  csv          the intervals of all threads\n"
		"\n"
		"Without -o it goes to standard output. What the form has no place for is said on\n"
		"standard error.\n",
	.operand = "FORM",
	.groups = ARGS_RANGE | ARGS_THREADS | ARGS_OUTPUT,
	.run = run,
};
