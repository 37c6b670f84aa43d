/*
 * server: endpoints over HTTP, by one thread: http/server.h with their rules.
 *
 * server_listen() and server_forget() are for any thread, and wait for no more than one round of it.
 */
#pragma once

#include "endpoint/endpoint.h"
#include "http/listen.h"

struct server;

/* What else the thread looks at: when @fd can be read (-1: there is none), and when it said. */
struct server_watch {
	int fd;
	/* Returns when to be called again, UINT64_MAX: when there is something to read. May call server_end(). */
	uint64_t (*look)(void *user, uint64_t now_ns);
	void *user;
};

/* The library, for a caller whose threads may not wait for the loader. 0 or -ENOSYS. */
int server_load(struct why *why);

/* 0, -ENOSYS (no libmicrohttpd) or a negative errno, with @why. @watch NULL: nothing else. */
int server_create(struct server **ret, const struct server_watch *watch, struct why *why);

/* @l is the server's from now on, also when it fails. @e must live until server_forget(). */
int server_listen(struct server *s, struct listen *l, struct endpoint *e, struct why *why);

/* Who waits for @e gets what there is. No socket of it is open after that, and nothing of it is used any more. */
void server_forget(struct server *s, struct endpoint *e);

/* Serves until server_end(). */
void server_run(struct server *s);
/* Ends when the replies that are there were taken, or after a second. Any thread of its table of files. */
void server_end(struct server *s);

void server_destroy(struct server *s); /* NULL is fine */
