/*
 * asking: a question to the `cprof run` that a process runs under.
 */
#pragma once

#include <sys/types.h>

#include "core/session.h"
#include "core/why.h"

#define ASKING_WAIT_MS 22000 /* for the launcher */

struct question {
	enum session_what what;
	const char *text; /* NULL: none */
};

/*
 * As session_ask(), of @pid. Where its session is, is in its environment, or is looked for among all of this user's. -ESRCH:
 * it does not run under one, or there is no such process; @why says which.
 */
int asking(pid_t pid, const struct question *q, int *ret_fd, struct why *why);
