/*
 * annotate: source lines with what was spent on each, for the functions whose names match report_options.expression.
 *
 *     ROUTINE ======================== parse in /src/parse.c
 *          20ms      240ms (flat, cum) 24.00% of Total
 *             .          .     17:static int parse(const char *text)
 *          20ms      240ms     18:        while (*text != '\0')
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/why.h"
#include "output/text.h"

/* A function, in one of the files that it is in. */
struct list_function {
	const char *name, *file; /* "": it is not known where it is */
	const char *error;       /* why there are no lines; NULL: they follow */
	int64_t flat, cum;
};

struct list_line {
	int64_t number, flat, cum;
	const char *text;
	size_t size;
};

/* An error of what returns one ends it. */
struct list_visitor {
	void (*begin)(void *context); /* something matches */
	int (*function)(void *context, const struct list_function *f);
	int (*line)(void *context, const struct list_line *l);
	void (*advise)(void *context, const char *advice); /* at the end: what to do to see more */
	void *context;
};

/* As list_print(). */
int list_visit(struct report *r, const struct list_visitor *v, struct why *why);

/*
 * @r is prepared, by line. Returns 0, -EINVAL (the expression is none), -ENOENT (it matches nothing; neither prints anything),
 * -ENOMEM, or -EIO when @to does not take it.
 */
int list_print(struct report *r, FILE *to, struct why *why);
