/*
 * cprof ctl: what a process that is recorded does at another's word. Its launcher is asked (core/session.h), which leaves word in
 * the process's segment.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "cli/fetch.h"
#include "cli/result.h"
#include "core/session.h"

#define FETCH_SEC 60 /* for a reply, beyond the seconds it is asked for */
#define TOP_SEC   5

#define WAIT_MS 10000 /* for the launcher, and for a pipe that takes nothing */

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

/* What a session is asked. */
struct question {
	enum session_what what;
	const char *text;
};

/* The value of CPROF_SESSION with which the process began, into @ret. 0; 1: it has none; or a negative errno. */
static int read_session(pid_t pid, char *ret, size_t size)
{
	static const char name[] = SESSION_VARIABLE "=";
	char path[64], *line = NULL;
	size_t room = 0;
	ssize_t n;
	FILE *f;
	int r = 1;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return -errno;
	errno = 0;
	while (r == 1 && (n = getdelim(&line, &room, '\0', f)) > 0)
		if (strncmp(line, name, sizeof(name) - 1) == 0) {
			snprintf(ret, size, "%s", line + sizeof(name) - 1);
			r = 0;
		}
	if (r == 1 && ferror(f))
		r = -errno;
	free(line);
	fclose(f);
	return r;
}

static bool is_own(const char *path)
{
	char directory[PATH_MAX];
	struct stat st;

	snprintf(directory, sizeof(directory), "%.*s", (int)(strrchr(path, '/') - path), path);
	return lstat(directory, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

/* Said by a session that does not know the process, has just ended, or is of another version. */
static bool is_elsewhere(int r)
{
	return r == -ESRCH || r == -ENOENT || r == -ECONNREFUSED || r == -ECONNRESET;
}

/*
 * A program may write over its environment, as those do that set a title. Then it is in one of this user's sessions or in none.
 */
static int ask_all_sessions(pid_t pid, const struct question *q, int *ret_fd, struct why *why)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char pattern[PATH_MAX];
	glob_t found = {0};
	int r = -ESRCH;

	glob("/tmp/cprof-*/*", 0, NULL, &found);
	if (runtime != NULL && runtime[0] == '/') {
		snprintf(pattern, sizeof(pattern), "%s/cprof-*/*", runtime);
		glob(pattern, found.gl_pathc > 0 ? GLOB_APPEND : 0, NULL, &found);
	}
	for (size_t i = 0; i < found.gl_pathc && is_elsewhere(r); i++)
		if (is_own(found.gl_pathv[i]))
			r = session_ask(found.gl_pathv[i], pid, q->what, q->text, WAIT_MS, ret_fd,
					why);
	globfree(&found);
	if (is_elsewhere(r))
		why_set(why,
			"process %d does not run under `cprof run`, or its launcher has ended: "
			"start it by cprof run -- PROGRAM",
			(int)pid);
	return r;
}

static int ask(pid_t pid, const struct question *q, int *ret_fd, struct why *why)
{
	char session[256];
	int r = read_session(pid, session, sizeof(session));

	if (r == 0) {
		r = session_ask(session, pid, q->what, q->text, WAIT_MS, ret_fd, why);
		if (r == -ENOENT || r == -ECONNREFUSED)
			why_set(why, "the `cprof run` of process %d has ended", (int)pid);
		return r;
	}
	if (r == 1)
		return ask_all_sessions(pid, q, ret_fd, why);
	if (r == -ENOENT || r == -ESRCH)
		why_set(why, "there is no process %d", (int)pid);
	else if (r == -EACCES || r == -EPERM)
		why_set(why, "process %d is another user's", (int)pid);
	else
		why_set(why, "cannot read the environment of process %d: %s", (int)pid,
			strerror(-r));
	return r;
}

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
	bool is_cpu = strcmp(name, "cpu") == 0, is_timed = is_cpu || strcmp(name, "wall") == 0;
	int seconds = c->seconds == 0 && is_timed && c->debug == 0 ? 30 : c->seconds, from, r;
	char target[256], seconds_text[32] = "";

	if (strcmp(name, "trace") == 0 && seconds == 0) {
		r = ask(c->pid, &q, &from, why);
		return r < 0 ? r : from;
	}
	if (seconds > 0)
		snprintf(seconds_text, sizeof(seconds_text), "?seconds=%d", seconds);
	if (c->debug > 0)
		snprintf(seconds_text + strlen(seconds_text),
			 sizeof(seconds_text) - strlen(seconds_text), "%cdebug=%d",
			 seconds > 0 ? '&' : '?', c->debug);
	snprintf(target, sizeof(target), "/debug/pprof/%s%s",
		 is_cpu && c->debug == 0 ? "profile" : name, seconds_text);
	r = fetch(c->pid, target, (unsigned)seconds + FETCH_SEC, why);
	if (r == -ENOENT || r == -ECONNREFUSED)
		why_set(why,
			"nobody answers for process %d: it does not run under `cprof run`, or that "
			"has "
			"ended, or is another user's",
			(int)c->pid);
	return r;
}

/* It goes into a URL. */
static bool is_name(const char *name)
{
	return name[0] != '\0' && strlen(name) < 64 &&
	       name[strspn(name,
			   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")] ==
		       '\0';
}

static int dump(const struct ctl *c)
{
	char standard[128];
	const char *to = c->to, *name = c->words_n == 1 ? c->words[0] : "";
	struct why why = {""};
	struct stat st = {0};
	bool is_trace = strcmp(name, "trace") == 0;
	int from, r;

	if (!is_name(name)) {
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

	if (!is_name(name) || c->words_n > 1 || c->debug > 0 || c->to != NULL ||
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
	r = ask(c->pid, &q, &from, &why);
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
	r = ask(c->pid, &q, &none, &why);
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
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(words.paths[1], verbs[i].name) == 0)
			return verbs[i].run(&c);
	cmd_complain(argv[0], "what it can do is status, start, stop, dump and top");
	return CMD_USAGE;
}
