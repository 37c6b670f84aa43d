/*
 * site: a page and what it asks, for one person on this machine.
 *
 *     http://127.0.0.1:PORT/TOKEN/NAME        the page's files: in the program, or for who writes them in a directory
 *     http://127.0.0.1:PORT/TOKEN/api/v1/…    the user's to answer
 *
 * Who asks must know the token, which only the printed URL has, and must call us by our name: a page from elsewhere can have a
 * browser here ask, but neither know the one nor, when its own name is made to mean this machine, say the other. GET and HEAD only, and
 * nothing is brought.
 */
#pragma once

#include "http/server.h"
#include "page/assets.h"

#define SITE_HELD_MAX (64 << 20) /* bytes of answers that are on their way */

struct site {
	const char *address; /* "[::1]", "10.0.0.1"; NULL: 127.0.0.1 and ::1 */
	uint16_t port;       /* 0: any */
	uint64_t idle_ns;    /* ends when nobody asked for so long; 0: never */
	const struct asset *assets;
	const char *directory; /* the page's files, in place of those; NULL */

	/* All by the thread that serves. */
	/* Before anything is open that a child of fork would keep open. */
	void (*begin)(void *context);
	/* It can be asked from now on; @is_open: from other machines, too. */
	void (*ready)(void *context, const char *url, const char *host, uint16_t port,
		      bool is_open);
	/* @text, "meta?x=1": replies by site_reply() or site_say(), or waits. */
	void (*ask)(void *context, struct http_request *q, char *text);
	/* As those of struct http_user. NULL: nobody waits, nothing is kept, there is nothing to look at. */
	void (*step)(void *context, struct http_request *q, enum http_why why, uint64_t now_ns);
	void (*end)(void *context, struct http_request *q);
	uint64_t (*look)(void *context, uint64_t now_ns);
	void *context;
};

/*
 * Serves until SIGINT, SIGTERM, or the time is over. 0, -ENOSYS (there is no libmicrohttpd), -EINVAL (the address) or a negative
 * errno, with @why. These signals and SIGPIPE are blocked for good.
 */
int site_run(const struct site *site, struct why *why);

/* http_reply() with what every reply has. One of bytes to be freed, where too many are on their way, becomes a 503. */
void site_reply(struct http_request *q, struct http_reply *reply, const char *type,
		const char *cache);
void site_say(struct http_request *q, int status, const char *text);
