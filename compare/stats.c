#include "compare/stats.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* Counts beyond this are no better; and each step of a walk over them still changes something. */
#define COUNT_MAX 1e15

static double count_of(double estimate)
{
	return estimate > 0 ? fmin(round(estimate), COUNT_MAX) : 0;
}

/* How probable x hits of n[1] are when there are k of n[0] + n[1], up to a factor. */
struct hypergeometric {
	double k, n[2];
};

/* From x to x + 1. */
static double step_up(const struct hypergeometric *h, double x)
{
	return (h->k - x) * (h->n[1] - x) / ((x + 1) * (h->n[0] - h->k + x + 1));
}

/*
 * All x at most as probable as @at, of all. The walk starts at the most probable and ends on both sides where there is
 * nothing left of it, after some forty standard deviations: its length grows with the root of the counts.
 */
static double fisher(const struct hypergeometric *h, double at)
{
	double low = fmax(0, h->k - h->n[0]), high = fmin(h->k, h->n[1]);
	double mode = floor((h->k + 1) * (h->n[1] + 1) / (h->n[0] + h->n[1] + 2));
	double weight, x, all = 0, rare = 0, limit = 0;

	mode = fmin(fmax(mode, low), high);
	for (unsigned pass = 0; pass < 2; pass++) { /* first what @at weighs */
		for (x = mode, weight = 1; x <= high && weight > 1e-300; x++) {
			if (pass == 0 && x == at)
				limit = weight * (1 + 1e-7);
			if (pass == 1) {
				all += weight;
				rare += weight <= limit ? weight : 0;
			}
			weight *= step_up(h, x);
		}
		for (x = mode, weight = 1; x > low && weight > 1e-300; x--) {
			weight /= step_up(h, x - 1);
			if (pass == 0 && x - 1 == at)
				limit = weight * (1 + 1e-7);
			if (pass == 1) {
				all += weight;
				rare += weight <= limit ? weight : 0;
			}
		}
	}
	return fmin(rare / all, 1);
}

static bool make_hypergeometric(const double hits[2], const double n[2], struct hypergeometric *ret)
{
	double counts[2] = {count_of(hits[0]), count_of(hits[1])};

	ret->n[0] = fmax(count_of(n[0]), counts[0]);
	ret->n[1] = fmax(count_of(n[1]), counts[1]);
	ret->k = counts[0] + counts[1];
	return ret->n[0] > 0 && ret->n[1] > 0 && ret->k > 0;
}

double stats_fisher(const double hits[2], const double n[2])
{
	struct hypergeometric h;

	if (!make_hypergeometric(hits, n, &h))
		return 1;
	return fisher(&h, count_of(hits[1]));
}

double stats_fisher_least(const double hits[2], const double n[2])
{
	struct hypergeometric h;

	if (!make_hypergeometric(hits, n, &h))
		return 1;
	return fmin(fisher(&h, fmax(0, h.k - h.n[0])), fisher(&h, fmin(h.k, h.n[1])));
}

struct ranked {
	double value;
	bool is_second;
	uint32_t rank; /* twice the rank from 1: ties have halves */
};

static int compare_ranked(const void *left, const void *right)
{
	double a = ((const struct ranked *)left)->value, b = ((const struct ranked *)right)->value;

	return a < b ? -1 : a > b;
}

/* Sorts, ranks, and returns the sum of t^3 - t over the groups of t equal values. */
static double rank_all(struct ranked *all, uint32_t n)
{
	double ties = 0, t;
	uint32_t from, to;

	qsort(all, n, sizeof(*all), compare_ranked);
	for (from = 0; from < n; from = to) {
		for (to = from + 1; to < n && all[to].value == all[from].value; to++)
			;
		t = to - from;
		ties += t * t * t - t;
		for (uint32_t i = from; i < to; i++)
			all[i].rank = from + 1 + to;
	}
	return ties;
}

/*
 * ways[k][s]: in how many ways k of the ranks add up to s. Each rank either is among the k or is not, as in counting the
 * subsets of a set, one element after the other.
 */
static int count_exactly(const struct ranked *all, uint32_t n, uint32_t k, uint32_t sum,
			 double *ret_p)
{
	uint32_t sums = n * (n + 1) + 1, mean = k * (n + 1);
	uint32_t off = sum > mean ? sum - mean : mean - sum;
	double *ways = calloc((size_t)(k + 1) * sums, sizeof(*ways)), total = 0, far = 0;

	if (ways == NULL)
		return -ENOMEM;
	ways[0] = 1;
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t of = i + 1 < k ? i + 1 : k; of > 0; of--)
			for (uint32_t s = sums - 1; s >= all[i].rank; s--)
				ways[(size_t)of * sums + s] +=
					ways[(size_t)(of - 1) * sums + s - all[i].rank];
	for (uint32_t s = 0; s < sums; s++) {
		total += ways[(size_t)k * sums + s];
		if ((s > mean ? s - mean : mean - s) >= off)
			far += ways[(size_t)k * sums + s];
	}
	free(ways);
	*ret_p = far / total;
	return 0;
}

int stats_mann_whitney(const double *values, const uint32_t n[2], double *ret_p)
{
	uint32_t all_n = n[0] + n[1];
	struct ranked *all;
	double ties, off, variance, sums[2] = {0, 0};
	unsigned small = n[1] < n[0];
	int r = 0;

	*ret_p = 1;
	if (n[0] == 0 || n[1] == 0)
		return 0;
	all = calloc(all_n, sizeof(*all));
	if (all == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < all_n; i++)
		all[i] = (struct ranked){.value = values[i], .is_second = i >= n[0]};
	ties = rank_all(all, all_n);
	for (uint32_t i = 0; i < all_n; i++)
		sums[all[i].is_second] += all[i].rank;
	if (all_n <= STATS_EXACT_MAX) {
		r = count_exactly(all, all_n, n[small], (uint32_t)sums[small], ret_p);
	} else {
		off = fabs(sums[0] / 2 - n[0] * (all_n + 1.0) / 2) - 0.5;
		variance = (double)n[0] * n[1] / 12 *
			   (all_n + 1 - ties / ((double)all_n * (all_n - 1)));
		if (variance > 0 && off > 0)
			*ret_p = erfc(off / sqrt(2 * variance));
	}
	free(all);
	return r;
}

double stats_mann_whitney_least(const uint32_t n[2])
{
	uint32_t k = n[0] < n[1] ? n[0] : n[1], all_n = n[0] + n[1];
	double ways = 1;

	for (uint32_t i = 0; i < k && ways < 1e300; i++)
		ways = ways * (all_n - i) / (i + 1);
	return fmin(2 / ways, 1);
}

static int compare_doubles(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return a < b ? -1 : a > b;
}

static int compare_pointed(const void *left, const void *right)
{
	return compare_doubles(*(double *const *)left, *(double *const *)right);
}

int stats_holm(double *p, uint32_t n)
{
	double **order = malloc(((size_t)n + 1) * sizeof(*order)), largest = 0;

	if (order == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		order[i] = &p[i];
	qsort(order, n, sizeof(double *), compare_pointed);
	for (uint32_t i = 0; i < n; i++) {
		largest = fmax(largest, fmin(*order[i] * (n - i), 1));
		*order[i] = largest;
	}
	free(order);
	return 0;
}

double stats_median(double *values, uint32_t n)
{
	if (n == 0)
		return 0;
	qsort(values, n, sizeof(*values), compare_doubles);
	return (values[(n - 1) / 2] + values[n / 2]) / 2;
}
