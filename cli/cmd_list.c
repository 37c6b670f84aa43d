#include "cli/cmd.h"
#include "output/annotate.h"

static const char help[] =
	"usage: cprof list [OPTION…] EXPRESSION [PROGRAM] FILE…\n"
	"\n"
	"Prints the source of each function whose name matches EXPRESSION, with what each\n"
	"line is the cause of. Several files are added up.\n"
	"  flat  of the line itself      cum  of it and of all that was called there\n"
	"\n"
	"where sources are  -source_path=DIR[:DIR…]: in place of the working directory\n"
	"                   -trim_path=PREFIX[:PREFIX…]: their names without these\n"
	"\n"
	"Other options are those of 'cprof top': -focus=RE, -sample_index=NAME, -noinlines …\n"
	"\n"
	"  cprof list '^parse$' cpu.pb.gz\n"
	"  cprof list parse 1234/heap\n"
	"  cprof list -trim_path=/build/app -source_path=$HOME/app parse cpu.pb.gz\n"
	"\n"
	"Next: 'cprof top -lines FILE' has the lines of all functions. More:\n"
	"cprof-list(1).\n";

int cmd_list(int argc, char **argv)
{
	static const struct cmd_view view = {
		.help = help, .print = list_print, .has_expression = true, .is_by_line = true};

	return cmd_view(argc, argv, &view);
}
