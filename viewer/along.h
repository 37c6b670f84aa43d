/*
 * along: one lock, one file or one task along the time: who had it when, and how much was waited for it meanwhile.
 *
 *     g_cache.lock   ├ evictor ─────┤├ w-1 ┤├ w-2 ┤├ evictor ─────┤     uses
 *     waiting        ▁▂▃▄▅▆▇███████▇▅▄▃▂▁        ▁▂▃▄▅▆▇███         ns of all who wait, by column
 *
 * A lock is used by who holds it, a file by calls, a task by threads that work for it. For a picture: of a column there is one use
 * that is not longer than that, which knows for how many it stands.
 */
#pragma once

#include "viewer/timeline.h"

#define ALONG_USES_MAX (UINT32_C(1) << 14)

enum along_kind { ALONG_LOCK, ALONG_FILE, ALONG_TASK };

struct along_use {
	uint64_t begin_ns, end_ns, count;
	uint32_t thread, stack;
	uint32_t call; /* + 1 */
	uint8_t state; /* of a thread that worked for a task */
	bool is_state; /* that is known */
	bool is_mixed; /* threads and places are not the same */
};

struct along {
	/* set before */
	enum along_kind kind;
	uint64_t id;
	struct timeline_ask ask; /* range and columns */

	/* after the story: by time */
	struct along_use *uses;
	uint32_t uses_n;
	uint64_t left_out;
	uint64_t *
		waiting_ns; /* by column; of a file, in calls of it; of a task, not running for it */
};

/* A zeroed one but for what is set before. The listener may seek. 0 or -ENOMEM. */
int along_begin(struct along *a, struct story_listener *ret);
void along_end(struct along *a);
void along_fini(struct along *a);
