/*
 * reader: the container of a trace: finds the blocks, and unpacks them.
 *
 * Opening walks the headers and nothing else: a few bytes of each block, whatever the file's size. What is no good header
 * is passed over up to the next one whose checksum is right:
 *
 *     header │ block │ block │ ░░damage░░ │ block │ … │ footer │ trailer
 *
 * A file is somebody else's: every size is bounded before it is believed, and all that is kept is in proportion to the
 * number of blocks, which is in proportion to the file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/why.h"
#include "tracer/format.h"
#include "viewer/source.h"
#include "viewer/watch.h"

#define READER_PAD          256  /* readable behind a payload: more than an event can have */
#define READER_HEADER_MAX   4096 /* bytes; a block's has some 200 */
#define READER_DAMAGES_KEPT 1000

#define READER_FRAME_MORE  19 /* bytes of an LZ4 frame besides what is in it */
#define READER_FRAME_EMPTY 11 /* of one with nothing in it */
#define READER_STORED_MAX  (TRACE_RAW_MAX + READER_FRAME_MORE)

enum reader_needs { NEEDS_STRINGS, NEEDS_STACKS, NEEDS_OBJECTS, NEEDS_MODULES, NEEDS };

struct reader_block {
	uint64_t offset; /* of its header's frame */
	uint64_t first_ns, last_ns, span;
	uint64_t lost_before;
	uint32_t recorder_ns, tick_fs;
	uint32_t header_bytes; /* with the frame's eight: from there on, the LZ4 frame */
	uint32_t raw_bytes, stored_bytes;
	uint32_t events; /* or records */
	uint32_t generation, thread, sequence;
	uint32_t needs[NEEDS];
	uint16_t summary_bytes; /* the last of the header's */
	uint8_t kind, flags;
	bool is_bad; /* its payload was looked at, and is not to be used */
};

/* Bytes that are not to be used, and why. */
struct reader_damage {
	uint64_t offset, bytes;
	char what[232];
};

struct reader {
	char *name;
	struct source source;

	bool has_header, has_trailer;
	struct trace_file_header header;
	struct trace_trailer trailer;
	uint64_t trailer_offset;

	struct reader_block *blocks; /* in the order of the file */
	size_t blocks_n, blocks_room;
	uint32_t raw_max; /* of any of them */

	struct reader_damage *damages; /* the first READER_DAMAGES_KEPT */
	size_t damages_n, damages_kept;
	uint64_t damaged_bytes;
	bool is_interrupted; /* @watch ended it; there may be more blocks */

	uint8_t *stored;       /* an LZ4 frame */
	uint64_t looked_bytes; /* of payloads, to find out which side of a gap is damaged */
};

/* Adds up what a block's header says of it. */
struct reader_summary {
	uint64_t state_ns[TRACE_STATES];
	uint64_t classes[TRACE_CLASSES];
};

/*
 * Opens the trace @path, "-" for standard input. @watch may be NULL.
 *
 * Returns 0, -EBADMSG (no trace, or nothing in it can be read), -ENOTSUP (of a newer major version), -ENOMEM, or what
 * opening and reading said; @why has the sentence, with the file's name. A damaged trace is opened.
 */
int reader_open(struct reader **ret, const char *path, const struct watch *watch, struct why *why);
/* The same for a trace in memory, which stays the caller's and is called @name. */
int reader_open_bytes(struct reader **ret, const char *name, const void *bytes, size_t size,
		      struct why *why);
void reader_close(struct reader *r); /* NULL is fine */

/*
 * Unpacks a block: raw_bytes into @raw, and READER_PAD zeros behind it. Returns 0, -EBADMSG (the frame or its checksum is not
 * right: marks the block and counts the damage, once), or what reading said.
 */
int reader_load(struct reader *r, struct reader_block *block, uint8_t *raw, struct why *why);

/*
 * The same without a mark, for several threads at once. The frame is read into @stored, which has room for READER_STORED_MAX. -EBADMSG:
 * *@ret_what is not right with it.
 */
int reader_unpack(const struct reader *r, const struct reader_block *block, uint8_t *stored,
		  uint8_t *raw, const char **ret_what, struct why *why);

/*
 * The other way: the LZ4 frame of @size bytes, at most TRACE_RAW_MAX, into @to, which has room for READER_FRAME_MORE more.
 * Returns its size.
 */
uint32_t reader_pack(const uint8_t *raw, uint32_t size, uint8_t *to);

/* 0, or -ENODATA when the block has none that can be read. What a newer version has added to it is passed over. */
int reader_summary(const struct reader *r, const struct reader_block *block,
		   struct reader_summary *ret);

/* Counts @bytes at @offset as damage. */
__attribute__((format(printf, 4, 5))) void reader_damage(struct reader *r, uint64_t offset,
							 uint64_t bytes, const char *format, ...);
/* A block that was unpacked and makes no sense: is damage from now on. */
void reader_spoil(struct reader *r, struct reader_block *block, const char *what);

static inline uint64_t reader_block_end(const struct reader_block *block)
{
	return block->offset + block->header_bytes + block->stored_bytes;
}

static inline bool reader_is_switches(const struct reader_block *block)
{
	return (block->flags & TRACE_BLOCK_SWITCHES) != 0;
}

/* "events", "strings" …; NULL for a kind of a newer version. */
const char *reader_kind_name(uint8_t kind);
