/*
 * user: what the program says of itself (tasks, regions, its own log, counters, flows, labels), and what becomes of the
 * process (fork, exec, libraries, signals), as events of the trace.
 *
 * Everything is written by the thread that it happens on. Callers ask trace_runs() first: while no trace runs, nothing
 * here is called.
 *
 *     task     a number, for the whole process; a thread works for one or for none
 *     region   a name, on one thread; inside each other. The end of none has the name "", and stays in the log: a reader
 *              can tell what does not fit, a writer cannot know what was meant
 *     flow     a number of the program's own
 *
 * Where a thread is (its task and its regions) stands in its struct trace_thread, too: a log that begins anywhere can
 * say so.
 */
#pragma once

#include <stdarg.h>

#include "tracer/chunk.h"

#define TRACE_NAME_MAX     255        /* bytes of a name or a key; longer ones are cut */
#define TRACE_TASK_CURRENT UINT64_MAX /* as a parent: the one that the calling thread works for */

SIGSAFE static inline bool trace_runs(void)
{
	return unlikely(trace_level() != 0);
}

/* Hook context, all but trace_log(); errno is kept. NULL is as good as "". */
SIGSAFE uint64_t trace_task_begin(const char *type, uint64_t parent); /* its number, never 0 */
SIGSAFE void trace_task_end(uint64_t task);
SIGSAFE uint64_t trace_task_switch(uint64_t task); /* the one before */
SIGSAFE void trace_region_begin(const char *name);
SIGSAFE void trace_region_end(void);
/* From here on, each region called @name that lasts longer than @ns is counted, and whoever empties the chunks is woken. "": none. */
extern struct trace_watched {
	_Atomic uint64_t ns;
	_Atomic uint32_t name; /* string id, 0: none */
} trace_watched;
void trace_watch_regions(struct segment *s, const char *name, uint64_t ns);
SIGSAFE void trace_counter(const char *name, int64_t value);
SIGSAFE void trace_attribute(const char *key, const char *value);

/* @type: TRACE_FLOW_BEGIN_EVENT and its like. */
SIGSAFE void trace_flow(enum trace_event_type type, uint64_t flow, const char *name);

/* Normal context: what printf() needs may come from the host's allocator. */
void trace_log(const char *category, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

/*
 * The calling thread has the set @labels from now on. Written as "key=value key=value"; what has a space, an equals sign, a
 * quote or nothing in it stands in quotes, with \ before a quote and a \.
 */
SIGSAFE void trace_labels(uint32_t labels);

/* The same with a stamp, for a thread whose first events are being written. */
SIGSAFE void trace_labels_at(struct segment *s, uint64_t ticks, uint32_t labels);

/* A child was made, by a call that began at @ticks. @callee: the function that the host called. */
SIGSAFE void trace_fork(int pid, uint64_t ticks, uintptr_t callee);

/*
 * The system call that made a child, or failed to, has returned, in the parent. No stub is around such a call, as it returns twice:
 * its end would not be seen.
 */
SIGSAFE void trace_returned(long result, uintptr_t callee);

/*
 * Around a call of the C library's that makes a child inside. It is written down by the child (trace_is_child(), on the
 * thread of the parent, which waits meanwhile) or else in the end: @pid, 0 not known, negative: there is none. errno is kept.
 */
SIGSAFE void trace_makes_child(uintptr_t callee);
SIGSAFE void trace_made_child(int pid);

/* @error 0: about to be tried; else why it came back. */
SIGSAFE void trace_exec(const char *path, int error);

enum trace_library {
	TRACE_LIBRARY_CLOSED,
	TRACE_LIBRARY_OPENED,
	TRACE_LIBRARY_ASKED, /* dlopen() is called with this name, and may fail */
};
SIGSAFE void trace_library(enum trace_library what, const char *path);

/* A handler of the host's is called. Signal context. */
SIGSAFE void trace_signal(int sig);

/* For core/sampled.h: @ns of CPU time of @t. Signal context. */
SIGSAFE void trace_cpu_sample(struct segment *s, struct thread *t, const uint64_t *frames,
			      uint32_t depth, uint64_t ns);
