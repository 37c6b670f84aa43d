/*
 * calls: system calls by what they have in common: how often, how long, how many failed, how many bytes they moved.
 *
 * A listener of a story. Calls that wait for work or for time to pass are counted, and their time is kept apart.
 */
#pragma once

#include "viewer/names.h"
#include "viewer/select.h"
#include "viewer/story.h"
#include "viewer/tally.h"

enum calls_by {
	CALLS_NUMBER,
	CALLS_FILE, /* that they were given the descriptor of */
	CALLS_PATH, /* that they were given, else of their file */
	CALLS_PEER, /* of their socket */
	CALLS_THREAD,
	CALLS_STACK,
	CALLS_ERROR, /* those that failed: number and errno */
};

struct calls {
	/* set by who asks; the rest is zero */
	const struct tables *tables;
	struct select_threads *threads; /* NULL: all */
	enum calls_by by;
	uint64_t from_ns, to_ns; /* of what a call took, what is outside is cut off; 0: nothing */
	uint64_t slower_ns; /* keep single calls that took longer, as a whole; UINT64_MAX: none */
	uint64_t slow_max;  /* how many, the longest of them */

	struct tally tally;
	uint64_t n, idle_n; /* all of them */
	uint64_t total_ns, idle_ns;
	uint64_t left_out; /* calls that have no file, no path, no peer, no error */

	struct story_call *slow; /* the shortest first: a heap */
	uint64_t slow_n, slow_seen;
	struct map peer_of;     /* by the str of a socket's name */
	struct tally_row *last; /* calls come in rows */
};

int calls_call(void *context, const struct story_call *c);
/* The longest first, by time where they are equal. */
void calls_sort_slow(struct calls *c);
void calls_fini(struct calls *c);

/* What a row is called: "read", "/var/log/app", "tcp 127.0.0.1:80", "worker-3", "flush log.c:71 < main app.c:12". */
void calls_name(const struct calls *c, const struct tally_row *row, struct name *name);
/* The errno of a row by error, whose value is the number. */
uint64_t calls_error(const struct tally_row *row);
/* "read", else "syscall#1234" */
void calls_number_name(struct name *name, uint64_t number);
/* "socket"; "" when the row is not of one file. */
const char *calls_file_kind(const struct calls *c, const struct tally_row *row);
/* Does it move bytes, and return how many? */
bool calls_moves_bytes(uint32_t number);
bool calls_reads(uint32_t number);

/* Whom a socket of this name talks to: "tcp 1.2.3.4:5->6.7.8.9:80" to "tcp 6.7.8.9:80". */
void calls_peer(struct name *name, const char *text, size_t length);
