/*
 * noperf: runs a program that may not open perf events, as in most containers.
 *
 *     noperf PROGRAM [ARG…]
 *     noperf --probe             "yes" when they may be opened here, "no" otherwise
 *     noperf --kill PROGRAM …    who tries is ended, as by sandboxes that list what is allowed
 *     noperf --strict PROGRAM …  without timers of its own and /proc too: only what a careful service needs
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DENY(number, error)                                  \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((error)&SECCOMP_RET_DATA))

static int filter(struct sock_filter *code, unsigned short n)
{
	struct sock_fprog program = {n, code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
		perror("noperf");
		return -1;
	}
	return 0;
}

static int probe(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = 1000000,
		.disabled = 1,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};

	puts(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0) >= 0 ? "yes" : "no");
	return 0;
}

int main(int argc, char **argv)
{
	struct sock_filter no_perf[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		DENY(SYS_perf_event_open, EACCES),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_filter strict[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		DENY(SYS_perf_event_open, EPERM),
		DENY(SYS_timer_create, EPERM),
		DENY(SYS_memfd_create, EPERM),
		DENY(SYS_socket, EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_filter kill_perf[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_perf_event_open, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	int is_kill = argc > 1 && strcmp(argv[1], "--kill") == 0;
	int is_strict = argc > 1 && strcmp(argv[1], "--strict") == 0;

	if (argc > 1 && strcmp(argv[1], "--probe") == 0)
		return probe();
	argv += 1 + is_strict + is_kill;
	if (argv[0] == NULL)
		return 2;
	if ((is_strict ? filter(strict, sizeof(strict) / sizeof(strict[0]))
	     : is_kill ? filter(kill_perf, sizeof(kill_perf) / sizeof(kill_perf[0]))
		       : filter(no_perf, sizeof(no_perf) / sizeof(no_perf[0]))) < 0)
		return 125;
	execvp(argv[0], argv);
	perror(argv[0]);
	return 127;
}
