#include "cli/result.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "output/pprof.h"

#define NAME_BYTES_MAX 200 /* with what file.c puts around it, it is still a name */

/* The directory, its name in @shown, and the name in it. */
static int open_parent(const char *path, char shown[PATH_MAX], const char **ret_name,
		       struct why *why)
{
	const char *slash = strrchr(path, '/');

	*ret_name = slash != NULL ? slash + 1 : path;
	if (**ret_name == '\0' || strlen(path) >= PATH_MAX || strlen(*ret_name) > NAME_BYTES_MAX) {
		why_set(why, "%s: a file's name is expected", path);
		return -EINVAL;
	}
	snprintf(shown, PATH_MAX, "%.*s",
		 slash == NULL   ? 1
		 : slash == path ? 1
				 : (int)(slash - path),
		 slash == NULL ? "." : path);
	return file_open_directory(shown, why);
}

int result_open(struct result *r, const char *path, struct why *why)
{
	char shown[PATH_MAX];
	const char *name;
	struct stat st;
	int directory, error;

	memset(r, 0, sizeof(*r));
	r->fd = STDOUT_FILENO;
	if (path == NULL || strcmp(path, "-") == 0)
		return 0;
	directory = open_parent(path, shown, &name, why);
	if (directory < 0)
		return directory;
	if (fstatat(directory, name, &st, 0) == 0 && !S_ISREG(st.st_mode)) {
		why_set(why, "%s is there and no regular file", path);
		error = -EEXIST;
	} else {
		error = file_create_nameless(&r->file, directory, shown, name, why);
	}
	if (error < 0) {
		close(directory);
		return error;
	}
	r->fd = r->file.fd;
	r->is_file = true;
	return 0;
}

int result_commit(struct result *r, struct why *why)
{
	int error;

	if (!r->is_file)
		return 0;
	error = file_commit(&r->file, why);
	close(r->file.directory);
	return error;
}

void result_abandon(struct result *r)
{
	if (!r->is_file)
		return;
	file_abandon(&r->file);
	close(r->file.directory);
}

int result_write_profile(const struct profile *p, const char *path, struct why *why)
{
	struct result result;
	int r = result_open(&result, path, why);

	if (r < 0)
		return r;
	r = pprof_write(p, result.fd);
	if (r == 0)
		return result_commit(&result, why);
	why_set(why, "cannot write %s: %s", result.is_file ? path : "standard output",
		strerror(-r));
	result_abandon(&result);
	return r;
}

int result_check_terminal(const char *path, const char *command, const char *what)
{
	if ((path != NULL && strcmp(path, "-") != 0) || !isatty(STDOUT_FILENO))
		return CMD_OK;
	cmd_complain(command, "%s is not for a terminal; name a file with -o", what);
	return CMD_USAGE;
}
