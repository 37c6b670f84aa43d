#include "cli/cmd.h"
#include "output/top.h"

static const char help[] =
	"usage: cprof top [OPTION…] [PROGRAM] FILE…\n"
	"\n"
	"Prints where the time, the memory or the waiting goes, one line for each\n"
	"function. Several files are added up.\n"
	"  flat  in the function itself      cum  in it and in all that it called\n"
	"\n"
	"which number   -sample_index=NAME|N  -mean  -unit=UNIT  -divide_by=N\n"
	"               -inuse_space  -alloc_objects  -contentions  -total_delay …\n"
	"which samples  -focus=RE  -ignore=RE  -relative_percentages\n"
	"               -tagfocus=[KEY=]RE|RANGE  -tagignore=[KEY=]RE|RANGE\n"
	"               -idle: also waiting that is idle, left out otherwise\n"
	"less of        -base=FILE  -diff_base=FILE: percentages of FILE  -normalize\n"
	"which frames   -show=RE  -hide=RE  -show_from=RE  -prune_from=RE  -noinlines\n"
	"               -tagroot=KEY,…  -tagleaf=KEY,…: labels as frames\n"
	"a line is      -functions (default)  -filefunctions  -files  -lines  -addresses\n"
	"               -trim_path=LIST  -source_path=LIST: what is taken off files\n"
	"how many       -nodecount=N  -nodefraction=F (0.005)  -edgefraction=F (0.001)\n"
	"               -trim=false: all of them\n"
	"in what order  -flat (default)  -cum\n"
	"others         -drop_negative  -compact_labels  -symbolize=none\n"
	"\n"
	"  cprof top -cum -nodecount=20 cpu.pb.gz\n"
	"  cprof top -sample_index=alloc_space -focus=parse heap.pb.gz\n"
	"\n"
	"Next: 'cprof tree FILE' shows who calls whom, 'cprof traces FILE' each stack,\n"
	"'go tool pprof -http=: FILE' draws them. More: cprof-top(1).\n";

int cmd_top(int argc, char **argv)
{
	static const struct cmd_view view = {.help = help, .print = top_print};

	return cmd_view(argc, argv, &view);
}
