/*
 * look: what another thread of this process is doing, its state and its stack, without disturbing it.
 *
 *     it says that it waits (wait.h)      its stack is read from here, as it lies in memory
 *     it runs                             it is asked by a signal, and walks its own stack in the handler
 *     it sleeps in another system call    the kernel tells which; asked by a signal where the call goes on as if nothing
 *                                         had happened, else its stack is read from here, as far as that goes
 *
 * A stack that is read from here is copied first, by a system call that fails where nothing is mapped: the thread may wake
 * up and end at any moment. If it did move meanwhile, what was read is thrown away.
 *
 * look_at() runs on the helper (helper.h). What it finds goes to a sink: at once, on the helper, or later, on the thread
 * that was asked. A thread that blocks the signal does not answer; whoever asked takes the question back.
 */
#pragma once

#include <signal.h>

#include "core/segment.h"
#include "core/thread.h"
#include "core/wait.h"

enum look_for { LOOK_WALL, LOOK_THREADS, LOOK_KINDS }; /* who looks */

struct look {
	unsigned code;     /* state, see wait.h */
	uint64_t word;     /* of its record, 0 when it did not wait in a call that says so */
	uint64_t since_ns; /* CLOCK_MONOTONIC, 0 not known */
	const uint64_t *frames;
	uint32_t depth;
	uint32_t channel; /* string id: where in the kernel a thread waits that gave no answer; 0 */
};

/* Signal safe. On the helper, or in a handler on @t itself; the caller holds the generation. */
typedef void (*look_sink)(struct segment *s, struct thread *t, const struct look *look);

enum look_result {
	LOOK_DONE,  /* the sink was called */
	LOOK_ASKED, /* a signal is on its way */
	LOOK_GONE,  /* there is no such thread any more */
	LOOK_DEAF,
	LOOK_LATE,
};

/* Grows whenever a thread may have got another name from somebody else. */
extern _Atomic uint32_t look_names_serial;

/* Takes the signal and lets threads say what they wait for. @sink NULL: nobody looks for @who any more. */
int look_start(enum look_for who, look_sink sink);
void look_stop(enum look_for who);
void look_forked(void);

/*
 * @running: the state when it runs, WAIT_NOT or WAIT_RUNNABLE: the caller knows better; or what it did before it was asked
 * the last time, and has not answered: thread.asked_code. @has_run: it
 * used a processor much of the time since the last look. @file: NULL, or for helper_read_kept()
 * when the same thread is looked at again and again.
 */
SIGSAFE enum look_result look_at(struct segment *s, struct thread *t, enum look_for who,
				 unsigned running, bool has_run, int *file);

/*
 * Of a question that has not been answered. LOOK_ASKED: it is being answered now. LOOK_DONE: it has just been. Otherwise the
 * question is taken back, and the thread is LOOK_DEAF when it blocks the signal, LOOK_LATE when it did not get to it.
 */
SIGSAFE enum look_result look_again(struct thread *t, enum look_for who);

/* The sink gets what the kernel tells, with a name in place of a stack. */
SIGSAFE void look_unanswered(struct segment *s, struct thread *t, enum look_for who);

/* True when the kernel says that @t sleeps in a call with this @code. */
SIGSAFE bool look_is_in(struct thread *t, unsigned code, int *file);

/* When there is no time to look: the state it says, and a name in place of a stack. */
SIGSAFE void look_in_passing(struct segment *s, struct thread *t, enum look_for who);

/* The calling thread, which is @t, has got the name @name, or has it from its creator. */
SIGSAFE void look_note_name(struct thread *t, const char *name);

/* A signal that the host took from its queue, by sigwait() or the like. True: it was our question. */
SIGSAFE bool look_on_dequeued(int sig, const siginfo_t *info);

/* The thread's name as the kernel has it, into its record. */
SIGSAFE void look_name(struct thread *t);

/* The label set @base with the thread's name and its state over it. */
SIGSAFE uint32_t look_labels(struct segment *s, struct thread *t, uint32_t base, unsigned code);
