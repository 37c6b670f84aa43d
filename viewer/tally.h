/*
 * tally: durations added up under keys: how many, how long, how long each. Keys are others' numbers, so there are at most
 * TALLY_ROWS_MAX of them; what comes after has one row for all of it, and is counted.
 */
#pragma once

#include "viewer/histogram.h"
#include "viewer/map.h"

#define TALLY_ROWS_MAX (1u << 15) /* 2 KiB each */
#define TALLY_OTHERS   UINT64_MAX /* the key of that row */

struct tally_row {
	uint64_t key;
	uint64_t value;           /* whoever fills it says what it is */
	uint64_t errors, bytes;   /* bytes: that calls moved */
	uint64_t idle_n, idle_ns; /* of it, waiting for work or for time to pass */
	uint64_t wait_ns;         /* of it, calls that waits are made of */
	uint64_t open_n;          /* of it, without an end */
	uint32_t index;           /* among the rows */
	struct histogram took;
};

struct tally {
	struct tally_row **rows;
	uint32_t n, room;
	uint32_t rows_max; /* 0: TALLY_ROWS_MAX */
	struct map of;     /* key → row */
	struct tally_row *others;
};

/* The row of @key, a new one when there is none, or that of all others. NULL: no memory. A zeroed tally is empty. */
struct tally_row *tally_at(struct tally *t, uint64_t key);
const struct tally_row *tally_find(const struct tally *t,
				   uint64_t key); /* NULL when it is not there */
void tally_fini(struct tally *t);

/* Adds what is in @from. */
void tally_merge(struct tally_row *to, const struct tally_row *from);
