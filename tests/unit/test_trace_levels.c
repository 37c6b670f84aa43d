/*
 * How many threads were in each state: nothing is lost of what was added, however long it is.
 */
#include <stdlib.h>

#include "tests/tap.h"
#include "viewer/levels.h"

static struct levels levels;

static uint64_t sum(unsigned state)
{
	uint64_t ns = 0;

	for (unsigned i = 0; i < LEVELS_STEPS; i++)
		ns += levels.ns[i][state];
	return ns;
}

static void test_places(void)
{
	uint64_t step;

	levels_init(&levels, 1000000);
	step = levels.step_ns;
	levels_add(&levels, 1000000, 1000000 + step, TRACE_RUNNING);
	levels_add(&levels, 1000000 + step / 2, 1000000 + 3 * step, TRACE_RUNNING);
	levels_add(&levels, 1000000 + 2 * step, 1000000 + 3 * step, TRACE_LOCK);
	is_u64(levels.ns[0][TRACE_RUNNING], step + step / 2, "two at a time, for a while");
	is_u64(levels.ns[1][TRACE_RUNNING], step, "one");
	is_u64(levels.ns[2][TRACE_RUNNING], step, "one still");
	is_u64(levels.ns[2][TRACE_LOCK], step, "and one that waits");
	is_u64(levels.ns[3][TRACE_RUNNING], 0, "none");
	levels_add(&levels, 1000000 + step * LEVELS_STEPS, 1000001 + step * LEVELS_STEPS,
		   TRACE_LOCK);
	is_u64(levels.step_ns, 2 * step, "what is behind the last makes them longer");
	is_u64(levels.ns[0][TRACE_RUNNING], 2 * step + step / 2, "two are one");
	is_u64(levels.ns[1][TRACE_RUNNING], step, "so are the next");
	is_u64(levels.ns[1][TRACE_LOCK], step, "by state");
	is_u64(levels.ns[LEVELS_STEPS / 2][TRACE_LOCK], 1, "and it has its place");
	levels_add(&levels, 10, 1000000, TRACE_LOCK);
	is_u64(sum(TRACE_LOCK), step + 1, "what is before the first is none");
}

static void test_sums(void)
{
	uint64_t wanted[TRACE_STATES] = {0}, wrong = 0, now = 0;

	srandom(1);
	levels_init(&levels, 0);
	for (unsigned i = 0; i < 100000; i++) {
		unsigned state = (unsigned)random() % TRACE_STATES;
		uint64_t length = (uint64_t)random() % (UINT64_C(1) << i % 30);

		levels_add(&levels, now, now + length, state);
		wanted[state] += length;
		now += (uint64_t)random() % 1000000;
	}
	for (unsigned state = 0; state < TRACE_STATES; state++)
		wrong += sum(state) != wanted[state];
	is_u64(wrong, 0, "all states add up");
	levels_add(&levels, UINT64_MAX - 5, UINT64_MAX, TRACE_LOCK);
	is_u64(sum(TRACE_LOCK), wanted[TRACE_LOCK] + 5, "at the end of time, too");
	is_u64(levels.ns[(UINT64_MAX - 5) / levels.step_ns][TRACE_LOCK], 5, "in its place");
}

int main(void)
{
	plan_begin();
	test_places();
	test_sums();
	return plan_end();
}
