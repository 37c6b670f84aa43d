/*
 * syscalls: the names of system calls, from the headers that this was built with.
 */
#pragma once

#include "core/context.h"

/* "poll" for its number; NULL when it has none. */
SIGSAFE const char *syscalls_name(unsigned number);
