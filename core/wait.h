/*
 * wait: a thread says what it waits for.
 *
 * A wrapper of a call that may block puts a word into the thread's record, and takes it back when the call returns. Whoever
 * looks at threads (look.h) then needs neither signal nor system call to know: the state is in the word, the stack where
 * the wrapper said, and a word that is unchanged means that the thread has not moved.
 *
 *     word = sequence << 16 | code        code = a state of enum wait_state, or WAIT_SYSCALL + the call's number
 *
 * A signal of ours that met a thread in such a call would end its sleep early. So both sides announce themselves first
 * and look at the other's word after: the looker sets thread.asked and leaves the thread alone when it waits, the thread
 * sets its word and, when it is asked, lets the signal come before it goes to sleep.
 */
#pragma once

#include <stddef.h>

#include "core/arch.h"
#include "core/clock.h"
#include "core/thread.h"

enum wait_state {
	WAIT_NOT, /* running */
	WAIT_RUNNABLE,
	WAIT_LOCK,
	WAIT_COND,
	WAIT_SEM,
	WAIT_BARRIER,
	WAIT_JOIN,
	WAIT_FUTEX,
	WAIT_SLEEP,
	WAIT_STATES,
	WAIT_SYSCALL = 256, /* and the number */
	WAIT_CODES = 65536,
};

#define WAIT_CODE(word) ((unsigned)((word)&0xffff))

/* "running", "lock", "syscall:poll" …; @buffer is used when it has to be put together. Any context. */
#define WAIT_NAME_SIZE 48
SIGSAFE const char *wait_name(unsigned code, char buffer[WAIT_NAME_SIZE]);

/* The code for a system call, by its number: WAIT_SLEEP and WAIT_FUTEX for those that have a state of their own. */
SIGSAFE unsigned wait_code_of_syscall(long number);

extern _Atomic uint32_t wait_is_on
	__attribute__((visibility("hidden"))); /* somebody looks at threads */
extern _Atomic uint32_t wait_is_dozing;        /* and sleeps until one of them moves */

/* Wakes whoever sleeps until a thread moves. Keeps errno. */
SIGSAFE void wait_rouse(struct segment *s);

/*
 * What a wrapper keeps on its stack meanwhile: also what was there before, of a call that a host's handler interrupted with
 * this one.
 */
struct wait {
	struct thread *thread; /* NULL: nobody looks, or nobody knows this thread */
	uint64_t before, since_before_ns;
	struct wait_place place_before;
};

/* The rest of wait_begin() when somebody looks. Returns after a signal of ours that was on its way has come. */
SIGSAFE void wait_announce(struct wait *w, unsigned code, struct wait_place place);

/* Takes the word back. Keeps errno. */
SIGSAFE void wait_take_back(struct wait *w);

/*
 * Takes the word back of a call that is not returned from: its thread is cancelled in it, or a handler that interrupted it
 * ends the thread. The unwinder calls this for the wrapper's frame. A personality of our own, because the compiler's would
 * make libcprof.so need libgcc_s.so.
 */
struct _Unwind_Exception;
struct _Unwind_Context;
SIGSAFE int wait_unwound(int version, int actions, uint64_t language,
			 struct _Unwind_Exception *exception, struct _Unwind_Context *context);

/* Takes back what the calling thread said, if anything: it leaves the call by longjmp(), out of a handler. */
SIGSAFE void wait_leave(void);

SIGSAFE static inline void wait_end(struct wait *w)
{
	if (unlikely(w->thread != NULL))
		wait_take_back(w);
}

/* Where the caller of the function that says this goes on. The function then has a frame pointer. */
#define WAIT_HERE(function)                                                  \
	((struct wait_place){(uintptr_t)__builtin_return_address(0),         \
			     (uintptr_t)__builtin_frame_address(0) + 16,     \
			     *(const uintptr_t *)__builtin_frame_address(0), \
			     (uintptr_t)(function)})

/*
 * In a wrapper, around the real call; ends with the scope, and when the thread is cancelled in it:
 *
 *     WAITING(WAIT_SYSCALL + SYS_poll, real.poll);
 *     return real.poll(fds, n, timeout);
 */
#define WAITING(code, function)                                                     \
	struct wait waiting __attribute__((cleanup(wait_end))) = {NULL, 0, 0, {0}}; \
	/* 0x1b: relative to its own place, 4 bytes */                              \
	__asm__ volatile(".cfi_personality 0x1b, wait_unwound");                    \
	if (unlikely(atomic_load_explicit(&wait_is_on, memory_order_relaxed)))      \
	wait_announce(&waiting, (code), WAIT_HERE(function))
