#include "preload/handlers.h"

#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "core/arch.h"
#include "core/signals.h"
#include "tracer/sync.h"
#include "tracer/user.h"

#define STUBS      64 /* functions that are handlers: a program has a few */
#define STUB_BYTES 16
#define SIGNALS    65 /* the kernel's, from 1 */

/* What the kernel's rt_sigaction reads. */
struct kernel_action {
	uintptr_t handler;
	unsigned long flags;
	void *restorer;
	unsigned long mask;
};

__attribute__((used, visibility("hidden"))) _Atomic uintptr_t handlers_behind[STUBS];
extern const char handlers_stubs[] __attribute__((visibility("hidden")));

static _Atomic uintptr_t by_host[SIGNALS]; /* set by the C library's functions; 0: none */
static _Atomic bool is_on;
static _Atomic unsigned serial; /* odd: handlers_traced() is at work */

/* Returns what the tracer was paused by: it is the host's code that runs from here until the handler returns. */
__attribute__((used)) static uint32_t note_taken(int sig, siginfo_t *info, void *ucontext)
{
	(void)info;
	if (!trace_runs() || !signals_has_room(ucontext))
		return 0;
	trace_signal(sig);
	return sync_interrupted();
}

__attribute__((used)) static void note_return(uint32_t paused)
{
	sync_continues(paused);
}

/*
 * A handler has its arguments in three registers, whether it asked for all of them or not, and 0 in the one that says how many
 * of a variadic call's are floating; all others are its own to use.
 */
__asm__(".text\n"
	".balign 16\n"
	".type handlers_stubs, @function\n"
	"handlers_stubs:\n\t"
	".cfi_startproc\n"
	".set handlers_index, 0\n"
	".rept 64\n\t"
	".balign 16\n\t"
	"endbr64\n\t"
	"movl $handlers_index, %eax\n\t"
	"jmp 1f\n"
	".set handlers_index, handlers_index + 1\n"
	".endr\n"
	"1:\tpushq %rdi\n\t.cfi_adjust_cfa_offset 8\n\t"
	"pushq %rsi\n\t.cfi_adjust_cfa_offset 8\n\t"
	"pushq %rdx\n\t.cfi_adjust_cfa_offset 8\n\t"
	"pushq %rax\n\t.cfi_adjust_cfa_offset 8\n\t"
	"subq $8, %rsp\n\t.cfi_adjust_cfa_offset 8\n\t"
	"call note_taken\n\t"
	"movl %eax, %r10d\n\t"
	"addq $8, %rsp\n\t.cfi_adjust_cfa_offset -8\n\t"
	"popq %rax\n\t.cfi_adjust_cfa_offset -8\n\t"
	"popq %rdx\n\t.cfi_adjust_cfa_offset -8\n\t"
	"popq %rsi\n\t.cfi_adjust_cfa_offset -8\n\t"
	"popq %rdi\n\t.cfi_adjust_cfa_offset -8\n\t"
	"leaq handlers_behind(%rip), %r11\n\t"
	"movq (%r11,%rax,8), %r11\n\t"
	"xorl %eax, %eax\n\t"
	"testl %r10d, %r10d\n\t"
	"jne 2f\n\t"
	"jmp *%r11\n"
	"2:\tpushq %r10\n\t.cfi_adjust_cfa_offset 8\n\t"
	"call *%r11\n\t"
	"popq %rdi\n\t.cfi_adjust_cfa_offset -8\n\t"
	"jmp note_return\n\t"
	".cfi_endproc\n"
	".size handlers_stubs, . - handlers_stubs\n");

static bool is_function(uintptr_t handler)
{
	return handler != (uintptr_t)SIG_DFL && handler != (uintptr_t)SIG_IGN &&
	       handler != (uintptr_t)SIG_ERR && handler != (uintptr_t)SIG_HOLD;
}

static bool is_stub(uintptr_t handler)
{
	return handler - (uintptr_t)handlers_stubs < STUBS * STUB_BYTES;
}

/* The handler itself when there are too many of them. */
static uintptr_t stub_of(uintptr_t handler)
{
	for (uintptr_t i = 0; i < STUBS; i++) {
		uintptr_t there = 0;

		/* release pairs: the stub, by way of the kernel */
		if (atomic_compare_exchange_strong_explicit(&handlers_behind[i], &there, handler,
							    memory_order_acq_rel,
							    memory_order_acquire) ||
		    there == handler)
			return (uintptr_t)handlers_stubs + i * STUB_BYTES;
	}
	return handler;
}

sighandler_t handlers_stand_in(int sig, sighandler_t handler)
{
	uintptr_t function = (uintptr_t)handler;

	if (sig <= 0 || sig >= SIGNALS || is_stub(function))
		return handler;
	atomic_store_explicit(&by_host[sig], is_function(function) ? function : 0,
			      memory_order_seq_cst);
	if (!is_function(function) || !atomic_load_explicit(&is_on, memory_order_seq_cst))
		return handler;
	return (sighandler_t)stub_of(function);
}

sighandler_t handlers_host(sighandler_t found)
{
	uintptr_t function = (uintptr_t)found;

	if (!is_stub(function))
		return found;
	return (sighandler_t)atomic_load_explicit(
		&handlers_behind[(function - (uintptr_t)handlers_stubs) / STUB_BYTES],
		memory_order_acquire);
}

unsigned handlers_now(void)
{
	unsigned now;

	while ((now = atomic_load_explicit(&serial, memory_order_seq_cst)) & 1)
		sched_yield();
	return now;
}

bool handlers_are_same(unsigned before)
{
	return atomic_load_explicit(&serial, memory_order_seq_cst) == before;
}

/* A handler that came in here and set another one would wait for us: none does. */
void handlers_traced(void)
{
	unsigned long all = ~0ul, before;
	struct kernel_action action;

	if (atomic_load_explicit(&is_on, memory_order_relaxed))
		return;
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
	atomic_fetch_add_explicit(&serial, 1, memory_order_seq_cst);
	atomic_store_explicit(&is_on, true, memory_order_seq_cst);
	for (int sig = 1; sig < SIGNALS; sig++) {
		uintptr_t handler = atomic_load_explicit(&by_host[sig], memory_order_seq_cst);

		/* raw: what the host's own restorer is, if it has one, stays so */
		if (handler == 0 || signals_is_taken(sig) ||
		    sys4(SYS_rt_sigaction, sig, NULL, &action, sizeof(all)) < 0 ||
		    action.handler != handler)
			continue;
		action.handler = stub_of(handler);
		sys4(SYS_rt_sigaction, sig, &action, NULL, sizeof(all));
	}
	atomic_fetch_add_explicit(&serial, 1, memory_order_seq_cst);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
}

void handlers_forked(void)
{
	/* who was at it is not here: the child begins again */
	if (!(atomic_load_explicit(&serial, memory_order_relaxed) & 1))
		return;
	atomic_store_explicit(&is_on, false, memory_order_relaxed);
	atomic_fetch_add_explicit(&serial, 1, memory_order_seq_cst);
}

void handlers_shared(int sig, sighandler_t handler)
{
	if (trace_runs() && !is_stub((uintptr_t)handler))
		trace_signal(sig);
}
