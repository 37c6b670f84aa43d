#include "cli/fetch.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/reply.h"
#include "cli/serving.h"

#define MOVES_MAX 10 /* as Go's client */

static int say(struct wire *w, const char *text, size_t n, struct why *why)
{
	ssize_t sent;

	while (n > 0) {
		sent = w->tls != NULL ? tls_send(w->tls, text, n)
				      : send(w->sock, text, n, MSG_NOSIGNAL);
		if (sent < 0 && w->tls == NULL)
			sent = -errno;
		if (sent == -EINTR)
			continue;
		if (sent == -EAGAIN || sent == -ETIMEDOUT)
			return wire_late(w, why);
		if (sent < 0) {
			why_set(why, "the question was not taken: %s", strerror((int)-sent));
			return -EIO;
		}
		text += sent;
		n -= (size_t)sent;
	}
	return 0;
}

/* Asks, and takes the reply. Its body, or a negative errno; -EREMCHG: it is elsewhere, as *reply has it. */
static int exchange(struct wire *w, const char *question, size_t size, int64_t bytes_max,
		    struct reply *reply, struct why *why)
{
	int fd = memfd_create("cprof", MFD_CLOEXEC), r;

	if (fd < 0) {
		r = -errno;
		why_set(why, "cannot keep an answer: %s", strerror(-r));
		return r;
	}
	r = say(w, question, size, why);
	if (r == 0)
		r = reply_take(w, fd, bytes_max, reply, why);
	if (r == 0 && lseek(fd, 0, SEEK_SET) == 0)
		return fd;
	close(fd);
	return r < 0 ? r : -EIO;
}

/* What is sent and asked for by connect() takes no longer either. */
static int open_socket(struct wire *w, const struct addrinfo *to)
{
	int64_t left = wire_left_ms(w);
	struct timeval most;
	int sock, r;

	if (left <= 0)
		return -ETIMEDOUT;
	most = (struct timeval){left / 1000, left % 1000 * 1000};
	sock = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, to->ai_protocol);
	if (sock < 0)
		return -errno;
	setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most));
	if (connect(sock, to->ai_addr, to->ai_addrlen) == 0)
		return sock;
	r = errno == EAGAIN || errno == EINPROGRESS ? -ETIMEDOUT : -errno;
	close(sock);
	return r;
}

static struct wire *begin(const struct fetch_limits *limits, struct why *why)
{
	struct wire *w = malloc(sizeof(*w));

	if (w == NULL) {
		why_set(why, "out of memory");
		return NULL;
	}
	wire_init(w, limits->wait_sec);
	return w;
}

#define REQUEST                                                           \
	"GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: cprof/" CPROF_VERSION \
	"\r\n%sConnection: close\r\n\r\n"

int fetch_socket(const char *path, const char *target, const struct fetch_limits *limits,
		 struct why *why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const struct addrinfo to = {.ai_family = AF_UNIX,
				    .ai_addr = (struct sockaddr *)&address,
				    .ai_addrlen = sizeof(address)};
	char question[URL_MAX + 256];
	struct reply reply;
	struct wire *w;
	int n, r;

	if (strlen(path) >= sizeof(address.sun_path)) {
		why_set(why, "the name of a socket has no more than %zu bytes",
			sizeof(address.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	strcpy(address.sun_path, path);
	n = snprintf(question, sizeof(question), REQUEST, target, "cprof", "");
	if (n >= (int)sizeof(question)) {
		why_set(why, "what is asked for is too long");
		return -ENAMETOOLONG;
	}
	w = begin(limits, why);
	if (w == NULL)
		return -ENOMEM;
	r = w->sock = open_socket(w, &to);
	if (r == -ETIMEDOUT) {
		wire_late(w, why);
	} else if (r < 0) {
		why_set(why, "nobody answers there: %s", strerror(-r));
	} else {
		r = exchange(w, question, (size_t)n, limits->bytes_max, &reply, why);
		if (r == -EREMCHG) {
			why_set(why, "the answer is to ask elsewhere (%d)", reply.status);
			r = -EPROTO;
		}
		close(w->sock);
	}
	free(w);
	return r;
}

int fetch_process(pid_t pid, const char *target, const struct fetch_limits *limits, struct why *why)
{
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	int r = serving_path(pid, false, path, sizeof(path), why);

	if (r == 0)
		r = fetch_socket(path, target, limits, why);
	if ((r == -ENOENT || r == -ECONNREFUSED) && kill(pid, 0) < 0 && errno == ESRCH)
		why_set(why, "there is no process %d", (int)pid);
	else if (r == -ENOENT || r == -ECONNREFUSED)
		why_set(why,
			"nobody answers for process %d: it does not run under `cprof run`, or that "
			"has ended, or is another user's",
			(int)pid);
	return r;
}

/* The header that a login makes: "Authorization: Basic …", or nothing. */
static void write_login(const char *login, char *ret, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char text[400];
	size_t n = strlen(login), to = 0;

	ret[0] = '\0';
	if (n == 0)
		return;
	for (size_t i = 0; i < n; i += 3) {
		unsigned three = (unsigned)(unsigned char)login[i] << 16;

		if (i + 1 < n)
			three |= (unsigned)(unsigned char)login[i + 1] << 8;
		if (i + 2 < n)
			three |= (unsigned char)login[i + 2];
		text[to++] = digits[three >> 18];
		text[to++] = digits[three >> 12 & 63];
		text[to++] = i + 1 < n ? digits[three >> 6 & 63] : '=';
		text[to++] = i + 2 < n ? digits[three & 63] : '=';
	}
	snprintf(ret, size, "Authorization: Basic %.*s\r\n", (int)to, text);
}

static int connect_to(struct wire *w, const struct url *url, struct why *why)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				       .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV};
	struct addrinfo *all, *one;
	int r = getaddrinfo(url->host, url->port, &hints, &all);

	if (r != 0) {
		why_set(why, "there is no host %.100s: %s", url->host, gai_strerror(r));
		return -EHOSTUNREACH;
	}
	r = -EHOSTUNREACH;
	for (one = all; one != NULL && r < 0 && r != -ETIMEDOUT; one = one->ai_next)
		r = open_socket(w, one);
	freeaddrinfo(all);
	if (r == -ETIMEDOUT)
		return wire_late(w, why);
	if (r < 0)
		why_set(why, "nobody answers at %.100s:%s: %s", url->host, url->port, strerror(-r));
	return r;
}

static int begin_tls(struct wire *w, const struct url *url, const struct tls_files *files,
		     struct why *why)
{
	static const struct tls_files none = {NULL, NULL, NULL};
	int r;

	if (!url->is_tls)
		return 0;
	r = tls_begin(&w->tls, w->sock, wire_receive, w, url->host, url->is_unchecked,
		      files != NULL ? files : &none, why);
	return r == -ETIMEDOUT ? wire_late(w, why) : r;
}

/* Once, at one address. */
static int ask_url(struct wire *w, const struct url *url, const struct fetch_limits *limits,
		   struct reply *reply, struct why *why)
{
	char host[300], login[512], question[URL_MAX + 1024];
	bool is_six = strchr(url->host, ':') != NULL;
	int n, r;

	snprintf(host, sizeof(host), "%s%s%s:%s", is_six ? "[" : "", url->host, is_six ? "]" : "",
		 url->port);
	write_login(url->login, login, sizeof(login));
	n = snprintf(question, sizeof(question), REQUEST, url->target, host, login);
	w->at = w->n = 0;
	r = w->sock = connect_to(w, url, why);
	if (r < 0)
		return r;
	r = begin_tls(w, url, limits->tls, why);
	if (r == 0)
		r = exchange(w, question, (size_t)n, limits->bytes_max, reply, why);
	tls_end(w->tls);
	w->tls = NULL;
	close(w->sock);
	return r;
}

int fetch_url(const struct url *url, const struct fetch_limits *limits, struct why *why)
{
	struct wire *w = begin(limits, why);
	struct url at = *url;
	struct reply reply;
	int r = -EREMCHG;

	if (w == NULL)
		return -ENOMEM;
	for (int moves = 0; r == -EREMCHG; moves++) {
		if (moves == MOVES_MAX) {
			why_set(why, "it refers to other places without end");
			r = -ELOOP;
			break;
		}
		r = ask_url(w, &at, limits, &reply, why);
		if (r == -EREMCHG && url_follow(&at, reply.location, why) < 0)
			r = -EPROTO;
	}
	free(w);
	return r;
}

bool fetch_is_name(const char *name)
{
	return name[0] != '\0' && strlen(name) < 64 &&
	       name[strspn(name,
			   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")] ==
		       '\0';
}

void fetch_target(const char *name, int seconds, char *ret, size_t size)
{
	bool is_cpu = strcmp(name, "cpu") == 0, is_timed = is_cpu || strcmp(name, "wall") == 0;
	char window[32] = "";

	if (seconds == 0 && is_timed)
		seconds = 30;
	if (seconds > 0)
		snprintf(window, sizeof(window), "?seconds=%d", seconds);
	snprintf(ret, size, "/debug/pprof/%s%s", is_cpu ? "profile" : name, window);
}
