#include "cli/cmd.h"
#include "output/tree.h"

static const char help[] =
	"usage: cprof peek [OPTION…] EXPRESSION [PROGRAM] FILE…\n"
	"\n"
	"Who calls these functions, and what do they call? Prints each function whose\n"
	"name matches EXPRESSION with its callers above and its callees below, however\n"
	"small. Several files are added up.\n"
	"\n"
	"              calls calls% |   a caller, and what it is the cause of\n"
	"  flat flat% sum% cum cum% | the function, as in 'cprof top'\n"
	"              calls calls% |   what it calls; calls% is of the function's cum\n"
	"\n"
	"Options are those of 'cprof top': -focus=RE, -sample_index=NAME, -lines …\n"
	"\n"
	"  cprof peek '^malloc$' cpu.pb.gz\n"
	"  cprof peek parse -lines cpu.pb.gz\n"
	"\n"
	"Next: 'cprof tree FILE' shows all functions like that. More: cprof-peek(1).\n";

int cmd_peek(int argc, char **argv)
{
	static const struct cmd_view view = {
		.help = help, .print = peek_print, .has_expression = true};

	return cmd_view(argc, argv, &view);
}
