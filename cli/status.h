/*
 * status: what is on in a process that is recorded, as text.
 */
#pragma once

#include <sys/types.h>

#include "core/profile.h"

/* A file without a name, for the caller to close; or a negative errno. */
int status_write(const struct segment *s, const struct profile_ops *const *profiles, pid_t pid);
