/*
 * tree: each place between those that call it and those that it calls.
 *
 *     calls calls% |   caller
 *     flat flat% sum% cum cum%   | the place itself
 *     calls calls% |   callee
 */
#pragma once

#include <stdio.h>

#include "core/why.h"
#include "output/graph.h"
#include "output/text.h"

/* @r is prepared. Each returns 0, -ENOMEM, or -EIO when @to does not take it. */
int tree_print(struct report *r, FILE *to, struct why *why);

/*
 * The same for places that match options.expression only, and of all calls, however small. Also -EINVAL (the
 * expression is no good) and -ENOENT (it matches nothing), with nothing printed.
 */
int peek_print(struct report *r, FILE *to, struct why *why);

/*
 * is_kept of those shown nodes of @g that match @expression, and of no other. 0, -EINVAL, -ENOENT or -ENOMEM; of the last @why says
 * nothing.
 */
int peek_keep(struct graph *g, const char *expression, struct why *why);
