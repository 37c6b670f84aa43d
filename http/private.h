/*
 * What server.c, which has the sockets and the clock, and carrier.c, which has libmicrohttpd, share.
 */
#pragma once

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "http/server.h"

struct MHD_Daemon;
struct MHD_Connection;
struct MHD_Response;

/* A socket that listens. */
struct door {
	struct door *next;
	struct listen listen;
	void *user; /* NULL: forgotten */
	struct MHD_Daemon *daemon;
	unsigned connections;
	bool is_closed; /* for the connections that came by it, it stays */
};

/* What a connection is about. */
enum doing {
	DOING_ASK,
	DOING_KEEP,
	DOING_TAKE,
	DOING_WAIT, /* for us */
	DOING_GO,   /* it was too slow */
};

/* A connection, from the first byte to the last. */
struct place {
	struct place *next, **link;
	struct door *door;
	int fd;
	enum doing doing;
	uint64_t since_ns;
	bool is_busy; /* with a request */
};

struct request {
	struct http_request shown;    /* first */
	struct request *next, **link; /* of those that wait */
	struct place *place;
	struct MHD_Connection *connection;
	struct MHD_Response *response; /* NULL: none yet, or it is queued, or it cannot be made */
	int status;
	char *body;
	size_t held; /* bytes of its reply */
	bool is_begun, is_waiting, has_replied, is_queued, is_ended;
	bool waits_on; /* since it was stepped last */
	int fd;        /* what it waits for */
	bool is_ready;
	uint64_t until_ns;
};

static inline struct request *request_of(const struct http_request *q)
{
	return (struct request *)(uintptr_t)q;
}

struct http_server {
	pthread_mutex_t lock; /* all that follows; the thread gives it up while it sleeps */
	unsigned serial;      /* of the lists, as others than the thread change them */
	struct http_rules rules;
	struct http_user user;
	int woken;
	_Atomic bool is_ending;
	struct MHD_Daemon *plain; /* those with TLS are their door's */
	struct door *doors;
	struct place *places;
	struct request *waiting;
	unsigned connections, waiting_n;
	size_t held;
	uint64_t asked_ns;
	bool has_come;          /* what is in user.fd */
	struct door *accepting; /* the one whose connection is being added */
	struct pollfd *polled;
	unsigned polled_room;
};

/* Of the connection that is just added. NULL: no memory. */
struct place *place_begin(struct http_server *s, int fd);
void place_end(struct http_server *s, struct place *p);
void place_do(struct place *p, enum doing doing);
/* It goes on: with the reply that it has, or its connection is closed. */
void request_stop_waiting(struct request *q);
void request_unlink(struct request *q); /* from those that wait */
/* Tells the user, once. */
void request_end(struct request *q);

/* ---- carrier.c ---- */

bool carrier_is_loaded(void);
struct MHD_Daemon *carrier_start(struct http_server *s, const struct listen *l, struct why *why);
void carrier_stop(struct MHD_Daemon *daemon);
void carrier_run(struct MHD_Daemon *daemon);
/* @fd is its own. */
void carrier_add(struct MHD_Daemon *daemon, int fd, const struct sockaddr *from, socklen_t size);
/* Readable when it is to be run. */
int carrier_fd(struct MHD_Daemon *daemon);
/* When it is to be run in any case, if that is before @next. */
uint64_t carrier_wish(struct MHD_Daemon *daemon, uint64_t now, uint64_t next);
void carrier_suspend(struct MHD_Connection *connection);
void carrier_resume(struct MHD_Connection *connection);
