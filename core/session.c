#include "core/session.h"

#include <errno.h>
#include <stdalign.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* One message, whole or not at all, and @fd with it unless that is negative. */
static int send_message(const char *socket_path, struct iovec *parts, size_t parts_n, int fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = parts_n};
	struct cmsghdr *header;
	size_t bytes = 0;
	int sock, r = 0;

	if (strlen(socket_path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, socket_path);
	if (fd >= 0) {
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	}
	for (size_t i = 0; i < parts_n; i++)
		bytes += parts[i].iov_len;

	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0)
		return -errno;
	if (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    sendmsg(sock, &message, MSG_NOSIGNAL) != (ssize_t)bytes)
		r = -errno;
	close(sock);
	return r;
}

int session_send(const char *socket_path, int fd, uint64_t bytes)
{
	struct session_hello hello = {SESSION_MAGIC, bytes};
	struct iovec part = {&hello, sizeof(hello)};

	return send_message(socket_path, &part, 1, fd);
}

int session_tell(const char *socket_path, const char *text)
{
	struct session_hello hello = {SESSION_MAGIC, 0};
	struct iovec parts[2] = {{&hello, sizeof(hello)},
				 {(void *)(uintptr_t)text, strnlen(text, SESSION_TEXT_MAX)}};

	return send_message(socket_path, parts, 2, -1);
}
