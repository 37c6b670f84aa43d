/*
 * tracing: a thread of the launcher's for each traced process, which empties its chunks into trace.out.
 *
 * All functions are for the launcher's main thread. The threads block all signals, and have no file but that one.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "core/segment.h"
#include "core/why.h"
#include "tracer/drain.h"

#define TRACING_FILE "trace.out"

struct tracing;

/*
 * Begins with what @s will hold, in @directory, which stays the caller's and must live as long, or in @below in it, "" for
 * none, which is made. The file is made when the process traces. NULL: no memory.
 */
struct tracing *tracing_begin(const struct segment *s, void *door, pid_t pid, const char *directory,
			      const char *below, struct writer_ring ring);

/* Who asks on @connection gets a snapshot of the trace, or hears why not (reception_answer()). Returns at once. */
void tracing_ask(struct tracing *t, int connection, uint64_t since_ns);

/* From here on it is in @below. */
void tracing_move(struct tracing *t, const char *below);

/* The process has ended, or become another program: what it left is taken, and the file ended. Returns at once. */
void tracing_end(struct tracing *t, enum trace_end reason, uint32_t value);

/* Returns when that is done, with what it all was; why says what did not work. NULL is fine. */
struct drain_counts tracing_finish(struct tracing *t, struct why *why);

/* After that: files trace.N.out there are of snapshots for regions that lasted too long, and how many such regions have none. */
unsigned tracing_snapshots(const struct tracing *t, uint64_t *ret_left_out);

/* Around fork(): no thread is at work in between. */
void tracing_pause(struct tracing *t);
void tracing_resume(struct tracing *t);

/* Its file; -1: none. */
int tracing_fd(const struct tracing *t);

/* Frees it. Without tracing_finish(): the file is another process's. */
void tracing_forget(struct tracing *t);
