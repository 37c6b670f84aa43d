/*
 * raw: everything that is in a profile, as text.
 */
#pragma once

#include <stdio.h>

#include "core/why.h"
#include "output/text.h"

/* @r is prepared, by address. Returns 0, -ENOMEM, or -EIO when @to does not take it. */
int raw_print(struct report *r, FILE *to, struct why *why);
