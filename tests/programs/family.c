/*
 * family: processes that make processes. Everybody burns MILLISECONDS, in burn_parent, burn_child or burn_grandchild.
 *
 *     family HOW MILLISECONDS
 *
 * "family leaf MS" is what the ways with exec run: it burns in burn_leaf.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/host.h"

BURNER(burn_parent)
BURNER(burn_child)
BURNER(burn_grandchild)
BURNER(burn_leaf)

extern char **environ;
static char *self;
static int64_t amount;
static char amount_text[32];

static void wait_all(void)
{
	int status;

	while (wait(&status) > 0 || errno == EINTR)
		;
}

static void end_child(int64_t (*burn)(int64_t))
{
	host_print_ns("child", "burnt_ns", burn(amount));
	_exit(0);
}

static void *fork_here(void *arg)
{
	(void)arg;
	burn_parent(amount / 2);
	if (fork() == 0)
		end_child(burn_child);
	wait_all();
	return NULL;
}

static void be_leaf(void)
{
	execl(self, self, "leaf", amount_text, (char *)NULL);
	_exit(127);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	char command[4096];
	pthread_t id;
	pid_t pid;

	if (argc < 3)
		return 2;
	self = argv[0];
	amount = atoll(argv[2]) * MS;
	snprintf(amount_text, sizeof(amount_text), "%s", argv[2]);
	snprintf(command, sizeof(command), "%s leaf %s", self, amount_text);
	if (strcmp(how, "leaf") == 0) {
		burn_leaf(amount);
		host_print_clock("leaf");
		return 0;
	}
	burn_parent(amount);
	if (strcmp(how, "fork") == 0) {
		if (fork() == 0)
			end_child(burn_child);
	} else if (strcmp(how, "forkexec") == 0) {
		if (fork() == 0)
			be_leaf();
	} else if (strcmp(how, "forkburnexec") == 0) {
		if (fork() == 0) {
			burn_child(amount);
			be_leaf();
		}
	} else if (strcmp(how, "vfork") == 0) {
		pid = vfork();
		if (pid == 0)
			be_leaf();
		/* the parent must be sampled after it as before */
		burn_parent(amount);
	} else if (strcmp(how, "vforkfail") == 0) {
		pid = vfork();
		if (pid == 0) {
			execl("/nonexistent/program", "program", (char *)NULL);
			_exit(9);
		}
		burn_parent(amount);
	} else if (strcmp(how, "spawn") == 0) {
		char *const args[] = {self, (char *)"leaf", amount_text, NULL};

		if (posix_spawn(&pid, self, NULL, NULL, args, environ) != 0)
			return 1;
	} else if (strcmp(how, "spawnleave") == 0) {
		char *const args[] = {self, (char *)"leaf", amount_text, NULL};

		_exit(posix_spawn(&pid, self, NULL, NULL, args, environ) != 0);
	} else if (strcmp(how, "vforkleave") == 0) {
		pid = vfork();
		if (pid == 0)
			be_leaf();
		_exit(0);
	} else if (strcmp(how, "system") == 0) {
		if (system(command) != 0)
			return 1;
	} else if (strcmp(how, "popen") == 0) {
		FILE *f = popen(command, "r");
		char line[200];

		while (f != NULL && fgets(line, sizeof(line), f) != NULL)
			fputs(line, stdout);
		if (f == NULL || pclose(f) != 0)
			return 1;
	} else if (strcmp(how, "thread") == 0) {
		if (pthread_create(&id, NULL, fork_here, NULL) != 0)
			return 1;
		pthread_join(id, NULL);
	} else if (strcmp(how, "double") == 0) {
		/* nobody would wait for the grandchild, and how long it takes is the machine's affair */
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		pid = fork();
		if (pid == 0) {
			burn_child(amount);
			if (fork() == 0) {
				setsid();
				end_child(burn_grandchild);
			}
			_exit(0);
		}
	} else if (strcmp(how, "daemon") == 0) {
		if (daemon(1, 1) != 0)
			return 1;
		usleep(1000000); /* the launcher has seen its program end by then */
		burn_child(amount);
		_exit(0);
	} else if (strcmp(how, "many") == 0) {
		for (int i = 0; i < 200; i++) {
			if (fork() == 0)
				end_child(burn_child);
			if (i % 4 == 3)
				wait_all();
		}
	} else if (strcmp(how, "quick") == 0) {
		/* children that do nothing leave nothing */
		for (int i = 0; i < 20; i++) {
			if (fork() == 0)
				_exit(0);
			wait_all();
		}
	} else if (strcmp(how, "killed") == 0) {
		pid = fork();
		if (pid == 0) {
			burn_child(amount);
			host_print_clock("child");
			kill(getpid(), SIGKILL);
		}
	} else {
		return 2;
	}
	wait_all();
	host_print_clock("parent");
	return 0;
}
