/*
 * scan: threads that nobody told us about, found by looking at the process's task list: those that came by a raw clone(), and
 * those that were there before us.
 */
#pragma once

#include "core/segment.h"
#include "core/thread.h"

/* What is to happen to a thread that was found, and to one that was found to be gone. Any thread may call. */
struct scan_hooks {
	void (*begins)(struct segment *s, struct thread *t);
	void (*ends)(struct segment *s, struct thread *t);
};
extern struct scan_hooks scan_hooks;

/* A look at a piece of the list, when the number of threads says that one is unknown: a few dozen system calls at most. */
SIGSAFE void scan_some(struct segment *s);

/* The whole list. Long when there are many threads. */
SIGSAFE void scan_all(struct segment *s);

/* Gives thread @tid a record, when it has none. False: there is no room for more. */
SIGSAFE bool scan_adopt(struct segment *s, int tid);

/* In a child of fork: whoever was looking is not here. */
SIGSAFE void scan_forked(void);
