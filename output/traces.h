/*
 * traces: each sample with its labels, value and stack.
 */
#pragma once

#include <stdio.h>

#include "core/why.h"
#include "output/text.h"

/* @r is prepared. Returns 0, -ENOMEM, or -EIO when @to does not take it. */
int traces_print(struct report *r, FILE *to, struct why *why);
