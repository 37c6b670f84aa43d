/*
 * syscalls: what a system call costs.
 *
 *     syscalls getppid COUNT     the cheapest there is
 *     syscalls read COUNT        a byte of /dev/zero
 *
 * Prints nanoseconds a call by the wall clock, the best of a few: what is lost to other processes is nobody's.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/now.h"

#define TIMES 150 /* of a millisecond each: many end before another process has its turn */

int main(int argc, char **argv)
{
	long count = argc == 3 ? atol(argv[2]) : 0;
	int zero = open("/dev/zero", O_RDONLY);
	double best = 0;
	cpu_set_t here;
	char c;

	if (count < 1 || zero < 0)
		return 2;
	/* by itself: who reads a trace meanwhile has the other one */
	CPU_ZERO(&here);
	CPU_SET(0, &here);
	sched_setaffinity(0, sizeof(here), &here);
	for (int i = 0; i < TIMES; i++) {
		double begun = now_ns(), ns;

		if (strcmp(argv[1], "read") == 0) {
			for (long n = 0; n < count; n++)
				if (read(zero, &c, 1) != 1)
					return 1;
		} else {
			for (long n = 0; n < count; n++)
				getppid();
		}
		ns = (now_ns() - begun) / (double)count;
		if (i == 0 || ns < best)
			best = ns;
	}
	printf("%.2f\n", best);
	return 0;
}
