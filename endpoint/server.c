#include "endpoint/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/clock.h"
#include "http/query.h"
#include "http/server.h"

#define REST_NS (60 * NS_PER_SECOND) /* when nobody has asked for so long */

static const struct http_rules rules = {
	.connections_max = 512,
	.header_max = 16 << 10,
	.body_max = ENDPOINT_BODY_MAX,
	.ask.ns = 10 * NS_PER_SECOND,
	.keep.ns = 60 * NS_PER_SECOND,
	.take.ns = 60 * NS_PER_SECOND,
	.inactive_sec = 30,
	.end_ns = NS_PER_SECOND,
};

struct server {
	struct http_server *http;
	struct server_watch watch;
	uint64_t rested_ns; /* since nobody asked: they rest */
};

/* ---- replies ---- */

/* @text: the body, where it has no file. */
static void send_reply(struct http_request *q, struct endpoint_reply *reply, const char *text)
{
	struct endpoint_header headers[ENDPOINT_HEADERS_MAX];
	unsigned n = endpoint_headers(reply, headers);
	struct http_reply r = {
		.status = reply->status, .fd = reply->fd, .bytes = text, .size = strlen(text)};

	for (unsigned i = 0; i < n; i++)
		http_add(&r, headers[i].name, headers[i].value);
	if (reply->status == 401)
		http_add(&r, "WWW-Authenticate", "Basic realm=\"cprof\", charset=\"UTF-8\"");
	reply->fd = -1; /* the server's now */
	http_reply(q, &r);
}

/* Without an endpoint. */
static void refuse(struct http_request *q, int status, const char *text)
{
	struct endpoint_reply reply = {
		.status = status, .fd = -1, .type = "text/plain; charset=utf-8", .is_error = true};

	send_reply(q, &reply, text);
}

/* ---- requests ---- */

static void check(struct http_request *q)
{
	bool reads = strcmp(q->method, "GET") == 0 || strcmp(q->method, "HEAD") == 0;

	if (!listen_is_us(q->listen, http_header_of(q, "Host")))
		refuse(q, 403, "not the name of this server\n");
	else if (!listen_allows(q->listen, http_header_of(q, "Authorization")))
		refuse(q, 401, "a token is needed: as Bearer, or as the password\n");
	else if (!reads && http_is_foreign(q))
		refuse(q, 403, "not from another page\n");
}

/* From where the path begins; what came may be a whole URL. */
static const char *path_of(const char *uri)
{
	const char *host;

	if (strncasecmp(uri, "http://", 7) != 0 && strncasecmp(uri, "https://", 8) != 0)
		return uri;
	host = strstr(uri, "://") + 3;
	return host + strcspn(host, "/?");
}

static bool is_form(const struct http_request *q)
{
	static const char form[] = "application/x-www-form-urlencoded";
	const char *type = http_header_of(q, "Content-Type");

	return type != NULL && strncasecmp(type, form, sizeof(form) - 1) == 0 &&
	       (type[sizeof(form) - 1] == '\0' || type[sizeof(form) - 1] == ';' ||
		type[sizeof(form) - 1] == ' ');
}

static void step(struct http_request *q, enum http_why why, uint64_t now_ns)
{
	uint64_t next_ns;
	struct endpoint_reply *reply = endpoint_step(q->state, now_ns, why == HTTP_END, &next_ns);

	if (reply != NULL)
		send_reply(q, reply, "");
	else
		http_wait(q, -1, next_ns);
}

static void begin(struct http_request *q)
{
	const char *uri = path_of(q->uri), *method = q->method;
	struct endpoint_ask ask = {.method = method,
				   .query = strchr(uri, '?'),
				   .body = q->body,
				   .body_size = q->body_size};
	char path[4096];

	if (query_path(uri, path, sizeof(path)) < 0) {
		refuse(q, 400, "400 Bad Request\n");
		return;
	}
	ask.path = path;
	if (ask.query != NULL)
		ask.query++;
	ask.is_form = (strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
		       strcmp(method, "PATCH") == 0) &&
		      is_form(q);
	if (q->door == NULL) {
		refuse(q, 503, "the process has ended\n");
		return;
	}
	q->state = endpoint_begin(q->door, &ask);
	if (q->state != NULL)
		step(q, HTTP_TIME, clock_monotonic());
}

static void end(struct http_request *q)
{
	endpoint_end(q->state);
	q->state = NULL;
}

static void rest(void *door)
{
	endpoint_rest(door);
}

static uint64_t look(void *context, uint64_t now_ns, bool has_come)
{
	struct server *s = context;
	uint64_t asked_ns = http_asked_ns(s->http), next = UINT64_MAX, other = UINT64_MAX;

	(void)has_come;
	if (asked_ns != UINT64_MAX && asked_ns != s->rested_ns) {
		if (asked_ns + REST_NS <= now_ns) {
			http_doors(s->http, rest);
			s->rested_ns = asked_ns;
		} else {
			next = asked_ns + REST_NS;
		}
	}
	if (s->watch.look != NULL)
		other = s->watch.look(s->watch.user, now_ns);
	return other < next ? other : next;
}

/* ---- the server ---- */

static int say(int r, const struct why *unsaid, struct why *why)
{
	if (r < 0 && unsaid->text[0] != '\0')
		why_set(why, "http: %s", unsaid->text);
	return r;
}

int server_load(struct why *why)
{
	struct why unsaid = {""};

	return say(http_load(&unsaid), &unsaid, why);
}

int server_create(struct server **ret, const struct server_watch *watch, struct why *why)
{
	struct server *s = calloc(1, sizeof(*s));
	const struct http_user user = {.check = check,
				       .begin = begin,
				       .step = step,
				       .end = end,
				       .refuse = refuse,
				       .look = look,
				       .context = s,
				       .fd = watch != NULL ? watch->fd : -1};
	struct why unsaid = {""};
	int r;

	if (s == NULL)
		return -ENOMEM;
	if (watch != NULL)
		s->watch = *watch;
	r = http_create(&s->http, &rules, &user, &unsaid);
	if (r < 0)
		free(s);
	else
		*ret = s;
	return say(r, &unsaid, why);
}

int server_listen(struct server *s, struct listen *l, struct endpoint *e, struct why *why)
{
	struct why unsaid = {""};

	return say(http_listen(s->http, l, e, &unsaid), &unsaid, why);
}

void server_forget(struct server *s, struct endpoint *e)
{
	http_forget(s->http, e);
}

void server_run(struct server *s)
{
	http_run(s->http);
}

void server_end(struct server *s)
{
	http_end(s->http);
}

void server_destroy(struct server *s)
{
	if (s == NULL)
		return;
	http_destroy(s->http);
	free(s);
}
