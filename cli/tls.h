/*
 * tls: an encrypted connection over a socket, by GnuTLS, which is loaded when somebody wants one.
 *
 * Who answers must have a certificate for the host's name, from an authority that this system trusts, or is in a file that is named.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "core/why.h"

struct tls;

struct tls_files {
	const char *authorities;       /* PEM, in place of the system's; NULL: not given */
	const char *certificate, *key; /* PEM, by which we show who we are; both or none */
};

/* Bytes of the socket: how many, 0 at its end, or a negative errno, which ends all. */
typedef ssize_t tls_pull(void *user, void *to, size_t size);

/*
 * Agrees with who is at @sock, of which @pull(@user) reads. 0, or a negative errno and @why: -ENOSYS without GnuTLS, -EACCES when
 * he is not who he should be.
 */
int tls_begin(struct tls **ret, int sock, tls_pull *pull, void *user, const char *host,
	      bool is_unchecked, const struct tls_files *files, struct why *why);
/* How many, or a negative errno. */
ssize_t tls_send(struct tls *t, const void *bytes, size_t size);
/* How many, 0 at the end that was meant to be one, or a negative errno: -ECONNRESET, it was cut. */
ssize_t tls_receive(struct tls *t, void *to, size_t size);
void tls_end(struct tls *t); /* NULL is fine */
