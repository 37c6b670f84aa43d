#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output/symbols.h"
#include "viewer/cmd.h"
#include "viewer/resolve.h"
#include "viewer/symbolize.h"

static struct {
	const char *debug_dir;
	bool debuginfod;
} own;

#define OWN(member) offsetof(__typeof__(own), member)
static const struct args_option options[] = {
	{.name = "debug-dir",
	 .type = ARGS_TEXT,
	 .offset = OWN(debug_dir),
	 .takes = "DIR",
	 .about = "look for separate debug files there, too"},
	{.name = "debuginfod",
	 .type = ARGS_FLAG,
	 .offset = OWN(debuginfod),
	 .about = "ask the servers of DEBUGINFOD_URLS for those that are not here"},
	{.name = NULL},
};

static void say(const struct args *args, const struct symbolize *done)
{
	cmd_complain("wrote %s: names of %" PRIu64 " places of %" PRIu64 "%s; next: cprof-trace %s",
		     args->output, done->named + done->kept, done->frames,
		     done->copied.left_out > 0 ? ", without what is damaged" : "", args->output);
	if (done->kept > 0)
		cmd_complain("%" PRIu64 " of them as they were in %s", done->kept, args->file);
	if (done->left_out > 0)
		cmd_complain("%" PRIu64 " more places were too many", done->left_out);
}

static int run(const struct args *args)
{
	struct why why = {"out of memory"};
	struct symbolize done;
	struct verify v;
	struct cmd c;
	int status, r;

	if (args->no_symbols) {
		cmd_complain("symbolize adds names, and --no-symbols is to have none");
		return STATUS_USAGE;
	}
	if (own.debuginfod && symbols_use_debuginfod(&why) < 0) {
		cmd_complain("--debuginfod: %s", why.text);
		return STATUS_USAGE;
	}
	status = cmd_begin_trace(&c, args);
	if (status != STATUS_OK)
		return status;
	r = own.debug_dir != NULL ? symbols_add_directory(own.debug_dir) : 0;
	if (r == 0)
		r = verify_trace(&v, c.reader, &c.streams, &c.tables, &c.progress.watch, &why);
	if (r == 0 && v.is_interrupted)
		r = -EINTR;
	if (r == 0 && c.resolver == NULL)
		r = -ENOMEM;
	if (r == 0)
		r = symbolize_write(&done, c.reader, &c.streams, &c.tables, &v, c.resolver, c.fd,
				    &c.progress.watch, &why);
	terminal_watch_end(&c.progress);
	if (c.resolver != NULL && !args->quiet)
		resolver_problems(c.resolver, cmd_complain_name, NULL);
	resolver_destroy(c.resolver);
	c.resolver = c.tables.resolver = NULL;
	status = cmd_end_trace(&c, r, &why,
			       r == 0 && args->strict && verify_is_damaged(&v, c.reader, &c.streams)
				       ? STATUS_DAMAGED
				       : STATUS_OK);
	if (cmd_has_written(&c, status) && !args->quiet)
		say(args, &done);
	return status;
}

const struct command command_symbolize = {
	.name = "symbolize",
	.about = "add names, to read a trace elsewhere",
	.synopsis = "symbolize -o NEW [OPTION...]",
	.text = "Writes a new trace with the function, file and line of every place in code, from "
		"the\n"
		"files of its modules and their debugging information. FILE is not changed.\n",
	.groups = ARGS_OUTPUT,
	.options = options,
	.own = &own,
	.run = run,
};
