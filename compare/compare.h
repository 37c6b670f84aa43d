/*
 * compare: which functions differ between two sides of runs, and whether that may be chance.
 *
 *     runs ──→ rows: those that are tested ──→ p of each ──→ Holm ──→ verdicts, conditions
 *
 * What is tested is settled by values of both sides together, before anybody looks at the difference: else the ones picked
 * would be those that chance has moved most, and every p too small. The threshold is low enough that a function above
 * min_share on either side is always among them.
 *
 * One file a side: its samples are counts, so shares are compared by Fisher's exact test. The counts are what the samples'
 * spread says, less where samples differ in size; and where most functions differ by more than counts would, they are divided
 * by that (overdispersion), as long as there are enough functions to tell. What differs from run to run is not known then.
 * Several a side: Mann-Whitney over the runs, each a value, whatever is counted.
 */
#pragma once

#include "compare/condition.h"

struct compare_options {
	double alpha, min_share;
	bool is_absolute;  /* SCALE_DEFAULT is totals */
	enum runs_sum sum; /* what is tested where there are no conditions */
	const struct condition *conditions;
	uint32_t conditions_n;
};

enum row_verdict {
	ROW_ALIKE, /* nothing that could not be chance */
	ROW_MORE,
	ROW_LESS,
	ROW_FEW, /* so few samples or runs that nothing could be told */
};

struct compare_row {
	const char *name; /* "total" where is_all */
	bool is_all, is_share;
	enum runs_sum sum;
	double value[2]; /* of base and new: medians over the runs */
	double p_alone;  /* before Holm */
	double p, least; /* the least there could be with so many samples or runs */
	enum row_verdict verdict;
	bool is_failed; /* a condition's */
};

enum condition_verdict {
	CONDITION_PASSED,
	CONDITION_CHANCE, /* passed, for what is beyond the limit may be chance */
	CONDITION_FAILED,
	CONDITION_FEW, /* nobody can tell */
};

struct compare_result {
	const struct compare_options *options;
	const struct runs *runs;
	bool is_counts; /* Fisher; else Mann-Whitney */
	double counts
		[2]; /* how many samples' worth there are in the runs of a side, the least of them */
	double dispersion;    /* 1: no more than that of counts */
	double total[2];      /* of a run: the median */
	uint32_t runs_wanted; /* a side, to tell anything of so many rows; 0: there are as many */

	struct compare_row *rows; /* what has changed first, by size */
	uint32_t rows_n;

	enum condition_verdict *verdicts; /* of the conditions */
	const struct compare_row **worst; /* the row that decides; NULL: there is none */
	uint32_t failed_n, few_n;

	struct why warnings[8];
	unsigned warnings_n;
};

/* Fewer samples than that on a side of one file tell nothing of a program. */
#define COMPARE_COUNTS_MIN 100

/*
 * @runs are sorted; they and @options stay. Returns 0, -ENOMEM, or -EINVAL: what the sides have is not comparable, and @why
 * says so.
 */
int compare(const struct runs *runs, const struct compare_options *options,
	    struct compare_result *ret, struct why *why);
void compare_fini(struct compare_result *r);
