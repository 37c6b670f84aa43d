/*
 * confines: a program that forbids itself, and every thread it has, all but a handful of system calls; whoever makes another one
 * is killed. It prints {"pid": N}, waits for a line, confines itself, works for half a second, and ends with status 17.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/programs/host.h"

BURNER(burn_a)

#define ALLOW(name)                                            \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static int confine(void)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(read),
		ALLOW(write),
		ALLOW(exit),
		ALLOW(exit_group),
		ALLOW(clock_gettime),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC,
			    &program);
}

int main(void)
{
	char line[40];
	int n = snprintf(line, sizeof(line), "{\"pid\": %d}\n", (int)getpid());

	if (write(1, line, (size_t)n) != n || read(0, line, sizeof(line)) < 1)
		return 1;
	if (confine() != 0)
		_exit(77);
	burn_a(500 * MS);
	_exit(write(1, "{}\n", 3) == 3 ? 17 : 1);
}
