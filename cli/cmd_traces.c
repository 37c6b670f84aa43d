#include "cli/cmd.h"
#include "output/traces.h"

static const char help[] =
	"usage: cprof traces [OPTION…] [PROGRAM] FILE…\n"
	"\n"
	"Prints each sample: its labels, its value, and its stack, innermost function\n"
	"first. Several files are added up.\n"
	"\n"
	"which number   -sample_index=NAME|N  -mean  -unit=UNIT  -divide_by=N\n"
	"which samples  -focus=RE  -ignore=RE  -tagfocus=…  -tagignore=…\n"
	"which frames   -show=RE  -hide=RE  -show_from=RE  -prune_from=RE  -noinlines\n"
	"which labels   -tagshow=RE  -taghide=RE  -tagroot=KEYS  -tagleaf=KEYS\n"
	"a frame is     -functions (default)  -filefunctions  -files  -lines  -addresses\n"
	"\n"
	"  cprof traces -focus=parse -lines cpu.pb.gz | less\n"
	"  cprof traces -tagfocus=thread=worker wall.pb.gz\n"
	"\n"
	"Next: 'cprof tree FILE' adds them up by function, 'cprof tags FILE' lists the\n"
	"labels. More: cprof-traces(1).\n";

int cmd_traces(int argc, char **argv)
{
	static const struct cmd_view view = {.help = help, .print = traces_print, .has_idle = true};

	return cmd_view(argc, argv, &view);
}
