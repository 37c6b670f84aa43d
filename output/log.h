/*
 * log: the trace of a process that no launcher follows, from what its segment holds.
 */
#pragma once

#include "core/segment.h"
#include "core/why.h"

/*
 * All that was traced until now, as a whole trace, to the file @fd, which stays the caller's and can be read and written
 * anywhere. @is_snapshot: it goes on. -ENODATA: nothing was traced.
 */
int log_write(const struct segment *s, int fd, bool is_snapshot, struct why *why);

/* The same as trace.out in @directory, which is made; nothing when nothing was traced. */
int log_write_file(const struct segment *s, const char *directory, struct why *why);
