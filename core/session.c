#include "core/session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdalign.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "core/arch.h"
#include "core/clock.h"

/* System calls by themselves: a thread that is cancelled must not end in the middle, and they are none of the host's. */

#define COPY_BYTES (UINT32_C(256) << 10)
#define RETRY_MS   5

static int open_socket(const char *socket_path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int sock, r;

	if (strlen(socket_path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, socket_path);
	sock = (int)sys3(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0)
		return sock;
	r = (int)sys3(SYS_connect, sock, &address, sizeof(address));
	if (r == 0)
		return sock;
	sys1(SYS_close, sock);
	return r;
}

/* One message, whole or not at all, and @fd with it unless that is negative. */
static int send_message(const char *socket_path, struct iovec *parts, size_t parts_n, int fd)
{
	alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = parts_n};
	struct cmsghdr *header;
	size_t bytes = 0;
	long r;
	int sock;

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

	sock = open_socket(socket_path);
	if (sock < 0)
		return sock;
	r = sys3(SYS_sendmsg, sock, &message, MSG_NOSIGNAL);
	sys1(SYS_close, sock);
	return r == (long)bytes ? 0 : r < 0 ? (int)r : -EIO;
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

static uint64_t after_ms(unsigned ms)
{
	return clock_monotonic() + ms * UINT64_C(1000000);
}

/* Handlers that come in between do not make it longer. */
static int wait_for(int fd, short events, uint64_t until_ns)
{
	uint64_t now = clock_monotonic();
	struct timespec left = clock_to_timespec(until_ns > now ? until_ns - now : 0);
	struct pollfd file = {fd, events, 0};
	long n = sys5(SYS_ppoll, &file, 1, &left, NULL, 8);

	if (n == 0 && now >= until_ns)
		return -ETIMEDOUT;
	return n < 0 && n != -EINTR ? (int)n : 0;
}

/* The launcher's queue may be full for a moment. */
static int reach(const char *socket_path, uint64_t until_ns)
{
	static const struct timespec retry = {0, RETRY_MS * 1000000};
	int sock;

	while ((sock = open_socket(socket_path)) == -EAGAIN && clock_monotonic() < until_ns)
		sys2(SYS_nanosleep, &retry, NULL);
	return sock;
}

/* The answer, which is one message. */
static int receive_answer(int sock, uint64_t until_ns, struct session_answer *ret, int *ret_fd)
{
	struct iovec part = {ret, sizeof(*ret)};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *header;
	struct stat st;
	long n;

	while ((n = sys3(SYS_recvmsg, sock, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT)) < 0) {
		int r = n == -EAGAIN ? wait_for(sock, POLLIN, until_ns) : n == -EINTR ? 0 : (int)n;

		if (r < 0)
			return r;
	}
	if (n == 0)
		return -ECONNRESET; /* it has ended meanwhile */
	header = CMSG_FIRSTHDR(&message);
	if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(header), sizeof(*ret_fd));
	if (n != (long)sizeof(*ret) || ret->magic != SESSION_ANSWER_MAGIC)
		return -EPROTO;
	/* what else there is may have no end */
	if (*ret_fd >= 0 && (sys2(SYS_fstat, *ret_fd, &st) < 0 || !S_ISREG(st.st_mode)))
		return -EPROTO;
	return 0;
}

static int ask_at(const char *socket_path, int pid, enum session_what what, const char *text,
		  uint64_t until_ns, struct why *why)
{
	struct session_ask ask = {SESSION_ASK_MAGIC, pid, what};
	struct iovec parts[2] = {{&ask, sizeof(ask)},
				 {(void *)(uintptr_t)text, text != NULL ? strlen(text) : 0}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	int sock, r;

	if (parts[1].iov_len > SESSION_ASK_TEXT_MAX) {
		why_set(why, "no more than %d bytes can be asked for", SESSION_ASK_TEXT_MAX);
		return -EINVAL;
	}
	sock = reach(socket_path, until_ns);
	r = sock < 0 ? sock : (int)sys3(SYS_sendmsg, sock, &message, MSG_NOSIGNAL);
	if (r >= 0)
		return sock;
	if (sock >= 0)
		sys1(SYS_close, sock);
	why_set(why, "no answer from the `cprof run` at %s: %s", socket_path, strerrordesc_np(-r));
	return r;
}

int session_ask_begin(const char *socket_path, int pid, enum session_what what, const char *text,
		      struct why *why)
{
	return ask_at(socket_path, pid, what, text, 0, why);
}

int session_ask_end(int sock, enum session_what what, unsigned wait_ms, int *ret_fd,
		    struct why *why)
{
	bool wants_file = what == SESSION_TRACE || what == SESSION_STATUS;
	struct session_answer answer;
	int fd = -1, r = receive_answer(sock, after_ms(wait_ms), &answer, &fd);

	if (r == -ETIMEDOUT && wait_ms == 0)
		return -EINPROGRESS;
	if (r == 0 && answer.error == 0 && wants_file && fd < 0)
		r = -EPROTO;
	sys1(SYS_close, sock);
	if (r < 0) {
		why_set(why, "no answer from the `cprof run`: %s", strerrordesc_np(-r));
	} else if (answer.error != 0 || !wants_file) {
		why_set(why, "%.*s", (int)sizeof(answer.text) - 1, answer.text);
		r = answer.error <= 0 ? answer.error : -EPROTO;
	}
	if (r == 0)
		*ret_fd = fd;
	else if (fd >= 0)
		sys1(SYS_close, fd);
	return r;
}

int session_ask(const char *socket_path, int pid, enum session_what what, const char *text,
		unsigned wait_ms, int *ret_fd, struct why *why)
{
	int sock = ask_at(socket_path, pid, what, text, after_ms(wait_ms), why);

	return sock < 0 ? sock : session_ask_end(sock, what, wait_ms, ret_fd, why);
}

static int write_all(int to, const char *bytes, long n, unsigned wait_ms)
{
	uint64_t until = after_ms(wait_ms);

	while (n > 0) {
		long done = sys3(SYS_write, to, bytes, n);
		int r = done == -EAGAIN  ? wait_for(to, POLLOUT, until)
			: done == -EINTR ? 0
			: done == 0      ? -EIO
			: done < 0       ? (int)done
					 : 0;

		if (r < 0)
			return r;
		if (done > 0) {
			bytes += done;
			n -= done;
			until = after_ms(wait_ms);
		}
	}
	return 0;
}

static int copy(int from, int to, unsigned wait_ms)
{
	char *buffer =
		mmap(NULL, COPY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long at = 0, n;
	int r = 0;

	if (buffer == MAP_FAILED)
		return -ENOMEM;
	while (r == 0 && (n = sys4(SYS_pread64, from, buffer, COPY_BYTES, at)) != 0) {
		if (n < 0) {
			r = n == -EINTR ? 0 : (int)n;
			continue;
		}
		r = write_all(to, buffer, n, wait_ms);
		at += n;
	}
	munmap(buffer, COPY_BYTES);
	return r;
}

#define BIT(sig) (1ul << ((sig)-1))

int session_copy(int from, int to, unsigned wait_ms)
{
	static const struct timespec no_time = {0, 0};
	unsigned long pending = 0, before, both = BIT(SIGPIPE) | BIT(SIGXFSZ);
	int r;

	/* they come to the thread that writes, and are taken away again; one that waits already is not ours */
	sys4(SYS_rt_sigprocmask, SIG_BLOCK, &both, &before, sizeof(before));
	sys2(SYS_rt_sigpending, &pending, sizeof(pending));
	r = copy(from, to, wait_ms);
	both &= ~pending;
	if (r == -EPIPE || r == -EFBIG)
		sys4(SYS_rt_sigtimedwait, &both, NULL, &no_time, sizeof(both));
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
	return r;
}
