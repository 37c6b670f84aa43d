#include "http/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/query.h"

#define BACKLOG  4096 /* the kernel has a bound of its own */
#define PEM_MAX  (1 << 20)
#define FILE_MAX 4096

/* A LISTEN, taken apart. */
struct parts {
	bool is_unix, is_open; /* is_open: from other machines */
	const char *path;
	char address[64]; /* as in a URL */
	union {
		struct sockaddr any;
		struct sockaddr_in four;
		struct sockaddr_in6 six;
		struct sockaddr_un local;
	} to;
	socklen_t size;
	char token[FILE_MAX], certificate[FILE_MAX], key[FILE_MAX]; /* names of files */
};

static int refuse(struct why *why, const char *text, const char *reason)
{
	why_set(why, "http=%.100s: %s", text, reason);
	return -EINVAL;
}

static int parse_address(const char *text, struct parts *ret, struct why *why)
{
	const char *end = text + strcspn(text, "?"), *colon = end, *query;
	char host[64], port_text[8];
	int64_t port;
	size_t n;

	while (colon > text && *colon != ':')
		colon--;
	n = (size_t)(colon - text);
	if (*colon != ':' || n >= sizeof(host) || (size_t)(end - colon) > sizeof(port_text))
		return refuse(why, text, "unix:PATH or ADDRESS:PORT is expected");
	snprintf(host, sizeof(host), "%.*s", (int)n, text);
	snprintf(port_text, sizeof(port_text), "%.*s", (int)(end - colon - 1), colon + 1);
	if (query_int(port_text, &port) < 0 || port < 0 || port > 65535)
		return refuse(why, text, "a port is 0 to 65535");
	if (strcmp(host, "localhost") == 0)
		strcpy(host, "127.0.0.1");
	snprintf(ret->address, sizeof(ret->address), "%s", host);
	if (host[0] == '[' && n > 2 && host[n - 1] == ']') {
		host[n - 1] = '\0';
		ret->to.six.sin6_family = AF_INET6;
		ret->to.six.sin6_port = htons((uint16_t)port);
		ret->size = sizeof(ret->to.six);
		if (inet_pton(AF_INET6, host + 1, &ret->to.six.sin6_addr) != 1)
			return refuse(why, text, "this is no address");
		ret->is_open = !IN6_IS_ADDR_LOOPBACK(&ret->to.six.sin6_addr);
	} else {
		ret->to.four.sin_family = AF_INET;
		ret->to.four.sin_port = htons((uint16_t)port);
		ret->size = sizeof(ret->to.four);
		if (host[0] == '\0')
			ret->to.four.sin_addr.s_addr = htonl(INADDR_ANY);
		else if (inet_pton(AF_INET, host, &ret->to.four.sin_addr) != 1)
			return refuse(why, text, "this is no address: 127.0.0.1, [::1], localhost");
		ret->is_open = ntohl(ret->to.four.sin_addr.s_addr) >> 24 != 127;
	}
	query = *end == '?' ? end + 1 : NULL;
	query_get(query, "token", ret->token, sizeof(ret->token));
	query_get(query, "cert", ret->certificate, sizeof(ret->certificate));
	query_get(query, "key", ret->key, sizeof(ret->key));
	if ((ret->certificate[0] == '\0') != (ret->key[0] == '\0'))
		return refuse(why, text, "cert= and key= belong together");
	if (ret->is_open && (ret->token[0] == '\0' || ret->certificate[0] == '\0'))
		return refuse(why, text,
			      "other machines can reach this address: it needs "
			      "?token=FILE&cert=FILE&key=FILE; or use 127.0.0.1 or unix:PATH");
	return 0;
}

static int parse(const char *text, struct parts *ret, struct why *why)
{
	memset(ret, 0, sizeof(*ret));
	if (strncmp(text, "unix:", 5) != 0)
		return parse_address(text, ret, why);
	ret->is_unix = true;
	ret->path = text + 5;
	if (ret->path[0] == '\0')
		return refuse(why, text, "a path is expected behind unix:");
	if (strlen(ret->path) >= sizeof(ret->to.local.sun_path))
		return refuse(why, text, "the path of a socket has at most 107 bytes");
	ret->to.local.sun_family = AF_UNIX;
	strcpy(ret->to.local.sun_path, ret->path);
	ret->size = sizeof(ret->to.local);
	return 0;
}

int listen_check(const char *text, struct why *why)
{
	struct parts parts;

	return parse(text, &parts, why);
}

/* A socket of ours that nobody listens at any more. */
static bool is_stale(const struct sockaddr *to, socklen_t size)
{
	struct stat st;
	int fd, r;

	if (lstat(((const struct sockaddr_un *)to)->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode) ||
	    st.st_uid != geteuid())
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	r = connect(fd, to, size) < 0 ? errno : 0;
	close(fd);
	return r == ECONNREFUSED;
}

static int bind_it(int fd, const struct sockaddr *to, socklen_t size)
{
	int on = 1;

	if (to->sa_family != AF_UNIX) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		return bind(fd, to, size) < 0 ? -errno : 0;
	}
	/* the file has this mode from its first moment on */
	if (fchmod(fd, 0600) < 0)
		return -errno;
	if (bind(fd, to, size) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	if (!is_stale(to, size) || unlink(((const struct sockaddr_un *)to)->sun_path) < 0)
		return -EADDRINUSE;
	return bind(fd, to, size) < 0 ? -errno : 0;
}

int listen_open_at(struct listen *l, const struct sockaddr *to, socklen_t size)
{
	struct sockaddr_storage bound;
	socklen_t bound_size = sizeof(bound);
	int r;

	l->fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	r = l->fd < 0 ? -errno : bind_it(l->fd, to, size);
	if (r == 0 && to->sa_family == AF_UNIX)
		strcpy(l->path, ((const struct sockaddr_un *)to)->sun_path);
	if (r == 0 && (listen(l->fd, BACKLOG) < 0 ||
		       getsockname(l->fd, (struct sockaddr *)&bound, &bound_size) < 0))
		r = -errno;
	if (r < 0)
		listen_close(l);
	else if (to->sa_family != AF_UNIX) /* both others have it in the same place */
		l->port = ntohs(((struct sockaddr_in *)&bound)->sin_port);
	return r;
}

static int read_file(const char *path, bool is_secret, char **ret, struct why *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	char *text = NULL;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0) {
		n = -errno;
		why_set(why, "http: cannot read %.200s: %s", path, strerrordesc_np((int)-n));
		if (fd >= 0)
			close(fd);
		return (int)n;
	}
	n = -EINVAL;
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > PEM_MAX)
		why_set(why, "http: %.200s is no file of 1 byte to 1 MiB", path);
	else if (is_secret && (st.st_mode & 077) != 0)
		why_set(why, "http: others may read %.200s: chmod 600", path);
	else if ((text = calloc(1, (size_t)st.st_size + 1)) == NULL)
		n = -ENOMEM;
	else if ((n = read(fd, text, (size_t)st.st_size)) < 0)
		n = -errno;
	close(fd);
	if (n < 0) {
		free(text);
		return (int)n;
	}
	*ret = text;
	return 0;
}

static int read_secrets(const struct parts *parts, struct listen *ret, struct why *why)
{
	char *text = NULL;
	size_t n;
	int r = 0;

	if (parts->token[0] != '\0') {
		r = read_file(parts->token, true, &text, why);
		if (r < 0)
			return r;
		n = strcspn(text, "\r\n");
		if (n < LISTEN_TOKEN_MIN || n > LISTEN_TOKEN_MAX) {
			why_set(why, "http: %.200s: the first line is the token, of %d to %d bytes",
				parts->token, LISTEN_TOKEN_MIN, LISTEN_TOKEN_MAX);
			r = -EINVAL;
		} else {
			memcpy(ret->token, text, n);
		}
		explicit_bzero(text, strlen(text));
		free(text);
	}
	if (r == 0 && parts->certificate[0] != '\0')
		r = read_file(parts->certificate, false, &ret->certificate, why);
	if (r == 0 && parts->key[0] != '\0')
		r = read_file(parts->key, true, &ret->key, why);
	return r;
}

int listen_open(const char *text, struct listen *ret, struct why *why)
{
	struct parts parts;
	int r = parse(text, &parts, why);

	if (r < 0)
		return r;
	*ret = (struct listen){.fd = -1};
	r = read_secrets(&parts, ret, why);
	if (r < 0) {
		listen_close(ret);
		return r;
	}
	strcpy(ret->address, parts.address);
	r = listen_open_at(ret, &parts.to.any, parts.size);
	if (r < 0)
		why_set(why, "http=%.100s: cannot listen there: %s", text, strerrordesc_np(-r));
	return r;
}

void listen_close(struct listen *l)
{
	if (l->path[0] != '\0')
		unlink(l->path);
	if (l->fd >= 0)
		close(l->fd);
	explicit_bzero(l->token, sizeof(l->token));
	if (l->key != NULL)
		explicit_bzero(l->key, strlen(l->key));
	free(l->certificate);
	free(l->key);
	*l = (struct listen){.fd = -1};
}

bool listen_is_us(const struct listen *l, const char *host)
{
	const char *names[] = {"localhost", "127.0.0.1", "[::1]", l->address};
	char port[8];

	/* no page of a browser reaches a file, or knows the token; and a machine has more names than we know */
	if (host == NULL || l->address[0] == '\0' || l->token[0] != '\0')
		return true;
	snprintf(port, sizeof(port), ":%" PRIu16, l->port);
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t n = strlen(names[i]);

		if (n > 0 && strncasecmp(host, names[i], n) == 0 &&
		    (host[n] == '\0' || strcmp(host + n, port) == 0))
			return true;
	}
	return false;
}

/* Any length: what is too much is cut. */
static size_t decode_base64(const char *text, char *ret, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t bits = 0;
	unsigned bits_n = 0;
	size_t n = 0;

	for (; *text != '\0' && *text != '='; text++) {
		const char *digit = strchr(digits, *text);

		if (digit == NULL)
			return 0;
		bits = bits << 6 | (uint32_t)(digit - digits);
		bits_n += 6;
		if (bits_n >= 8) {
			bits_n -= 8;
			if (n + 1 < size)
				ret[n++] = (char)(bits >> bits_n);
		}
	}
	ret[n] = '\0';
	return n;
}

static bool is_token(const struct listen *l, const char *text)
{
	size_t n = strlen(text);
	unsigned char differs = n != strlen(l->token);

	for (size_t i = 0; l->token[i] != '\0'; i++)
		differs |= (unsigned char)(l->token[i] ^ (n > 0 ? text[i % n] : 0));
	return differs == 0;
}

bool listen_allows(const struct listen *l, const char *authorization)
{
	char pair[LISTEN_TOKEN_MAX + 256];
	const char *password;

	if (l->token[0] == '\0')
		return true;
	if (authorization == NULL)
		return false;
	if (strncasecmp(authorization, "Bearer ", 7) == 0)
		return is_token(l, authorization + 7 + strspn(authorization + 7, " "));
	if (strncasecmp(authorization, "Basic ", 6) != 0)
		return false;
	authorization += 6 + strspn(authorization + 6, " ");
	if (decode_base64(authorization, pair, sizeof(pair)) == 0)
		return false;
	password = strchr(pair, ':');
	return password != NULL && is_token(l, password + 1);
}
