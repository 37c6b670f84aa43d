/*
 * Around a call: the probe, and what leave() has to know of enter().
 *
 * Calls nest only by signal handlers, which come between enter() and leave() of one with whole calls of their own. A handler
 * that leaves by siglongjmp(), a thread that ends and a child of vfork() that becomes another program never come to leave().
 * So a call is known by where its frame lay: what leave() does not find at the top it looks for below, and what is above it
 * is dropped.
 */
#include <errno.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stdalign.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "core/arch.h"
#include "tracer/syscalls/dispatch.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON           1
#endif

struct site_probe site_probe;

#define CALLS 8 /* handlers that interrupt handlers; what is lost beyond it is leave()'s state */

struct call {
	uintptr_t frame;
	uint64_t state;
	long number, kept;
};

struct calls {
	uint32_t depth; /* only ever compared and masked: it may be anything */
	/* the file that the loader maps just now; 0: none, or it has no code */
	int32_t mapped_fd;
	bool has_code;
	uintptr_t mapped_base;
	struct call call[CALLS];
};

static __thread struct calls calls __attribute__((tls_model("initial-exec")));
__thread int32_t syscall_vfork_from __attribute__((tls_model("initial-exec")));

/* What a slot has at 64, and a call that came by dispatch has in the same place. */
static const uintptr_t *slot_words(const struct syscall_frame *f)
{
	return (const uintptr_t *)((f->slot & ~(uintptr_t)(SITE_SLOT_BYTES - 1)) + 64);
}

SIGSAFE uintptr_t syscall_frame_pc(const struct syscall_frame *f)
{
	return slot_words(f)[0];
}

SIGSAFE uintptr_t syscall_frame_sp(const struct syscall_frame *f)
{
	if (likely(f->slot - (uintptr_t)site_slots < sizeof(site_slots)))
		return (uintptr_t)(f + 1) + 128; /* the red zone */
	return slot_words(f)[1];
}

enum { NO_LEAVE = 1, CONFINES = 2, MAPS = 4, MASKS = 8 };

/* What is special about a call, by its number; nearly always nothing. */
static uint8_t special(long number)
{
	static const uint8_t table[SYS_epoll_pwait2 + 1] = {
		[SYS_clone] = NO_LEAVE,
		[SYS_clone3] = NO_LEAVE,
		[SYS_vfork] = NO_LEAVE,
		[SYS_exit] = NO_LEAVE,
		[SYS_exit_group] = NO_LEAVE,
		[SYS_rt_sigreturn] = NO_LEAVE | MASKS,
		[SYS_prctl] = CONFINES,
		[SYS_seccomp] = CONFINES,
		[SYS_mmap] = MAPS,
		[SYS_close] = MAPS,
		[SYS_munmap] = MAPS,
		/* of those only syscall user dispatch wants to know */
		[SYS_rt_sigaction] = MASKS,
		[SYS_rt_sigprocmask] = MASKS,
		[SYS_rt_sigsuspend] = MASKS,
		[SYS_ppoll] = MASKS,
		[SYS_pselect6] = MASKS,
		[SYS_epoll_pwait] = MASKS,
		[SYS_epoll_pwait2] = MASKS,
		[SYS_set_robust_list] = MASKS,
		[SYS_rseq] = MASKS,
	};

	return (unsigned long)number < sizeof(table) ? table[number] : 0;
}

SIGSAFE bool syscall_returns(long number)
{
	return !(special(number) & NO_LEAVE);
}

SIGSAFE bool syscall_is_childs(void)
{
	if ((int32_t)sys1(SYS_gettid, 0) != syscall_vfork_from)
		return true;
	syscall_vfork_from = 0;
	return false;
}

/* A call that makes a process which goes on with this thread's memory, stack and thread-local variables included. */
static bool shares_memory(const struct syscall_frame *f)
{
	uint64_t flags;

	switch (f->number) {
	case SYS_vfork:
		return true;
	case SYS_clone:
		flags = (uint64_t)f->args[0];
		break;
	case SYS_clone3:
		/* it can be anything: the kernel would say so */
		if (f->args[1] < 8 || sys4(SYS_rt_sigprocmask, -1, f->args[0], 0, 8) == -EFAULT)
			return false;
		flags = *(const uint64_t *)f->args[0];
		break;
	default:
		return false;
	}
	return (flags & (CLONE_VM | CLONE_VFORK)) == (CLONE_VM | CLONE_VFORK) &&
	       !(flags & CLONE_THREAD);
}

static inline void enter(struct syscall_frame *f)
{
	void (*probe)(struct syscall_frame *) =
		atomic_load_explicit(&site_probe.enter, memory_order_relaxed);

	if (likely(probe != NULL))
		probe(f);
}

static bool is_loaders(const struct syscall_frame *f)
{
	uintptr_t pc = syscall_frame_pc(f);

	return pc >= site_engine.loader_start && pc < site_engine.loader_end;
}

/* The loader's vector registers; those of whoever called dlopen() are lost by the rules of calls. */
static void patch_mapped(uintptr_t base)
{
	alignas(16) uint8_t vectors[512];

	__asm__ volatile("fxsave64 %0" : "=m"(vectors));
	site_on_mapped(base);
	__asm__ volatile("fxrstor64 %0" : : "m"(vectors));
}

/*
 * The loader maps a file from its start, its code over that, and then closes it. From then until it has relocated it nobody
 * runs what is in it.
 */
static void leave_mapping(const struct syscall_frame *f)
{
	if (f->number == SYS_mmap && f->result > 0 && (int32_t)f->args[4] >= 0) {
		if (f->args[5] == 0) {
			calls.mapped_fd = (int32_t)f->args[4];
			calls.mapped_base = (uintptr_t)f->result;
			calls.has_code = false;
		}
		if ((f->args[2] & PROT_EXEC) && (f->args[3] & MAP_PRIVATE) &&
		    calls.mapped_fd == (int32_t)f->args[4])
			calls.has_code = true;
	} else if (f->number == SYS_close && calls.has_code &&
		   calls.mapped_fd == (int32_t)f->args[0]) {
		calls.has_code = false;
		patch_mapped(calls.mapped_base);
	}
}

/* True when it has no leave(). */
static bool enter_special(struct syscall_frame *f, uint8_t what)
{
	if (what == MASKS)
		return false;
	if (what == MAPS) {
		if (f->number == SYS_munmap && is_loaders(f))
			sites_forget((uintptr_t)f->args[0], (uintptr_t)(f->args[0] + f->args[1]));
		return false;
	}
	if (what == CONFINES) {
		if ((f->number == SYS_prctl &&
		     (f->args[0] == PR_SET_SECCOMP || (f->args[0] == PR_SET_SYSCALL_USER_DISPATCH &&
						       f->args[1] == PR_SYS_DISPATCH_ON))) ||
		    (f->number == SYS_seccomp && (f->args[0] == SECCOMP_SET_MODE_STRICT ||
						  f->args[0] == SECCOMP_SET_MODE_FILTER)))
			sites_before_filter();
		return false;
	}
	if (f->number != SYS_rt_sigreturn)
		enter(f);
	else if (site_dispatch.is_on)
		dispatch_enter(f);
	/* a child that does so in its turn is still not the thread's */
	if (shares_memory(f) && !syscall_frame_is_childs())
		syscall_vfork_from = (int32_t)sys1(SYS_gettid, 0);
	return true;
}

bool site_on_enter(struct syscall_frame *f)
{
	uint8_t what = special(f->number);
	struct call *call;

	if (unlikely(dispatch_thread.is_let_through))
		dispatch_again();
	if (unlikely(what != 0) && enter_special(f, what))
		return false;
	call = &calls.call[calls.depth++ % CALLS];
	/* a handler that comes from here on has the next one */
	atomic_signal_fence(memory_order_seq_cst);
	enter(f);
	call->number = f->number;
	call->state = f->state;
	call->frame = (uintptr_t)f;
	if (unlikely(what == MASKS) && site_dispatch.is_on)
		call->kept = dispatch_enter(f);
	return true;
}

void site_on_leave(struct syscall_frame *f)
{
	uint32_t depth = calls.depth - 1;
	struct call *call = &calls.call[depth % CALLS];
	void (*leave)(struct syscall_frame *);
	long kept;

	/* it is not the last one: what is above it never left */
	for (uint32_t i = 1; unlikely(call->frame != (uintptr_t)f); i++) {
		if (i == CALLS)
			return; /* nobody saw it begin */
		call = &calls.call[--depth % CALLS];
	}
	f->number = call->number;
	f->state = call->state;
	kept = call->kept;
	call->frame = 0;
	atomic_signal_fence(memory_order_seq_cst);
	calls.depth = depth;
	if (unlikely(special(f->number) != 0)) {
		if (special(f->number) == MAPS && is_loaders(f))
			leave_mapping(f);
		else if (special(f->number) == MASKS && site_dispatch.is_on)
			dispatch_leave(f, kept);
	}
	leave = atomic_load_explicit(&site_probe.leave, memory_order_relaxed);
	if (likely(leave != NULL))
		leave(f);
}
