/*
 * idle: waiting that is nobody's loss, such as that of a pool's threads for work. Whoever records marks it with the label
 * idle=yes; it stays in every file, and texts leave it out unless they are asked not to.
 */
#pragma once

#include <stdbool.h>

#include "output/profile.h"

/* Whether samples of @p can be marked: one of waiting. The label of another profile is the program's own. */
bool idle_concerns(const struct profile *p);
bool idle_is(const struct profile_sample *sample);
