/*
 * latecomers: processes of a session that have not come to the reception yet.
 *
 * A program may end as soon as posix_spawn() or vfork() has given it a child, and that child is only then being loaded. Nobody
 * has told us of it, but it has the session's name in its environment.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * True while there is one that is younger than a second. Looks at processes with numbers above @first only: one that got a
 * lower number, because all had been used, is missed. @is_known says which have come.
 */
bool latecomers_are_there(const char *session, pid_t first, bool (*is_known)(pid_t pid, void *user),
			  void *user);
