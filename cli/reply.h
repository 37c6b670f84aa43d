/*
 * reply: what a server sends back by HTTP/1, with or without a length, in chunks, or up to its end.
 *
 * It may be anybody's, and is read within bounds: 16 KiB of header, so many bytes of body, so long and no longer. What is cut off,
 * where that can be known, is no reply.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cli/url.h"
#include "core/why.h"

struct tls;

/* One connection; until_ms is on CLOCK_MONOTONIC. */
struct wire {
	int sock;
	struct tls *tls; /* NULL: the socket itself */
	int64_t until_ms;
	unsigned wait_sec;
	size_t at, n;
	char bytes[32768];
};

/* What its header says. */
struct reply {
	int status;
	char reason[64];
	int64_t length; /* -1: it ends with the connection */
	bool is_chunked, is_text;
	char location[URL_MAX];
};

void wire_init(struct wire *w, unsigned wait_sec);
int64_t wire_left_ms(const struct wire *w);
/* -ETIMEDOUT, with its sentence. */
int wire_late(const struct wire *w, struct why *why);
/* Bytes of the socket, as tls_pull has it. */
ssize_t wire_receive(void *wire, void *to, size_t size);

/*
 * Reads one reply, its body to @fd. 0; -EREMCHG: it is elsewhere, at @ret->location; -EPROTO: it is an error, in @why as it says it;
 * or another negative errno, with @why.
 */
int reply_take(struct wire *w, int fd, int64_t bytes_max, struct reply *ret, struct why *why);
