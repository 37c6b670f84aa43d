#include "cli/handover.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/result.h"
#include "http/browser.h"

/* "-name", "--name", "-name=…": is @word that option? */
static bool is_option(const char *word, const char *name)
{
	size_t n = strlen(name);

	if (word[0] != '-')
		return false;
	word += word[1] == '-' ? 2 : 1;
	return strncmp(word, name, n) == 0 && strchr("=", word[n]) != NULL;
}

static bool is_in(const struct cmd_files *files, const char *word)
{
	for (size_t i = 0; i < files->n; i++)
		if (files->paths[i] == word)
			return true;
	return false;
}

/* Of how a profile is fetched, which we did: they take a value, which may be the next word. */
static bool is_fetching(const char *word)
{
	static const char *const fetching[] = {"seconds", "timeout", "tls_ca", "tls_cert",
					       "tls_key"};

	for (unsigned i = 0; i < sizeof(fetching) / sizeof(fetching[0]); i++)
		if (is_option(word, fetching[i]))
			return true;
	return false;
}

/* The command line for pprof, from malloc: "go tool pprof", options, and @fetched in place of the files when there is one. */
static char **make_line(char *const *words, const struct cmd_files *files, const char *fetched)
{
	bool has_http = false, has_browser = false;
	size_t n = 0, to = 0;
	char **line;

	for (; words[n] != NULL; n++) {
		has_http |= is_option(words[n], "http");
		has_browser |= is_option(words[n], "no_browser");
	}
	line = calloc(n + 8, sizeof(*line));
	if (line == NULL)
		return NULL;
	line[to++] = "go";
	line[to++] = "tool";
	line[to++] = "pprof";
	if (!has_http)
		line[to++] = "-http=localhost:";
	if (!has_browser && !browser_can(false))
		line[to++] = "-no_browser";
	for (size_t i = 0; i < n; i++) {
		if (is_option(words[i], "pprof") || is_option(words[i], "open"))
			continue;
		if (fetched != NULL && is_fetching(words[i]))
			i += strchr(words[i], '=') == NULL && i + 1 < n;
		else if (fetched == NULL || !is_in(files, words[i]))
			line[to++] = words[i];
	}
	line[to] = (char *)(uintptr_t)fetched;
	return line;
}

/* Returns when there is none. */
static int run(const char *command, char **line)
{
	execvp("pprof", line + 2);
	if (errno == ENOENT)
		execvp("go", line);
	cmd_complain(command,
		     errno == ENOENT
			     ? "neither pprof nor go is installed here; 'cprof web FILE' shows "
			       "profiles by itself"
			     : "pprof cannot be run: %s",
		     strerror(errno));
	return CMD_FAILED;
}

/* As a child, so that @fetched can be removed behind it. Ctrl-C is for it. */
static int run_and_remove(const char *command, char **line, const char *fetched,
			  const char *directory)
{
	int status = CMD_FAILED, ended = -1;
	pid_t pid;

	signal(SIGINT, SIG_IGN);
	pid = fork();
	if (pid == 0) {
		signal(SIGINT, SIG_DFL);
		_exit(run(command, line));
	}
	if (pid < 0)
		cmd_complain(command, "pprof cannot be run: %s", strerror(errno));
	while (pid > 0 && waitpid(pid, &ended, 0) < 0 && errno == EINTR)
		;
	if (pid > 0 && WIFEXITED(ended))
		status = WEXITSTATUS(ended);
	else if (pid > 0 && WIFSIGNALED(ended))
		status = 128 + WTERMSIG(ended);
	unlink(fetched);
	rmdir(directory);
	return status;
}

/* Fetched and added up, into a file. 0 or a negative errno, with @why. */
static int write_fetched(const struct cmd_files *files, struct sources *sources, const char *path,
			 struct why *why)
{
	struct report_options how = report_defaults;
	struct profile profile;
	int r = cmd_read(files, sources, &how, &profile, why);

	if (r < 0)
		return r;
	r = result_write_profile(&profile, path, why);
	profile_fini(&profile);
	return r;
}

/* How many of @files are none; negative: what was typed is no good, with @why. */
static int count_fetched(const struct cmd_files *files, struct why *why)
{
	struct sources s = {0};
	int r = sources_add(&s, files->paths, files->n, why);

	r = r < 0 ? r : (int)s.n;
	sources_fini(&s);
	return r;
}

int handover_pprof(const char *command, char *const *words, const struct cmd_files *files,
		   struct sources *sources)
{
	const char *temporary = getenv("TMPDIR");
	char directory[4000], path[4096];
	struct why why = {"out of memory"};
	int status = CMD_FAILED, r = count_fetched(files, &why);
	char **line = NULL;

	if (r < 0) {
		cmd_complain(command, "%s", why.text);
		return r == -EINVAL ? CMD_USAGE : CMD_FAILED;
	}
	if (r == 0) {
		line = make_line(words, files, NULL);
		status = line != NULL ? run(command, line) : CMD_FAILED;
		free(line);
		return status;
	}
	snprintf(directory, sizeof(directory), "%s/cprof.XXXXXX",
		 temporary != NULL && temporary[0] != '\0' ? temporary : "/tmp");
	if (mkdtemp(directory) == NULL) {
		cmd_complain(command,
			     "no directory for what is fetched: %s: %s; set TMPDIR to another",
			     directory, strerror(errno));
		return CMD_FAILED;
	}
	snprintf(path, sizeof(path), "%s/profile.pb.gz", directory);
	r = write_fetched(files, sources, path, &why);
	if (r == 0)
		line = make_line(words, files, path);
	if (line != NULL) {
		status = run_and_remove(command, line, path, directory);
	} else {
		cmd_complain(command, "%s", why.text);
		rmdir(directory);
	}
	free(line);
	return status;
}
