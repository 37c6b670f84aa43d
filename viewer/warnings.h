/*
 * warnings: what is wrong with a run, by rules. Each has an identifier that stays, a line that says what was seen, and what to
 * type next.
 */
#pragma once

#include "viewer/summary.h"

#define WARNINGS_MAX 11 /* of each rule one: the worst */

struct warning {
	const char *id;   /* "CPT-LOCK-HELD-IO" */
	const char *next; /* behind the name of the trace: "locks" */
	struct name text;
	uint64_t n; /* how many locks, calls, files it is true of */
};

/*
 * Returns how many there are, in the order of the rules. @run_ns: how long it took, in all.
 */
unsigned warnings_find(const struct summary *s, const struct story_counts *counts, uint64_t run_ns,
		       struct warning ret[WARNINGS_MAX]);
