/*
 * tags: the keys of the labels, and for each value how much it stands for.
 */
#pragma once

#include <stdio.h>

#include "core/why.h"
#include "output/text.h"

/* @r is prepared. Returns 0, -ENOMEM, or -EIO when @to does not take it. */
int tags_print(struct report *r, FILE *to, struct why *why);
