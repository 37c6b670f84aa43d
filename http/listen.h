/*
 * listen: where a server can be asked, and by whom.
 *
 *     unix:PATH          a socket with mode 0600
 *     127.0.0.1:6060     this machine alone; also localhost, [::1]; port 0: any
 *     ADDRESS:PORT?token=FILE&cert=FILE&key=FILE
 *                        others, too: with a secret that a file has, over TLS, and in no other way
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/why.h"

#define LISTEN_TOKEN_MIN 16
#define LISTEN_TOKEN_MAX 256

struct listen {
	int fd;
	char path[108];    /* of a Unix socket, to be removed; "": none */
	char address[256]; /* as it is called in a URL: "127.0.0.1", "[::1]" */
	uint16_t port;
	char token[LISTEN_TOKEN_MAX + 1]; /* "": none is asked for */
	char *certificate, *key;          /* PEM; NULL: no TLS */
};

/* 0, or a negative errno with @why, and nothing to be closed. */
int listen_open(const char *text, struct listen *ret, struct why *why);
void listen_close(struct listen *l);
/* The same at an address that is known, for @l that is what else there is of it, with fd -1: silent. */
int listen_open_at(struct listen *l, const struct sockaddr *to, socklen_t size);

/* The same without opening anything: is @text right? */
int listen_check(const char *text, struct why *why);

/* Is @host, of a request, us? NULL, of old clients, is; where a token is asked for, any. */
bool listen_is_us(const struct listen *l, const char *host);

/* May who says @authorization (NULL: nothing) ask? In a time that says nothing of the token. */
bool listen_allows(const struct listen *l, const char *authorization);
