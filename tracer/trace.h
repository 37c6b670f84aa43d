/*
 * trace: what happens on every thread, in order. The host's side of it that is no event of a lock or a system call: when it
 * runs, and threads that come and go.
 *
 *     threads ──chunk.h──→ chunks in the segment ──drain.h──→ blocks ──writer.h──→ trace.out
 */
#pragma once

#include "core/profile.h"

extern const struct profile_ops trace_profile;

/*
 * As the process begins: what may be started later, when there are threads, needs this. @session: the path of the launcher's socket,
 * beside which processes keep what helps the others; NULL. Normal context.
 */
void trace_prepare(const char *session);

/*
 * In the creator of a thread, whose record @t is: a thread.create with the stack that called @callee. Hook context. errno is
 * kept.
 */
SIGSAFE void trace_creates(struct segment *s, struct thread *creator, struct thread *t,
			   uintptr_t start, uintptr_t callee);

/* What trace_creates() left in @t, for the record that the thread has got in the end. */
struct trace_announced {
	uint32_t number, parent;
};
SIGSAFE struct trace_announced trace_announced(struct segment *s, struct thread *t);
SIGSAFE void trace_set_announced(struct segment *s, struct thread *t, struct trace_announced a);

/* The calling thread is called @name. */
SIGSAFE void trace_names(const char *name);

/* The process ends. */
SIGSAFE void trace_exits(int status);

/*
 * Before the calling thread's end as its destructors see it. True: what the C library calls after them is heard, too, and the
 * last call, which ends the thread, gives its record back.
 */
SIGSAFE bool trace_hears_last_call(void);

/* Those of trace_profile that run in hook and signal context. */
SIGSAFE void trace_thread_begins(struct segment *s, struct thread *t);
SIGSAFE void trace_thread_ends(struct segment *s, struct thread *t);
