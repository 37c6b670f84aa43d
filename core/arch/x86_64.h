/*
 * x86_64: registers out of a signal's ucontext, and system calls that touch no errno and call no function a host may
 * have replaced.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

/* DWARF's register numbers (System V ABI for AMD64, figure 3.36). */
enum arch_reg {
	ARCH_RAX,
	ARCH_RDX,
	ARCH_RCX,
	ARCH_RBX,
	ARCH_RSI,
	ARCH_RDI,
	ARCH_BP,
	ARCH_SP,
	ARCH_R8,
	ARCH_R9,
	ARCH_R10,
	ARCH_R11,
	ARCH_R12,
	ARCH_R13,
	ARCH_R14,
	ARCH_R15,
	ARCH_PC,
	ARCH_REGS,
};

struct arch_regs {
	uintptr_t r[ARCH_REGS];
};

/* Where the kernel puts the interrupted registers: distance from the stack pointer inside __restore_rt. */
enum {
	ARCH_SIGFRAME_BP = offsetof(ucontext_t, uc_mcontext.gregs[REG_RBP]),
	ARCH_SIGFRAME_SP = offsetof(ucontext_t, uc_mcontext.gregs[REG_RSP]),
	ARCH_SIGFRAME_PC = offsetof(ucontext_t, uc_mcontext.gregs[REG_RIP]),
};

/* The relocations that store a symbol's address: for a call, in a table of addresses, in the file's own data. */
#define ARCH_RELOCATION_CALL    R_X86_64_JUMP_SLOT
#define ARCH_RELOCATION_ADDRESS R_X86_64_GLOB_DAT
#define ARCH_RELOCATION_WORD    R_X86_64_64

static inline uintptr_t arch_pc(const ucontext_t *uc)
{
	return (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
}

static inline uintptr_t arch_sp(const ucontext_t *uc)
{
	return (uintptr_t)uc->uc_mcontext.gregs[REG_RSP];
}

static inline uintptr_t arch_bp(const ucontext_t *uc)
{
	return (uintptr_t)uc->uc_mcontext.gregs[REG_RBP];
}

static inline void arch_regs_from(struct arch_regs *regs, const ucontext_t *uc)
{
	static const uint8_t greg[ARCH_REGS] = {
		REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8,
		REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP,
	};

	for (int i = 0; i < ARCH_REGS; i++)
		regs->r[i] = (uintptr_t)uc->uc_mcontext.gregs[greg[i]];
}

/*
 * Two words at once, 16 bytes aligned: replaced when they are what @old says; else false, with what they are in @old.
 * Acquires and releases. All processors of this kind but the very first have it.
 */
static inline bool arch_swap_two(void *words, uint64_t old[2], uint64_t first, uint64_t second)
{
	bool is_done;

	__asm__ volatile("lock cmpxchg16b %1"
			 : "=@ccz"(is_done), "+m"(*(char(*)[16])words), "+a"(old[0]), "+d"(old[1])
			 : "b"(first), "c"(second)
			 : "memory");
	return is_done;
}

/*
 * One word that only this thread and its own signal handlers write: replaced when it is *old, else false with what it is in
 * *old. No handler comes in between; other processors see it as any store.
 */
static inline bool arch_swap_here(_Atomic uint64_t *word, uint64_t *old, uint64_t fresh)
{
	bool is_done;

	__asm__ volatile("cmpxchgq %3, %1"
			 : "=@ccz"(is_done), "+m"(*(uint64_t *)word), "+a"(*old)
			 : "r"(fresh)
			 : "memory");
	return is_done;
}

/* Two words that only this thread and its own signal handlers look at: no handler comes in between. */
static inline void arch_store_pair_here(void *to, uint64_t first, uint64_t second)
{
	__asm__ volatile("movq %1, %%xmm0\n\t"
			 "movq %2, %%xmm1\n\t"
			 "punpcklqdq %%xmm1, %%xmm0\n\t"
			 "movups %%xmm0, (%0)"
			 :
			 : "r"(to), "r"(first), "r"(second)
			 : "memory", "xmm0", "xmm1");
}

/* What pthread_self() returns in glibc. */
static inline uintptr_t arch_thread_pointer(void)
{
	uintptr_t self;

	__asm__("movq %%fs:0x10, %0" : "=r"(self));
	return self;
}

static inline uintptr_t arch_stack_pointer(void)
{
	uintptr_t sp;

	__asm__ volatile("movq %%rsp, %0" : "=r"(sp));
	return sp;
}

/* The processor's counter; a load before it may be late, which is within what a stamp means. */
static inline uint64_t arch_counter(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

/* What valgrind.h calls RUNNING_ON_VALGRIND: it knows these rotations, which do nothing else. It runs a copy of the code. */
static inline bool arch_is_translated(void)
{
	uint64_t request[6] = {0x1001}, answer = 0;

	__asm__ volatile(
		"rolq $3, %%rdi\n\trolq $13, %%rdi\n\trolq $61, %%rdi\n\trolq $51, %%rdi\n\t"
		"xchgq %%rbx, %%rbx"
		: "+d"(answer)
		: "a"(request)
		: "cc", "memory");
	return answer != 0;
}

/* The caller's own registers, as far as its callers' frames can depend on them. */
#define arch_regs_here(regs)                        \
	__asm__ volatile("leaq 0(%%rip), %%rax\n\t" \
			 "movq %%rax, 128(%0)\n\t"  \
			 "movq %%rsp, 56(%0)\n\t"   \
			 "movq %%rbp, 48(%0)\n\t"   \
			 "movq %%rbx, 24(%0)\n\t"   \
			 "movq %%r12, 96(%0)\n\t"   \
			 "movq %%r13, 104(%0)\n\t"  \
			 "movq %%r14, 112(%0)\n\t"  \
			 "movq %%r15, 120(%0)"      \
			 :                          \
			 : "r"((regs)->r)           \
			 : "rax", "memory")

/* True when @pc is what a thread has on its way back from the kernel: right behind a `syscall` instruction. */
static inline int arch_is_after_syscall(const uint8_t *pc)
{
	return pc[-2] == 0x0f && pc[-1] == 0x05;
}

/*
 * True when the bytes before @pc can be a call: E8 rel32, or FF /2 with any addressing form.
 * Told from a random address in code with few errors either way; reads up to 7 bytes before @pc.
 */
static inline int arch_is_after_call(const uint8_t *pc)
{
	if (pc[-5] == 0xe8)
		return 1;
	for (int n = 2; n <= 7; n++)
		if (pc[-n] == 0xff && (pc[-n + 1] & 0x38) == 0x10)
			return 1;
	return 0;
}

static inline long raw_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}
