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
 *
 * The same wrappers tell a keeper (profiles/mutex) when a wait begins and when it is over, with what was waited for and how
 * it ended. One word says which of all that is wanted; while it is 0 every wrapper is a jump.
 */
#pragma once

#include <errno.h>
#include <stdatomic.h>
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
	WAIT_RWLOCK, /* shown as WAIT_LOCK, these three */
	WAIT_SPIN,
	WAIT_ONCE,
	WAIT_FUTEX_LOCK, /* shown as WAIT_FUTEX: its word says that it is a lock's */
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

/* What is wanted of waits: bits. */
#define WAIT_SHOWN   1u  /* the word: somebody looks at threads */
#define WAIT_TIMED   2u  /* how long they are, of those for other threads */
#define WAIT_COUNTED 4u  /* how many wait for a lock, and its releases */
#define WAIT_IO      8u  /* how long those for files and sockets are, too */
#define WAIT_TRACED  16u /* all that threads do to each other, in its order: tracer/sync.h */
extern _Atomic uint32_t wait_is_on __attribute__((visibility("hidden")));
extern _Atomic uint32_t wait_is_dozing; /* somebody sleeps until a thread moves */

/* The bits that concern a wait with this code; constant in most wrappers. */
SIGSAFE static inline uint32_t wait_concern(unsigned code)
{
	switch (code) {
	case WAIT_LOCK:
	case WAIT_RWLOCK:
	case WAIT_SPIN:
	case WAIT_FUTEX_LOCK:
		return WAIT_SHOWN | WAIT_TIMED | WAIT_COUNTED | WAIT_TRACED;
	case WAIT_COND:
	case WAIT_SEM:
	case WAIT_BARRIER:
	case WAIT_JOIN:
	case WAIT_ONCE:
	case WAIT_FUTEX:
		return WAIT_SHOWN | WAIT_TIMED | WAIT_TRACED;
	default:
		return code >= WAIT_SYSCALL ? WAIT_SHOWN | WAIT_IO : WAIT_SHOWN;
	}
}

SIGSAFE static inline bool wait_is_wanted(uint32_t bits)
{
	return unlikely(atomic_load_explicit(&wait_is_on, memory_order_relaxed) & bits);
}

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

	/* for the keeper; no more than this is set when it is 0 */
	uint64_t begun_ns; /* CLOCK_MONOTONIC */
	struct wait_place place;
	const void *object; /* what it waits for: the address of a lock, a word; NULL */
	unsigned code;
	int result; /* 0, or an errno: why it is over */
	struct wait_kept {
		void *waiters;
		uint32_t stack, labels, generation, process;
		uint64_t serial;
	} kept;

	/* for the tracer: what else there is to say of it, by its code (tracer/sync.h), and its own */
	uintptr_t with[2];
	struct wait_traced {
		bool is_open, is_listed;
		uint32_t object;
		uint64_t begun, order;
	} traced;
};

/* Who keeps them. Set before the bits are, and never taken back. Hook context; each keeps errno. */
struct wait_keeper {
	/* sets @w->begun_ns, or it is not kept */
	void (*begins)(struct wait *w);
	void (*ends)(struct wait *w, uint64_t now_ns);
	/* all waits that @t, which calls, is in are left without being over */
	void (*leaves)(struct thread *t);
};
extern struct wait_keeper wait_keeper;

/* Who traces them, likewise. @begins sets @w->traced.is_open, or @ends is not called. */
struct wait_tracer {
	void (*begins)(struct wait *w);
	void (*ends)(struct wait *w);
	void (*leaves)(void); /* all that the calling thread is in */
};
extern struct wait_tracer wait_tracer;

/* A wait begins for which something is wanted. Returns after a signal of ours that was on its way has come. */
SIGSAFE void wait_begin(struct wait *w, unsigned code, struct wait_place place, const void *object);

/* Puts up the word alone. */
SIGSAFE void wait_announce(struct wait *w, unsigned code, struct wait_place place);

/* Two parts of it by themselves: for who looks at threads, and for the tracer. */
SIGSAFE void wait_show(struct wait *w, unsigned code, struct wait_place place, const void *object);
SIGSAFE void wait_trace(struct wait *w, unsigned code, struct wait_place place, const void *object);

/* One that was kept or traced is over. Keeps errno. */
SIGSAFE void wait_is_over(struct wait *w);

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
	if (unlikely(w->begun_ns != 0 || w->traced.is_open))
		wait_is_over(w);
	else if (unlikely(w->thread != NULL))
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
 *     WAITING(WAIT_JOIN, real.pthread_join, NULL);
 *     return WAITED(real.pthread_join(thread, result));
 */
#define WAITING(code, function, object) WAITING_WITH(code, function, object, 0, 0)

/* The last two: what else there is to say, for the tracer. */
#define WAITING_WITH(code, function, object, first, second) \
	WAITING_FOR(wait_concern(code), wait_begin, code, function, object, first, second)
/* Those of one part. */
#define SHOWING(code, function, object) \
	WAITING_FOR(WAIT_SHOWN, wait_show, code, function, object, 0, 0)
#define TRACING_WITH(code, function, object, first, second) \
	WAITING_FOR(WAIT_TRACED, wait_trace, code, function, object, first, second)

#define WAITING_FOR(bits, begin, code, function, object, first, second)               \
	struct wait waiting __attribute__((cleanup(wait_end)));                       \
	waiting.thread = NULL;                                                        \
	waiting.begun_ns = 0;                                                         \
	waiting.traced.is_open = false;                                               \
	/* 0x1b: relative to its own place, 4 bytes */                                \
	__asm__ volatile(".cfi_personality 0x1b, wait_unwound");                      \
	if (wait_is_wanted(bits))                                                     \
	(waiting.with[0] = (uintptr_t)(first), waiting.with[1] = (uintptr_t)(second), \
	 begin(&waiting, (code), WAIT_HERE(function), (object)))

/* Of a function that returns an error number, of one that returns -1 and sets errno, and of one that does so with files. */
#define WAITED(call)       (waiting.result = (call))
#define WAITED_ERRNO(call) ((__typeof__(call))wait_note(&waiting, (long)(call), 0))
#define WAITED_IO(call)    ((__typeof__(call))wait_note(&waiting, (long)(call), ETIMEDOUT))

/* @nothing: what it means when there was nothing to count. */
SIGSAFE static inline long wait_note(struct wait *w, long result, int nothing)
{
	w->result = result > 0 ? 0 : result == 0 ? nothing : errno;
	return result;
}
