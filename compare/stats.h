/*
 * stats: is it chance? Tests that need no assumption about how values are distributed, exact where that matters.
 *
 * All p are two-sided: how often chance alone would make a difference at least as large, in either direction.
 */
#pragma once

#include <stdint.h>

/*
 * Fisher's exact test: of n[0] samples hits[0] have it, of n[1] hits[1]; is it the same share? Counts may be estimates: they
 * are rounded. It holds for counts of any size, and becomes the usual test of two proportions when they are large.
 */
double stats_fisher(const double hits[2], const double n[2]);
/* The least p that stats_fisher() could give were the hits shared out otherwise. */
double stats_fisher_least(const double hits[2], const double n[2]);

/*
 * The Mann-Whitney U test, with equal values at the middle of their ranks: exact up to STATS_EXACT_MAX values, counting all
 * ways to share them out; above that by the normal approximation, corrected for ties and for continuity. @values: n[0] of
 * one side, then n[1] of the other. Returns 0 or -ENOMEM.
 */
#define STATS_EXACT_MAX 40 /* 20 a side: a million steps */
int stats_mann_whitney(const double *values, const uint32_t n[2], double *ret_p);
/* The least p that so many values could give. */
double stats_mann_whitney_least(const uint32_t n[2]);

/*
 * Holm's correction, in place: p that all may be held against one alpha, and the chance that any of them is below it where
 * there is no difference is alpha at most, however they depend on each other. Returns 0 or -ENOMEM.
 */
int stats_holm(double *p, uint32_t n);

/* Sorts @values. 0 of none. */
double stats_median(double *values, uint32_t n);
