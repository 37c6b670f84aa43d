/*
 * convert: a prepared report in the form of another viewer.
 *
 * The options of a report say what is in it: which column, which samples, which frames. Each form says
 * by itself what a place is unless it is asked for something else: a flame graph wants functions.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/why.h"
#include "output/out.h"
#include "output/text.h"

struct convert {
	struct report *r;
	struct out *out;
	struct why *why;
	uint64_t left_out_n; /* stacks whose value is below zero: no form has a place for them */
};

struct convert_form {
	const char *name, *about;
	enum granularity granularity; /* unless the user asks for another */
	bool is_graph;  /* of calls, not of stacks: by addresses always, and a mean makes sense */
	bool is_packed; /* not for a terminal */
	/* 0 or a negative errno, with c->why unless it is -ENOMEM or the output's */
	int (*write)(struct convert *c);
};

extern const struct convert_form *const convert_forms[];   /* NULL ends them */
const struct convert_form *convert_find(const char *name); /* NULL: there is none */

/* @c has r, out and why. Returns 0, or a negative errno with the reason in c->why. */
int convert_write(struct convert *c, const struct convert_form *form);

/* The value of @column in whole units of *ret_unit, which is the profile's own unless another is asked for. */
int64_t convert_value(const struct report *r, uint32_t column, int64_t value);
const char *convert_unit(const struct report *r, uint32_t column);
/* From one unit to another; what is too large becomes the largest there is. */
int64_t convert_scale(int64_t value, const char *from, const char *to);

/* The profile's name: that of its program. */
const char *convert_program(const struct convert *c);

/* convert_stacks.c: equal stacks added up, whatever their labels. */
struct convert_stacks {
	/*
	 * Its functions are the frames: name, file, and the line as start_line. The locations of a sample are numbers of
	 * frames, leaf first.
	 */
	struct profile table;
	uint32_t *first_line, *frames; /* of location i: frames[first_line[i]], … */
};
/* @with_start: where there is no line, that of the function's beginning. 0, -ENOMEM or -E2BIG. */
int convert_stacks_init(struct convert_stacks *s, struct report *r, bool with_start);
void convert_stacks_fini(struct convert_stacks *s); /* also after a failure */

/* The name of a place, line @line of it: of what has none, "[file]"; before it the address, where that was asked for. */
const char *convert_name(struct report *r, const struct profile_location *l, uint32_t line);
