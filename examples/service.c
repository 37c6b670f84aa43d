/* service: counts all its life, and writes what it has when it is sent SIGUSR1. */
#include <cprof/cprof.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void work(void)
{
	volatile unsigned long x = 1;

	for (unsigned long i = 0; i < 2000000; i++)
		x = x * 6364136223846793005ul + i;
}

/* Beside it and renamed, so that nobody reads half of one. */
static void write_profile(const char *path)
{
	char part[4096];
	int fd, r;

	snprintf(part, sizeof(part), "%s.part", path);
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	r = fd < 0 ? -1 : cprof_write("cpu", fd, 0);
	if (fd >= 0)
		close(fd);
	if (r == 0 && rename(part, path) == 0)
		printf("wrote %s\n", path);
	else
		fprintf(stderr, "service: no profile: %s\n",
			r < -1 ? strerror(-r) : "cannot write the file");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct signalfd_siginfo request;
	sigset_t signals;
	int fd;

	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	fd = signalfd(-1, &signals, SFD_CLOEXEC);
	if (fd < 0 || cprof_enable(CPROF_CPU) < 0)
		return 1;
	printf("ready: kill -USR1 %d\n", (int)getpid());
	fflush(stdout);
	for (;;) {
		struct pollfd p = {fd, POLLIN, 0};

		work();
		if (poll(&p, 1, 0) <= 0 || read(fd, &request, sizeof(request)) != sizeof(request))
			continue;
		if (request.ssi_signo == SIGTERM)
			return 0;
		write_profile(argc > 1 ? argv[1] : "service.pb.gz");
	}
}
