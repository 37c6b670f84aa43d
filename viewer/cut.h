/*
 * cut: a smaller trace: some time, some threads, some types of events.
 *
 *     old   ──█████──██████████──█████████──█████──→
 *                      │ from             │ to
 *     new   tables     S██████──█████████─┘              S: what every thread does at that moment
 *
 * Tables are all kept. Blocks that are wanted from their first event to their last are copied; of others what is wanted is
 * written anew, with the times that it has among all others, corrected as order.h says, in ns. A block of metadata, "cut", says what
 * was asked for.
 *
 * What tells of losses, and what a generation begins with (clock.sync, thread.status and what follows it), stays whatever types
 * are dropped. It goes from generation to generation, and has one block in memory.
 */
#pragma once

#include "viewer/select.h"
#include "viewer/streams.h"

struct cut_wanted {
	uint64_t from_ns, to_ns;
	bool dropped[256];
	struct select_threads threads;
	const char *note; /* what was asked for, in words */
};

struct cut {
	uint64_t blocks, events, bytes; /* written */
	uint64_t unreadable; /* events that were wanted, maybe, in blocks that are damaged */
};

/*
 * @t was loaded from @r. Writes to @fd from its beginning on. 0, -EINTR (the watch), or a negative errno with @why.
 */
int cut_write(struct cut *ret, struct reader *r, const struct streams *s, const struct tables *t,
	      struct cut_wanted *wanted, int fd, const struct watch *watch, struct why *why);
