/*
 * runs: profiles of several runs on two sides, by function.
 *
 *     file ──→ report ──→ run ──→ values, one for each function that it has
 *
 * A value has two sums: flat, of the samples that end in the function, and cum, of those with it anywhere. Each has its
 * spread, the sum of the squares of what single samples stand for. It says how far chance may have moved the sum: were all
 * samples worth the same, sum²/spread would be how many there are.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/why.h"
#include "output/text.h"

#define RUNS_MAX   1000      /* a side */
#define VALUES_MAX (4 << 20) /* of all runs together: 192 MB */

enum runs_sum { RUNS_FLAT, RUNS_CUM, RUNS_SUMS };

struct runs_value {
	uint32_t function; /* index into names */
	uint32_t run;
	uint8_t side;
	double sum[RUNS_SUMS], spread[RUNS_SUMS];
};

struct run {
	double total, spread; /* of all samples */
	int64_t duration_ns, period;
	char program[64], build_id[48]; /* "" when unknown */
};

struct runs {
	struct run *run[2];
	uint32_t run_n[2];

	/* what all have in common, from the first */
	char type[64], unit[64], period_type[64], period_unit[64];

	char **names;
	uint32_t names_n, names_room;
	uint32_t *slots; /* number + 1; 0 is empty */
	uint32_t slots_n;
	uint64_t seed;

	struct runs_value *values;
	uint32_t values_n, values_room;
};

/* A zeroed struct runs is empty, and good for runs_fini(). */
void runs_fini(struct runs *r);

/* Begins a run on @side. What follows belongs to it. 0, -ENOMEM, or -E2BIG: more than RUNS_MAX. */
int runs_begin(struct runs *r, unsigned side, const struct run *run, struct why *why);
/* The number of a function, new or not. 0, -ENOMEM or -E2BIG. */
int runs_name(struct runs *r, const char *name, uint32_t *ret, struct why *why);
uint32_t runs_find(const struct runs *r, const char *name); /* PROFILE_NONE: there is none */
/* Of the run that was begun last; each function once. 0, -ENOMEM, or -E2BIG: more than VALUES_MAX. */
int runs_add(struct runs *r, unsigned side, uint32_t function, const double sum[RUNS_SUMS],
	     const double spread[RUNS_SUMS], struct why *why);
/*
 * A run out of @report, prepared, by functions. -EINVAL: it cannot be compared with those that are there; @why says what is
 * different, and @path is in it.
 */
int runs_read(struct runs *r, unsigned side, const char *path, struct report *report,
	      struct why *why);

/* Puts the values in order: by function, then side. Nothing is added after that. */
void runs_sort(struct runs *r);
