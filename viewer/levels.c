#include "viewer/levels.h"

#include <string.h>

#define STEP_NS 1000 /* at first; 2 ms of trace */

void levels_init(struct levels *l, uint64_t from_ns)
{
	memset(l, 0, sizeof(*l));
	l->from_ns = from_ns;
	l->step_ns = STEP_NS;
}

static void halve(struct levels *l)
{
	for (unsigned i = 0; i < LEVELS_STEPS / 2; i++)
		for (unsigned state = 0; state < TRACE_STATES; state++)
			l->ns[i][state] = l->ns[2 * i][state] + l->ns[2 * i + 1][state];
	memset(l->ns[LEVELS_STEPS / 2], 0, sizeof(l->ns) / 2);
	l->step_ns *= 2;
}

void levels_add(struct levels *l, uint64_t begin_ns, uint64_t end_ns, unsigned state)
{
	uint64_t begin = begin_ns > l->from_ns ? begin_ns - l->from_ns : 0,
		 end = end_ns > l->from_ns ? end_ns - l->from_ns : 0;

	if (state >= TRACE_STATES)
		return;
	while (end / l->step_ns >= LEVELS_STEPS)
		halve(l);
	while (begin < end) {
		uint64_t left = l->step_ns - begin % l->step_ns, n = end - begin;

		n = n < left ? n : left;
		l->ns[begin / l->step_ns][state] += n;
		begin += n;
	}
}
