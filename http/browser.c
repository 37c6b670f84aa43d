#include "http/browser.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS 16

static bool is_set(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0';
}

bool browser_can(bool is_asked)
{
	return (is_asked || isatty(STDOUT_FILENO)) &&
	       (is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")) && !is_set("SSH_CONNECTION");
}

/* "firefox -P work %s": words; the url in place of %s, else behind them. Returns when it cannot be run. */
static void run(char *command, char *url)
{
	char *words[WORDS + 2], *rest = NULL;
	bool has_url = false;
	int n = 0;

	for (char *word = strtok_r(command, " \t", &rest); word != NULL && n < WORDS;
	     word = strtok_r(NULL, " \t", &rest)) {
		bool is_url = strcmp(word, "%s") == 0;

		has_url = has_url || is_url;
		words[n++] = is_url ? url : word;
	}
	if (n == 0)
		return;
	if (!has_url)
		words[n++] = url;
	words[n] = NULL;
	execvp(words[0], words);
}

static void run_any(const char *url)
{
	const char *browsers = getenv("BROWSER");
	char *list = strdup(browsers != NULL ? browsers : ""), *copy = strdup(url), *rest = NULL;
	int null = open("/dev/null", O_RDWR);
	sigset_t none;

	if (list == NULL || copy == NULL)
		return;
	/* what the server has of its own */
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	for (char *one = strtok_r(list, ":", &rest); one != NULL; one = strtok_r(NULL, ":", &rest))
		run(one, copy);
	execlp("xdg-open", "xdg-open", url, (char *)NULL);
}

void browser_open(const char *url)
{
	pid_t pid = fork();

	if (pid == 0) {
		/* once more, so that nobody has to wait for it */
		if (fork() == 0) {
			setsid();
			run_any(url);
		}
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}
