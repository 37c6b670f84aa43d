/*
 * random: numbers for sampling, one state for each thread. Not for secrets.
 */
#pragma once

#include <stdint.h>

#include "core/context.h"

/* xorshift64*: the state is never 0. */
SIGSAFE static inline uint64_t random_next(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * UINT64_C(0x2545f4914f6cdd1d);
}

/* splitmix64: a state for random_next() from any number, neighbours included. */
SIGSAFE static inline uint64_t random_seed(uint64_t n)
{
	n += UINT64_C(0x9e3779b97f4a7c15);
	n = (n ^ (n >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	n = (n ^ (n >> 27)) * UINT64_C(0x94d049bb133111eb);
	n ^= n >> 31;
	return n != 0 ? n : 1;
}
