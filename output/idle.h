/*
 * idle: waiting that is nobody's loss, such as that of a pool's threads for work. Whoever records marks it with the label
 * idle=yes; it stays in every file, and texts leave it out unless they are asked not to.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "output/profile.h"

/* Whether samples of @p can be marked: one of waiting. The label of another profile is the program's own. */
bool idle_concerns(const struct profile *p);
bool idle_is(const struct profile_sample *sample);

/*
 * Takes the idle samples out of @p, of a kind that idle_concerns(). *ret_sums: what they had in each column, in memory of @p;
 * NULL when there were none, or no memory, which the profile remembers.
 */
void idle_take_out(struct profile *p, int64_t **ret_sums);
