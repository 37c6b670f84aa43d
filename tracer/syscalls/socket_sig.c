#include "tracer/syscalls/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "core/arch.h"

struct line {
	char *text;
	uint32_t length, size;
};

static void put(struct line *l, char c)
{
	if (l->length < l->size)
		l->text[l->length++] = c;
}

static void put_text(struct line *l, const char *text)
{
	while (*text != '\0')
		put(l, *text++);
}

static void put_number(struct line *l, uint64_t number, unsigned base)
{
	char digits[20];
	unsigned n = 0;

	do
		digits[n++] = "0123456789abcdef"[number % base];
	while ((number /= base) != 0);
	while (n > 0)
		put(l, digits[--n]);
}

static void put_ipv4(struct line *l, const uint8_t *bytes)
{
	for (unsigned i = 0; i < 4; i++) {
		if (i > 0)
			put(l, '.');
		put_number(l, bytes[i], 10);
	}
}

/* The longest row of zeros, of two groups at least, is "::". */
static void put_ipv6(struct line *l, const uint8_t *bytes)
{
	unsigned begin = 8, n = 1;

	for (unsigned i = 0; i < 8; i++) {
		unsigned k = i;

		while (k < 8 && bytes[2 * k] == 0 && bytes[2 * k + 1] == 0)
			k++;
		if (k - i > n) {
			begin = i;
			n = k - i;
		}
	}
	put(l, '[');
	for (unsigned i = 0; i < 8; i++) {
		if (i == begin) {
			put_text(l, "::");
			i += n - 1;
			continue;
		}
		if (i > 0 && i != begin + n)
			put(l, ':');
		put_number(l, (uint32_t)bytes[2 * i] << 8 | bytes[2 * i + 1], 16);
	}
	put(l, ']');
}

/* False, and nothing: it has none. */
static bool put_address(struct line *l, const struct socket_address *a)
{
	static const uint8_t v4_in_v6[12] = {[10] = 0xff, [11] = 0xff};
	uint16_t port;

	if (a->bytes < sizeof(a->any.ss_family))
		return false;
	if (a->any.ss_family == AF_UNIX) {
		uint32_t path = offsetof(struct sockaddr_un, sun_path);
		uint32_t bytes = a->bytes > path ? a->bytes - path : 0;

		if (bytes == 0)
			return false;
		for (uint32_t i = 0; i < bytes && (i == 0 || a->local.sun_path[0] == '\0' ||
						   a->local.sun_path[i] != '\0');
		     i++)
			put(l, a->local.sun_path[i] != '\0' ? a->local.sun_path[i] : '@');
		return true;
	}
	/* the port is at the same place in both */
	if ((a->any.ss_family != AF_INET && a->any.ss_family != AF_INET6) ||
	    a->bytes < sizeof(a->v4) || a->v4.sin_port == 0)
		return false;
	if (a->any.ss_family == AF_INET) {
		put_ipv4(l, (const uint8_t *)&a->v4.sin_addr);
	} else if (a->bytes < sizeof(a->v6)) {
		return false;
	} else if (memcmp(&a->v6.sin6_addr, v4_in_v6, sizeof(v4_in_v6)) == 0) {
		put_ipv4(l, (const uint8_t *)&a->v6.sin6_addr + sizeof(v4_in_v6));
	} else {
		put_ipv6(l, (const uint8_t *)&a->v6.sin6_addr);
	}
	port = a->v4.sin_port;
	put(l, ':');
	put_number(l, (uint32_t)(uint8_t)port << 8 | port >> 8, 10);
	return true;
}

static const char *protocol_of(int fd)
{
	int domain = 0, type = 0;
	uint32_t bytes = sizeof(int);

	if (sys5(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) < 0 ||
	    sys5(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &bytes) < 0)
		return "socket";
	switch (domain) {
	case AF_INET:
	case AF_INET6:
		return type == SOCK_STREAM ? "tcp" : type == SOCK_DGRAM ? "udp" : "ip";
	case AF_UNIX:
		return "unix";
	case AF_NETLINK:
		return "netlink";
	default:
		return "socket";
	}
}

static void ask(long call, int fd, struct socket_address *ret)
{
	ret->bytes = sizeof(ret->any);
	if (sys3(call, fd, &ret->any, &ret->bytes) < 0)
		ret->bytes = 0;
	else if (ret->bytes > sizeof(ret->any)) /* it was longer */
		ret->bytes = sizeof(ret->any);
}

SIGSAFE uint32_t socket_name(int fd, uint64_t inode, uint64_t other,
			     const struct socket_address *peer, char *ret, uint32_t size)
{
	struct line l = {ret, 0, size};
	struct socket_address own, asked;
	bool has_own, has_peer;
	uint32_t begin;

	put_text(&l, protocol_of(fd));
	begin = l.length;
	put(&l, ' ');
	ask(SYS_getsockname, fd, &own);
	has_own = put_address(&l, &own);
	if (peer == NULL) {
		ask(SYS_getpeername, fd, &asked);
		peer = &asked;
	}
	own.bytes = l.length;
	put_text(&l, "->");
	has_peer = put_address(&l, peer);
	if (!has_peer)
		l.length = own.bytes;
	if (has_own || has_peer)
		return l.length;
	l.length = begin;
	put_text(&l, ":[");
	put_number(&l, inode, 10);
	put(&l, ']');
	if (other != 0) {
		put_text(&l, "->[");
		put_number(&l, other, 10);
		put(&l, ']');
	}
	return l.length;
}
