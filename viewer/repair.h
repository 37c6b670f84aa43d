/*
 * repair: writes a trace anew: its good blocks as they are, and an end.
 *
 * Where blocks are missing, the next one of that thread is marked, so that the new trace tells of the hole itself. A block
 * of metadata, "repaired", says how much was left out.
 */
#pragma once

#include "viewer/rewrite.h"
#include "viewer/verify.h"

struct repair {
	uint64_t blocks, events, bytes; /* written */
	uint64_t left_out;              /* blocks */
};

/*
 * @v has gone through @r, so that bad blocks are known. Writes to @fd from its beginning on. 0, -EINTR (the watch), or a negative
 * errno with @why.
 */
int repair_write(struct repair *ret, struct reader *r, const struct streams *s,
		 const struct tables *t, const struct verify *v, int fd, const struct watch *watch,
		 struct why *why);

/*
 * In parts: the good blocks that @is_wanted (NULL: all), without the footers. Tables that are not wanted leave no hole in the
 * numbers of the others.
 */
int repair_blocks(struct repair *ret, struct rewrite *w, const struct streams *s,
		  bool (*is_wanted)(const struct reader_block *block), const struct watch *watch);
/* What was left out, in the metadata. */
int repair_note(const struct repair *done, struct rewrite *w);
