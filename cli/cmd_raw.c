#include <stdio.h>

#include "cli/cmd.h"
#include "output/raw.h"

static const char help[] =
	"usage: cprof raw [OPTION…] [PROGRAM] FILE…\n"
	"\n"
	"Prints all that is in a profile as text: each sample with its values, stack and\n"
	"labels, then the locations and mappings that the numbers in the stacks stand\n"
	"for. Several files are added up.\n"
	"\n"
	"which samples  -focus=RE  -ignore=RE\n"
	"               -tagfocus=[KEY=]RE|RANGE  -tagignore=[KEY=]RE|RANGE\n"
	"which frames   -show=RE  -hide=RE  -show_from=RE\n"
	"names          -symbolize=none: as the file has them\n"
	"\n"
	"  cprof raw cpu.pb.gz | less\n"
	"  cprof raw -focus=main -tagfocus=thread=worker cpu.pb.gz\n"
	"\n"
	"Next: 'cprof top FILE' adds it up by function, 'cprof check FILE' says who can\n"
	"read it. More: cprof-raw(1).\n";

int cmd_raw(int argc, char **argv)
{
	struct cmd_option options[CMD_REPORT_OPTIONS_MAX];
	struct cmd_report r;
	struct cmd_files files;
	struct why why;
	int status;

	cmd_report_init(&r);
	cmd_report_options(&r, options);
	status = cmd_parse(argc, argv, options, help, &files);
	if (status != 0)
		return status > 0 ? CMD_OK : CMD_USAGE;
	/* Everything, whatever else is asked for: that is what raw means. */
	r.granularity = "addresses";
	r.options.no_inlines = false;
	r.options.with_idle = true;
	status = cmd_report_load(&r, argv[0], &files);
	if (status == CMD_OK && raw_print(&r.report, stdout, &why) < 0) {
		cmd_complain(argv[0], "%s", why.text);
		status = CMD_FAILED;
	}
	cmd_report_fini(&r);
	return status;
}
