/*
 * cprof ctl: what a process that is recorded does at another's word. Its launcher is asked (core/session.h), which leaves word in
 * the process's segment.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/asking.h"
#include "cli/cmd.h"
#include "cli/fetch.h"
#include "cli/result.h"
#include "core/session.h"

#define FETCH_SEC 60 /* for a reply, beyond the seconds it is asked for */
#define TOP_SEC   5

#define FETCH_BYTES_MAX (INT64_C(8) << 30) /* of a trace */

#define WAIT_MS ASKING_WAIT_MS /* for a pipe that takes nothing */

static const char help[] =
	"usage: cprof ctl PID status\n"
	"       cprof ctl PID start SPEC\n"
	"       cprof ctl PID stop NAME...\n"
	"       cprof ctl PID dump NAME [-seconds N] [-debug N] [-o FILE]\n"
	"       cprof ctl PID top [NAME] [-seconds N]\n"
	"\n"
	"Speaks to the `cprof run` that process PID runs under. The process goes on.\n"
	"\n"
	"  status        what is on, and what it has counted\n"
	"  start SPEC    starts profiles, or goes on with other values: the words of\n"
	"                cprof run -p, such as cpu=250,heap=64k\n"
	"  stop NAME...  stops them; what they have counted stays\n"
	"  dump NAME     writes a profile as it is now, or what comes in the next seconds;\n"
	"                trace: up to this moment, with `cprof run -p trace,ring=30s` the\n"
	"                last seconds\n"
	"  top [NAME]    where CPU time goes in the next 5 seconds, or another profile\n"
	"\n"
	"  -seconds N    a window of so many seconds from now on; of cpu and wall, which\n"
	"                run for it if they are off, 30 by default\n"
	"  -debug N      as text: 1 by stack, 2 thread by thread\n"
	"  -o FILE       where to (default: NAME.PID.pb.gz, .txt or .out here); - is\n"
	"                standard output\n"
	"\n"
	"exit status: 0 done, 1 it could not be done, 2 wrong usage\n"
	"\n"
	"  cprof ctl $(pidof server) top\n"
	"  cprof ctl $(pidof server) dump heap\n"
	"  cprof ctl $(pidof server) start block=1ms\n"
	"\n"
	"Next: 'cprof top heap.PID.pb.gz' shows it. More: cprof-ctl(1).\n";

struct ctl {
	const char *name; /* of the command, for errors */
	pid_t pid;
	char *const *words; /* behind the verb */
	size_t words_n;
	const char *to;     /* NULL: not given */
	int seconds, debug; /* 0: not given */
};

/* Under its name only when it is whole. */
static int copy_to_file(int from, const char *path, struct why *why)
{
	struct result to;
	int r = result_open(&to, path, why);

	if (r < 0)
		return r;
	r = session_copy(from, to.fd, WAIT_MS);
	if (r < 0) {
		why_set(why, "cannot write %s: %s", path, strerror(-r));
		result_abandon(&to);
		return r;
	}
	return result_commit(&to, why);
}

/* Its trace up to now, which is the session's to give; or what comes, which is the endpoint's, like all profiles. */
static int get(const struct ctl *c, const char *name, struct why *why)
{
	const struct question q = {SESSION_TRACE, NULL};
	struct fetch_limits limits = {.wait_sec = FETCH_SEC, .bytes_max = FETCH_BYTES_MAX};
	char target[256];
	int from, r;

	if (strcmp(name, "trace") == 0 && c->seconds == 0) {
		r = asking(c->pid, &q, &from, why);
		return r < 0 ? r : from;
	}
	if (c->debug > 0)
		snprintf(target, sizeof(target), "/debug/pprof/%s?debug=%d", name, c->debug);
	else
		fetch_target(name, c->seconds, target, sizeof(target));
	limits.wait_sec += (unsigned)url_seconds(target);
	return fetch_process(c->pid, target, &limits, why);
}

static int dump(const struct ctl *c)
{
	char standard[128];
	const char *to = c->to, *name = c->words_n == 1 ? c->words[0] : "";
	struct why why = {""};
	struct stat st = {0};
	bool is_trace = strcmp(name, "trace") == 0;
	int from, r;

	if (!fetch_is_name(name)) {
		cmd_complain(c->name, "dump what? 'cprof ctl PID dump heap'");
		return CMD_USAGE;
	}
	if (to == NULL) {
		snprintf(standard, sizeof(standard), "%s.%d.%s", name, (int)c->pid,
			 is_trace       ? "out"
			 : c->debug > 0 ? "txt"
					: "pb.gz");
		to = standard;
	}
	r = from = get(c, name, &why);
	if (from >= 0) {
		fstat(from, &st);
		if (strcmp(to, "-") != 0)
			r = copy_to_file(from, to, &why);
		else if ((r = session_copy(from, STDOUT_FILENO, WAIT_MS)) < 0)
			why_set(&why, "standard output: %s", strerror(-r));
		close(from);
	}
	if (r < 0) {
		cmd_complain(c->name, "%s", why.text);
		return CMD_FAILED;
	}
	if (strcmp(to, "-") != 0)
		fprintf(stderr, "cprof: %" PRIu64 " bytes in %s%s%s%s\n", (uint64_t)st.st_size, to,
			c->debug > 0 ? "" : "; next: ",
			c->debug > 0 ? ""
			: is_trace   ? "cprof-trace "
				     : "cprof top ",
			c->debug > 0 ? "" : to);
	return CMD_OK;
}

static int top(const struct ctl *c)
{
	struct ctl asked = *c;
	const char *name = c->words_n == 1 ? c->words[0] : "cpu";
	struct why why = {""};
	char path[64];
	char *argv[] = {(char *)"top", path, NULL};
	int from, status;

	if (!fetch_is_name(name) || c->words_n > 1 || c->debug > 0 || c->to != NULL ||
	    strcmp(name, "trace") == 0) {
		cmd_complain(c->name, "of one profile: 'cprof ctl PID top heap'");
		return CMD_USAGE;
	}
	if (asked.seconds == 0 && (strcmp(name, "cpu") == 0 || strcmp(name, "wall") == 0))
		asked.seconds = TOP_SEC;
	from = get(&asked, name, &why);
	if (from < 0) {
		cmd_complain(c->name, "%s", why.text);
		return CMD_FAILED;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", from);
	status = cmd_top(2, argv);
	close(from);
	return status;
}

static int status(const struct ctl *c)
{
	const struct question q = {SESSION_STATUS, NULL};
	struct why why = {""};
	int from = -1, r;

	if (c->words_n != 0) {
		cmd_complain(c->name, "nothing goes behind it: 'cprof ctl PID status'");
		return CMD_USAGE;
	}
	r = asking(c->pid, &q, &from, &why);
	if (r == 0) {
		r = session_copy(from, STDOUT_FILENO, WAIT_MS);
		if (r < 0)
			why_set(&why, "standard output: %s", strerror(-r));
		close(from);
	}
	if (r < 0)
		cmd_complain(c->name, "%s", why.text);
	return r < 0 ? CMD_FAILED : CMD_OK;
}

/* All words as one text, for start and stop. */
static int change(const struct ctl *c, enum session_what what)
{
	char text[SESSION_ASK_TEXT_MAX + 1] = "";
	const struct question q = {what, text};
	struct why why = {""};
	size_t at = 0;
	int none = -1, r;

	if (c->words_n == 0) {
		cmd_complain(c->name, what == SESSION_START
					      ? "start what? 'cprof ctl PID start cpu,heap'"
					      : "stop what? 'cprof ctl PID stop cpu heap'");
		return CMD_USAGE;
	}
	for (size_t i = 0; i < c->words_n; i++) {
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i > 0 ? "," : "",
				       c->words[i]);
		if (at >= sizeof(text)) {
			cmd_complain(c->name, "these are too many words");
			return CMD_USAGE;
		}
	}
	r = asking(c->pid, &q, &none, &why);
	if (none >= 0)
		close(none);
	if (r < 0)
		cmd_complain(c->name, "%s", why.text);
	else if (why.text[0] != '\0')
		fprintf(stderr, "cprof: %s\n", why.text);
	return r < 0 ? CMD_FAILED : CMD_OK;
}

static int start(const struct ctl *c)
{
	return change(c, SESSION_START);
}

static int stop(const struct ctl *c)
{
	return change(c, SESSION_STOP);
}

/* Stopped, as by ^Z? Its launcher stops with it, as a job does, and nobody would answer before both go on. */
static bool is_stopped(pid_t pid)
{
	char path[64], line[512] = "";
	const char *behind_name;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	if (fgets(line, sizeof(line), f) == NULL)
		line[0] = '\0';
	fclose(f);
	behind_name = strrchr(line, ')');
	return behind_name != NULL && strncmp(behind_name, ") T", 3) == 0;
}

static const struct verb {
	const char *name;
	int (*run)(const struct ctl *c);
} verbs[] = {
	{"dump", dump}, {"start", start}, {"status", status}, {"stop", stop}, {"top", top},
};

int cmd_ctl(int argc, char **argv)
{
	struct ctl c = {.name = argv[0]};
	const struct cmd_option options[] = {
		{"o", CMD_TEXT, &c.to, 0, NULL},           {"output", CMD_TEXT, &c.to, 0, NULL},
		{"seconds", CMD_INT, &c.seconds, 0, NULL}, {"debug", CMD_INT, &c.debug, 0, NULL},
		{NULL, CMD_FLAG, NULL, 0, NULL},
	};
	struct cmd_files words;
	char *end;
	long pid;
	int status = cmd_parse(argc, argv, options, help, &words);

	if (status != 0)
		return status > 0 ? CMD_OK : CMD_USAGE;
	if (words.n < 2) {
		cmd_complain(argv[0], "which process, and what? 'cprof ctl PID status'");
		return CMD_USAGE;
	}
	pid = strtol(words.paths[0], &end, 10);
	if (*end != '\0' || pid <= 0 || pid > INT_MAX) {
		cmd_complain(argv[0],
			     "the number of a process comes first: 'cprof ctl PID status'");
		return CMD_USAGE;
	}
	if (c.seconds < 0 || c.debug < 0 || (c.seconds > 0 && c.debug > 0)) {
		cmd_complain(argv[0],
			     "-seconds and -debug are one or the other, and no less than 1");
		return CMD_USAGE;
	}
	c.pid = (pid_t)pid;
	c.words = words.paths + 2;
	c.words_n = words.n - 2;
	if (is_stopped(c.pid))
		fprintf(stderr,
			"cprof: process %d is stopped, and may not answer before it goes on: kill "
			"-CONT %d\n",
			(int)c.pid, (int)c.pid);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(words.paths[1], verbs[i].name) == 0)
			return verbs[i].run(&c);
	cmd_complain(argv[0], "what it can do is status, start, stop, dump and top");
	return CMD_USAGE;
}
