/*
 * cprof-trace: looks at the log of a program's run.
 */
#include <signal.h>
#include <stdio.h>

#include "viewer/cmd.h"

/* In the order of --help. */
static const struct command *const commands[] = {
	&command_blocked, &command_chain,   &command_check,     &command_critical,
	&command_cut,     &command_diff,    &command_events,    &command_export,
	&command_info,    &command_locks,   &command_pprof,     &command_regions,
	&command_repair,  &command_summary, &command_symbolize, &command_syscalls,
	&command_tasks,   &command_threads, &command_timeline,  NULL,
};

int cmd_run(int argc, char **argv)
{
	struct args args;
	int status = args_parse(argc, argv, commands, &command_summary, &args);

	if (status != 0)
		return fflush(stdout) == 0 ? status - 1 : STATUS_FAILED;
	return args.command->run(&args);
}

int main(int argc, char **argv)
{
	/* Who reads may stop to: that is an error of write(), which ends the work quietly. */
	signal(SIGPIPE, SIG_IGN);
	return cmd_run(argc, argv);
}
