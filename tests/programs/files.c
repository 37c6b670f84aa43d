/*
 * files: opens, names and closes files of all kinds, and says what a trace has to say of them, in this order:
 *
 *     open NUMBER KIND NAME      close NUMBER      name NUMBER NAME
 *
 * KIND is one of enum trace_fd_kind. It begins with /dev/zero. A name in which only the kernel's number of it is not known
 * ends with a star.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "tracer/format.h"

static int opened(int fd, int kind, const char *name)
{
	if (fd < 0)
		abort();
	printf("open %d %d %s\n", fd, kind, name);
	return fd;
}

static void closed(int fd)
{
	if (close(fd) != 0)
		abort();
	printf("close %d\n", fd);
}

static int port_of(int fd)
{
	struct sockaddr_in at;
	socklen_t bytes = sizeof(at);

	if (getsockname(fd, (struct sockaddr *)&at, &bytes) != 0)
		abort();
	return ntohs(at.sin_port);
}

/* The kernel's. */
static unsigned long number_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		abort();
	return st.st_ino;
}

static void internet(int type, const char *protocol)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(at);
	char name[64];
	int a, b, c;

	snprintf(name, sizeof(name), "%s:*", protocol);
	a = opened(socket(AF_INET, type, 0), TRACE_FD_SOCKET, name);
	if (bind(a, (struct sockaddr *)&at, bytes) != 0)
		abort();
	printf("name %d %s 127.0.0.1:%d\n", a, protocol, port_of(a));
	if (type == SOCK_STREAM && listen(a, 1) == 0)
		printf("name %d %s 127.0.0.1:%d\n", a, protocol, port_of(a));
	b = opened(socket(AF_INET, type, 0), TRACE_FD_SOCKET, name);
	at.sin_port = htons((uint16_t)port_of(a));
	if (connect(b, (struct sockaddr *)&at, bytes) != 0)
		abort();
	printf("name %d %s 127.0.0.1:%d->127.0.0.1:%d\n", b, protocol, port_of(b), port_of(a));
	if (type == SOCK_STREAM) {
		snprintf(name, sizeof(name), "tcp 127.0.0.1:%d->127.0.0.1:%d", port_of(a),
			 port_of(b));
		c = opened(accept(a, NULL, NULL), TRACE_FD_SOCKET, name);
		closed(c);
	}
	closed(b);
	closed(a);
}

static void local(void)
{
	struct sockaddr_un at = {AF_UNIX, "socket.test"}, nameless = {AF_UNIX, "\0hidden"};
	int a = opened(socket(AF_UNIX, SOCK_STREAM, 0), TRACE_FD_SOCKET, "unix:*"), b, c;

	if (bind(a, (struct sockaddr *)&at, sizeof(at)) != 0)
		abort();
	printf("name %d unix socket.test\n", a);
	if (listen(a, 1) != 0)
		abort();
	printf("name %d unix socket.test\n", a);
	b = opened(socket(AF_UNIX, SOCK_STREAM, 0), TRACE_FD_SOCKET, "unix:*");
	if (connect(b, (struct sockaddr *)&at, sizeof(at)) != 0)
		abort();
	printf("name %d unix ->socket.test\n", b);
	c = opened(accept4(a, NULL, NULL, SOCK_CLOEXEC), TRACE_FD_SOCKET, "unix socket.test");
	closed(a);
	closed(b);
	closed(c);
	unlink("socket.test");
	a = opened(socket(AF_UNIX, SOCK_DGRAM, 0), TRACE_FD_SOCKET, "unix:*");
	if (bind(a, (struct sockaddr *)&nameless, sizeof(sa_family_t) + 7) != 0)
		abort();
	printf("name %d unix @hidden\n", a);
	closed(a);
}

int main(void)
{
	static char output[1 << 16];
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	char path[PATH_MAX] = ""; /* readlink() ends nothing */
	int pair[2], file, i;

	setvbuf(stdout, output, _IOFBF, sizeof(output));
	opened(open("/dev/zero", O_RDONLY), TRACE_FD_FILE, "/dev/zero");
	if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0)
		abort();
	file = opened(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), TRACE_FD_FILE, path);
	i = opened(dup(file), TRACE_FD_FILE, path);
	closed(i);
	opened(fcntl(file, F_DUPFD, 100), TRACE_FD_FILE, path);
	opened(fcntl(file, F_DUPFD_CLOEXEC, 102), TRACE_FD_FILE, path);
	opened(dup2(file, 101), TRACE_FD_FILE, path);
	if (dup2(file, file) != file)
		abort();
	printf("close 101\n"); /* by what comes over it */
	opened(dup3(3, 101, O_CLOEXEC), TRACE_FD_FILE, "/dev/zero");
	if (syscall(SYS_close_range, 100, 101, 4) == 0 &&
	    syscall(SYS_close_range, 100, ~0u, 0) == 0) {
		printf("close 100\nclose 101\nclose 102\n");
	} else { /* before Linux 5.9, or 5.11 */
		closed(100);
		closed(101);
		closed(102);
	}
	if (pipe(pair) != 0)
		abort();
	opened(pair[0], TRACE_FD_PIPE, "pipe:*");
	opened(pair[1], TRACE_FD_PIPE, "pipe:*");
	closed(pair[0]);
	if (pipe2(pair, O_NONBLOCK) != 0) /* whose number is used again */
		abort();
	opened(pair[0], TRACE_FD_PIPE, "pipe:*");
	opened(pair[1], TRACE_FD_PIPE, "pipe:*");
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
		abort();
	for (int k = 0; k < 2; k++) {
		snprintf(path, sizeof(path), "unix:[%lu]->[%lu]", number_of(pair[k]),
			 number_of(pair[1 - k]));
		opened(pair[k], TRACE_FD_SOCKET, path);
	}
	opened(eventfd(0, 0), TRACE_FD_EVENT, "anon_inode:[eventfd]");
	opened(timerfd_create(CLOCK_MONOTONIC, 0), TRACE_FD_TIMER, "anon_inode:[timerfd]");
	opened(epoll_create1(0), TRACE_FD_EPOLL, "anon_inode:[eventpoll]");
	internet(SOCK_STREAM, "tcp");
	internet(SOCK_DGRAM, "udp");
	local();
	i = socket(AF_INET6, SOCK_DGRAM, 0);
	if (i >= 0) {
		opened(i, TRACE_FD_SOCKET, "udp:*");
		if (bind(i, (struct sockaddr *)&v6, sizeof(v6)) == 0)
			printf("name %d udp [::1]:%d\n", i, port_of(i));
		closed(i);
	}
	if (close(500) == 0)
		abort();
	return 0;
}
