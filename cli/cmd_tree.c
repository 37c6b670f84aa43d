#include "cli/cmd.h"
#include "output/tree.h"

static const char help[] =
	"usage: cprof tree [OPTION…] [PROGRAM] FILE…\n"
	"\n"
	"Prints each function with the functions that call it above and those that it\n"
	"calls below, and how much came or went that way. The functions that use most\n"
	"come first, 80 of them. Several files are added up.\n"
	"\n"
	"              calls calls% |   a caller, and what it is the cause of\n"
	"  flat flat% sum% cum cum% | the function, as in 'cprof top'\n"
	"              calls calls% |   what it calls; calls% is of the function's cum\n"
	"\n"
	"Options are those of 'cprof top': -cum, -focus=RE, -nodecount=N, -lines …\n"
	"\n"
	"  cprof tree -cum cpu.pb.gz | less\n"
	"  cprof tree -focus=parse -nodecount=20 cpu.pb.gz\n"
	"\n"
	"Next: 'cprof peek RE FILE' shows the same of some functions, 'cprof traces\n"
	"FILE' whole stacks. More: cprof-tree(1).\n";

int cmd_tree(int argc, char **argv)
{
	static const struct cmd_view view = {.help = help, .print = tree_print};

	return cmd_view(argc, argv, &view);
}
