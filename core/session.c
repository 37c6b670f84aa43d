#include "core/session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

int session_send(const char *socket_path, int fd, uint64_t bytes)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct session_hello hello = {SESSION_MAGIC, bytes};
	struct iovec part = {&hello, sizeof(hello)};
	alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int sock, r = 0;

	if (strlen(socket_path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, socket_path);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));

	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0)
		return -errno;
	if (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    sendmsg(sock, &message, MSG_NOSIGNAL) != (ssize_t)sizeof(hello))
		r = -errno;
	close(sock);
	return r;
}

/* The kernel's word, which is never older than the program's last execve(). */
static bool is_caught(int pid, int sig)
{
	char path[40], status[8192];
	const char *line;
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, status, sizeof(status) - 1);
		close(fd);
	}
	status[n > 0 ? n : 0] = '\0';
	line = strstr(status, "\nSigCgt:");
	return line != NULL && (strtoull(line + strlen("\nSigCgt:"), NULL, 16) >> (sig - 1) & 1);
}

int session_ask_snapshot(int pid)
{
	siginfo_t info = {0};

	if (!is_caught(pid, SIGPROF))
		return -ENOTSUP;
	info.si_signo = SIGPROF;
	info.si_code = SI_QUEUE;
	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_ptr = (void *)SESSION_ASK_SNAPSHOT;
	return syscall(SYS_rt_sigqueueinfo, pid, SIGPROF, &info) < 0 ? -errno : 0;
}
