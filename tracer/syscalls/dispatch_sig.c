/*
 * dispatch: the calls that no patch sees, by syscall user dispatch (Linux 5.11): code that was made while the program runs, and
 * sites that were left.
 *
 * The kernel lets calls from this library's own code through, slots included, and makes of each other one a SIGSYS, as long as a
 * byte of the thread's says so. The handler makes the call in the host's stead. The kernel ends a program that has the signal
 * blocked at that moment. So
 *   - the byte is taken back before a call that may block it, and set again when the mask is known not to;
 *   - no handler of the host's has it in its mask: it is taken out of what sigaction() is given, and shown again in what it
 *     returns; with siglongjmp() and sigreturn the mask is looked at.
 * The host's own action for SIGSYS is kept here and never gets into the kernel.
 */
#include "tracer/syscalls/dispatch.h"

#include <errno.h>
#include <stdalign.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "core/arch.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
#define LET_THROUGH        0 /* SYSCALL_DISPATCH_FILTER_ALLOW, and _BLOCK */
#define MAKE_SIGSYS        1
#define BY_DISPATCH        2 /* si_code: SYS_USER_DISPATCH */
#define KERNEL_SA_RESTORER 0x04000000
#define SIGNALS            64
#define BIT(sig)           (1ul << ((sig)-1))

struct kernel_action {
	void (*handler)(int, siginfo_t *, void *);
	unsigned long flags;
	void (*restorer)(void);
	unsigned long mask;
};

struct site_dispatch site_dispatch;

static struct kernel_action host_action; /* for SIGSYS */
static _Atomic uint64_t masks_have_it;   /* a bit for each signal whose handler wants it blocked */
__thread struct dispatch_thread dispatch_thread __attribute__((tls_model("initial-exec")));

void dispatch_return(void);
__asm__(".text\n"
	".globl dispatch_return\n"
	".hidden dispatch_return\n"
	".type dispatch_return, @function\n"
	".p2align 4\n"
	/* what unwinders know by its bytes */
	"nop\n"
	"dispatch_return:\n\t"
	"movq $15, %rax\n\t"
	"syscall\n"
	".size dispatch_return, . - dispatch_return\n");

/* core/modules.h has the same, in code that may use other registers. */
static bool is_readable(long address, size_t bytes)
{
	return address != 0 && sys4(SYS_rt_sigprocmask, -1, address, 0, 8) != -EFAULT &&
	       sys4(SYS_rt_sigprocmask, -1, address + (long)bytes - 8, 0, 8) != -EFAULT;
}

static void set_byte(uint8_t value)
{
	*(volatile uint8_t *)&dispatch_thread.byte = value;
}

static bool is_blocked(void)
{
	unsigned long mask = 0;

	return sys4(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8) != 0 || (mask & BIT(SIGSYS));
}

/* As the mask is now. */
static void set_byte_by_mask(void)
{
	set_byte(is_blocked() ? LET_THROUGH : MAKE_SIGSYS);
}

int dispatch_arm(void)
{
	long r;

	set_byte(LET_THROUGH);
	r = sys5(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, 1, site_dispatch.start,
		 site_dispatch.end - site_dispatch.start, &dispatch_thread.byte);
	if (r < 0)
		return (int)r;
	dispatch_thread.tid = (int32_t)sys1(SYS_gettid, 0);
	set_byte_by_mask();
	return 0;
}

void dispatch_disarm(void)
{
	set_byte(LET_THROUGH);
	sys5(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0);
	dispatch_thread.tid = 0;
}

/* With the default action again, it ends the program as it would have without us. */
static void die_as_usual(void)
{
	struct kernel_action none = {0};

	dispatch_disarm();
	sys4(SYS_rt_sigaction, SIGSYS, &none, NULL, 8);
	sys3(SYS_tgkill, sys1(SYS_getpid, 0), sys1(SYS_gettid, 0), SIGSYS);
}

/* One that a filter of the host's raised, or that was sent. */
static void call_host(siginfo_t *info, ucontext_t *uc)
{
	struct kernel_action action = host_action;
	unsigned long mask = action.mask | BIT(SIGSYS), before;
	uint8_t byte = dispatch_thread.byte;

	if ((uintptr_t)action.handler == (uintptr_t)SIG_IGN && info->si_code <= 0)
		return;
	if ((uintptr_t)action.handler == (uintptr_t)SIG_DFL ||
	    (uintptr_t)action.handler == (uintptr_t)SIG_IGN) {
		die_as_usual();
		return;
	}
	if (action.flags & (unsigned long)SA_RESETHAND)
		host_action.handler = NULL;
	if (action.flags & SA_NODEFER)
		mask = action.mask;
	/* never blocked while the byte is set: it is not set, until the handler has returned */
	set_byte(LET_THROUGH);
	__builtin_memcpy(&before, &uc->uc_sigmask, sizeof(before));
	mask |= before;
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
	action.handler(SIGSYS, info, uc);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, 8);
	set_byte(byte);
}

/* The stack pointer is what it was at the host's instruction: the kernel takes everything else from there. */
__attribute__((noreturn)) static void return_from_handler(const ucontext_t *uc)
{
	const ucontext_t *interrupted = (const ucontext_t *)arch_sp(uc);
	unsigned long mask;

	__builtin_memcpy(&mask, &interrupted->uc_sigmask, sizeof(mask));
	set_byte(mask & BIT(SIGSYS) ? LET_THROUGH : MAKE_SIGSYS);
	__asm__ volatile("movq %0, %%rsp\n\tjmp dispatch_return" : : "r"(arch_sp(uc)) : "memory");
	__builtin_unreachable();
}

/* What a handler cannot do in somebody's stead: it would be undone when it returns, or return twice. */
static bool is_bound_to_its_place(long number)
{
	return number == SYS_clone || number == SYS_clone3 || number == SYS_vfork ||
	       number == SYS_sigaltstack;
}

/* The parts of a slot that are asked about. */
struct stand_in {
	alignas(SITE_SLOT_BYTES) uint8_t code[64];
	uintptr_t pc, sp;
};

static void make_call(ucontext_t *uc, long number)
{
	greg_t *regs = uc->uc_mcontext.gregs;
	struct stand_in slot;
	struct syscall_frame f;
	bool has_leave;

	slot.pc = arch_pc(uc);
	slot.sp = arch_sp(uc);
	f.number = f.result = number;
	f.args[0] = regs[REG_RDI];
	f.args[1] = regs[REG_RSI];
	f.args[2] = regs[REG_RDX];
	f.args[3] = regs[REG_R10];
	f.args[4] = regs[REG_R8];
	f.args[5] = regs[REG_R9];
	f.state = 0;
	f.bp = arch_bp(uc);
	f.slot = (uintptr_t)&slot;
	if (is_bound_to_its_place(number)) {
		if (!syscall_returns(number))
			site_on_enter(&f);
		/* once more, and let through: the byte is set again with the next call that is seen */
		set_byte(LET_THROUGH);
		dispatch_thread.is_let_through = true;
		regs[REG_RAX] = number;
		regs[REG_RIP] -= 2;
		return;
	}
	has_leave = site_on_enter(&f);
	f.result = raw_syscall(number, f.args[0], f.args[1], f.args[2], f.args[3], f.args[4],
			       f.args[5]);
	if (number == SYS_rt_sigprocmask) {
		/* the handler has the mask that it interrupted, and will put it back */
		unsigned long mask;

		if (sys4(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8) == 0)
			__builtin_memcpy(&uc->uc_sigmask, &mask, sizeof(mask));
	}
	if (has_leave)
		site_on_leave(&f);
	regs[REG_RAX] = f.result;
}

static void on_sigsys(int sig, siginfo_t *info, void *ucontext)
{
	(void)sig;
	if (info->si_code != BY_DISPATCH) {
		call_host(info, ucontext);
		return;
	}
	atomic_fetch_add_explicit(&site_dispatch.calls, 1, memory_order_relaxed);
	if (info->si_syscall == SYS_rt_sigreturn)
		return_from_handler(ucontext);
	make_call(ucontext, info->si_syscall);
}

/* The action without the signal in its mask, in the host's place. */
static void enter_sigaction(struct syscall_frame *f)
{
	struct dispatch_action *mine =
		&dispatch_thread.actions[dispatch_thread.depth++ % DISPATCH_ACTIONS];
	struct kernel_action copy;

	_Static_assert(sizeof(mine->words) == sizeof(copy), "the kernel's");
	mine->had_it = false;
	if (f->args[0] == SIGSYS) {
		f->args[1] = 0; /* only asked: the answer is ours, see leave_sigaction() */
		return;
	}
	if (!is_readable(f->args[1], sizeof(copy)))
		return;
	copy = *(const struct kernel_action *)f->args[1];
	mine->had_it = copy.mask & BIT(SIGSYS);
	copy.mask &= ~BIT(SIGSYS);
	__builtin_memcpy(mine->words, &copy, sizeof(copy));
	f->args[1] = (long)mine->words;
}

long dispatch_enter(struct syscall_frame *f)
{
	long kept = f->args[1];
	unsigned long mask;

	switch (f->number) {
	case SYS_rt_sigaction:
		if (kept != 0)
			enter_sigaction(f);
		return kept;
	case SYS_rt_sigreturn:
		__builtin_memcpy(&mask, &((const ucontext_t *)syscall_frame_sp(f))->uc_sigmask,
				 sizeof(mask));
		set_byte(mask & BIT(SIGSYS) ? LET_THROUGH : MAKE_SIGSYS);
		return kept;
	case SYS_set_robust_list:
	case SYS_rseq:
		return kept;
	case SYS_rt_sigprocmask:
		if (f->args[1] == 0 || f->args[0] == SIG_UNBLOCK)
			return kept;
	}
	set_byte(LET_THROUGH);
	return kept;
}

static void leave_sigaction(struct syscall_frame *f, long kept)
{
	uint64_t bit = f->args[0] >= 1 && f->args[0] <= SIGNALS ? BIT(f->args[0]) : 0;
	uint64_t had = atomic_load_explicit(&masks_have_it, memory_order_relaxed);
	struct kernel_action *old = (struct kernel_action *)f->args[2];
	bool has_it = false;

	if (kept != 0)
		has_it = dispatch_thread.actions[--dispatch_thread.depth % DISPATCH_ACTIONS].had_it;
	f->args[1] = kept;
	if (f->result != 0)
		return;
	if (f->args[0] == SIGSYS) {
		struct kernel_action before = host_action;

		if (kept != 0 && !is_readable(kept, sizeof(before))) {
			f->result = -EFAULT;
			return;
		}
		if (kept != 0)
			host_action = *(const struct kernel_action *)kept;
		if (old != NULL)
			*old = before;
		return;
	}
	if (has_it)
		atomic_fetch_or_explicit(&masks_have_it, bit, memory_order_relaxed);
	else if (kept != 0)
		atomic_fetch_and_explicit(&masks_have_it, ~bit, memory_order_relaxed);
	if (old != NULL && (had & bit))
		old->mask |= BIT(SIGSYS);
}

void dispatch_leave(struct syscall_frame *f, long kept)
{
	switch (f->number) {
	case SYS_rt_sigaction:
		leave_sigaction(f, kept);
		return;
	case SYS_set_robust_list:
	case SYS_rseq:
		/* what a thread, and a child of fork(), begins with */
		if (dispatch_thread.tid != (int32_t)sys1(SYS_gettid, 0))
			dispatch_arm();
		return;
	}
	if (dispatch_thread.tid != 0)
		set_byte_by_mask();
}

/* The next call that a patch sees behind one that was let through. */
void dispatch_again(void)
{
	dispatch_thread.is_let_through = false;
	if (dispatch_thread.tid == (int32_t)sys1(SYS_gettid, 0))
		set_byte_by_mask();
}

int dispatch_start(void)
{
	struct kernel_action ours = {
		.handler = on_sigsys,
		.flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK | KERNEL_SA_RESTORER,
		.restorer = dispatch_return,
	};
	int r;

	r = (int)sys4(SYS_rt_sigaction, SIGSYS, &ours, &host_action, 8);
	if (r < 0)
		return r;
	for (int sig = 1; sig <= SIGNALS; sig++) {
		struct kernel_action action;

		if (sig == SIGSYS || sys4(SYS_rt_sigaction, sig, NULL, &action, 8) != 0 ||
		    !(action.mask & BIT(SIGSYS)))
			continue;
		atomic_fetch_or_explicit(&masks_have_it, BIT(sig), memory_order_relaxed);
		action.mask &= ~BIT(SIGSYS);
		sys4(SYS_rt_sigaction, sig, &action, NULL, 8);
	}
	site_dispatch.is_on = true;
	r = dispatch_arm();
	if (r < 0)
		dispatch_stop();
	return r;
}

void dispatch_stop(void)
{
	uint64_t had = atomic_load_explicit(&masks_have_it, memory_order_relaxed);

	dispatch_disarm();
	site_dispatch.is_on = false;
	sys4(SYS_rt_sigaction, SIGSYS, &host_action, NULL, 8);
	for (int sig = 1; sig <= SIGNALS; sig++) {
		struct kernel_action action;

		if (!(had & BIT(sig)) || sys4(SYS_rt_sigaction, sig, NULL, &action, 8) != 0)
			continue;
		action.mask |= BIT(SIGSYS);
		sys4(SYS_rt_sigaction, sig, &action, NULL, 8);
	}
}
