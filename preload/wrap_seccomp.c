/*
 * Wrappers of what confines a program's system calls. A filter may end the program at the first call it does not know, and a
 * handler makes several. So sampling stops before the filter is there, and that is counted.
 *
 * syscall() is in assembly, and a jump, because what it is used for must not find a frame of ours in between: vfork
 * returns twice, clone with a new stack returns on that.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "cprof/cprof.h"
#include "preload/process.h"
#include "preload/real.h"

CPROF_PUBLIC int prctl(int option, ...)
{
	unsigned long arg[4];
	va_list args;

	va_start(args, option);
	for (int i = 0; i < 4; i++)
		arg[i] = va_arg(args, unsigned long);
	va_end(args);
	if (option == PR_SET_SECCOMP)
		process_confined();
	if (real.prctl == NULL)
		real_resolve();
	return real.prctl(option, arg[0], arg[1], arg[2], arg[3]);
}

/* The kernel's question whether a filter could be set changes nothing. */
__attribute__((used)) static void before_seccomp(long operation)
{
	int saved = errno;

	if (operation == SECCOMP_SET_MODE_STRICT || operation == SECCOMP_SET_MODE_FILTER)
		process_confined();
	errno = saved;
}

__attribute__((used)) static void resolve_syscall(void)
{
	real_resolve();
}

_Static_assert(SYS_seccomp == 317, "the number in the code below");

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
	"je 1f\n"
	"0:\tcmpq $0, real_syscall(%rip)\n\t"
	"je 2f\n\t"
	"jmp *real_syscall(%rip)\n"
	"1:\t" SAVE_ARGUMENTS ".cfi_adjust_cfa_offset 56\n\t"
	"movq %rsi, %rdi\n\t"
	"call before_seccomp\n\t" RESTORE_ARGUMENTS ".cfi_adjust_cfa_offset -56\n\t"
	"jmp 0b\n"
	"2:\t" SAVE_ARGUMENTS ".cfi_adjust_cfa_offset 56\n\t"
	"call resolve_syscall\n\t" RESTORE_ARGUMENTS ".cfi_adjust_cfa_offset -56\n\t"
	"jmp *real_syscall(%rip)\n\t"
	".cfi_endproc\n"
	".size syscall, . - syscall\n");
