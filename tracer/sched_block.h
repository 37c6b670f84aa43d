/*
 * sched_block: events of one processor on their way into a block of the log (docs/trace-format.md, "Processors").
 *
 * One process's: when several are watched by one set of rings, each has its own log, and so its own block for each processor.
 */
#pragma once

#include <stdint.h>

#include "tracer/format.h"
#include "tracer/sched.h"

struct sched_block {
	uint8_t *bytes; /* the owner's */
	uint32_t size;
	uint32_t used, events;
	uint64_t first_ns, last_ns;
};

/* Empties it. @bytes are the owner's, and TRACE_RAW_MAX of them are the most that is of use. */
SIGSAFE void sched_block_begin(struct sched_block *b, uint8_t *bytes, uint32_t size);

/*
 * Adds @event of the thread whose index in the trace is @thread. Events that are nothing to the log (SCHED_BORN, SCHED_NAMED)
 * are passed over. 0, or -ENOSPC: write this one, begin a new one, add it again.
 */
SIGSAFE int sched_block_add(struct sched_block *b, const struct sched_event *event,
			    uint32_t thread);

/* Fills in what it knows of its header, all else is 0; its summary, its checksum and stored_bytes are the writer's. */
SIGSAFE void sched_block_describe(const struct sched_block *b, uint32_t cpu, uint32_t sequence,
				  struct trace_block_header *ret);
