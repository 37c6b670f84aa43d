/*
 * look: one thing in a trace: the interval behind another, a name, from the index; who woke whom and who held what, from the story of
 * that time. Each ends as soon as it is found.
 */
#pragma once

#include "viewer/index.h"
#include "viewer/names.h"
#include "viewer/select.h"

struct look {
	struct reader *reader;
	const struct streams *streams;
	struct tables *tables;
	struct select_threads *threads; /* others are not looked at; NULL: all */
	struct index *index;            /* NULL: intervals and names are not known */
	const struct watch *watch;
	uint64_t events_max; /* that are gone through for what comes after; 0: all */
};

/* All return 1, 0 when there is no such thing, or a negative errno (-EINTR: the watch ended it), with @why. */

/* The first interval of @thread that begins after @ns, and the last one that ends at @ns or before. */
int look_next(const struct look *l, uint32_t thread, uint64_t ns, struct interval *ret,
	      struct why *why);
int look_before(const struct look *l, uint32_t thread, uint64_t ns, struct interval *ret,
		struct why *why);

/*
 * Around an interval: who ended it, if its thread waited, and whom it woke first since it began. Of a wait that is longer than
 * LOOK_NEAR_NS only its end is looked at. 0 or a negative errno, with @why.
 */
#define LOOK_NEAR_NS UINT64_C(10000000)
struct look_around {
	struct story_edge cause, effect;
	bool has_cause, has_effect;
};
int look_around(const struct look *l, const struct interval *i, bool wants_cause, bool wants_effect,
		struct look_around *ret, struct why *why);

/*
 * Adds whom @thread waited for at @ns, and whom that one did: "worker-3 waits for mutex a, held by worker-1, which runs". @until_ns:
 * when its wait ends, if that is known: who holds a lock is known when it is let go of.
 */
int look_chain(const struct look *l, uint32_t thread, uint64_t ns, uint64_t until_ns,
	       struct name *ret, struct why *why);

/*
 * The next interval of any thread, behind @ns or before, of a lock or file whose name has @text in it, or that of a function on its
 * stack has.
 */
int look_name(const struct look *l, const char *text, uint64_t ns, bool is_backwards,
	      struct interval *ret, struct why *why);
/* Has @name @text in it? Small letters stand for large ones, too. */
bool look_has(const char *name, size_t n, const char *text);
