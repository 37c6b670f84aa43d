/*
 * unsample: from the blocks that were sampled to those that there were.
 *
 * A block of s bytes is sampled with the probability 1 - exp(-s / mean) (profiles/heap/sample.h), so each that was stands
 * for the reciprocal of that many. What comes out is what Go's scaleHeapSample makes of the same numbers; pprof applies the
 * same to heap profiles that it reads as text.
 */
#pragma once

#include <stdint.h>

/*
 * *@blocks that have *@bytes together become as many, and as much, as they stand for, rounded toward zero. A @mean of 1 or
 * less means that every block was taken, also those of no bytes, which Go does not sample. Else nothing of one is nothing
 * of both.
 */
void unsample(uint64_t mean, int64_t *blocks, int64_t *bytes);
