#include "cli/asking.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
			r = session_ask(found.gl_pathv[i], pid, q->what, q->text, ASKING_WAIT_MS,
					ret_fd, why);
	globfree(&found);
	if (is_elsewhere(r))
		why_set(why,
			"process %d does not run under `cprof run`, or its launcher has ended: "
			"start it by cprof run -- PROGRAM",
			(int)pid);
	return r;
}

int asking(pid_t pid, const struct question *q, int *ret_fd, struct why *why)
{
	char session[256];
	int r = read_session(pid, session, sizeof(session));

	if (r == 0) {
		r = session_ask(session, pid, q->what, q->text, ASKING_WAIT_MS, ret_fd, why);
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
