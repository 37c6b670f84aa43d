/*
 * server: requests of HTTP/1.1 at sockets that listen, answered by callbacks, all by one thread.
 *
 *     poll ─┬─ sockets that listen ──→ accept, one libmicrohttpd for all
 *           ├─ libmicrohttpd       ──→ check → its body → begin ─┬─ http_reply
 *           │                                                    └─ http_wait … step … http_reply
 *           ├─ who waits and goes  ──→ end
 *           ├─ a file of the user's ─→ look
 *           └─ a word from outside
 *
 * It knows the protocol and its bounds: connections, what a request brings, how long it may take to be asked and to take the answer.
 * What is asked, who may ask and what is answered is the user's: endpoint/ has profiles of processes, site.h a page for one person.
 *
 * http_listen(), http_forget() and http_end() are for any thread, and wait for no more than one round of it. All else, callbacks too, is
 * the thread's that serves.
 */
#pragma once

#include "core/why.h"
#include "http/listen.h"

struct http_server;

/* One that was asked: from check() to end(). */
struct http_request {
	struct http_server *server;
	void *door; /* as http_listen() was told; NULL: it was forgotten since */
	const struct listen *listen;
	const char *method;
	char *uri;        /* as it came, to be taken apart by who wants to */
	const char *body; /* all of it, from begin() on; "": none */
	size_t body_size;
	void *state; /* the user's; NULL at first */
};

/* A header of @q, NULL: it has none. Any name. */
const char *http_header_of(const struct http_request *q, const char *name);
/* Does who asks unpack gzip? */
bool http_takes_gzip(const struct http_request *q);
/* Is it a page of elsewhere that a browser here asks for? */
bool http_is_foreign(const struct http_request *q);

/* ---- replies ---- */

#define HTTP_HEADERS_MAX 20

/* Begins as HTTP_REPLY(200), with nothing in it. */
struct http_reply {
	int status;
	int fd; /* the body is all that is in it; -1: the bytes are */
	const void *bytes;
	size_t size;
	bool is_to_free; /* the bytes, by free(); else they stay as long as the program runs */
	unsigned headers_n;
	struct {
		const char *name, *value; /* until http_reply() */
	} headers[HTTP_HEADERS_MAX];
};
#define HTTP_REPLY(number) ((struct http_reply){.status = (number), .fd = -1})

void http_add(struct http_reply *reply, const char *name, const char *value);
/* From check(), begin(), step(), or while it waits. The file or the bytes are the server's from now on, whatever comes of it. */
void http_reply(struct http_request *q, const struct http_reply *reply);
/*
 * Until @fd can be read (-1: none), the clock says @until_ns (UINT64_MAX: never), or its client goes. In begin(), in step(), and again
 * while it waits.
 */
void http_wait(struct http_request *q, int fd, uint64_t until_ns);
/* Bytes of replies that are on their way, of those to be freed. */
size_t http_held(const struct http_server *s);

/* ---- the server ---- */

enum http_why { HTTP_READY, HTTP_TIME, HTTP_END };

struct http_user {
	/* May it go on? Its header is here, and nothing of its body. It may unless this replies. */
	void (*check)(struct http_request *q);
	/* All of it is here. Replies, or waits; the connection of who does neither is closed. */
	void (*begin)(struct http_request *q);
	/* The same when what it waited for may be there. HTTP_END: the door or the server goes, what there is is the reply. */
	void (*step)(struct http_request *q, enum http_why why, uint64_t now_ns);
	/* Nobody waits for it any more, replied to or not; it may never have begun. */
	void (*end)(struct http_request *q);
	/* It cannot be read, says a sentence: replies so. */
	void (*refuse)(struct http_request *q, int status, const char *text);

	/* In every round. @has_come: there was something in fd, which is taken out. Returns when to be called again at the latest. */
	uint64_t (*look)(void *context, uint64_t now_ns, bool has_come);
	void *context;
	int fd; /* -1: none */
};

/* How long a connection may be at something: while there is room, and in a crowd. */
struct http_patience {
	uint64_t ns, crowded_ns;
};

struct http_rules {
	unsigned connections_max;
	unsigned crowd;    /* connections that are one; 0: none ever are */
	size_t header_max; /* memory of a connection, too */
	size_t body_max;
	struct http_patience ask;  /* from its beginning to the end of its first request */
	struct http_patience keep; /* from one request to the next */
	struct http_patience take; /* an answer */
	unsigned inactive_sec;     /* with nothing sent either way */
	uint64_t end_ns;           /* what http_end() gives to those that take an answer */
};

/* The library, for who cannot wait for the loader later. 0 or -ENOSYS. */
int http_load(struct why *why);

/* 0 or a negative errno, with @why. Both are copied. The thread that serves has SIGPIPE blocked. */
int http_create(struct http_server **ret, const struct http_rules *rules,
		const struct http_user *user, struct why *why);
void http_destroy(struct http_server *s); /* NULL is fine */

/*
 * @l is the server's from now on, also when it fails. Its library is loaded when somebody comes, unless http_load() was called or it is
 * for TLS. 0, -ENOSYS or a negative errno, with @why.
 */
int http_listen(struct http_server *s, struct listen *l, void *door, struct why *why);
/* Who waits at @door is stepped for the last time. No socket of it is open after that, and its address is never told again. */
void http_forget(struct http_server *s, void *door);

/* Serves until http_end(). */
void http_run(struct http_server *s);
/* Ends when the replies that are there were taken, or after rules.end_ns. Any thread of its table of files. */
void http_end(struct http_server *s);

/* When somebody asked last, or else it was made; UINT64_MAX: somebody waits. */
uint64_t http_asked_ns(const struct http_server *s);

/* Calls @each of those that can be asked: as often as they have doors. */
void http_doors(const struct http_server *s, void (*each)(void *door));

/* In a child of fork: what is open of it is closed there, and all else left as it is. */
void http_leave(const struct http_server *s);
