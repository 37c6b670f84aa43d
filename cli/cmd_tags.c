#include "cli/cmd.h"
#include "output/tags.h"

static const char help[] =
	"usage: cprof tags [OPTION…] [PROGRAM] FILE…\n"
	"\n"
	"Prints the keys of the labels that samples carry, such as thread, and for each\n"
	"of their values how much it stands for. Several files are added up.\n"
	"\n"
	"which number   -sample_index=NAME|N  -unit=UNIT\n"
	"which samples  -focus=RE  -ignore=RE  -tagfocus=…  -tagignore=…\n"
	"which labels   -tagshow=RE  -taghide=RE\n"
	"\n"
	"  cprof tags wall.pb.gz\n"
	"  cprof tags -focus=parse -tagshow='^thread$' cpu.pb.gz\n"
	"\n"
	"Next: 'cprof top -tagfocus=KEY=VALUE FILE' shows what is behind one value,\n"
	"'cprof tree -tagroot=KEY FILE' each value as a caller. More: cprof-tags(1).\n";

int cmd_tags(int argc, char **argv)
{
	static const struct cmd_view view = {.help = help, .print = tags_print, .has_idle = true};

	return cmd_view(argc, argv, &view);
}
