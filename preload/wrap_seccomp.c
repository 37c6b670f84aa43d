/*
 * Wrappers of what confines a program's system calls. A filter may end the program at the first call it does not know, and a
 * handler makes several. So sampling stops before the filter is there, and that is counted.
 *
 * syscall() is in assembly, and a jump, because what it is used for must not find a frame of ours in between: vfork
 * returns twice, clone with a new stack returns on that. A call that may wait gets one, while somebody looks.
 */
#include <errno.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "core/wait.h"
#include "cprof/cprof.h"
#include "preload/process.h"
#include "preload/real.h"
#include "preload/wrap_rights.h"
#include "profiles/mutex/contention.h"
#include "tracer/sync.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON           1
#endif

CPROF_PUBLIC int prctl(int option, ...)
{
	unsigned long arg[4];
	va_list args;
	int r;

	va_start(args, option);
	for (int i = 0; i < 4; i++)
		arg[i] = va_arg(args, unsigned long);
	va_end(args);
	if (option == PR_SET_SECCOMP ||
	    (option == PR_SET_SYSCALL_USER_DISPATCH && arg[0] == PR_SYS_DISPATCH_ON))
		process_confined();
	if (real.prctl == NULL)
		real_early("prctl", &real.prctl);
	r = real.prctl(option, arg[0], arg[1], arg[2], arg[3]);
	if (option == PR_SET_NAME && r == 0)
		process_thread_named((const char *)arg[0]);
	return r;
}

/* The kernel's question whether a filter could be set changes nothing. */
__attribute__((used)) static void before_seccomp(long operation)
{
	int saved = errno;

	if (operation == SECCOMP_SET_MODE_STRICT || operation == SECCOMP_SET_MODE_FILTER)
		process_confined();
	errno = saved;
}

/*
 * What a call through syscall() may wait for, in the words of core/wait.h; WAIT_NOT: nothing. Those that a handler would end
 * early, and those for locks.
 */
static unsigned code_of(long number, long operation, long expected)
{
	switch (number) {
	case SYS_futex:
		switch (operation & FUTEX_CMD_MASK) {
		case FUTEX_WAIT:
		case FUTEX_WAIT_BITSET:
			/* "taken, and others wait": so it is in Rust's mutex, in glibc's and in many that are made after these */
			return (uint32_t)expected == 2 ? WAIT_FUTEX_LOCK : WAIT_FUTEX;
		case FUTEX_LOCK_PI:
		case FUTEX_LOCK_PI2:
			return WAIT_FUTEX_LOCK;
		case FUTEX_WAIT_REQUEUE_PI:
			return WAIT_FUTEX;
		default:
			return WAIT_NOT;
		}
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
	case SYS_poll:
	case SYS_ppoll:
	case SYS_select:
	case SYS_pselect6:
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_futex_waitv:
	case SYS_io_uring_enter:
	case SYS_io_getevents:
	case SYS_io_pgetevents:
	case SYS_read:
	case SYS_readv:
	case SYS_write:
	case SYS_writev:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
	case SYS_connect:
	case SYS_accept:
	case SYS_accept4:
	case SYS_wait4:
	case SYS_waitid:
	case SYS_pause:
	case SYS_rt_sigsuspend:
	case SYS_rt_sigtimedwait:
	case SYS_msgrcv:
	case SYS_msgsnd:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_mq_timedreceive:
	case SYS_mq_timedsend:
	case SYS_flock:
		return wait_code_of_syscall(number);
	default:
		return WAIT_NOT;
	}
}

static bool is_release(long number, long operation)
{
	if (number != SYS_futex)
		return false;
	switch (operation & FUTEX_CMD_MASK) {
	case FUTEX_WAKE:
	case FUTEX_WAKE_BITSET:
	case FUTEX_UNLOCK_PI:
		return true;
	default:
		return false;
	}
}

static bool is_wake(long number, long operation)
{
	if (number != SYS_futex)
		return false;
	switch (operation & FUTEX_CMD_MASK) {
	case FUTEX_REQUEUE:
	case FUTEX_CMP_REQUEUE:
	case FUTEX_CMP_REQUEUE_PI:
	case FUTEX_WAKE_OP:
		return true;
	default:
		return is_release(number, operation);
	}
}

/* True when there is something to say or to keep of the call. Only these get a frame of ours. */
__attribute__((used)) static int may_wait(long number, long first, long operation, long expected)
{
	unsigned code = code_of(number, operation, expected);

	(void)first;
	return (code != WAIT_NOT && wait_is_wanted(wait_concern(code))) ||
	       (is_release(number, operation) && wait_is_wanted(WAIT_COUNTED)) ||
	       (is_wake(number, operation) && wait_is_wanted(WAIT_TRACED));
}

static long call_releasing(long number, long a, long b, long c, long d, long e, long f)
{
	const void *lock = (const void *)a;
	bool is_counted = is_release(number, b) && contention_may_be(lock);
	unsigned marked = is_counted ? contention_releases(lock) : 0;
	uint64_t stamp = wait_is_wanted(WAIT_TRACED) ? sync_stamp() : 0;
	long r = real_syscall(number, a, b, c, d, e, f);

	if (stamp != 0)
		sync_woke(stamp, lock, (unsigned)b, (unsigned)c, r, (uintptr_t)real_syscall);
	if (marked != 0)
		contention_released(lock, marked, WAIT_FUTEX_LOCK, (uintptr_t)real_syscall);
	return r;
}

static long call_waiting(long number, long a, long b, long c, long d, long e, long f)
{
	unsigned code = code_of(number, b, c);
	WAITING_WITH(code, real_syscall, number == SYS_futex ? (const void *)a : NULL, b,
		     (uint32_t)c);
	return code >= WAIT_SYSCALL ? WAITED_IO(real_syscall(number, a, b, c, d, e, f))
				    : WAITED_ERRNO(real_syscall(number, a, b, c, d, e, f));
}

__attribute__((used)) static long call_watched(long number, long a, long b, long c, long d, long e,
					       long f)
{
	return is_wake(number, b) ? call_releasing(number, a, b, c, d, e, f)
				  : call_waiting(number, a, b, c, d, e, f);
}

__attribute__((used)) static void resolve_syscall(void)
{
	real_early("syscall", &real_syscall);
}

/* Some namespaces are for a process with one thread: as in wrap_rights.c. */
__attribute__((used)) static long call_alone(long number, long a, long b, long c, long d, long e,
					     long f)
{
	struct rights_alone alone = rights_be_alone();
	long r;

	if (real_syscall == NULL)
		resolve_syscall();
	r = real_syscall(number, a, b, c, d, e, f);
	rights_end_alone(alone);
	return r;
}

_Static_assert(SYS_seccomp == 317 && SYS_unshare == 272 && SYS_setns == 308,
	       "the numbers in the code below");

#define SAVE_ARGUMENTS                                                                       \
	"pushq %rdi\n\tpushq %rsi\n\tpushq %rdx\n\tpushq %rcx\n\tpushq %r8\n\tpushq %r9\n\t" \
	"subq $8, %rsp\n\t"
#define RESTORE_ARGUMENTS   \
	"addq $8, %rsp\n\t" \
	"popq %r9\n\tpopq %r8\n\tpopq %rcx\n\tpopq %rdx\n\tpopq %rsi\n\tpopq %rdi\n\t"

__asm__(".text\n"
	".globl syscall\n"
	".type syscall, @function\n"
	"syscall:\n\t"
	".cfi_startproc\n\t"
	"endbr64\n\t"
	"cmpl $317, %edi\n\t"
	"je 1f\n\t"
	"cmpl $272, %edi\n\t"
	"je call_alone\n\t"
	"cmpl $308, %edi\n\t"
	"je call_alone\n\t"
	"cmpl $0, wait_is_on(%rip)\n\t"
	"jne 3f\n"
	"0:\tcmpq $0, real_syscall(%rip)\n\t"
	"je 2f\n\t"
	"jmp *real_syscall(%rip)\n"
	"1:\t" SAVE_ARGUMENTS ".cfi_adjust_cfa_offset 56\n\t"
	"movq %rsi, %rdi\n\t"
	"call before_seccomp\n\t" RESTORE_ARGUMENTS ".cfi_adjust_cfa_offset -56\n\t"
	"jmp 0b\n"
	"2:\t" SAVE_ARGUMENTS ".cfi_adjust_cfa_offset 56\n\t"
	"call resolve_syscall\n\t" RESTORE_ARGUMENTS ".cfi_adjust_cfa_offset -56\n\t"
	"jmp *real_syscall(%rip)\n"
	"3:\t" SAVE_ARGUMENTS ".cfi_adjust_cfa_offset 56\n\t"
	"call may_wait\n\t" RESTORE_ARGUMENTS ".cfi_adjust_cfa_offset -56\n\t"
	"testl %eax, %eax\n\t"
	"je 0b\n\t"
	"cmpq $0, real_syscall(%rip)\n\t"
	"jne call_watched\n\t"
	"jmp 2b\n\t"
	".cfi_endproc\n"
	".size syscall, . - syscall\n");
