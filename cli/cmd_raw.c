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
	"which frames   -show=RE  -hide=RE  -show_from=RE  -prune_from=RE\n"
	"               -tagroot=KEY,…  -tagleaf=KEY,…: labels as frames\n"
	"which labels   -tagshow=RE  -taghide=RE\n"
	"less of        -base=FILE  -diff_base=FILE  -normalize\n"
	"names          -symbolize=none: as the file has them\n"
	"\n"
	"  cprof raw cpu.pb.gz | less\n"
	"  cprof raw -focus=main -tagfocus=thread=worker cpu.pb.gz\n"
	"\n"
	"Next: 'cprof top FILE' adds it up by function, 'cprof check FILE' says who can\n"
	"read it. More: cprof-raw(1).\n";

int cmd_raw(int argc, char **argv)
{
	static const struct cmd_view view = {
		.help = help, .print = raw_print, .has_idle = true, .is_everything = true};

	return cmd_view(argc, argv, &view);
}
