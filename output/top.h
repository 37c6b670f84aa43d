/*
 * top: where the values are, one line for each function, file, line or address.
 *
 *     flat   of samples whose innermost frame it is
 *     cum    of samples with it anywhere in the stack
 */
#pragma once

#include <stdio.h>

#include "core/why.h"
#include "output/graph.h"
#include "output/text.h"

/* @r is prepared. Returns 0, -ENOMEM, or -EIO when @to does not take it. */
int top_print(struct report *r, FILE *to, struct why *why);

/* " (inline)", " (partial-inline)" for what was inlined at all, or "". Edges below the cut-off have no say. */
const char *top_inline_mark(const struct graph *g, const struct graph_node *n);
