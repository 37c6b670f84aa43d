/*
 * merge: the events of all threads in the order of time.
 *
 *     blocks ──→ weave ──→ strip ──→ strip ──→ strip ──→ merge_next() ──→ what is told
 *                (weave.h)                                its notes ──→ reader, watch
 *
 * In a long trace a second thread weaves, while the caller's goes through what it made. Nobody notices but the clock: all
 * that others see, from damage in the reader to the counts, changes in merge_next(), in the order of the events.
 */
#pragma once

#include "viewer/decode.h"
#include "viewer/streams.h"
#include "viewer/tables.h"

#define MERGE_NO_CPU    UINT32_MAX
#define MERGE_NO_STREAM UINT32_MAX

struct merged {
	const struct event *event; /* its ns is the corrected one */
	const struct reader_block *block;
	struct ticks ticks; /* of its arguments */
	uint32_t
		thread; /* its index; of a switch, that of the thread which is switched; 0: not known */
	uint32_t stream; /* of that thread's own events, or MERGE_NO_STREAM */
	uint32_t cpu;    /* where it ran, or MERGE_NO_CPU */
};

struct merge;

/*
 * @r, @s and @t stay the caller's, and must outlive it; the schema does not change meanwhile. How many threads work on it: two,
 * where there are two processors and the trace is long; CPROF_TRACE_WORKERS=1 is one, 2 is two from the first event on. 0 or -ENOMEM.
 */
int merge_create(struct merge **ret, struct reader *r, const struct streams *s,
		 const struct tables *t);
void merge_destroy(struct merge *m);

/*
 * The next event, in @ret until the next call. Returns 1, 0 at the end, -EINTR (the watch ended it), or another negative errno
 * with @why. Blocks that make no sense are damage from now on: what is in them before that comes out.
 */
int merge_next(struct merge *m, struct merged *ret, const struct watch *watch, struct why *why);

/*
 * Before the first merge_next(): begins with the generation that @ns lies in, whose thread.status events say what threads were
 * doing then. Those before it are not looked at.
 */
void merge_seek(struct merge *m, uint64_t ns);

struct merge_counts {
	uint64_t events;
	uint64_t unreadable; /* of blocks that turned out to be bad */
	uint64_t corrected, largest_ns;
};
struct merge_counts merge_counts(const struct merge *m);

/* How many ns a tick of @block is, for durations: what its header says, or as far as its own events tell. */
struct ticks merge_ticks(const struct reader_block *block);
