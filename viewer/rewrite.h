/*
 * rewrite: a trace out of another: blocks of it as they are, blocks of our own, and an end that lists them all.
 *
 * Written from the file's beginning on, in one go. What is kept is in proportion to the number of blocks.
 */
#pragma once

#include "viewer/tables.h"

struct rewrite {
	struct reader *reader; /* of the old trace */
	const struct tables *tables;
	struct why *why;
	int fd;
	uint64_t bytes;    /* written */
	uint64_t now_ns;   /* the time of tables of our own */
	uint32_t sequence; /* of the next table */
	uint32_t generation;
	uint32_t strings; /* the next string of our own */
	uint8_t *frame;
	struct rewrite_entry *list; /* the footer */
	size_t list_n, list_room;
};

/*
 * @t is what the old trace has; tables of our own are of @now_ns. 0 or -ENOMEM; all that can fail here sets @why. Ended by
 * rewrite_fini(), also after a failure.
 */
int rewrite_begin(struct rewrite *w, struct reader *r, const struct tables *t, uint64_t now_ns,
		  int fd, struct why *why);
void rewrite_fini(struct rewrite *w);

/*
 * The file's header: the old one's, where it has one, else times count from @begun_ns. @uuid NULL: it is the same trace. @less:
 * flags of what it has no more.
 */
int rewrite_header(struct rewrite *w, uint64_t begun_ns, const uint8_t uuid[16], uint32_t less);

/* A block of the old trace as it is, but for these. */
struct rewrite_change {
	uint32_t sequence;
	uint8_t flags;
	uint64_t lost_before;
};
int rewrite_copy(struct rewrite *w, const struct reader_block *block,
		 const struct rewrite_change *change);
struct rewrite_change rewrite_unchanged(const struct reader_block *block);

/* A block of our own: @h->raw_bytes at @raw, and the summary. What follows from these is set in @h. */
int rewrite_block(struct rewrite *w, struct trace_block_header *h, const uint8_t *summary,
		  uint32_t summary_bytes, const uint8_t *raw);
/* The same for a table, which needs the strings that there are by now; of symbols, the modules, too. */
int rewrite_table(struct rewrite *w, uint8_t kind, uint32_t records, const uint8_t *raw,
		  uint32_t size);

/* A word of metadata, of which @value may be cut after 4096 bytes. */
int rewrite_note(struct rewrite *w, const char *key, const char *value);

/* The footers and the trailer. */
int rewrite_end(struct rewrite *w, uint32_t reason, uint32_t value);
