#include "cli/fetch.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cli/serving.h"

#define HEAD_MAX      (16 << 10) /* bytes of a reply's header */
#define LINE_MAX_SIZE 4096
#define MOVES_MAX     10 /* as Go's client */

/* One connection. */
struct wire {
	int sock;
	struct tls *tls; /* NULL: the socket itself */
	int64_t until_ms;
	unsigned wait_sec;
	size_t at, n;
	char bytes[32768];
};

/* What the header of a reply says. */
struct head {
	int status;
	char reason[64];
	int64_t length; /* -1: it ends with the connection */
	bool is_chunked, is_text;
	char location[URL_MAX];
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000) + ts.tv_nsec / 1000000;
}

static int say_late(const struct wire *w, struct why *why)
{
	why_set(why, "there was no whole answer within %u s", w->wait_sec);
	return -ETIMEDOUT;
}

static int say_broken(const char *what, struct why *why)
{
	why_set(why, "the answer is not HTTP as it should be: %s", what);
	return -EBADMSG;
}

/* Bytes of the socket, as tls_pull has it. */
static ssize_t receive(void *wire, void *to, size_t size)
{
	const struct wire *w = wire;
	struct pollfd file = {w->sock, POLLIN, 0};
	int64_t left = w->until_ms - now_ms();
	ssize_t n;

	do {
		if (left <= 0 || poll(&file, 1, left < INT32_MAX ? (int)left : INT32_MAX) == 0)
			return -ETIMEDOUT;
		n = recv(w->sock, to, size, MSG_DONTWAIT);
		left = w->until_ms - now_ms();
	} while (n < 0 && (errno == EAGAIN || errno == EINTR));
	return n < 0 ? -errno : n;
}

/* More of the reply. How much, 0 at its end, or a negative errno. */
static int fill(struct wire *w, struct why *why)
{
	ssize_t n = w->tls != NULL ? tls_receive(w->tls, w->bytes, sizeof(w->bytes))
				   : receive(w, w->bytes, sizeof(w->bytes));

	w->at = 0;
	w->n = n > 0 ? (size_t)n : 0;
	if (n == -ETIMEDOUT)
		return say_late(w, why);
	if (n < 0)
		why_set(why, "the connection broke: %s", strerror((int)-n));
	return (int)n;
}

/* One line without its end; of what has no room in @ret, the beginning. @left: of all that may come, less what came. */
static int read_line(struct wire *w, char *ret, size_t size, size_t *left, struct why *why)
{
	size_t n = 0;
	int r;
	char c;

	for (;;) {
		if (w->at == w->n) {
			r = fill(w, why);
			if (r < 0)
				return r;
			if (r == 0)
				return say_broken("it ends before its header does", why);
		}
		c = w->bytes[w->at++];
		if (--*left == 0)
			return say_broken("its header has no end", why);
		if (c == '\n')
			break;
		if (n + 1 < size)
			ret[n++] = c;
	}
	if (n > 0 && ret[n - 1] == '\r')
		n--;
	ret[n] = '\0';
	return 0;
}

/* What stands behind "@name:" in @line, or NULL. */
static const char *value_of(const char *line, const char *name)
{
	size_t n = strlen(name);

	if (strncasecmp(line, name, n) != 0 || line[n] != ':')
		return NULL;
	return line + n + 1 + strspn(line + n + 1, " \t");
}

static int read_field(const char *line, struct head *head, struct why *why)
{
	const char *value;
	char *end;

	if ((value = value_of(line, "Content-Length")) != NULL) {
		errno = 0;
		head->length = strtoll(value, &end, 10);
		if (errno != 0 || end == value || *end != '\0' || head->length < 0)
			return say_broken("its Content-Length is no number", why);
	} else if ((value = value_of(line, "Transfer-Encoding")) != NULL) {
		head->is_chunked = strcasecmp(value, "chunked") == 0;
		if (!head->is_chunked && strcasecmp(value, "identity") != 0)
			return say_broken("it comes in an encoding that nobody asked for", why);
	} else if ((value = value_of(line, "Content-Type")) != NULL) {
		head->is_text = strncasecmp(value, "text/plain", 10) == 0;
	} else if ((value = value_of(line, "Location")) != NULL) {
		snprintf(head->location, sizeof(head->location), "%s", value);
	}
	return 0;
}

static int read_head(struct wire *w, struct head *head, struct why *why)
{
	char line[LINE_MAX_SIZE];
	size_t left = HEAD_MAX;
	int r, reason;

	do { /* 100 Continue and its like come before the reply */
		memset(head, 0, sizeof(*head));
		head->length = -1;
		r = read_line(w, line, sizeof(line), &left, why);
		if (r < 0)
			return r;
		reason = 0;
		if (sscanf(line, "HTTP/1.%*1[01] %3d%n", &head->status, &reason) != 1 ||
		    head->status < 100)
			return say_broken("it does not begin with HTTP/1.1 and a status", why);
		snprintf(head->reason, sizeof(head->reason), "%s",
			 line + reason + (line[reason] == ' '));
		while ((r = read_line(w, line, sizeof(line), &left, why)) == 0 && line[0] != '\0')
			if (read_field(line, head, why) < 0)
				return -EBADMSG;
	} while (r == 0 && head->status < 200);
	return r;
}

/* Where the body goes. */
struct sink {
	int fd;
	int64_t bytes, bytes_max;
};

static int say_large(const struct sink *s, struct why *why)
{
	why_set(why, "the answer is larger than %" PRId64 " MiB, more than it should be",
		s->bytes_max >> 20);
	return -EFBIG;
}

static int put(struct sink *s, const char *bytes, size_t n, struct why *why)
{
	s->bytes += (int64_t)n;
	if (s->bytes > s->bytes_max)
		return say_large(s, why);
	if (write(s->fd, bytes, n) != (ssize_t)n) {
		why_set(why, "there is no memory to keep the answer in");
		return -ENOSPC;
	}
	return 0;
}

/* @n bytes, or with -1 all that comes. */
static int copy(struct wire *w, struct sink *s, int64_t n, struct why *why)
{
	int64_t whole = n;
	size_t part;
	int r;

	while (n != 0) {
		if (w->at == w->n) {
			r = fill(w, why);
			if (r < 0)
				return r;
			if (r == 0 && n < 0)
				return 0;
			if (r == 0) {
				why_set(why,
					"the answer is cut off: %" PRId64 " of %" PRId64
					" bytes are missing",
					n, whole);
				return -EBADMSG;
			}
		}
		part = w->n - w->at;
		if (n > 0 && (int64_t)part > n)
			part = (size_t)n;
		r = put(s, w->bytes + w->at, part, why);
		if (r < 0)
			return r;
		w->at += part;
		if (n > 0)
			n -= (int64_t)part;
	}
	return 0;
}

static int copy_chunks(struct wire *w, struct sink *s, struct why *why)
{
	char line[64], *end;
	unsigned long long n;
	size_t left;
	int r;

	do {
		left = HEAD_MAX;
		r = read_line(w, line, sizeof(line), &left, why);
		if (r < 0)
			break;
		errno = 0;
		n = strtoull(line, &end, 16);
		if (errno != 0 || strspn(line, "0123456789abcdefABCDEF") == 0 || n > INT64_MAX ||
		    strchr(" \t;", *end) == NULL)
			return say_broken("a chunk has no size", why);
		r = copy(w, s, (int64_t)n, why);
		if (r == 0 && n > 0) {
			left = 3;
			r = read_line(w, line, sizeof(line), &left, why);
		}
	} while (r == 0 && n > 0);
	if (r == -EBADMSG)
		why_set(why, "the answer is cut off after %" PRId64 " bytes", s->bytes);
	return r;
}

static int copy_body(struct wire *w, struct sink *s, const struct head *head, struct why *why)
{
	if (head->is_chunked)
		return copy_chunks(w, s, why);
	if (head->length > s->bytes_max) /* before any of it */
		return say_large(s, why);
	return copy(w, s, head->length, why);
}

/* What an error says of itself, as far as it is text for people: one line. */
static int quote(struct wire *w, const struct head *head, struct why *why)
{
	char text[200] = "";
	size_t left = HEAD_MAX;
	struct why unsaid;

	if (head->is_text && !head->is_chunked)
		read_line(w, text, sizeof(text), &left, &unsaid);
	if (head->is_text && head->is_chunked &&
	    read_line(w, text, sizeof(text), &left, &unsaid) == 0)
		read_line(w, text, sizeof(text), &left, &unsaid);
	if (text[0] == '\0')
		snprintf(text, sizeof(text), "%s",
			 head->reason[0] != '\0' ? head->reason : "an error");
	for (char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c >= 0x7f)
			*c = '?';
	why_set(why, "%s (%d)", text, head->status);
	return -EPROTO;
}

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
			return say_late(w, why);
		if (sent < 0) {
			why_set(why, "the question was not taken: %s", strerror((int)-sent));
			return -EIO;
		}
		text += sent;
		n -= (size_t)sent;
	}
	return 0;
}

/* Asks, and takes the reply. Its body, or a negative errno; -EREMCHG: it is elsewhere, as *head has it. */
static int exchange(struct wire *w, const char *question, size_t size, int64_t bytes_max,
		    struct head *head, struct why *why)
{
	struct sink sink = {memfd_create("cprof", MFD_CLOEXEC), 0, bytes_max};
	int r;

	if (sink.fd < 0) {
		why_set(why, "cannot keep an answer: %s", strerror(errno));
		return -errno;
	}
	r = say(w, question, size, why);
	if (r == 0)
		r = read_head(w, head, why);
	if (r == 0 && head->status / 100 == 3 && head->location[0] != '\0')
		r = -EREMCHG;
	else if (r == 0 && head->status != 200)
		r = quote(w, head, why);
	else if (r == 0)
		r = copy_body(w, &sink, head, why);
	if (r == 0 && lseek(sink.fd, 0, SEEK_SET) == 0)
		return sink.fd;
	close(sink.fd);
	return r < 0 ? r : -EIO;
}

/* What is sent and asked for by connect() takes no longer either. */
static int open_socket(struct wire *w, const struct addrinfo *to)
{
	int64_t left = w->until_ms - now_ms();
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
	w->until_ms = now_ms() + limits->wait_sec * INT64_C(1000);
	w->wait_sec = limits->wait_sec;
	w->tls = NULL;
	w->at = w->n = 0;
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
	struct head head;
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
		say_late(w, why);
	} else if (r < 0) {
		why_set(why, "nobody answers there: %s", strerror(-r));
	} else {
		r = exchange(w, question, (size_t)n, limits->bytes_max, &head, why);
		if (r == -EREMCHG) {
			why_set(why, "the answer is to ask elsewhere (%d)", head.status);
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
		return say_late(w, why);
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
	r = tls_begin(&w->tls, w->sock, receive, w, url->host, url->is_unchecked,
		      files != NULL ? files : &none, why);
	return r == -ETIMEDOUT ? say_late(w, why) : r;
}

/* Once, at one address. */
static int ask_url(struct wire *w, const struct url *url, const struct fetch_limits *limits,
		   struct head *head, struct why *why)
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
		r = exchange(w, question, (size_t)n, limits->bytes_max, head, why);
	tls_end(w->tls);
	w->tls = NULL;
	close(w->sock);
	return r;
}

int fetch_url(const struct url *url, const struct fetch_limits *limits, struct why *why)
{
	struct wire *w = begin(limits, why);
	struct url at = *url;
	struct head head;
	int r = -EREMCHG;

	if (w == NULL)
		return -ENOMEM;
	for (int moves = 0; r == -EREMCHG; moves++) {
		if (moves == MOVES_MAX) {
			why_set(why, "it refers to other places without end");
			r = -ELOOP;
			break;
		}
		r = ask_url(w, &at, limits, &head, why);
		if (r == -EREMCHG && url_follow(&at, head.location, why) < 0)
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
