/*
 * server: the page and its questions over HTTP, for one person on this machine: docs/viewer-api.md.
 *
 *     one thread:   http/site.h ─┬─ page's files, what is answered now
 *                                ├─ works that are over (http/works.h)  ─→ their answers
 *                                └─ the index, as it grows
 */
#pragma once

#include "page/assets.h"
#include "viewer/api.h"

extern const struct asset timeline_page[]; /* viewer/page/ */

struct server_ask {
	struct api *api;
	const char *address; /* "[::1]", "10.0.0.1"; NULL: 127.0.0.1 and ::1 */
	uint16_t port;       /* 0: any */
	uint64_t idle_ns;    /* ends when nobody asked for so long; 0: never */
	bool keeps_index;
	const char *directory; /* the page's files, in place of those built in; NULL */
	/* It can be asked from now on; @is_open: from other machines, too. */
	void (*ready)(void *context, const char *url, const char *host, uint16_t port,
		      bool is_open);
	void *context;
};

/* Serves until SIGINT, SIGTERM, or the time is over. 0, -ENOSYS (there is no libmicrohttpd), or a negative errno, with @why. */
int server_run(const struct server_ask *ask, struct why *why);
