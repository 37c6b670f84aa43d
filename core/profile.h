/*
 * profile: what every profile is to the rest. One struct each, listed in profiles/all.c.
 */
#pragma once

#include <string.h>

#include "core/option.h"
#include "core/segment.h"
#include "core/table.h"
#include "core/thread.h"

struct value_type {
	const char *type, *unit;
};

struct profile_member;

struct profile_ops {
	const char *name;                /* option word, file name, CLI word: "cpu" */
	unsigned bit;                    /* enum option_profile */
	const char *about;               /* one line for lists and manuals */
	const struct value_type *values; /* the columns, ended by {0} */
	struct value_type period;        /* what one sample stands for */
	enum segment_part table; /* where it counts; SEGMENT_NO_TABLE: read() finds it elsewhere */
	enum segment_run_id run;
	bool is_instant; /* what is now, not what happened since it began */
	bool is_by_size; /* of blocks, each taken with a probability that grows with its size: unsampled when written */
	bool is_log; /* of what happened, in order, written while it happens: there are no rows to read */
	bool is_view; /* of what a profile with the same bit records, or a family: nothing to start, and no file by itself */
	const char *shown; /* the column that tools show first, NULL: the last */

	/*
	 * Normal context. start() may be called again with other options; stop() returns when no handler is inside. -ENOTSUP:
	 * not in this process; others that were asked for go on.
	 */
	int (*start)(struct segment *s, const struct option_set *options, struct why *why);
	void (*stop)(struct segment *s);

	/* Its rows, as table_read() would give them, in its columns; NULL: those of its table. Also on a segment that others wrote. */
	int (*read)(const struct segment *s, const struct profile_ops *ops,
		    int (*each)(void *user, const struct table_row *row), void *user);

	/* Normal context: brings what read() finds up to this moment. NULL when it always is. */
	int (*refresh)(struct segment *s);

	/* In the creator of a thread, before it is there. Hook context. */
	void (*thread_created)(struct segment *s, struct thread *creator);

	/*
	 * On the thread itself, as its first and last words; the first also in signal context, by whoever found it. NULL when
	 * of no interest.
	 */
	void (*thread_begins)(struct segment *s, struct thread *t);
	void (*thread_ends)(struct segment *s, struct thread *t);

	/* On some other thread, which found it gone. Signal context. */
	void (*thread_gone)(struct segment *s, struct thread *t);

	/* At exit, on whatever thread: what no sample will stand for any more is counted. NULL when of no interest. */
	void (*settle)(struct segment *s);

	/* In a child of fork, before anything else: forget the parent's timers. */
	void (*forked)(void);

	/* Around exec on the calling thread; @failed when it came back. */
	void (*exec)(struct segment *s, struct thread *t, bool failed);

	/*
	 * Of a family, which is no profile itself, and whose name is "": fills in the @index-th of those that @s has, which may
	 * be anybody's. False: there is none.
	 */
	bool (*member)(const struct segment *s, unsigned index, struct profile_member *ret);
};

/* A profile that the program made: not every process has it. It points into itself: it stays where it is. */
#define PROFILE_NAME_MAX 48
struct profile_member {
	struct profile_ops ops;
	struct value_type values[2];
	char name[PROFILE_NAME_MAX + 1];
};

_Static_assert((int)RUN_CPU == OPTION_ID_CPU && (int)RUN_TRACE == OPTION_ID_TRACE &&
		       (int)SEGMENT_RUNS == OPTION_ID_ALL,
	       "a profile's place is its place in option_words[]");

static inline bool profile_is_custom(const struct profile_ops *ops)
{
	return ops->run >= RUN_CUSTOM;
}

static inline struct segment_run *profile_run(const struct segment *s,
					      const struct profile_ops *ops)
{
	return profile_is_custom(ops) ? &s->header->customs[ops->run - RUN_CUSTOM].run
				      : &s->header->runs[ops->run];
}

extern const struct profile_ops *const all_profiles[]; /* ended by NULL */

/* The one of @profiles, ended by NULL, that has rows and is called @name; NULL. */
static inline const struct profile_ops *profile_find(const struct profile_ops *const *profiles,
						     const char *name)
{
	for (; *profiles != NULL; profiles++)
		if (!(*profiles)->is_log && (*profiles)->member == NULL &&
		    strcmp((*profiles)->name, name) == 0)
			return *profiles;
	return NULL;
}
