/*
 * drain: from chunks to blocks. Normal context, in whatever process has the segment mapped: the launcher, or the host.
 *
 *     chunks ─→ sorted by (thread, sequence) ─→ one event after the other ─→ the thread's block ─→ writer
 *                                                checked, texts and stacks by number, the thread's state
 *
 * The segment is input: whatever stands in it, a pass ends, in bounded memory, and gives a legal file. What cannot be read is
 * counted as lost. Chunks of a thread that is at work are read as far as they are written; nobody waits for anybody.
 *
 * A generation ends after two seconds or 16 MiB: all blocks go out, and the next begin with what their threads are doing.
 * When nothing happens none ends, and with many threads it takes longer: each of them is in each.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/segment.h"
#include "tracer/writer.h"

struct drain;

struct drain_setup {
	struct segment segment;
	/* its first page, to give chunks back by; NULL: what comes when they are full is lost */
	struct segment_header *door;
	int pid; /* as seen from here, 0: not a process */
	struct writer_ring ring;

	/* The file, once there is something to write: a descriptor, or a negative errno. */
	int (*open)(void *user);
	/*
	 * In each pass, when the threads' events up to @now_ns are taken and before a generation ends. May call
	 * drain_add_block() and drain_add_event(). NULL: nothing.
	 */
	void (*each_pass)(struct drain *d, uint64_t now_ns, void *user);
	/*
	 * At the end: what the variable at @address is called, or with @is_site the code there, into @ret. False: it is in no
	 * file. NULL: nobody knows.
	 */
	bool (*name)(void *user, uint64_t address, bool is_site, char *ret, size_t size);
	void *user;
};

int drain_create(struct drain **ret, const struct drain_setup *setup);
void drain_destroy(struct drain *d); /* NULL is fine */

/* For the metadata. */
void drain_note(struct drain *d, const char *key, const char *value);
/* What is known of the process @pid. Never its environment. */
void drain_note_process(struct drain *d, int pid);

/*
 * There are no records of switches: how long threads ran is read from /proc, as sched.delta events, and the header says so.
 * What that is: schedstat.h.
 */
void drain_use_schedstat(struct drain *d);

/* Takes what there is; returns how many bytes of events that was. */
uint64_t drain_pass(struct drain *d);

/*
 * The last pass, of a process that is gone or goes on without us (TRACE_END_STOPPED, or TRACE_END_SNAPSHOT), and the end of the file. Returns 0, or
 * the negative errno that ended the file earlier.
 */
int drain_end(struct drain *d, enum trace_end reason, uint32_t value);

/*
 * Begins a snapshot of what there is now, a whole trace, into the file @fd, which is the drain's from here on, also when it
 * fails: -ENODATA when nothing was traced yet, -EBUSY when one is under way. It ends a generation. Passes may come between
 * the steps. @since_ns, of CLOCK_MONOTONIC: without the events of generations that had ended by then; 0: with all.
 */
int drain_snapshot_begin(struct drain *d, int fd, uint64_t since_ns);
/* 1: it is not whole yet; 0: it is; or a negative errno. Then the file is closed. */
int drain_snapshot_step(struct drain *d);

/* Sleeps until the chunks fill up, somebody calls drain_rouse(), or @ms are over; not at all if that was since drain_ticket(). */
uint32_t drain_ticket(const struct drain *d);
void drain_sleep(const struct drain *d, uint32_t ticket, unsigned ms);
void drain_rouse(const struct drain *d);

struct drain_counts {
	uint64_t events, lost;
	uint64_t unwritten; /* of the events: the file was full */
	uint64_t bytes, raw_bytes;
	uint64_t busy_ns; /* CPU time */
	int error;        /* the negative errno that ended the file, 0: none */
};
struct drain_counts drain_counts(const struct drain *d);

/*
 * A block of somebody else's making, such as the kernel's switches on a processor: kind, flags, thread, times and number of
 * events are set. Its sequence is that of its thread (or processor), its generation the one under way.
 */
void drain_add_block(struct drain *d, struct trace_block_header *header, const uint8_t *payload,
		     uint32_t bytes);

/* An event of the whole process, at the moment of the pass under way: its arguments, none of them a text or a stack. */
void drain_add_event(struct drain *d, unsigned type, const uint64_t *arguments, unsigned n);

/* Whether the thread with @tid is one of cprof's in the host. */
bool drain_is_ours(const struct drain *d, int tid);

/* The number of the thread with @tid, 0 when it has none. Of those that live, and that ended in this pass or the one before. */
uint32_t drain_thread_of(const struct drain *d, int tid);
