/*
 * sites: every system call of the process is seen, at the `syscall` instructions themselves.
 *
 * A site is such an instruction in a library or the program. Five bytes beside it become a jump to the site's slot, which
 * lies in libcprof.so, calls the probe and goes back:
 *
 *     in place    mov $0,%eax   ─→ slot: mov $0,%eax; enter ─┐     the instruction stays what and where it was: whoever
 *                 syscall       ←──────────────────────────┘     asks where the thread waits (unwinders, filters, a
 *                 cmp …,%rax    ─→ slot: leave; cmp …,%rax ─┐     debugger, the C library's cancellation) sees the site
 *                 …             ←──────────────────────────┘
 *
 *     in stub     syscall       ─→ slot: enter; syscall; leave; cmp …,%rax ─┐   where only one side has room, or where
 *                 cmp …,%rax                                                 │   the number is not known beforehand
 *                 …             ←──────────────────────────────────────────┘
 *
 * Always true:
 *   - Nothing of ours lies on the host's stack while the kernel has the call. What leave() needs is thread-local.
 *   - What is overwritten was decoded from the start of its function, and no jump, table or exception leads into it.
 *   - A call that a signal interrupts and the kernel begins anew is entered once: it begins at the instruction.
 *   - clone, vfork, exit and their like have no leave(): what comes behind them runs on another stack, or nowhere.
 *     The return from a signal handler is not seen at all.
 *
 * What cannot be patched is counted, by reasons. Why it is so: docs/adr/0013-system-calls-in-place.md
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arch.h"
#include "core/context.h"
#include "core/why.h"

struct segment;

/* Lies on the host's stack while the probe runs, below the red zone. In the order in which it is pushed. */
struct syscall_frame {
	long number;
	long result;  /* for leave(); enter() has the number here, too */
	long args[6]; /* as the kernel gets them */
	uint64_t
		state; /* what enter() leaves here, leave() finds here; 0 when there was no enter() */
	uintptr_t bp;   /* the caller's */
	uintptr_t slot; /* an address in the site's slot */
};

/* Where the call was made: a walk begins with these and the frame's bp. pc is right behind the instruction. */
SIGSAFE uintptr_t syscall_frame_sp(const struct syscall_frame *f);
SIGSAFE uintptr_t syscall_frame_pc(const struct syscall_frame *f);

/* False for a call that has no leave(). */
SIGSAFE bool syscall_returns(long number);

/*
 * The calling thread's registers are the child's of a vfork(), or of a posix_spawn(), that shares this thread's memory: the
 * call is another process's. Only asked between such a call and the next one of the parent: else free of cost.
 */
extern __thread int32_t syscall_vfork_from /* who has begun such a call, until it is seen again */
	__attribute__((tls_model("initial-exec")));
SIGSAFE bool syscall_is_childs(void);
SIGSAFE static inline bool syscall_frame_is_childs(void)
{
	return unlikely(syscall_vfork_from != 0) && syscall_is_childs();
}

/*
 * Both run in hook context, on the thread that makes the call, in the middle of a function that believes to be in a
 * system call: vector registers are not saved. So these two, and all that they call, are compiled with
 * -mgeneral-regs-only, and call nothing of libc, memcpy() included. Raw system calls only, and they are not seen. Signals
 * are as the host has them: a handler's own calls come in between, whole.
 */
struct syscall_probe {
	void (*enter)(struct syscall_frame *f);
	void (*leave)(struct syscall_frame *f);
};

enum sites_mode {
	SITES_PATCHED, /* what can be patched */
	SITES_FULL,    /* and the rest by syscall user dispatch, at a price for every call */
};

enum sites_left {
	SITES_LEFT_NO_ROOM, /* no five bytes of instructions that may be moved */
	SITES_LEFT_UNKNOWN, /* no unwind table says where its function begins, or not all in it is understood */
	SITES_LEFT_ENTERED,   /* something leads into what would be overwritten, or may */
	SITES_LEFT_SIGRETURN, /* the return from a signal handler */
	SITES_LEFT_CANCEL,    /* the C library compares its address with the thread's */
	SITES_LEFT_NO_SLOT,   /* more sites than slots, or no room for a jump near it */
	SITES_LEFT_FILTER,    /* given back, because the program filters its calls */
	SITES_LEFT_RUNNING, /* other threads run, and no instruction in front of it lies in one word */
	SITES_LEFT_LARGE, /* not a site but a file whose code is too long to be looked through */
	SITES_LEFT_REASONS,
};

struct sites_counts {
	uint32_t files, found, in_place, in_stub;
	uint64_t by_dispatch; /* calls that no patch has seen */
	uint32_t left[SITES_LEFT_REASONS];
};

/*
 * Where these are called, in a host: sites_start() from the constructor, before the first thread of ours; sites_forked() in a
 * child of fork(). dlopen(), dlclose(), new threads, exec and seccomp need nothing: the engine sees their calls.
 *
 * Makes ready for a sites_start_running() that may come, while there is one thread: later the kernel would wait for every
 * processor to come by (RCU), which takes seconds where it is short of them. Normal context.
 */
void sites_prepare(void);

/*
 * Begins. The process has one thread, and the caller is it (else sites_start_running()); libraries that come by dlopen() are patched as the loader maps
 * them, and forgotten as it unmaps them. 0, or with @why: -ENOTSUP (this processor, this kernel, no library to patch, valgrind),
 * -EAGAIN (there are other threads), -EPERM or another errno (code may not be changed), -EBUSY (it has begun). Normal context.
 */
int sites_start(const struct syscall_probe *probe, enum sites_mode mode, struct why *why);

/*
 * The same, SITES_PATCHED, while there are other threads. They are not stopped, and no call of theirs is interrupted. Of the
 * files in the list of @s, those that were there when the program began. Calls that are under way are not seen, nor are those
 * that a signal interrupts among them. Also on the helper.
 */
int sites_start_running(const struct segment *s, const struct syscall_probe *probe,
			struct why *why);

/*
 * The probe is not called any more from here on, but for calls that began before. With one thread the code becomes what it
 * was, byte for byte, and 0 is returned; with more it stays patched, -EAGAIN. Normal context.
 */
int sites_stop(void);

/*
 * The site, when @pc is one of the few jumps that no unwind table knows: a walk that begins in a signal handler should begin
 * there, with all registers as they are. Else @pc.
 */
SIGSAFE uintptr_t sites_real_pc(uintptr_t pc);

/* Where plans are kept for other processes with the same code: the first @n bytes of @path, a directory of the session's. 0: nowhere. */
void sites_keep_in(const char *path, size_t n);

/* Files that came without the loader's telling. With one thread only, else -EAGAIN. Normal context. */
int sites_update(struct why *why);

/* What lies between the two addresses is gone, or about to go. The loader's own unmapping is seen without this. */
SIGSAFE void sites_forget(uintptr_t start, uintptr_t end);

/*
 * Before the host confines its own system calls, with one thread: calls that are made from slots go back to where they
 * were, because a filter may ask for the address. Keeps errno. Called by the engine itself when the call for it is seen.
 */
SIGSAFE void sites_before_filter(void);

/* The call that ends a thread of the C library's is among those that are seen. */
SIGSAFE bool sites_see_exits(void);

/* In a child of fork: whoever was at work is not here. */
SIGSAFE void sites_forked(void);

void sites_count(struct sites_counts *ret);

/* "no room to patch", … */
const char *sites_left_name(enum sites_left reason);
