/*
 * resolve: what is at a place in code, where a trace has no name for it: from the files of its modules, on the machine that has
 * them.
 *
 * A file is the one that was recorded when its build id is. Where the trace has none of a module, the file must have none
 * either, and be older than the recording: a name that may be wrong is worse than none. Files are opened when the first of
 * their places is asked for; what is no regular file is never opened.
 */
#pragma once

#include "viewer/tables.h"

struct resolver_line {
	const char *function, *system_name; /* the second as the linker has it */
	const char *file;                   /* "" when it is not known */
	uint32_t line, start_line;          /* 0: not known; of the place, and of the function */
};

struct resolver_symbol {
	const struct resolver_line *lines; /* innermost first */
	uint32_t n;                        /* 0: nothing is known */
};

/*
 * For frames of @t, which must outlive it; the recording began at @recorded_ns of the wall clock, 0: not known. 0 or -ENOMEM.
 * What separate debugging information there may be is looked for where CPROF_DEBUG_PATH says, too.
 */
int resolver_create(struct resolver **ret, const struct tables *t, uint64_t recorded_ns);
void resolver_destroy(struct resolver *x); /* NULL is fine */

/* What is at @frame, a word of a stack. The lines stay as long as @x. */
struct resolver_symbol resolver_find(struct resolver *x, uint64_t frame);

/* Whether there is more of the module of @frame than names of functions: files, lines and inlined calls. */
bool resolver_has_lines(struct resolver *x, uint64_t frame);

/*
 * Calls @each for every module that was asked for and cannot be read, or not all of it, with the reason, in which are names that
 * others chose.
 */
void resolver_problems(const struct resolver *x, void (*each)(void *context, const char *why),
		       void *context);
