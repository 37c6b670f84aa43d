/*
 * tags: the keys of the labels, and for each value how much it stands for.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "core/why.h"
#include "output/text.h"

/* A value of a label, and what it stands for. Equal keys and texts have one address. */
struct tag {
	const char *key, *text;
	int64_t value;
};

/*
 * All labels of a prepared @r in the order they are shown: by key, then the largest first. The caller frees them.
 * Returns 0 or -ENOMEM.
 */
int tags_collect(struct report *r, struct tag **ret_tags, size_t *ret_n);

/* @r is prepared. Returns 0, -ENOMEM, or -EIO when @to does not take it. */
int tags_print(struct report *r, FILE *to, struct why *why);
