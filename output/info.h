/*
 * info: what a profile is, for people: of what program, when, of what values, how complete, with which labels.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "core/why.h"
#include "output/text.h"

/*
 * @r holds one file as it was read, prepared by address. @is_all: lists are not cut. Returns 0, -ENOMEM, or -EIO
 * when @to does not take it.
 */
int info_print(struct report *r, const char *path, bool is_all, FILE *to, struct why *why);
