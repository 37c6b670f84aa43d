#include "cli/fetch.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cli/serving.h"
#include "core/session.h"

#define HEAD_MAX (16 << 10) /* bytes of a reply's header */
#define BODY_MAX (INT64_C(8) << 30)

static int open_socket(pid_t pid, struct why *why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, r = serving_path(pid, false, address.sun_path, sizeof(address.sun_path), why);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	return fd;
}

static int ask(int sock, const char *target)
{
	char text[1024];
	/* 1.0: the body ends with the connection */
	int n = snprintf(text, sizeof(text), "GET %s HTTP/1.0\r\nHost: cprof\r\n\r\n", target);

	if (n >= (int)sizeof(text))
		return -ENAMETOOLONG;
	return send(sock, text, (size_t)n, MSG_NOSIGNAL) == n ? 0 : -EIO;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000) + ts.tv_nsec / 1000000;
}

/* Returns how much came, 0 at the end. */
static ssize_t receive(int sock, char *to, size_t size, int64_t until_ms)
{
	struct pollfd file = {sock, POLLIN, 0};
	int64_t left = until_ms - now_ms();
	ssize_t n;

	if (left <= 0 || poll(&file, 1, (int)left) == 0)
		return -ETIMEDOUT;
	n = recv(sock, to, size, 0);
	return n < 0 ? -errno : n;
}

/* All that comes, to @fd. */
static int take(int sock, int fd, int64_t until_ms)
{
	char buffer[65536];
	int64_t bytes = 0;
	ssize_t n;

	while ((n = receive(sock, buffer, sizeof(buffer), until_ms)) > 0) {
		bytes += n;
		if (bytes > BODY_MAX)
			return -EFBIG;
		if (write(fd, buffer, (size_t)n) != n)
			return -ENOSPC;
	}
	return (int)n;
}

/* Where the body begins, and the status; -EBADMSG: it is no reply. */
static long read_head(int fd, int *ret_status)
{
	char head[HEAD_MAX + 1];
	ssize_t n = pread(fd, head, HEAD_MAX, 0);
	const char *end;

	if (n <= 0)
		return -EBADMSG;
	head[n] = '\0';
	end = strstr(head, "\r\n\r\n");
	if (end == NULL || sscanf(head, "HTTP/1.%*c %3d", ret_status) != 1)
		return -EBADMSG;
	return end + 4 - head;
}

/* The body alone. */
static int cut(int fd, long head)
{
	int body = memfd_create("cprof", MFD_CLOEXEC);
	char buffer[65536];
	off_t at = head;
	ssize_t n;

	while (body >= 0 && (n = pread(fd, buffer, sizeof(buffer), at)) > 0) {
		if (write(body, buffer, (size_t)n) != n) {
			close(body);
			return -ENOSPC;
		}
		at += n;
	}
	return body < 0 ? -errno : body;
}

static void quote(int fd, long head, int status, struct why *why)
{
	char text[256];
	ssize_t n = pread(fd, text, sizeof(text) - 1, head);

	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	for (char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c >= 0x7f)
			*c = '?';
	why_set(why, "%s (%d)", text, status);
}

int fetch(pid_t pid, const char *target, unsigned wait_sec, struct why *why)
{
	int sock = open_socket(pid, why), fd, status = 0, r;
	long head;

	if (sock < 0)
		return sock;
	fd = memfd_create("cprof", MFD_CLOEXEC);
	r = fd < 0 ? -errno : ask(sock, target);
	if (r == 0)
		r = take(sock, fd, now_ms() + wait_sec * INT64_C(1000));
	close(sock);
	head = r == 0 ? read_head(fd, &status) : r;
	if (head < 0) {
		r = (int)head;
		why_set(why, "what process %d answers to %s: %s", (int)pid, target, strerror(-r));
	} else if (status != 200) {
		quote(fd, head, status, why);
		r = -EPROTO;
	} else {
		r = cut(fd, head);
	}
	if (fd >= 0)
		close(fd);
	return r;
}
