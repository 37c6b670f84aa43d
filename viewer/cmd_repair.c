#include <errno.h>
#include <inttypes.h>

#include "viewer/cmd.h"
#include "viewer/repair.h"

static void say(const struct args *args, const struct repair *done)
{
	cmd_complain("wrote %s: %" PRIu64 " events in %" PRIu64 " blocks; %" PRIu64
		     " blocks were left out; next: cprof-trace %s",
		     args->output, done->events, done->blocks, done->left_out, args->output);
}

static int run(const struct args *args)
{
	struct why why = {""};
	struct repair done;
	struct verify v;
	struct cmd c;
	int status, r;

	status = cmd_begin_trace(&c, args);
	if (status != STATUS_OK)
		return status;
	r = verify_trace(&v, c.reader, &c.streams, &c.tables, &c.progress.watch, &why);
	if (r == 0 && v.is_interrupted)
		r = -EINTR;
	if (r == 0)
		r = repair_write(&done, c.reader, &c.streams, &c.tables, &v, c.fd,
				 &c.progress.watch, &why);
	status = cmd_end_trace(&c, r, &why,
			       r == 0 && args->strict && verify_is_damaged(&v, c.reader, &c.streams)
				       ? STATUS_DAMAGED
				       : STATUS_OK);
	if (cmd_has_written(&c, status) && !args->quiet)
		say(args, &done);
	return status;
}

const struct command command_repair = {
	.name = "repair",
	.about = "rebuild the file of a damaged or killed run",
	.synopsis = "repair -o NEW [OPTION...]",
	.text = "Writes a new trace with every block that is good, and a proper end. FILE stays as "
		"it\n"
		"is.\n",
	.groups = ARGS_OUTPUT,
	.run = run,
};
