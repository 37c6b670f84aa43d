/*
 * What the files of endpoint/ share about a request.
 */
#pragma once

#include <stdio.h>

#include "endpoint/endpoint.h"
#include "output/symbols.h"

#define ENDPOINT_SPEC_MAX 512

#define TEXT_PLAIN "text/plain; charset=utf-8"
#define TEXT_HTML  "text/html; charset=utf-8"
#define BINARY     "application/octet-stream"

/* What a request is at; in this order, where it needs all of them. */
enum endpoint_stage {
	STAGE_FIRST_LOOK, /* at what is now */
	STAGE_OPEN,
	STAGE_WAIT,
	STAGE_LAST_LOOK,
	STAGE_WRITE,
	STAGE_DONE,
};

enum endpoint_kind {
	KIND_PROFILE, /* one of source.profiles */
	KIND_TRACE,
	KIND_START,
	KIND_STOP,
};

struct endpoint_request {
	struct endpoint *endpoint;
	enum endpoint_stage stage;
	enum endpoint_kind kind;

	char *form; /* the parameters, while it is read */
	const struct profile_ops *ops;
	int debug;
	bool has_window; /* seconds= */
	bool starts;     /* the profile, where it is off */
	bool is_delta;   /* since the last time somebody asked for the same */
	bool is_folded;
	uint64_t window_ns;

	/* while it is under way */
	struct reading_window *window;
	bool has_trace;
	uint64_t until_ns;
	struct endpoint_call call;
	char text[ENDPOINT_SPEC_MAX]; /* what to start, or to stop */

	struct endpoint_reply reply;
};

#define ENDPOINT_DELTAS 16

struct endpoint {
	struct endpoint_source source;
	struct symbols *symbols;
	_Atomic bool is_hurried, is_half; /* is_half: it was, and names may be missing in symbols */
	unsigned waiting;
	struct profile_ops goroutine; /* name NULL: there is no such thing here */

	/* of delta_NAME */
	struct endpoint_delta {
		const struct profile_ops *ops;
		struct reading_window *window;
	} deltas[ENDPOINT_DELTAS];
};

/* Sets out what there is to do for it, or replies. (route.c) */
void endpoint_route(struct endpoint_request *q, const struct endpoint_ask *ask);

/* A reply that is there. The text of an error ends with a newline of ours, as Go's does. */
void endpoint_fail(struct endpoint_request *q, int status, const char *text);
/* The body, empty; NULL: an error is the reply. */
FILE *endpoint_open_body(struct endpoint_request *q, const char *type);
/* A body that is whole. */
void endpoint_close_body(struct endpoint_request *q, FILE *body);

struct symbols *endpoint_symbols(struct endpoint *e);

/* Pages that are made on the spot; the segment is held. */
void endpoint_index(struct endpoint_request *q, const struct segment *s);
void endpoint_status(struct endpoint_request *q, const struct segment *s);
void endpoint_cmdline(struct endpoint_request *q, const struct segment *s);
void endpoint_symbol(struct endpoint_request *q, const struct segment *s, const char *text,
		     size_t size);

/* A profile that never ran, to the body's file: valid, with its types, and nothing in it. @window_ns: it did not for so long. */
int endpoint_write_empty(const struct segment *s, const struct profile_ops *ops, uint64_t window_ns,
			 int debug, int fd);
/* For flame graphs: "main;work;read 12". */
int endpoint_write_folded(const struct profile *p, FILE *to);

/* The one called @name among the source's, also by the names that Go has for it; NULL. */
const struct profile_ops *endpoint_find(const struct endpoint *e, const char *name);
