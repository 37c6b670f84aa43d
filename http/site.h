/*
 * site: a page and what it asks, for one person on this machine.
 *
 *     http://127.0.0.1:PORT/TOKEN/            the page, in one piece: page/sheet.h
 *     http://127.0.0.1:PORT/TOKEN/NAME        one of its files, for who writes them in a directory
 *     http://127.0.0.1:PORT/TOKEN/api/v1/…    the user's to answer
 *
 * Who asks must know the token, which only the printed URL has, and must call us by our name: a page from elsewhere can have a
 * browser here ask, but neither know the one nor, when its own name is made to mean this machine, say the other. GET and HEAD only, and
 * nothing is brought.
 */
#pragma once

#include "http/server.h"
#include "page/answer.h"
#include "page/assets.h"

#define SITE_HELD_MAX (64 << 20) /* bytes of answers that are on their way */

struct site {
	const char *address; /* "[::1]", "10.0.0.1"; NULL: 127.0.0.1 and ::1 */
	uint16_t port;       /* 0: any */
	uint64_t idle_ns;    /* ends when nobody asked for so long; 0: never */
	const struct asset *assets;
	const char *directory; /* the page's files, in place of those; NULL */
	/* What the page asks first, ended by NULL: what ask() answers of it at once stands in the page. NULL */
	const char *const *given;

	/* All but work() by the thread that serves. */
	/* Before anything is open that a child of fork would keep open. NULL */
	void (*begin)(void *context);
	/* It can be asked from now on; @is_open: from other machines, too. */
	void (*ready)(void *context, const char *url, const char *host, uint16_t port,
		      bool is_open);
	/*
	 * Answers @text, "meta?x=1", at once into @fd, which is empty; an error is an answer, too. Or false: it is for work(), in a
	 * process of its own, with all that is open here. NULL: all is.
	 */
	bool (*ask)(void *context, const char *text, int fd, struct answer *ret);
	void (*work)(void *context, const char *text, int fd, struct answer *ret);
	/* The same for an error from elsewhere. */
	void (*refuse)(void *context, int status, const char *why, int fd, struct answer *ret);
	/* In every round: until when at the latest. NULL */
	uint64_t (*look)(void *context, uint64_t now_ns);
	void *context;
};

/*
 * Serves until SIGINT, SIGTERM, or the time is over. 0, -ENOSYS (there is no libmicrohttpd), -EINVAL (the address) or a negative
 * errno, with @why. These signals and SIGPIPE are blocked for good.
 */
int site_run(const struct site *site, struct why *why);
