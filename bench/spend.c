/*
 * spend: what a command costs, its children included and nobody else.
 *
 *     spend [-n TIMES] FILE COMMAND [ARG...]      FILE gets a line:   CPU ns, elapsed ns, status, peak of resident KB
 *
 * Under a profiler's launcher this stands between it and the program, so that the program's own cost is known apart from
 * the launcher's. -n repeats a short command and tells the sums, and the largest peak.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long of_timeval(struct timeval t)
{
	return t.tv_sec * 1000000000LL + t.tv_usec * 1000LL;
}

static long long elapsed(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* getrusage() of children that were waited for: microseconds of the scheduler's exact sums */
static int run(char **argv)
{
	int status;
	pid_t pid = vfork();

	if (pid == 0) {
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return 126;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	struct rusage usage;
	long long begun;
	int option, status = 0, times = 1;
	FILE *f;

	while ((option = getopt(argc, argv, "+n:")) == 'n')
		times = atoi(optarg);
	if (option != -1 || argc - optind < 2) {
		fputs("usage: spend [-n TIMES] FILE COMMAND [ARG...]\n", stderr);
		return 2;
	}
	begun = elapsed();
	for (int i = 0; i < times && status == 0; i++)
		status = run(argv + optind + 1);
	begun = elapsed() - begun;
	getrusage(RUSAGE_CHILDREN, &usage);
	f = fopen(argv[optind], "w");
	if (f == NULL) {
		fprintf(stderr, "spend: %s: %s\n", argv[optind], strerror(errno));
		return 1;
	}
	fprintf(f, "%lld %lld %d %ld\n", of_timeval(usage.ru_utime) + of_timeval(usage.ru_stime),
		begun, status, usage.ru_maxrss);
	fclose(f);
	return status;
}
