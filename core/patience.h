/*
 * patience: how long was waited for somebody else, of that time in which he could have done something.
 *
 * Machines stand still for seconds: a virtual one that is moved, a laptop that is closed, one that has run out of memory. The clock goes
 * on meanwhile, and who looks at it first would give up on everybody. So what lies between two looks counts for no more than PATIENCE_APART_NS.
 */
#pragma once

#include <stdint.h>

#include "core/clock.h"

#define PATIENCE_APART_NS (NS_PER_SECOND / 20)

/* {0} to begin with. */
struct patience {
	uint64_t looked_ns; /* CLOCK_MONOTONIC, the last time; 0: never */
	uint64_t waited_ns; /* since the first time */
};

/* To be called several times in PATIENCE_APART_NS. Returns waited_ns. */
static inline uint64_t patience_look(struct patience *p, uint64_t now_ns)
{
	uint64_t since = p->looked_ns != 0 && now_ns > p->looked_ns ? now_ns - p->looked_ns : 0;

	p->waited_ns += since < PATIENCE_APART_NS ? since : PATIENCE_APART_NS;
	p->looked_ns = now_ns;
	return p->waited_ns;
}
