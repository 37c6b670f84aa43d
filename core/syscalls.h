/*
 * syscalls: the names of system calls, from the headers that this was built with; and which of them are idle.
 */
#pragma once

#include <stdbool.h>

#include "core/context.h"

/* Does a call wait for work, or for time to pass, rather than for what was asked for: poll, nanosleep …? */
SIGSAFE bool syscalls_is_idle(unsigned number);

/* "poll" for its number; NULL when it has none. */
SIGSAFE const char *syscalls_name(unsigned number);
