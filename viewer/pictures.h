/*
 * pictures: the timelines of the ranges that were looked at last, and the making of new ones: from the index, or as long as there
 * is none, from headers.
 *
 * All have the same threads in the same order, so a row is the same one in each of them.
 */
#pragma once

#include "viewer/timeline.h"

#define PICTURES           8
#define PICTURES_BYTES_MAX (UINT64_C(128) << 20)
#define PICTURES_LEAVES_MAX \
	12000 /* of the index, that are read for one: beyond, only what is on the screen is exact */

struct pictures {
	struct reader *reader;
	const struct streams *streams;
	struct tables *tables;
	struct index *index; /* NULL: there is none yet */

	uint32_t *order; /* threads, by row */
	uint32_t order_n;
	struct timeline kept[PICTURES]; /* without columns: none */
	uint64_t used[PICTURES], clock;
	struct timeline guess;
};

void pictures_fini(struct pictures *p);

/* The one that was asked for so, or NULL. */
const struct timeline *pictures_have(struct pictures *p, const struct timeline_ask *ask);
/* What can be said of it by others, until the next call; NULL when nothing can. */
const struct timeline *pictures_guess(struct pictures *p, const struct timeline_ask *ask);
/* There is an index now, or none any more: what was made otherwise is forgotten, and so is the order. */
void pictures_set_index(struct pictures *p, struct index *x);
/*
 * Makes it. The first one of all says the order of the threads, by @key. 0, -EINTR (the watch ended it, and nothing is kept), or
 * what timeline_index() and timeline_estimate() return.
 */
int pictures_make(struct pictures *p, const struct timeline_ask *ask, enum timeline_key key,
		  bool is_reverse, const struct watch *watch, struct why *why);
/* Makes @n rows of @t, which pictures_have() returned, exact. What timeline_sharpen() returns. */
int pictures_sharpen(struct pictures *p, const struct timeline *t, uint32_t row, uint32_t n);
