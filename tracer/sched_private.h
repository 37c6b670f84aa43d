/*
 * What sched.c sets up and sched_sig.c reads.
 */
#pragma once

#include "tracer/sched.h"

struct sched_ring {
	void *map; /* the kernel's page, then ring_bytes of records; NULL: not there */
	int file;
	uint32_t cpu;
	bool is_over; /* nobody writes here any more */

	/* of the last record */
	uint8_t last_kind; /* 0 when it is not known */
	uint32_t last_tid;
	uint64_t last_ns;
	uint32_t running; /* tid, 0 not known */

	uint64_t lost_recorded; /* by the ring's own records */
	uint64_t lost_said;
};

struct sched {
	size_t bytes; /* of this and of the rings behind it */
	pid_t pid;
	unsigned flags;
	uint32_t page_bytes, ring_bytes, wanted_bytes;
	int wait_file;
	bool has_lost_count;
	bool wakes_often;
	uint64_t drained_ns, ended; /* the last drain, and threads that ended before it */
	bool can_double; /* there was more than one thread: one may be watched by its own events and by its parent's */

	/* for each watched thread one for each ring, in their order */
	int *files;
	uint32_t files_count, files_room;

	uint32_t rings_count;
	struct sched_ring *rings; /* behind this */
};
