/*
 * serving: the endpoint of each process that is recorded, out of its segment: nothing of it is in the process.
 *
 *     $XDG_RUNTIME_DIR/cprof/PID.sock     one for each, for this user alone; without such a directory /tmp/cprof.UID/
 *
 * One thread serves them all. What only the main thread can do, such as to ask for a trace, it is asked for by the session's
 * socket, as others ask.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "core/profile.h"
#include "core/segment.h"
#include "core/why.h"

struct serving;
struct served;

/* Begins with nobody to serve. 0 or a negative errno. @session: the path of its socket, which stays the caller's. */
int serving_begin(struct serving **ret, const struct profile_ops *const *profiles,
		  const char *session, struct why *why);

/*
 * From now on @pid can be asked; at @listen, too, where that is not NULL, and @why says when that does not work. @s and @door
 * must live until serving_remove(). NULL when it cannot be.
 */
struct served *serving_add(struct serving *serving, const struct segment *s,
			   struct segment_header *door, pid_t pid, const char *listen,
			   struct why *why);
/* Who waits is given what there is. NULL is fine. */
void serving_remove(struct serving *serving, struct served *served);

/* Somebody else started these, bits of enum option_profile, and wants them: they do not end with our windows. */
void serving_keep(struct served *served, unsigned profiles);

void serving_end(struct serving *serving); /* NULL is fine */

/* The socket of @pid, as who asks finds it. @should_make: the directory is made. 0 or a negative errno. */
int serving_path(pid_t pid, bool should_make, char *ret, size_t size, struct why *why);
