/*
 * fetch: a question to the endpoint of a process, at its socket.
 */
#pragma once

#include <sys/types.h>

#include "core/why.h"

/*
 * The body of what @pid answers to GET @target ("/debug/pprof/heap"), as a file without a name, for the caller to close. What it
 * says of itself as an error is in @why. -ENOENT, -ECONNREFUSED: nobody answers for it.
 */
int fetch(pid_t pid, const char *target, unsigned wait_sec, struct why *why);
