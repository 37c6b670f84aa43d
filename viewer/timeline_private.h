/* timeline, inside: timeline.c fills one from a story or from headers, timeline_index.c from the index. */
#pragma once

#include "viewer/timeline.h"

#define TIMELINE_LEFT_OUT (MAP_NONE - 1) /* in row_of: a thread that has none */

/* The row of a thread, a new one if need be; MAP_NONE when there is no room for it. 0 or -ENOMEM. */
int timeline_row_for(struct timeline *t, uint32_t thread, uint32_t *ret);
/* There are such @flags from @begin_ns to @end_ns. @row NULL: of a thread that has none. */
void timeline_add_rare(struct timeline *t, struct timeline_row *row, uint64_t begin_ns,
		       uint64_t end_ns, unsigned flags);
/* One of the locks that it waited for longest. */
void timeline_add_lock(struct timeline_row *row, uint32_t object, uint64_t ns);
