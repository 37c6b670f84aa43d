#include "cli/url.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "http/query.h"

#define CPU_TARGET "/debug/pprof/profile"

static const struct scheme {
	const char *text;
	bool is_tls, is_unchecked;
	const char *port;
} schemes[] = {
	{"http://", false, false, "80"},
	{"https://", true, false, "443"},
	{"https+insecure://", true, true, "443"},
};

#define SCHEMES (sizeof(schemes) / sizeof(schemes[0]))

static const struct scheme *find_scheme(const char *text)
{
	for (size_t i = 0; i < SCHEMES; i++)
		if (strncasecmp(text, schemes[i].text, strlen(schemes[i].text)) == 0)
			return &schemes[i];
	return NULL;
}

/* The length of what stands before ":PORT" at the beginning of @text; 0: there is no such thing. */
static size_t host_size(const char *text)
{
	size_t n = text[0] == '['
			   ? strspn(text + 1, "0123456789abcdefABCDEF:.%") + 1
			   : strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					  "0123456789-._"),
	       digits;

	if (text[0] == '[')
		n = text[n] == ']' ? n + 1 : 0;
	if (n == 0 || text[n] != ':')
		return 0;
	digits = strspn(text + n + 1, "0123456789");
	if (digits == 0 || digits > 5 || strchr("/?", text[n + 1 + digits]) == NULL)
		return 0;
	return n;
}

bool url_is(const char *text)
{
	return strstr(text, "://") != NULL || host_size(text) > 0;
}

/* "host", "host:port", "[::1]:port", of @n bytes. */
static int parse_host(const char *text, size_t n, const char *port, struct url *ret)
{
	const char *colon = memrchr(text, ':', n), *closing = memrchr(text, ']', n);
	size_t host_n;

	if (colon != NULL && closing != NULL && colon < closing)
		colon = NULL;
	host_n = colon != NULL ? (size_t)(colon - text) : n;
	snprintf(ret->port, sizeof(ret->port), "%s", port);
	if (colon != NULL && host_n + 1 < n) {
		size_t port_n = n - host_n - 1;

		if (port_n > 5 || strspn(colon + 1, "0123456789") < port_n)
			return -EINVAL;
		snprintf(ret->port, sizeof(ret->port), "%.*s", (int)port_n, colon + 1);
	}
	if (text[0] == '[') {
		if (closing != text + host_n - 1)
			return -EINVAL;
		text++;
		host_n -= 2;
	} else if (memchr(text, ':', host_n) != NULL) {
		return -EINVAL;
	}
	if (host_n == 0 || host_n >= sizeof(ret->host))
		return -EINVAL;
	snprintf(ret->host, sizeof(ret->host), "%.*s", (int)host_n, text);
	return 0;
}

/* It becomes a line of a request: what would end that is none of a URL's characters. */
static bool is_printable(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text <= ' ' || *text == 0x7f)
			return false;
	return true;
}

static int refuse(const char *what, struct why *why)
{
	why_set(why, "%s; http://HOST:PORT/debug/pprof/heap is the form of an address", what);
	return -EINVAL;
}

int url_parse(const char *text, struct url *ret, struct why *why)
{
	const struct scheme *scheme = find_scheme(text);
	const char *at, *end, *sign;
	size_t n;

	memset(ret, 0, sizeof(*ret));
	if (scheme == NULL && strstr(text, "://") != NULL)
		return refuse("only http:// and https:// are known", why);
	if (!is_printable(text))
		return refuse("there is a blank or a control character in it", why);
	at = text + (scheme != NULL ? strlen(scheme->text) : 0);
	if (scheme == NULL)
		scheme = &schemes[0];
	ret->is_tls = scheme->is_tls;
	ret->is_unchecked = scheme->is_unchecked;
	end = at + strcspn(at, "/?#");
	sign = memrchr(at, '@', (size_t)(end - at));
	if (sign != NULL) {
		char login[256];

		snprintf(login, sizeof(login), "%.*s", (int)(sign - at), at);
		if ((size_t)(sign - at) >= sizeof(login) ||
		    query_path(login, ret->login, sizeof(ret->login)) < 0)
			return refuse("its name and password cannot be read", why);
		at = sign + 1;
	}
	if (parse_host(at, (size_t)(end - at), scheme->port, ret) < 0)
		return refuse("its host and port cannot be read", why);
	n = strcspn(end, "#");
	if (n == 0 || (n == 1 && *end == '/'))
		snprintf(ret->target, sizeof(ret->target), CPU_TARGET);
	else if (n + 1 < sizeof(ret->target))
		snprintf(ret->target, sizeof(ret->target), "%s%.*s", *end == '/' ? "" : "/", (int)n,
			 end);
	else
		return refuse("it is too long", why);
	return 0;
}

int url_follow(struct url *url, const char *location, struct why *why)
{
	struct url to;
	int r;

	if (!is_printable(location))
		return refuse("it refers to what is no address", why);
	if (strstr(location, "://") != NULL) {
		r = url_parse(location, &to, why);
		if (r < 0)
			return r;
		if (to.login[0] == '\0' && strcmp(to.host, url->host) == 0 &&
		    strcmp(to.port, url->port) == 0 && to.is_tls == url->is_tls)
			memcpy(to.login, url->login, sizeof(to.login));
		*url = to;
		return 0;
	}
	if (location[0] != '/' || location[1] == '/' || strlen(location) >= sizeof(url->target))
		return refuse("it refers to what cannot be followed", why);
	snprintf(url->target, sizeof(url->target), "%.*s", (int)strcspn(location, "#"), location);
	return 0;
}

void url_show(const struct url *url, char *ret, size_t size)
{
	bool is_six = strchr(url->host, ':') != NULL;

	snprintf(ret, size, "%s://%s%s%s:%s%s", url->is_tls ? "https" : "http", is_six ? "[" : "",
		 url->host, is_six ? "]" : "", url->port, url->target);
}

int url_seconds(const char *target)
{
	const char *query = strchr(target, '?');
	char text[32];
	int64_t n;

	if (query == NULL || !query_get(query + 1, "seconds", text, sizeof(text)) ||
	    query_int(text, &n) < 0 || n <= 0 || n > INT_MAX)
		return 0;
	return (int)n;
}

int url_set_seconds(char *target, int seconds)
{
	char *query = strchr(target, '?');
	size_t n;

	for (char *at = query; at != NULL && *at != '\0';) { /* each stands behind "?" or "&" */
		n = 1 + strcspn(at + 1, "&");
		if (strncmp(at + 1, "seconds", 7) == 0 && strchr("=&", at[8]) != NULL)
			memmove(at, at + n, strlen(at + n) + 1);
		else
			at += n;
	}
	if (query != NULL && *query == '&')
		*query = '?';
	if (query != NULL && *query == '\0')
		query = NULL;
	n = strlen(target);
	if (snprintf(target + n, URL_MAX - n, "%cseconds=%d", query != NULL ? '&' : '?', seconds) >=
	    (int)(URL_MAX - n)) {
		target[n] = '\0';
		return -EINVAL;
	}
	return 0;
}
