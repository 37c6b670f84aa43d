#include "cli/reply.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cli/tls.h"

#define HEAD_MAX      (16 << 10) /* bytes of a reply's header */
#define LINE_MAX_SIZE 4096

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000) + ts.tv_nsec / 1000000;
}

void wire_init(struct wire *w, unsigned wait_sec)
{
	w->sock = -1;
	w->tls = NULL;
	w->until_ms = now_ms() + wait_sec * INT64_C(1000);
	w->wait_sec = wait_sec;
	w->at = w->n = 0;
}

int64_t wire_left_ms(const struct wire *w)
{
	return w->until_ms - now_ms();
}

int wire_late(const struct wire *w, struct why *why)
{
	why_set(why, "there was no whole answer within %u s", w->wait_sec);
	return -ETIMEDOUT;
}

static int say_broken(const char *what, struct why *why)
{
	why_set(why, "the answer is not HTTP as it should be: %s", what);
	return -EBADMSG;
}

ssize_t wire_receive(void *wire, void *to, size_t size)
{
	const struct wire *w = wire;
	struct pollfd file = {w->sock, POLLIN, 0};
	int64_t left = wire_left_ms(w);
	ssize_t n;

	do {
		if (left <= 0 || poll(&file, 1, left < INT32_MAX ? (int)left : INT32_MAX) == 0)
			return -ETIMEDOUT;
		n = recv(w->sock, to, size, MSG_DONTWAIT);
		left = wire_left_ms(w);
	} while (n < 0 && (errno == EAGAIN || errno == EINTR));
	return n < 0 ? -errno : n;
}

/* More of the reply. How much, 0 at its end, or a negative errno. */
static int fill(struct wire *w, struct why *why)
{
	ssize_t n = w->tls != NULL ? tls_receive(w->tls, w->bytes, sizeof(w->bytes))
				   : wire_receive(w, w->bytes, sizeof(w->bytes));

	w->at = 0;
	w->n = n > 0 ? (size_t)n : 0;
	if (n == -ETIMEDOUT)
		return wire_late(w, why);
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

static int read_field(const char *line, struct reply *head, struct why *why)
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

static int read_head(struct wire *w, struct reply *head, struct why *why)
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

static int copy_body(struct wire *w, struct sink *s, const struct reply *head, struct why *why)
{
	if (head->is_chunked)
		return copy_chunks(w, s, why);
	if (head->length > s->bytes_max) /* before any of it */
		return say_large(s, why);
	return copy(w, s, head->length, why);
}

/* What an error says of itself, as far as it is text for people: one line. */
static int quote(struct wire *w, const struct reply *head, struct why *why)
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

int reply_take(struct wire *w, int fd, int64_t bytes_max, struct reply *ret, struct why *why)
{
	struct sink sink = {fd, 0, bytes_max};
	int r = read_head(w, ret, why);

	if (r < 0)
		return r;
	if (ret->status / 100 == 3 && ret->location[0] != '\0')
		return -EREMCHG;
	return ret->status == 200 ? copy_body(w, &sink, ret, why) : quote(w, ret, why);
}
