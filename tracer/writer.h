/*
 * writer: blocks into a file, as docs/trace-format.md has it. The one that knows of lz4.
 *
 * Blocks go out in the order they come, a few hundred kilobytes at once. A file system that is full ends the file: behind the
 * last block that is whole, with a footer if there is room for one. Whoever writes need not care: what comes later is counted
 * and dropped.
 *
 * A ring keeps blocks of events back, the latest ones only, and writes them at the end. Tables are written as ever.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tracer/format.h"

struct writer;

struct writer_ring {
	uint64_t ns, bytes; /* at most one is set; both 0: all is written */
};

/* @fd is the writer's from here on, also when it fails: -ENOMEM. @header: what is not set by the writer. */
int writer_create(struct writer **ret, int fd, const struct trace_file_header *header,
		  struct writer_ring ring);

/* More that the recording can see than was known when it began. */
void writer_set_flags(struct writer *w, uint32_t flags);

#define WRITER_SUMMARY_MAX 256

/*
 * One block. Of @header the writer sets magic, sizes and the checksum. @payload: at most TRACE_RAW_MAX bytes, @summary at
 * most WRITER_SUMMARY_MAX.
 */
void writer_block(struct writer *w, const struct trace_block_header *header, const uint8_t *summary,
		  uint32_t summary_bytes, const uint8_t *payload, uint32_t bytes);

/* What is buffered goes to the file. */
void writer_flush(struct writer *w);

/* Footer and trailer. */
void writer_end(struct writer *w, enum trace_end reason, uint32_t value);

/*
 * A snapshot: a whole trace, with what the ring holds at this moment, or with all that was written until now, into the file
 * @fd, which is the snapshot's from here on, also when it fails. The writer's own file is read, so it must be open for that, too. Blocks may be
 * written between the steps. -EBUSY: another one is under way. @since_ns, of CLOCK_MONOTONIC as blocks have it: events that lie before the generation which
 * was under way then are left out; 0: none are.
 */
struct writer_snapshot;
int writer_snapshot_begin(struct writer_snapshot **ret, struct writer *w, int fd,
			  const uint8_t uuid[16], uint64_t since_ns);
/* 1: there is more to do, for some milliseconds each; 0: it is whole; or a negative errno. */
int writer_snapshot_step(struct writer_snapshot *s);
/* Closes its file. Before writer_end(). NULL is fine. */
void writer_snapshot_end(struct writer_snapshot *s);

/* Closes the file as it is. NULL is fine. */
void writer_destroy(struct writer *w);

/* 0, or the negative errno that ended it: -ENOSPC and its like. */
int writer_error(const struct writer *w);

struct writer_counts {
	uint64_t bytes, raw_bytes, blocks;
	uint64_t dropped; /* events that came after the error, or fell out of the ring */
};
struct writer_counts writer_counts(const struct writer *w);

int writer_fd(const struct writer *w);
