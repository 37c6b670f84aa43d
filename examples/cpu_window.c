/* cpu_window: profiles one piece of a program, and nothing else of it. */
#include <cprof/cprof.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static unsigned long interesting(unsigned long n)
{
	volatile unsigned long x = n;

	for (unsigned long i = 0; i < n; i++)
		x = x * 6364136223846793005ul + i;
	return x;
}

int main(int argc, char **argv)
{
	int fd = open(argc > 1 ? argv[1] : "window.pb.gz", O_WRONLY | O_CREAT | O_TRUNC, 0600), r;

	r = fd < 0 ? -1 : cprof_cpu_start(fd);
	if (r < 0) {
		fprintf(stderr, "cpu_window: no profile: %s\n",
			fd < 0 ? "cannot open the file" : strerror(-r));
		return 1;
	}
	printf("%lx\n", interesting(300000000));
	r = cprof_cpu_stop(fd);
	close(fd);
	return r < 0;
}
