/*
 * socket: what a socket is called.
 *
 *     tcp 127.0.0.1:8080                       bound
 *     tcp 127.0.0.1:41000->127.0.0.1:8080      connected
 *     udp [::1]:53    unix /run/x    unix ->/run/x    unix @abstract
 *     unix:[4711]                              neither: the kernel's number of it
 *     unix:[4711]->[4712]                      of a pair
 */
#pragma once

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "core/context.h"

struct socket_address {
	union {
		struct sockaddr_storage any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_un local;
	};
	uint32_t bytes; /* 0: none */
};

/*
 * Into @ret, and returns its length. @inode: the kernel's number, @other: of the other one of a pair; 0: it is of none. @peer: what
 * it is being connected to; NULL: what it is connected to.
 */
SIGSAFE uint32_t socket_name(int fd, uint64_t inode, uint64_t other,
			     const struct socket_address *peer, char *ret, uint32_t size);
