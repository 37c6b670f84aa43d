/*
 * cprof run: a program under profile, from its start to its end, however that comes.
 *
 *     cprof run ── fork ── exec PROGRAM (libcprof.so preloaded)
 *         │                    │  its segment's memfd, by the session's socket
 *         │ ←──────────────────┘  (and so does every child that it forks or runs)
 *         │ waits; the program may end by exit, signal or kill
 *         └ writes the profiles from the segments, passes the status on
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "cli/job.h"
#include "cli/program.h"
#include "cli/recording.h"
#include "core/option.h"
#include "core/profile.h"
#include "core/session.h"

enum { STATUS_OURS = 125, STATUS_NOT_RUNNABLE = 126, STATUS_NOT_FOUND = 127 };

static const char usage[] =
	"usage: cprof run [-p SPEC] [-o DIR] [--] PROGRAM [ARG...]\n"
	"\n"
	"Runs PROGRAM and writes where its time went. No rebuild, no root. Its output and "
	"exit\n"
	"status are its own; a profile is written however it ends.\n"
	"\n"
	"  -p, --profile SPEC  what to record, as in cprof(7): cpu, wall, threads, all, "
	"cpu=250,depth=64 ...\n"
	"                      (default: cpu, 100 samples a second of CPU time)\n"
	"  -o, --output DIR    where to write (default: cprof.NAME.PID here)\n"
	"  -h, --help          this text\n"
	"\n"
	"example:  cprof run -p cpu=1000 -o prof -- xz -9 -k file.tar\n"
	"          cprof top prof/cpu.pb.gz\n";

struct run {
	struct option_set options;
	char library[4096];
	struct program program;
	char **argv;
};

static unsigned available_profiles(void)
{
	unsigned bits = 0;

	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
		bits |= (*p)->bit;
	return bits;
}

static int fail(const char *text)
{
	fprintf(stderr, "cprof: %s\n", text);
	return STATUS_OURS;
}

static int parse(int argc, char **argv, struct run *ret)
{
	static const struct option longs[] = {
		{"profile", required_argument, NULL, 'p'},
		{"output", required_argument, NULL, 'o'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	const char *spec = "cpu", *directory = NULL;
	struct why why = {""};
	int option;

	optind = 1;
	while ((option = getopt_long(argc, argv, "+p:o:h", longs, NULL)) != -1) {
		switch (option) {
		case 'p':
			spec = optarg;
			break;
		case 'o':
			directory = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs("cprof: `cprof run --help` lists the options\n", stderr);
			return STATUS_OURS;
		}
	}
	if (option_parse(spec, available_profiles() | OPTION_HTTP, &ret->options, &why) < 0)
		return fail(why.text);
	if (ret->options.profiles == 0)
		return fail("nothing to record: -p names no profile; try -p cpu");
	if (directory != NULL) {
		/* a directory given by name is that name: no %n in it */
		if (strlen(directory) >= sizeof(ret->options.out) / 2 || directory[0] == '\0')
			return fail("-o: the directory's name is empty or too long");
		char *to = ret->options.out;

		for (const char *from = directory; *from != '\0'; from++) {
			if (*from == '%')
				*to++ = '%';
			*to++ = *from;
		}
		*to = '\0';
		ret->options.given |= 1u << OPTION_ID_OUT;
	}
	if (optind == argc) {
		fputs("cprof: no program to run\n", stderr);
		fputs(usage, stderr);
		return STATUS_OURS;
	}
	ret->argv = argv + optind;
	return -1;
}

/* The environment outranks what the program itself answers. What the user says about it stands. */
static int set_asan_options(void)
{
	const char *before = getenv("ASAN_OPTIONS");
	char *after;
	int r;

	if (before != NULL && strstr(before, "verify_asan_link_order") != NULL)
		return 0;
	if (asprintf(&after, "%s%sverify_asan_link_order=0", before ? before : "",
		     before && *before ? ":" : "") < 0)
		return -1;
	r = setenv("ASAN_OPTIONS", after, 1);
	free(after);
	return r;
}

/* The environment of the program: ours, with the library in front and what to record. */
static int set_environment(const struct run *run, const char *socket_path)
{
	const char *before = getenv("LD_PRELOAD");
	char text[OPTION_TEXT_MAX], preload[8192];
	int n;

	if (option_print(&run->options, text, sizeof(text)) < 0)
		return -ENAMETOOLONG;
	if (run->program.answers_asan && set_asan_options() < 0)
		return -errno;
	n = snprintf(preload, sizeof(preload), "%s%s%s", run->library, before && *before ? ":" : "",
		     before ? before : "");
	if (n >= (int)sizeof(preload))
		return -ENAMETOOLONG;
	return setenv("LD_PRELOAD", preload, 1) || setenv("CPROF", text, 1) ||
			       setenv(SESSION_VARIABLE, socket_path, 1)
		       ? -errno
		       : 0;
}

/* The child's side: waits for the word to go, so that a missing directory is known before anything runs. */
static void become_program(const struct run *run, const char *socket_path, int gate, int report)
{
	char word;
	int error;

	if (read(gate, &word, 1) != 1)
		_exit(STATUS_OURS);
	close(gate);
	if (set_environment(run, socket_path) == 0)
		execv(run->program.path, run->argv);
	error = errno;
	if (write(report, &error, sizeof(error)) != sizeof(error))
		_exit(STATUS_OURS);
	_exit(error == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_RUNNABLE);
}

/* Ends as the program did. */
static int end_like(int status)
{
	struct rlimit no_core = {0, 0};
	sigset_t all;
	int sig;

	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	sig = WTERMSIG(status);
	setrlimit(RLIMIT_CORE, &no_core); /* the program has left one, if anybody wants it */
	fflush(NULL);
	signal(sig, SIG_DFL);
	sigemptyset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	raise(sig);
	return 128 + sig;
}

static int make_directory(const struct run *run, struct recording *recording, pid_t pid)
{
	char host[256] = "", directory[4096];
	struct option_names names = {
		.program = run->argv[0], .host = host, .pid = pid, .unix_time_sec = time(NULL)};
	struct why why = {""};
	int r;

	gethostname(host, sizeof(host) - 1);
	r = option_expand(run->options.out, &names, directory, sizeof(directory), &why);
	if (r >= 0)
		r = recording_set_directory(recording, directory, pid, &why);
	if (r < 0)
		fail(why.text);
	return r;
}

static int start_program(const struct run *run, struct recording *recording, pid_t *ret_pid,
			 int *ret_report)
{
	int gate[2], report[2];
	pid_t pid;

	if (pipe2(gate, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	job_hold();
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		job_restore();
		close(gate[1]);
		close(report[0]);
		become_program(run, recording_socket(recording), gate[0], report[1]);
	}
	if (run->options.profiles & OPTION_THREADS)
		job_keep(SIGQUIT, recording_ask_snapshot);
	job_begin(pid, run->argv);
	close(gate[0]);
	close(report[1]);
	if (make_directory(run, recording, pid) < 0) {
		close(gate[1]);
		waitpid(pid, NULL, 0);
		job_end();
		return STATUS_OURS;
	}
	if (write(gate[1], "g", 1) != 1)
		return -errno;
	close(gate[1]);
	*ret_pid = pid;
	*ret_report = report[0];
	return 0;
}

int cmd_run(int argc, char **argv)
{
	struct run run = {0};
	struct recording *recording;
	struct why why = {""};
	int r, status = 0, report = -1, error;
	pid_t pid = -1;

	r = parse(argc, argv, &run);
	if (r >= 0)
		return r;
	r = program_find(run.argv[0], &run.program, &why);
	if (r < 0) {
		fail(why.text);
		return r == -ENOENT   ? STATUS_NOT_FOUND
		       : r == -EACCES ? STATUS_NOT_RUNNABLE
				      : STATUS_OURS;
	}
	r = program_find_library(run.library, sizeof(run.library), &why);
	if (r == 0)
		r = recording_begin(&recording, all_profiles, &why);
	if (r < 0)
		return fail(why.text);

	recording_set_options(recording, &run.options);
	r = start_program(&run, recording, &pid, &report);
	if (r == 0) {
		r = recording_wait(recording, pid, job_stopped, &status);
		job_end();
	} else {
		recording_end(recording, false);
		return r == STATUS_OURS ? r : fail(strerror(-r));
	}
	if (read(report, &error, sizeof(error)) == (ssize_t)sizeof(error)) {
		fprintf(stderr, "cprof: cannot run %s: %s\n", run.argv[0], strerror(error));
		recording_end(recording, false);
		return error == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_RUNNABLE;
	}
	recording_end(recording, true);
	return r < 0 ? fail(strerror(-r)) : end_like(status);
}
