#include <stdio.h>

#include "cli/cmd.h"
#include "output/info.h"
#include "output/pprof.h"

static const char help[] =
	"usage: cprof info [-all] FILE…\n"
	"\n"
	"Says what each profile is: of which program, when and for how long, how often\n"
	"it was sampled, the sum of each column and what of it was lost, stacks, labels\n"
	"with their values, programs and libraries with their build ids, and comments.\n"
	"\n"
	"  -all  lists are not cut\n"
	"\n"
	"  cprof info cprof.server.*/*.pb.gz\n"
	"\n"
	"Next: 'cprof top FILE' shows what is in it, 'cprof check FILE' who can read it.\n"
	"More: cprof-info(1).\n";

static int print_file(const char *path, bool is_all, bool is_first, const char *command)
{
	struct report_options options = report_defaults;
	struct report r = {.options = &options};
	struct why why;
	int error;

	options.granularity = BY_ADDRESS; /* nothing is taken together */
	options.with_idle = true;
	why_set(&why, "out of memory");
	error = pprof_read(path, &r.profile, &why);
	if (error == 0) {
		error = report_prepare(&r, &why);
		if (error == 0 && !is_first)
			putchar('\n');
		if (error == 0)
			error = info_print(&r, path, is_all, stdout, &why);
		report_fini(&r);
	}
	if (error < 0)
		cmd_complain(command, "%s", why.text);
	return error;
}

int cmd_info(int argc, char **argv)
{
	bool is_all = false, has_printed = false;
	const struct cmd_option options[] = {
		{"all", CMD_FLAG, &is_all, 0, NULL},
		{NULL, CMD_FLAG, NULL, 0, NULL},
	};
	struct cmd_files files;
	int status = cmd_parse(argc, argv, options, help, &files);
	size_t i;

	if (status != 0)
		return status > 0 ? CMD_OK : CMD_USAGE;
	if (files.n == 0) {
		cmd_complain(argv[0],
			     "which profile? 'cprof info FILE', such as cpu.pb.gz of 'cprof run'");
		return CMD_USAGE;
	}
	status = CMD_OK;
	for (i = 0; i < files.n; i++) {
		if (print_file(files.paths[i], is_all, !has_printed, argv[0]) < 0)
			status = CMD_FAILED;
		else
			has_printed = true;
	}
	return status;
}
