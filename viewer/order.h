/*
 * order: which events of a generation have to wait for others.
 *
 * Clocks of two processors are almost the same. A lock that one thread releases and another acquires has a counter besides,
 * which knows better: where the releaser's number is below the acquirer's and its stamp is not, the acquirer takes the
 * releaser's stamp, and so does what its thread did after it, as far as it was before: what that lets go of then, too.
 *
 *     source   lock.released, cond.signal, sem.post, barrier.wait.begin
 *     sink     lock.acquired, cond.wait.end, sem.wait.end, barrier.wait.end: not before any source of a lower number
 *
 * Between two sources, two sinks, and two who share a lock, numbers say nothing about time.
 */
#pragma once

#include "viewer/decode.h"
#include "viewer/map.h"

/* An event of a source or a sink. */
struct ordered {
	uint64_t order, ns;
	uint32_t object, block, ordinal, stream;
	bool is_sink, is_shared, is_moved;
	uint32_t added; /* how many were before it */
};

/* Where it belongs: at @ns, behind what has a lower rank there. */
struct correction {
	uint32_t block, ordinal;
	uint64_t ns;
	uint32_t rank;
};

struct order {
	struct ordered *list;
	size_t n, room;

	/* sources of the generations before: for each object, the last by time */
	struct map last_of;
	struct order_last {
		uint64_t order, ns;
	} * last;
	uint32_t last_n;

	uint64_t corrected;  /* events that took another's stamp */
	uint64_t largest_ns; /* by how much, at most */
};

void order_fini(struct order *o);

/* Whether events of a type may be one. */
bool order_has(uint8_t type);
/* Adds @event, when it is one; those of a stream one after the other. 0 or -ENOMEM. */
int order_add(struct order *o, const struct event *event, uint32_t block, uint32_t stream);

/*
 * Ends a generation: what is to be corrected in it, by block and ordinal, from malloc. 0 or -ENOMEM.
 */
int order_finish(struct order *o, struct correction **ret, size_t *ret_n);
