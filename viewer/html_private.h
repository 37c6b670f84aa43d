/* html, inside. */
#pragma once

#include "page/sheet.h"
#include "page/work.h"
#include "viewer/html.h"

#define HTML_DETAILS     64     /* spans of a kind that are told in full: the longest */
#define HTML_DETAILS_FEW 16     /* of a long trace, where each takes a part of a second */
#define HTML_LONG        500000 /* events */
enum html_kind { HTML_LOCKS, HTML_WAITS, HTML_SPINS, HTML_SYSCALLS, HTML_KINDS };

struct html_detail {
	uint64_t begin_ns, ns;
	uint32_t thread, stack, object, call; /* the call + 1 */
};

/* What is found out of the pieces when they are looked at first. */
struct html_found {
	uint64_t intervals;
	uint64_t pieces[64]; /* when those below 2^i ns are put together; [0]: none is */
	struct html_detail details[HTML_KINDS][HTML_DETAILS];
	unsigned details_n[HTML_KINDS];
};

/* Where a track's pieces are. */
struct html_place {
	uint32_t chunk, pieces;
	uint64_t offset; /* in the chunk, unpacked */
};

#define HTML_NAMED_MAX (UINT32_C(128) << 10) /* of each; the others have no name in the file */
enum html_named { HTML_OBJECTS, HTML_CALLS, HTML_STACKS, HTML_FILES, HTML_NAMED };

struct html_pieces {
	struct api *api;
	const struct watch *watch;
	uint64_t short_ns;
	struct html_place *places; /* by api.tracks */
	uint32_t chunks;
	uint64_t pieces, bytes;       /* of all; of the file */
	struct map named[HTML_NAMED]; /* what has a number in the pieces, and is to be told, too */
};

/* One pass over all intervals. 0, -EINTR, -EBADMSG (the index) or -ENOMEM, with @why. */
int html_look(struct api *a, const struct watch *watch, struct html_found *ret, struct why *why);
/* The same, which writes them, or counts their bytes when @to is NULL; fills in what is below short_ns and places. */
int html_put_pieces(struct html_pieces *p, struct out *to, struct why *why);

#define HTML_WORKS 4 /* at once, on however many processors: the file is the same everywhere */

/* A file that is being written. */
struct html {
	const struct html_ask *ask;
	struct api *api;
	struct html_found found;
	struct html_pieces pieces;
	struct out *out;   /* into @kept */
	int kept, scratch; /* what becomes the section; one answer */
	uint64_t answers_end;
	uint32_t answers, stacks;
	unsigned details; /* of each kind */
	bool is_long;     /* a pass over it takes its time */
	struct html_work {
		struct work work;
		char key[128];
	} works[HTML_WORKS]; /* the oldest first */
	unsigned works_n;
	struct sheet sheet;
};

/* All that is asked of the whole run, into what is kept. */
int html_keep_answers(struct html *h);
/* What follows them: where pieces are, and the names of what those have numbers of. 0 or a negative errno. */
int html_keep_directory(struct html *h);
