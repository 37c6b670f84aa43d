#include <errno.h>

#include "cli/cmd.h"
#include "cli/result.h"

static const char help[] =
	"usage: cprof merge [-o OUT] [PROGRAM] FILE…\n"
	"\n"
	"Adds profiles of one kind up into one, as pprof does when it is given several:\n"
	"equal stacks are one sample, runs at other addresses go together by build id,\n"
	"durations are added, the earliest time stays. One file alone is cleaned up,\n"
	"and what is in an old format (gperftools, jemalloc, Go's debug=1) becomes a\n"
	"profile of today.\n"
	"\n"
	"  -o OUT   write there; else to standard output\n"
	"  PROGRAM  an ELF file: the name of the main program in place of the profile's\n"
	"\n"
	"A FILE may also be a process, a socket or an address, as for 'cprof top'.\n"
	"\n"
	"  cprof merge -o week.pb.gz monday/cpu.pb.gz tuesday/cpu.pb.gz\n"
	"\n"
	"Next: 'cprof top OUT'. More: cprof-merge(1).\n";

int cmd_merge(int argc, char **argv)
{
	struct sources sources = {0};
	const char *to = NULL;
	const struct cmd_option options[] = {
		{"o", CMD_TEXT, &to, 0, NULL},
		{"output", CMD_TEXT, &to, 0, NULL},
		CMD_SOURCE_OPTIONS(&sources),
		{NULL, CMD_FLAG, NULL, 0, NULL},
	};
	struct cmd_files files;
	struct report_options how = report_defaults;
	struct profile profile;
	struct why why;
	int status, error;

	status = cmd_parse(argc, argv, options, help, &files);
	if (status != 0)
		return status > 0 ? CMD_OK : CMD_USAGE;
	if (cmd_need_files(argv[0], &files) != CMD_OK ||
	    result_check_terminal(to, argv[0], "a profile") != CMD_OK)
		return CMD_USAGE;
	how.program = cmd_take_program(&files);
	error = cmd_read(&files, &sources, &how, &profile, &why);
	sources_fini(&sources);
	if (error < 0) {
		cmd_complain(argv[0], "%s", why.text);
		return error == -EINVAL ? CMD_USAGE : CMD_FAILED;
	}
	if (profile.has_wrapped) {
		cmd_complain(argv[0],
			     "the values of a stack add up to more than 63 bits hold; one of "
			     "the files is damaged");
		profile_fini(&profile);
		return CMD_FAILED;
	}
	error = result_write_profile(&profile, to, &why);
	profile_fini(&profile);
	if (error < 0)
		cmd_complain(argv[0], "%s", why.text);
	return error < 0 ? CMD_FAILED : CMD_OK;
}
