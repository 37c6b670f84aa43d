/*
 * fetch: a question to an endpoint, by HTTP: to that of a process at its socket, or to one on the net.
 *
 * All there is of a reply is its body, in a file without a name, for the caller to close. Whoever answers may be anybody: what
 * is kept of him is bounded, and so is how long he takes.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "cli/tls.h"
#include "cli/url.h"
#include "core/why.h"

struct fetch_limits {
	unsigned wait_sec;           /* for all of it */
	int64_t bytes_max;           /* of the body */
	const struct tls_files *tls; /* for https://; NULL: what the system has */
};

/*
 * The body of what is answered to GET @target ("/debug/pprof/heap") at the socket @path. A negative errno, with a sentence in
 * @why that does not name whom was asked: -ENOENT, -ECONNREFUSED: nobody listens; -ETIMEDOUT; -EPROTO: an error is the reply.
 */
int fetch_socket(const char *path, const char *target, const struct fetch_limits *limits,
		 struct why *why);
/* The same at the socket of @pid, of its `cprof run`. */
int fetch_process(pid_t pid, const char *target, const struct fetch_limits *limits,
		  struct why *why);
/* The same on the net. */
int fetch_url(const struct url *url, const struct fetch_limits *limits, struct why *why);

/* Can it be the name of a profile? It goes into a URL. */
bool fetch_is_name(const char *name);
/*
 * Where a process has the profile @name, into @ret, with a window of @seconds, 0: none; cpu and wall have one of 30 seconds all the
 * same.
 */
void fetch_target(const char *name, int seconds, char *ret, size_t size);
