/*
 * profile: what every profile is to the rest. One struct each, listed in profiles/all.c.
 */
#pragma once

#include "core/option.h"
#include "core/segment.h"
#include "core/thread.h"

struct value_type {
	const char *type, *unit;
};

struct profile_ops {
	const char *name;                /* option word, file name, CLI word: "cpu" */
	unsigned bit;                    /* enum option_profile */
	const char *about;               /* one line for lists and manuals */
	const struct value_type *values; /* the columns, ended by {0} */
	struct value_type period;        /* what one sample stands for */
	enum segment_part table;         /* where it counts */

	/* Normal context. start() may be called again with other options; stop() returns when no handler is inside. */
	int (*start)(struct segment *s, const struct option_set *options, struct why *why);
	void (*stop)(struct segment *s);

	/* On the thread itself, as its first and last words. NULL when of no interest. */
	void (*thread_begins)(struct segment *s, struct thread *t);
	void (*thread_ends)(struct segment *s, struct thread *t);

	/* At exit, on whatever thread: what no sample will stand for any more is counted. NULL when of no interest. */
	void (*settle)(struct segment *s);

	/* In a child of fork, before anything else: forget the parent's timers. */
	void (*forked)(void);

	/* Around exec on the calling thread; @failed when it came back. */
	void (*exec)(struct segment *s, struct thread *t, bool failed);
};

extern const struct profile_ops *const all_profiles[]; /* ended by NULL */
