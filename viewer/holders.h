/*
 * holders: who had a lock while others waited for it. A wait is divided among them, to the ns:
 *
 *     wait          ├──────────────────────────┤
 *     holds    ├──────────┤  ├──────┤ ├───────┤
 *     pieces        └─ A ─┘··└─ B ──┘·└── C ──┘     ··: nobody has it, it is handed over
 *
 * Of readers who have it together the one who leaves last is who is waited for.
 *
 * Only holds that somebody waited before or behind are kept, and none once nobody waits any more. Where a queue is so long that
 * there are more than HOLDERS_KEPT, those of the same holder behind one another become one, and if that is not enough, the older
 * half of all become pairs of which nobody knows who had which part: HOLDERS_MANY.
 */
#pragma once

#include "viewer/story.h"

#define HOLDERS_KEPT \
	4096 /* holds of one object: a queue of all threads of a large program, four times around */

#define HOLDERS_MANY UINT32_MAX

struct holder {
	uint64_t begin_ns, end_ns;
	uint64_t held_ns; /* of that; less where it stands for several, one behind the other */
	uint32_t thread;  /* its index; 0: nobody, or not known; HOLDERS_MANY */
	uint32_t stack;
	uint32_t mark; /* what was given to holders_add(); UINT32_MAX: none */
};

struct holders {
	struct map of; /* by object */
	struct holders_ring *rings;
	uint32_t rings_n;
};

void holders_fini(struct holders *h);

/* A hold has ended. 0 or -ENOMEM. */
int holders_add(struct holders *h, const struct story_hold *hold, uint32_t mark);

/*
 * A wait for a lock has ended: tells of its pieces, the latest first; together they are the wait. @piece NULL: nobody wants to know.
 * Returns 0, what @piece returned, or -ENOMEM.
 */
int holders_split(struct holders *h, const struct story_wait *wait,
		  int (*piece)(void *context, const struct story_wait *wait,
			       const struct holder *holder, uint64_t begin_ns, uint64_t end_ns),
		  void *context);

/* Is @wait one for something that a thread has? */
static inline bool holders_has(const struct story_wait *wait)
{
	return wait->type == TRACE_LOCK_WAIT_EVENT && wait->object != 0;
}
