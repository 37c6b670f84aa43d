/*
 * annotate: source lines with what was spent on each, for the functions whose names match report_options.expression.
 *
 *     ROUTINE ======================== parse in /src/parse.c
 *          20ms      240ms (flat, cum) 24.00% of Total
 *             .          .     17:static int parse(const char *text)
 *          20ms      240ms     18:        while (*text != '\0')
 */
#pragma once

#include <stdio.h>

#include "core/why.h"
#include "output/text.h"

/*
 * @r is prepared, by line. Returns 0, -EINVAL (the expression is none), -ENOENT (it matches nothing; neither prints anything),
 * -ENOMEM, or -EIO when @to does not take it.
 */
int list_print(struct report *r, FILE *to, struct why *why);
