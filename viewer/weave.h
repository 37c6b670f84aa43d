/*
 * weave: the events of all threads in the order of time, in strips of some hundred. The part of merge.h that another thread
 * can do: it changes nothing that others see.
 *
 *     lane of thread 1   ───█████──███████────→ ┐
 *     lane of thread 2   ─────────█████─────────→ ├ the earliest of all, again and again ──→ strip, strip, strip …
 *     lane of CPU 0      ──██████████████████──→ ┘
 *
 * A lane is a stream and its next events. A block is unpacked when its time comes, so what is in memory is what overlaps:
 * a generation, for the writer ends one everywhere at the same time. Before the first event of a generation comes out, its
 * events with numbers are looked through (order.h). Within a thread the order is always the writer's.
 *
 * What is found out besides, that a block is no good or how far the work is, stands in a strip as a note, at its place among the
 * events. Who reads the strip does what it says.
 */
#pragma once

#include "viewer/merge.h"

#define STRIP_EVENTS 512  /* 48 KiB */
#define STRIP_NOTES  1024 /* ends with as many; there may be some more */
#define STRIP_NONE   UINT32_MAX

struct strip_event {
	struct event event;
	uint32_t block, stream, thread, cpu;
};

struct strip_note {
	uint32_t at;                /* it comes before the event of this number */
	bool is_step;               /* a block is begun */
	uint32_t block;             /* it is no good, because of @what; STRIP_NONE: none */
	uint64_t bytes_done;        /* of blocks of events */
	struct merge_counts counts; /* from here on; events are not counted */
	char what[160];
};

struct strip {
	uint32_t n, notes_n, notes_room;
	struct strip_note *notes;
	struct strip_event *events; /* STRIP_EVENTS */
	int result; /* of what comes behind it: 1 more, 0 the end, or a negative errno with @why */
	struct why why;
};

int strip_init(struct strip *strip); /* 0 or -ENOMEM */
void strip_fini(struct strip *strip);

struct weave;

int weave_create(struct weave **ret, const struct reader *r, const struct streams *s,
		 const struct schema *schema);
void weave_destroy(struct weave *w);
void weave_seek(struct weave *w, uint64_t ns);         /* merge_seek() */
void weave_fill(struct weave *w, struct strip *strip); /* with what comes next */

/*
 * For who has time: prepares a block of the next generation. False: there is nothing to do now. What is woven is the same with and
 * without.
 */
bool weave_ahead(struct weave *w);

uint64_t weave_bytes(const struct weave *w); /* of all blocks of events that come */
/* Of a block that is in a strip. */
const struct ticks *weave_ticks(const struct weave *w, uint32_t block);
