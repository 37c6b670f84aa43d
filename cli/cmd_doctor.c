#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cli/cmd.h"
#include "cli/doctor.h"
#include "core/profile.h"

static const char help[] =
	"usage: cprof doctor [-json] [PROGRAM | PID]\n"
	"\n"
	"Says what of cprof works on this machine, for this user, and what to do about\n"
	"the rest. Everything is tried, in processes of its own; nothing is left behind.\n"
	"\n"
	"  PROGRAM       and whether it can be profiled, and what its profiles will show;\n"
	"                it is looked at, not run\n"
	"  PID           and whether this process is recorded, and can be spoken to\n"
	"\n"
	"  ok      works\n"
	"  note    good to know\n"
	"  partly  something is missing from a profile, or its names\n"
	"  no      does not work\n"
	"\n"
	"  -json         the same as JSON\n"
	"\n"
	"exit status: 0 all profiles work, 1 some do not, or in part, 2 wrong usage\n"
	"\n"
	"  cprof doctor\n"
	"  cprof doctor ./server\n"
	"  cprof doctor $(pidof server)\n"
	"\n"
	"Next: 'cprof run -p all -- PROGRAM' records it. More: cprof-doctor(1).\n";

/* A number is a process, unless it is a file here. */
static pid_t read_pid(const char *word)
{
	char *end;
	long pid = strtol(word, &end, 10);

	return *end == '\0' && pid > 0 && pid <= INT32_MAX && word[0] != '+' ? (pid_t)pid : 0;
}

static int status_of(const struct doctor *d)
{
	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
		if (!(*p)->is_view && doctor_verdict(d, (*p)->bit) != DOCTOR_OK)
			return CMD_FAILED;
	return CMD_OK;
}

int cmd_doctor(int argc, char **argv)
{
	struct doctor *d;
	bool is_json = false;
	const struct cmd_option options[] = {
		{"json", CMD_FLAG, &is_json, 0, NULL},
		{NULL, CMD_FLAG, NULL, 0, NULL},
	};
	struct cmd_files words;
	pid_t pid;
	int status;

	if (argc == 2 && strcmp(argv[1], DOCTOR_HOST) == 0)
		return doctor_host();
	status = cmd_parse(argc, argv, options, help, &words);
	if (status != 0)
		return status > 0 ? CMD_OK : CMD_USAGE;
	if (words.n > 1) {
		cmd_complain(argv[0], "of one program at a time: 'cprof doctor PROGRAM'");
		return CMD_USAGE;
	}
	d = mmap(NULL, sizeof(*d), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (d == MAP_FAILED) {
		cmd_complain(argv[0], "no memory: %s", strerror(errno));
		return CMD_FAILED;
	}
	doctor_machine(d);
	doctor_places(d);
	doctor_trial(d);
	pid = words.n == 1 ? read_pid(words.paths[0]) : 0;
	if (pid != 0)
		doctor_process(d, pid);
	else if (words.n == 1)
		doctor_program(d, words.paths[0]);
	if (is_json)
		doctor_print_json(d, stdout);
	else
		doctor_print(d, stdout);
	if (fflush(stdout) != 0) {
		cmd_complain(argv[0], "the output was not taken");
		return CMD_FAILED;
	}
	return status_of(d);
}
