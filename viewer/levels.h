/*
 * levels: how many threads were in each state, on the average of each of some thousand pieces of a trace. The pieces become twice as long
 * whenever what is added does not fit: memory is the same for any trace.
 */
#pragma once

#include "viewer/story.h"

#define LEVELS_STEPS 2048

struct levels {
	uint64_t from_ns, step_ns;
	uint64_t ns[LEVELS_STEPS][TRACE_STATES]; /* of all threads together */
};

/* Nothing of what is added begins before @from_ns. */
void levels_init(struct levels *l, uint64_t from_ns);
void levels_add(struct levels *l, uint64_t begin_ns, uint64_t end_ns, unsigned state);
