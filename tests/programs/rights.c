/*
 * rights: calls that mind how many threads a process has, or change whose rights it has. Prints what they return, and whose
 * rights all its threads have then; no more than that is the same with and without cprof.
 *
 *     rights WHAT
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/host.h"

static void sleep_ms(int ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * MS};

	if (nanosleep(&t, NULL) != 0)
		printf("{\"interrupted\": %d}\n", errno);
}

/* "Uid: 0 0 0 0 Gid: …", once for each kind of thread. */
static void print_threads(void)
{
	char seen[8][256] = {""}, path[300], line[256], text[256];
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		FILE *f;
		int i = 0;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/status", e->d_name);
		f = fopen(path, "r");
		if (f == NULL) /* it ended, or is another user's now */
			continue;
		text[0] = '\0';
		while (fgets(line, sizeof(line), f) != NULL)
			if (strncmp(line, "Uid:", 4) == 0 || strncmp(line, "Gid:", 4) == 0 ||
			    strncmp(line, "Groups:", 7) == 0 || strncmp(line, "CapEff:", 7) == 0)
				strncat(text, line, sizeof(text) - strlen(text) - 1);
		fclose(f);
		while (i < 8 && seen[i][0] != '\0' && strcmp(seen[i], text) != 0)
			i++;
		if (i == 8 || seen[i][0] != '\0')
			continue;
		memcpy(seen[i], text, sizeof(text));
		fputs(text, stdout);
	}
	if (d != NULL)
		closedir(d);
}

static void say(const char *what, int r)
{
	printf("%s: %d, errno %d\n", what, r, r < 0 ? errno : 0);
}

static void drop(void)
{
	say("setgroups", setgroups(0, NULL));
	say("setresgid", setresgid(65534, 65534, 65534));
	say("setresuid", setresuid(65534, 65534, 65534));
	say("setuid back", setuid(0));
}

/* The C library has it, but says so nowhere. */
int capset(cap_user_header_t header, const cap_user_data_t data);

static void give_up_capabilities(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct none[2] = {{0}, {0}};

	say("capset", capset(&header, none));
	say("setuid", setuid(65534));
}

static void there_and_back(void)
{
	say("setegid", setegid(65534));
	say("seteuid", seteuid(65534));
	sleep_ms(50);
	print_threads();
	say("seteuid back", seteuid(0));
	say("setegid back", setegid(0));
}

/* Of the user's own namespace, which no process with a second thread may enter. */
static void namespaces(void)
{
	say("unshare user", unshare(CLONE_NEWUSER));
	say("unshare mount", unshare(CLONE_NEWNS));
}

static void by_number(void)
{
	say("unshare user", (int)syscall(SYS_unshare, CLONE_NEWUSER));
	say("unshare mount", (int)syscall(SYS_unshare, CLONE_NEWNS));
}

static void enter(void)
{
	int fd = open("/proc/self/ns/mnt", O_RDONLY);

	say("setns", setns(fd, CLONE_NEWNS));
	close(fd);
}

static void no_new(void)
{
	say("no new rights", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

static int in_child(int (*start)(void))
{
	int r = start(), status = 0;

	if (r == 0) {
		sleep_ms(100);
		printf("child\n");
		fflush(stdout);
		_exit(3);
	}
	say("waitpid", waitpid(r, &status, 0) == r ? 0 : -1);
	return WEXITSTATUS(status);
}

static int by_fork(void)
{
	return fork();
}

static int by_unshare(void)
{
	int r = unshare(CLONE_NEWPID);

	if (r < 0)
		say("unshare pid", r);
	return fork();
}

static void go_to_background(void)
{
	char c;
	int ends[2];

	if (pipe(ends) != 0)
		return;
	if (fork() == 0) {
		close(ends[0]);
		if (daemon(1, 1) != 0)
			_exit(1);
		sleep_ms(50);
		dprintf(ends[1], "%d", getppid() == getpid());
		_exit(0);
	}
	close(ends[1]);
	say("read", (int)read(ends[0], &c, 1));
	say("wait", wait(NULL) > 0 ? 0 : -1);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int status = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	sleep_ms(50); /* until somebody has looked */
	if (strcmp(what, "drop") == 0)
		drop();
	else if (strcmp(what, "capabilities") == 0)
		give_up_capabilities();
	else if (strcmp(what, "back") == 0)
		there_and_back();
	else if (strcmp(what, "namespaces") == 0)
		namespaces();
	else if (strcmp(what, "numbers") == 0)
		by_number();
	else if (strcmp(what, "setns") == 0)
		enter();
	else if (strcmp(what, "nonew") == 0)
		no_new();
	else if (strcmp(what, "fork") == 0)
		status = in_child(by_fork);
	else if (strcmp(what, "newpid") == 0)
		status = in_child(by_unshare);
	else if (strcmp(what, "daemon") == 0)
		go_to_background();
	else if (strcmp(what, "exec") == 0)
		execl("/proc/self/exe", argv[0], "nonew", (char *)NULL);
	else
		return 2;
	sleep_ms(50);
	print_threads();
	return status;
}
