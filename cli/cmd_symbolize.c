#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cmd.h"
#include "cli/result.h"
#include "output/symbolize.h"
#include "output/symbols.h"

static const char help[] =
	"usage: cprof symbolize [-o OUT] [OPTION…] [PROGRAM] FILE…\n"
	"\n"
	"Fills in functions, source files, lines and inlined calls where a profile has\n"
	"only addresses: one of another tool, or of a machine without the debugging\n"
	"information. What has names stays as it is. Files are looked for where the\n"
	"profile says; one with another build id is not taken. Several profiles are\n"
	"added up first.\n"
	"\n"
	"  -o OUT              write there; else to standard output\n"
	"  -build-id-dir=DIR   look there, too: .build-id/ab/cd….debug, ab/cd….debug,\n"
	"                      BUILD-ID/NAME, as the path below it, and by name; may be\n"
	"                      given several times\n"
	"  -debuginfod         ask the servers of DEBUGINFOD_URLS for what is not here\n"
	"  -force              also where there are names\n"
	"  PROGRAM             an ELF file: the main program in place of the profile's\n"
	"\n"
	"A FILE may also be a process, a socket or an address, as for 'cprof top'.\n"
	"\n"
	"  cprof symbolize -o named.pb.gz -build-id-dir=symbols heap.pb.gz\n"
	"\n"
	"Next: 'cprof top OUT'. More: cprof-symbolize(1).\n";

struct asked {
	const char *to;
	bool is_forced, with_servers;
	struct cmd_list directories;
	struct cmd_files files;
	struct sources sources;
};

static void note(const char *text)
{
	cmd_complain("symbolize", "%s", text);
}

static int prepare(const struct asked *a, const char *command)
{
	struct why why = {"out of memory"};

	if (a->with_servers && symbols_use_debuginfod(&why) < 0) {
		cmd_complain(command, "-debuginfod: %s", why.text);
		return CMD_USAGE;
	}
	for (size_t i = a->directories.n; i-- > 0;) { /* the last one said comes first */
		if (symbols_add_directory(a->directories.items[i]) < 0) {
			cmd_complain(command, "out of memory");
			return CMD_FAILED;
		}
	}
	return CMD_OK;
}

static int symbolize(struct asked *a, const char *command)
{
	struct symbolize done = {.directories = a->directories.items,
				 .directories_n = (uint32_t)a->directories.n,
				 .is_forced = a->is_forced,
				 .note = note};
	struct report_options how = report_defaults;
	struct why why = {"out of memory"};
	struct profile profile;
	int r;

	how.program = cmd_take_program(&a->files);
	r = cmd_read(&a->files, &a->sources, &how, &profile, &why);
	if (r < 0) {
		cmd_complain(command, "%s", why.text);
		return r == -EINVAL ? CMD_USAGE : CMD_FAILED;
	}
	r = symbolize_profile(&done, &profile);
	if (r == 0)
		r = result_write_profile(&profile, a->to, &why);
	profile_fini(&profile);
	if (r < 0) {
		cmd_complain(command, "%s", why.text);
		return CMD_FAILED;
	}
	fprintf(stderr,
		"cprof: names for %u of %u places, in %u of %u programs and libraries%s%s\n",
		done.named_n, done.wanted_n, done.known_n, done.mappings_n,
		a->to != NULL ? "; next: cprof top " : "", a->to != NULL ? a->to : "");
	return CMD_OK;
}

int cmd_symbolize(int argc, char **argv)
{
	struct asked a = {0};
	const struct cmd_option options[] = {
		{"o", CMD_TEXT, &a.to, 0, NULL},
		{"output", CMD_TEXT, &a.to, 0, NULL},
		{"build-id-dir", CMD_LIST, &a.directories, 0, NULL},
		{"debuginfod", CMD_FLAG, &a.with_servers, 0, NULL},
		{"force", CMD_FLAG, &a.is_forced, 0, NULL},
		CMD_SOURCE_OPTIONS(&a.sources),
		{NULL, CMD_FLAG, NULL, 0, NULL},
	};
	int status;

	status = cmd_parse(argc, argv, options, help, &a.files);
	if (status != 0)
		status = status > 0 ? CMD_OK : CMD_USAGE;
	else if (cmd_need_files(argv[0], &a.files) != CMD_OK ||
		 result_check_terminal(a.to, argv[0], "a profile") != CMD_OK)
		status = CMD_USAGE;
	else if ((status = prepare(&a, argv[0])) == CMD_OK)
		status = symbolize(&a, argv[0]);
	free(a.directories.items);
	sources_fini(&a.sources);
	return status;
}
