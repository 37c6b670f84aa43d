/*
 * symbols_spans: which of many address ranges holds an address.
 *
 * Ranges may nest and overlap, and come from files that may be hostile. They are sorted by start;
 * beside each stands the highest end among it and all before it, so that a search going down from
 * the address knows when nothing below can reach it any more.
 *
 *     start   10    20    30    90
 *     end     80    25    40    99
 *     reach   80    80    80    99        find 50: 30 is too short, 20 too, 10 holds it
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct span {
	uint64_t start, end; /* end not included */
	uint32_t what, rank; /* equal starts: the higher rank is found first */
};

struct spans {
	struct span *v;
	uint64_t *reach;
	uint32_t n, room;
};

void spans_fini(struct spans *s); /* a zeroed one is fine, and is how it starts */
int spans_add(struct spans *s, uint64_t start, uint64_t end, uint32_t what,
	      uint32_t rank);      /* 0 or -ENOMEM */
int spans_sort(struct spans *s);   /* after the last add */
void spans_reach(struct spans *s); /* after ends of sorted ones were changed */

/*
 * The range with the highest start that holds @address, looking at those below index @from only
 * (UINT32_MAX: all); its index, or UINT32_MAX. Looks at no more than 4096 of them.
 */
uint32_t spans_find(const struct spans *s, uint64_t address, uint32_t from);
