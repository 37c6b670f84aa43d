/*
 * api: what the page asks, answered from a trace: docs/viewer-api.md. There is no http in here: a request is a path with
 * parameters, an answer is bytes in a file.
 *
 *     now      from memory and the index: at once, in the server's own process
 *     work     may have to read the trace: each in a process of its own, a fork of the server's, with all that is open there.
 *              What it does to tables, and what it leaves in memory, is gone with it; who does not want it any more kills it.
 *
 * A table is what the command prints with --json: it is the command that runs, in the work's process. docs/adr/0020
 */
#pragma once

#include "page/answer.h"
#include "viewer/index.h"
#include "viewer/timeline.h"

#define API_TEXT_MAX     (16 << 10) /* bytes of a path with its parameters */
#define API_PARAMETERS   24
#define API_TILES        128 /* of one request */
#define API_TRACKS       128
#define API_TILE_BYTES   4128
#define API_TILE_VERSION 1
#define API_LEVEL_MAX    40

struct api_parameter {
	const char *key, *value;
};

struct api_path;

struct api_request {
	const struct api_path *path;
	const char *rest; /* of the path, behind its name: "4/12/7" */
	struct api_parameter parameters[API_PARAMETERS];
	unsigned n;
};

enum api_index { API_INDEX_MAKING, API_INDEX_READY, API_INDEX_FAILED };

struct api_track {
	uint32_t thread, at; /* its index; and where in the index or the estimate */
	uint64_t begin_ns, end_ns, intervals;
	uint64_t state_ns[TRACE_STATES];
	uint64_t group; /* hash of the name without its number */
};

struct api {
	struct reader *reader;
	const struct streams *streams;
	struct tables *tables;
	struct resolver *resolver; /* asked for names by work only; NULL: nobody */
	uint64_t begun_ns;         /* of the trace's clock: the 0 of all answers */
	uint64_t begin_ns, end_ns; /* of the events */
	uint64_t from_ns, to_ns;   /* to be seen first */
	/* Runs a command line, as main() does, and returns its status. */
	int (*command)(int argc, char **argv);
	/* The trace, for a command, and what is known of it: it must be the same still. */
	const char *file;
	bool no_symbols;
	const char *source_root; /* where sources are; NULL: where the program says */

	/* kept by api_*() */
	uint64_t origin;
	enum api_index state;
	double done;
	struct why why; /* of a failure */
	struct index *index;
	struct index_making *making; /* NULL: nobody is at it */
	struct timeline estimate;    /* until the index is there */
	struct api_track *tracks;
	uint32_t tracks_n;
	struct map track_of; /* by thread */
	struct map groups;   /* members, by hash */
	struct out *out;     /* for answers */
	bool is_first;       /* nothing is before it in its object or array */
};

/*
 * What is set above the line is the caller's, and stays. Reads the headers of all blocks, for the estimate. 0 or -ENOMEM, or what
 * reading said, with @why.
 */
int api_init(struct api *a, struct why *why);
void api_fini(struct api *a);
/*
 * Looks for the index, or begins to make it, in a process of its own; what is open here is open there. The other one, called now and
 * then, says how far it is in api.done, and takes the index when it is there, or why there is none.
 */
void api_begin_index(struct api *a, bool is_kept);
/* The same for who waits for it: index_open(). */
int api_open_index(struct api *a, bool is_kept, const struct watch *watch, struct why *why);
void api_look_at_index(struct api *a);

/*
 * Takes @text, "tiles?list=4.12.7" behind api/v1/, to pieces, which then lie in it. 0, -ENOENT (there is no such path) or
 * -EINVAL (what is not to be read, or no parameter of that path), with @why.
 */
int api_parse(char *text, struct api_request *ret, struct why *why);
/* Whether it is to run in a process of its own. */
bool api_is_work(const struct api *a, const struct api_request *q);
/* Writes the answer into @fd, which is empty. An error is an answer, too. */
void api_answer(struct api *a, const struct api_request *q, int fd, struct answer *ret);
/* The same for an error from elsewhere. */
void api_refuse(struct api *a, int status, const char *why, int fd, struct answer *ret);

/* The same for @text as it came. False: it is for the other one, which is called in a process of its own. */
bool api_answer_now(struct api *a, const char *text, int fd, struct answer *ret);
void api_answer_work(struct api *a, const char *text, int fd, struct answer *ret);
