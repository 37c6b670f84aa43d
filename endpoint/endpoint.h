/*
 * endpoint: what Go's net/http/pprof has under /debug/pprof/, of one process. It knows no socket: a request comes as text, a
 * reply goes as a file.
 *
 *     server.c ──┐
 *                ├─→ endpoint_begin → endpoint_step … endpoint_step → reply ─→ endpoint_end
 *     cprof_handle() ──┘   route        look, open a window, wait, write         (at any time)
 *                                          │
 *                                       source: the process itself, or the launcher that has its segment
 *
 * Nothing here waits: a request that has to is stepped again when it is time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/patience.h"
#include "core/profile.h"
#include "core/segment.h"
#include "core/why.h"
#include "output/reading.h"

#define ENDPOINT_SECONDS_MAX 3600 /* of a window */
#define ENDPOINT_WAITING_MAX 64 /* windows of one process at a time: each is a copy of the table */
#define ENDPOINT_BODY_MAX    (1 << 20) /* bytes that a request may bring */

/* What a request waits for elsewhere: 0 at first. */
struct endpoint_call {
	intptr_t state;
	struct patience patience; /* since the first try */
};

/*
 * Whose segment it is. All of it is called by the thread that steps, and but for hold() itself between hold() and release().
 * Functions that are NULL cannot be done there. Those with a call may return -EINPROGRESS, and are tried again in a while, or
 * given up by cancel().
 */
struct endpoint_source {
	void *user;
	const struct profile_ops *const *profiles; /* ended by NULL */

	/* Until release() nothing in it is wiped, and no other thread is here. NULL: it is gone. */
	const struct segment *(*hold)(void *user);
	void (*release)(void *user);

	/* Looks at what is now, such as the threads: starts that profile when it is off. */
	int (*look)(void *user, struct endpoint_call *call, const struct profile_ops *ops,
		    struct why *why);

	/* @starts: the profile is switched on until window_end(), unless it is. -EAGAIN: it never ran. */
	int (*window_begin)(void *user, struct endpoint_call *call, const struct profile_ops *ops,
			    bool starts, struct reading_window **ret, struct why *why);
	/* It counts no more; before it is written. */
	void (*window_stop)(void *user, struct reading_window *window);
	void (*window_end)(void *user, struct reading_window *window);

	/* The same for the trace; trace_write(): from about @since_ns of CLOCK_MONOTONIC up to now, as a whole file. */
	int (*trace_begin)(void *user, struct endpoint_call *call, struct why *why);
	int (*trace_write)(void *user, struct endpoint_call *call, uint64_t since_ns, int fd,
			   struct why *why);
	void (*trace_end)(void *user);

	/* At a word of SPEC; -EINVAL: the word is wrong. 0 with @why: what there is to say of it. */
	int (*start)(void *user, struct endpoint_call *call, const char *spec, struct why *why);
	int (*stop)(void *user, struct endpoint_call *call, const char *names, struct why *why);

	void (*cancel)(void *user, struct endpoint_call *call);
};

struct endpoint;

/* @source is copied. NULL: no memory. */
struct endpoint *endpoint_create(const struct endpoint_source *source);
/* No request may be under way. */
void endpoint_destroy(struct endpoint *e);

struct endpoint_ask {
	const char *method, *path, *query; /* @path decoded; @query without "?", NULL: none */
	const char *body;
	size_t body_size;
	bool is_form; /* the body has parameters, before those of the query: application/x-www-form-urlencoded */
};

struct endpoint_reply {
	int status;
	int fd; /* the body, from its begin; -1: there is none. endpoint_end() closes it */
	const char *type; /* Content-Type */
	const char *allow;
	char file_name[64]; /* "": not for a file */
	char location[256]; /* "": nowhere else */
	bool is_error;      /* as pprof knows it: X-Go-Pprof */
	bool is_page;       /* HTML, to be looked at */
	unsigned retry_sec; /* 0: none */
};

/* The lines of a reply's header, as "Name", "value" pairs; returns how many. */
#define ENDPOINT_HEADERS_MAX 10
struct endpoint_header {
	const char *name;
	char value[300];
};
unsigned endpoint_headers(const struct endpoint_reply *reply,
			  struct endpoint_header ret[ENDPOINT_HEADERS_MAX]);

struct endpoint_request;

/* *ask is copied as far as it is needed. NULL: no memory. */
struct endpoint_request *endpoint_begin(struct endpoint *e, const struct endpoint_ask *ask);

/* The reply; or NULL, and when to step again (CLOCK_MONOTONIC). @is_last: the process ends, what there is is the reply. */
struct endpoint_reply *endpoint_step(struct endpoint_request *q, uint64_t now_ns, bool is_last,
				     uint64_t *ret_next_ns);

/* Done with it, replied to or not. */
void endpoint_end(struct endpoint_request *q);

/* There is no time for names any more: a reply that is being written is there soon. Until it is taken back. Any thread. */
void endpoint_hurry(struct endpoint *e, bool is_wanted);

/* Nobody has asked for a while: what was kept to answer faster is freed. */
void endpoint_rest(struct endpoint *e);
