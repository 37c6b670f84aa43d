#include "endpoint/server.h"

#include <dlfcn.h>
#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "endpoint/query.h"

#define CONNECTIONS_MAX 512
#define MEMORY_BYTES    (16 << 10) /* for a connection: also the bound of a request's header */
#define REST_NS         (60 * NS_PER_SECOND)

#define ASK_NS       (10 * NS_PER_SECOND) /* from a connection to the end of its first request */
#define KEEP_NS      (60 * NS_PER_SECOND) /* from one request to the next */
#define TAKE_NS      (60 * NS_PER_SECOND) /* to take an answer */
#define INACTIVE_SEC 30
#define END_NS       NS_PER_SECOND
#define PULSE_NS     (NS_PER_SECOND / 20) /* while it is about to end */

#define LIBRARY "libmicrohttpd.so.12"
#define MHD_FUNCTIONS(X)                   \
	X(MHD_start_daemon)                \
	X(MHD_stop_daemon)                 \
	X(MHD_run)                         \
	X(MHD_add_connection)              \
	X(MHD_get_timeout)                 \
	X(MHD_get_daemon_info)             \
	X(MHD_get_connection_info)         \
	X(MHD_is_feature_supported)        \
	X(MHD_lookup_connection_value)     \
	X(MHD_get_connection_values)       \
	X(MHD_create_response_from_buffer) \
	X(MHD_create_response_from_fd)     \
	X(MHD_add_response_header)         \
	X(MHD_queue_response)              \
	X(MHD_destroy_response)            \
	X(MHD_suspend_connection)          \
	X(MHD_resume_connection)

static struct {
#define DECLARE(name) __typeof__(name) *name;
	MHD_FUNCTIONS(DECLARE)
#undef DECLARE
} lib;

/* A socket that listens. */
struct door {
	struct door *next;
	struct listen listen;
	struct endpoint *endpoint;
	struct MHD_Daemon *daemon;
	unsigned connections;
	bool is_closed; /* for the connections that came by it, it stays */
};

/* A connection, from the first byte to the last. */
struct place {
	struct place *next, **link;
	struct server *server;
	struct door *door;
	int fd;
	uint64_t until_ns; /* when it is too slow; UINT64_MAX: it waits for us */
	bool is_busy;      /* with a request */
};

/* One that was asked. */
struct request {
	struct request *next, **link; /* of those that are suspended */
	struct server *server;
	struct place *place;
	struct MHD_Connection *connection;
	char *uri; /* as it came */
	char *body;
	size_t body_size;
	bool is_seen, is_queued, is_gone;
	struct endpoint_request *inner;
	struct endpoint_reply *reply; /* there it is */
	uint64_t next_ns;
};

struct server {
	pthread_mutex_t lock; /* all that follows; the thread gives it up while it sleeps */
	unsigned serial;      /* of the lists, as others than the thread change them */
	bool is_eager;
	int woken;
	struct server_watch watch;
	_Atomic bool is_ending;
	struct MHD_Daemon *plain; /* those with TLS are their door's */
	struct door *doors;
	struct place *places;
	struct request *waiting;
	unsigned connections, waiting_n;
	uint64_t asked_ns;
	bool is_resting;
	struct door *accepting; /* the one whose connection is being added */
	struct pollfd *polled;
	unsigned polled_room;
};

int server_load(struct why *why)
{
	void *handle =
		lib.MHD_resume_connection != NULL ? NULL : dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (lib.MHD_resume_connection != NULL)
		return 0;
	if (handle == NULL) {
		why_set(why, "http: %s cannot be loaded (package libmicrohttpd12)", LIBRARY);
		return -ENOSYS;
	}
#define LOOK_UP(name)                                                              \
	*(void **)&lib.name = dlsym(handle, #name);                                \
	if (lib.name == NULL) {                                                    \
		why_set(why, "http: %s has no %s: it is too old", LIBRARY, #name); \
		return -ENOSYS;                                                    \
	}
	MHD_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
	return 0;
}

/* ---- answers ---- */

static enum MHD_Result queue(struct request *q, const struct endpoint_reply *reply,
			     struct MHD_Response *response)
{
	struct endpoint_header headers[ENDPOINT_HEADERS_MAX];
	unsigned n = endpoint_headers(reply, headers);
	enum MHD_Result r;

	if (response == NULL)
		return MHD_NO;
	for (unsigned i = 0; i < n; i++)
		lib.MHD_add_response_header(response, headers[i].name, headers[i].value);
	if (reply->status == 401)
		lib.MHD_add_response_header(response, "WWW-Authenticate",
					    "Basic realm=\"cprof\", charset=\"UTF-8\"");
	if (q->server->is_ending)
		lib.MHD_add_response_header(response, "Connection", "close");
	q->is_queued = true;
	if (q->place != NULL)
		q->place->until_ns = clock_monotonic() + TAKE_NS;
	r = lib.MHD_queue_response(q->connection, (unsigned)reply->status, response);
	lib.MHD_destroy_response(response);
	return r;
}

/* Without an endpoint. */
static enum MHD_Result refuse(struct request *q, int status, const char *text)
{
	const struct endpoint_reply reply = {
		.status = status, .type = "text/plain; charset=utf-8", .is_error = true};

	return queue(q, &reply,
		     lib.MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
							 MHD_RESPMEM_PERSISTENT));
}

static enum MHD_Result send_reply(struct request *q)
{
	struct MHD_Response *response;
	struct stat st = {0};

	if (q->reply->fd < 0 || fstat(q->reply->fd, &st) < 0 || st.st_size == 0) {
		response = lib.MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	} else {
		response = lib.MHD_create_response_from_fd((size_t)st.st_size, q->reply->fd);
		if (response != NULL)
			q->reply->fd = -1; /* the response's now */
	}
	return queue(q, q->reply, response);
}

/* ---- requests ---- */

static void begin_waiting(struct request *q)
{
	struct server *s = q->server;

	q->next = s->waiting;
	q->link = &s->waiting;
	if (q->next != NULL)
		q->next->link = &q->next;
	s->waiting = q;
	s->waiting_n++;
	if (q->place != NULL)
		q->place->until_ns = UINT64_MAX;
	lib.MHD_suspend_connection(q->connection);
}

static void stop_waiting(struct request *q)
{
	*q->link = q->next;
	if (q->next != NULL)
		q->next->link = q->link;
	q->link = NULL;
	q->server->waiting_n--;
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

static bool is_form(struct request *q)
{
	static const char form[] = "application/x-www-form-urlencoded";
	const char *type =
		lib.MHD_lookup_connection_value(q->connection, MHD_HEADER_KIND, "Content-Type");

	return type != NULL && strncasecmp(type, form, sizeof(form) - 1) == 0 &&
	       (type[sizeof(form) - 1] == '\0' || type[sizeof(form) - 1] == ';' ||
		type[sizeof(form) - 1] == ' ');
}

static enum MHD_Result begin(struct request *q, const char *method)
{
	struct server *s = q->server;
	const char *uri = path_of(q->uri);
	struct endpoint_ask ask = {.method = method, .body = q->body, .body_size = q->body_size};
	char path[4096];

	s->asked_ns = clock_monotonic();
	s->is_resting = false;
	ask.query = strchr(uri, '?');
	if (query_path(uri, path, sizeof(path)) < 0)
		return refuse(q, 400, "400 Bad Request\n");
	ask.path = path;
	if (ask.query != NULL)
		ask.query++;
	if (ask.body == NULL)
		ask.body = "";
	ask.is_form = (strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
		       strcmp(method, "PATCH") == 0) &&
		      is_form(q);
	if (q->place == NULL || q->place->door->is_closed)
		return refuse(q, 503, "the process has ended\n");
	q->inner = endpoint_begin(q->place->door->endpoint, &ask);
	if (q->inner == NULL)
		return MHD_NO;
	q->reply = endpoint_step(q->inner, s->asked_ns, false, &q->next_ns);
	if (q->reply != NULL)
		return send_reply(q);
	begin_waiting(q);
	return MHD_YES;
}

/* Is it a page of elsewhere that a browser of ours asks for? */
static bool is_foreign(struct request *q, const char *host)
{
	const char *origin =
		lib.MHD_lookup_connection_value(q->connection, MHD_HEADER_KIND, "Origin");
	const char *site =
		lib.MHD_lookup_connection_value(q->connection, MHD_HEADER_KIND, "Sec-Fetch-Site");
	const char *name = origin != NULL ? strstr(origin, "://") : NULL;

	if (site != NULL && strcmp(site, "cross-site") == 0)
		return true;
	return origin != NULL && (host == NULL || name == NULL || strcasecmp(name + 3, host) != 0);
}

/* Those that may come once: another reader of the same request might take the other one. */
static enum MHD_Result count_single(void *context, enum MHD_ValueKind kind, const char *key,
				    const char *value)
{
	unsigned *counts = context;

	(void)kind, (void)value;
	counts[0] += strcasecmp(key, "Host") == 0;
	counts[1] += strcasecmp(key, "Content-Length") == 0;
	return MHD_YES;
}

/* Before its body comes. MHD_YES without a reply: go on. */
static enum MHD_Result check(struct request *q, const char *method, const char *version)
{
	const char *host = lib.MHD_lookup_connection_value(q->connection, MHD_HEADER_KIND, "Host");
	const char *length =
		lib.MHD_lookup_connection_value(q->connection, MHD_HEADER_KIND, "Content-Length");
	const struct listen *l = q->place != NULL ? &q->place->door->listen : NULL;
	unsigned counts[2] = {0};
	int64_t bytes = 0;

	if (l == NULL)
		return MHD_NO;
	lib.MHD_get_connection_values(q->connection, MHD_HEADER_KIND, count_single, counts);
	if (counts[0] > 1 || counts[1] > 1)
		return refuse(q, 400, "400 Bad Request: a header is there twice\n");
	if (counts[0] == 0 && strcmp(version, "HTTP/1.1") == 0)
		return refuse(q, 400, "400 Bad Request: missing required Host header\n");
	if (!listen_is_us(l, host))
		return refuse(q, 403, "not the name of this server\n");
	if (!listen_allows(l, lib.MHD_lookup_connection_value(q->connection, MHD_HEADER_KIND,
							      "Authorization")))
		return refuse(q, 401, "a token is needed: as Bearer, or as the password\n");
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0 && is_foreign(q, host))
		return refuse(q, 403, "not from another page\n");
	if (length != NULL && (query_int(length, &bytes) < 0 || bytes > ENDPOINT_BODY_MAX))
		return refuse(q, 413, "that is too much\n");
	return MHD_YES;
}

static enum MHD_Result take_body(struct request *q, const char *bytes, size_t *size)
{
	char *body;

	if (q->is_queued) { /* it is answered already */
		*size = 0;
		return MHD_YES;
	}
	if (*size > ENDPOINT_BODY_MAX - q->body_size)
		return MHD_NO;
	body = realloc(q->body, q->body_size + *size);
	if (body == NULL)
		return MHD_NO;
	memcpy(body + q->body_size, bytes, *size);
	q->body = body;
	q->body_size += *size;
	*size = 0;
	return MHD_YES;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **state)
{
	struct request *q = *state;
	const union MHD_ConnectionInfo *info;

	(void)context, (void)url;
	if (q == NULL)
		return MHD_NO;
	if (!q->is_seen) {
		info = lib.MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
		q->is_seen = true;
		q->connection = connection;
		q->place = info != NULL ? info->socket_context : NULL;
		if (q->place != NULL)
			q->place->is_busy = true;
		return check(q, method, version);
	}
	if (*upload_size != 0)
		return take_body(q, upload, upload_size);
	if (q->is_queued)
		return MHD_YES;
	if (q->is_gone)
		return MHD_NO;
	return q->reply != NULL ? send_reply(q) : begin(q, method);
}

static void *on_uri(void *context, const char *uri, struct MHD_Connection *connection)
{
	struct request *q = calloc(1, sizeof(*q));

	(void)connection;
	if (q == NULL)
		return NULL;
	q->server = context;
	q->uri = strdup(uri);
	if (q->uri != NULL)
		return q;
	free(q);
	return NULL;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
			 enum MHD_RequestTerminationCode code)
{
	struct request *q = *state;

	(void)context, (void)connection, (void)code;
	if (q == NULL)
		return;
	if (q->link != NULL)
		stop_waiting(q);
	if (q->place != NULL) {
		q->place->until_ns = clock_monotonic() + KEEP_NS;
		q->place->is_busy = false;
	}
	endpoint_end(q->inner);
	free(q->uri);
	free(q->body);
	free(q);
	*state = NULL;
}

/* ---- connections ---- */

static void free_door(struct server *s, struct door *door)
{
	struct door **at = &s->doors;

	while (*at != door)
		at = &(*at)->next;
	*at = door->next;
	if (door->daemon != NULL && door->daemon != s->plain)
		lib.MHD_stop_daemon(door->daemon);
	free(door);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **state,
			  enum MHD_ConnectionNotificationCode code)
{
	struct server *s = context;
	const union MHD_ConnectionInfo *info;
	struct place *p = *state;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		info = lib.MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		p = s->accepting != NULL && info != NULL ? calloc(1, sizeof(*p)) : NULL;
		*state = p;
		if (p == NULL)
			return;
		p->server = s;
		p->door = s->accepting;
		p->fd = info->connect_fd;
		p->until_ns = clock_monotonic() + ASK_NS;
		p->next = s->places;
		p->link = &s->places;
		if (p->next != NULL)
			p->next->link = &p->next;
		s->places = p;
		p->door->connections++;
		s->connections++;
	} else if (p != NULL) {
		*p->link = p->next;
		if (p->next != NULL)
			p->next->link = p->link;
		p->door->connections--;
		s->connections--;
		free(p);
		*state = NULL;
	}
}

static struct MHD_Daemon *start_daemon(struct server *s, const struct listen *l)
{
	struct MHD_OptionItem secrets[] = {
		{MHD_OPTION_HTTPS_MEM_KEY, 0, l->key},
		{MHD_OPTION_HTTPS_MEM_CERT, 0, l->certificate},
		{MHD_OPTION_END, 0, NULL},
	};
	struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
	bool is_secret = l->key != NULL;

	return lib.MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME |
			(is_secret ? MHD_USE_TLS : 0),
		0, NULL, NULL, on_request, s, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)CONNECTIONS_MAX + 8, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)MEMORY_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)INACTIVE_SEC,
		MHD_OPTION_URI_LOG_CALLBACK, on_uri, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
		s, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
		MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_ARRAY, is_secret ? secrets : none, MHD_OPTION_END);
}

static int choose_daemon(struct server *s, struct door *door, struct why *why)
{
	int r = server_load(why);

	if (r < 0)
		return r;
	if (door->listen.key == NULL && s->plain != NULL) {
		door->daemon = s->plain;
		return 0;
	}
	if (door->listen.key != NULL && lib.MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES) {
		why_set(why, "http: %s was built without TLS, which this address needs", LIBRARY);
		return -ENOSYS;
	}
	door->daemon = start_daemon(s, &door->listen);
	if (door->listen.key == NULL)
		s->plain = door->daemon;
	if (door->daemon == NULL)
		why_set(why, "http: %s does not start%s", LIBRARY,
			door->listen.key != NULL ? ": are certificate and key right?" : "");
	return door->daemon != NULL ? 0 : -EIO;
}

static void accept_all(struct server *s, struct door *door)
{
	struct sockaddr_storage from;
	socklen_t size = sizeof(from);
	int fd;

	while (s->connections < CONNECTIONS_MAX &&
	       (fd = accept4(door->listen.fd, (struct sockaddr *)&from, &size,
			     SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		if (door->daemon == NULL && choose_daemon(s, door, NULL) < 0) {
			close(fd);
			continue;
		}
		s->accepting = door;
		lib.MHD_add_connection(door->daemon, fd, (struct sockaddr *)&from, size);
		s->accepting = NULL;
		size = sizeof(from);
	}
}

/* Doors that nobody is in any more. */
static void sweep(struct server *s)
{
	struct door *door, *next;

	for (door = s->doors; door != NULL; door = next) {
		next = door->next;
		if (door->is_closed && door->connections == 0)
			free_door(s, door);
	}
}

/* ---- the loop ---- */

static uint64_t look_at_clock(struct server *s, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	for (struct place *p = s->places; p != NULL; p = p->next) {
		if (p->until_ns <= now || (s->is_ending && !p->is_busy)) {
			shutdown(p->fd, SHUT_RDWR);
			p->until_ns = UINT64_MAX;
		}
		next = p->until_ns < next ? p->until_ns : next;
	}
	for (struct request *q = s->waiting; q != NULL; q = q->next)
		next = q->next_ns < next ? q->next_ns : next;
	if (!s->is_resting && s->waiting == NULL) {
		if (s->asked_ns + REST_NS <= now) {
			for (struct door *d = s->doors; d != NULL; d = d->next)
				if (!d->is_closed)
					endpoint_rest(d->endpoint);
			s->is_resting = true;
		} else if (s->asked_ns + REST_NS < next) {
			next = s->asked_ns + REST_NS;
		}
	}
	return next;
}

static void go_on(struct request *q)
{
	stop_waiting(q);
	if (q->place != NULL)
		q->place->until_ns = clock_monotonic() + TAKE_NS;
	lib.MHD_resume_connection(q->connection);
}

/* Those whose time has come. */
static void step_all(struct server *s, uint64_t now)
{
	struct request *q, *next;

	for (q = s->waiting; q != NULL; q = next) {
		next = q->next;
		if (q->next_ns > now && !s->is_ending)
			continue;
		q->reply = endpoint_step(q->inner, now, s->is_ending, &q->next_ns);
		if (q->reply != NULL)
			go_on(q);
	}
}

static void run_daemons(struct server *s)
{
	struct door *door;

	if (s->plain != NULL)
		lib.MHD_run(s->plain);
	for (door = s->doors; door != NULL; door = door->next)
		if (door->daemon != NULL && door->daemon != s->plain)
			lib.MHD_run(door->daemon);
}

static uint64_t wish_of(struct MHD_Daemon *daemon, uint64_t now, uint64_t next)
{
	unsigned MHD_LONG_LONG ms;

	if (daemon != NULL && lib.MHD_get_timeout(daemon, &ms) == MHD_YES &&
	    now + ms * UINT64_C(1000000) < next)
		return now + ms * UINT64_C(1000000);
	return next;
}

static int epoll_of(struct MHD_Daemon *daemon)
{
	const union MHD_DaemonInfo *info =
		lib.MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);

	return info != NULL ? info->epoll_fd : -1;
}

#define POLLED_FIRST 3

/* What to wait for: returns how many, or -1 for want of memory. */
static int fill_polled(struct server *s)
{
	unsigned n = POLLED_FIRST + s->waiting_n, at = 0;

	for (struct door *d = s->doors; d != NULL; d = d->next)
		n += 2;
	if (n > s->polled_room) {
		struct pollfd *polled = realloc(s->polled, 2 * n * sizeof(*polled));

		if (polled == NULL)
			return -1;
		s->polled = polled;
		s->polled_room = 2 * n;
	}
	s->polled[at++] = (struct pollfd){s->woken, POLLIN, 0};
	s->polled[at++] = (struct pollfd){s->watch.fd, POLLIN, 0};
	s->polled[at++] = (struct pollfd){s->plain != NULL ? epoll_of(s->plain) : -1, POLLIN, 0};
	/* who has gone, of those that wait for us: nobody else looks at their sockets */
	for (struct request *q = s->waiting; q != NULL; q = q->next)
		s->polled[at++] =
			(struct pollfd){q->place != NULL ? q->place->fd : -1, POLLRDHUP, 0};
	for (struct door *d = s->doors; d != NULL; d = d->next) {
		bool accepts = !d->is_closed && s->connections < CONNECTIONS_MAX;

		s->polled[at++] = (struct pollfd){accepts ? d->listen.fd : -1, POLLIN, 0};
		if (d->daemon != NULL && d->daemon != s->plain)
			s->polled[at++] = (struct pollfd){epoll_of(d->daemon), POLLIN, 0};
	}
	return (int)at;
}

/* @at: where those that wait begin among what was polled. Nothing has changed since. */
static void drop_the_gone(struct server *s, const struct pollfd *at)
{
	struct request *q, *next;

	for (q = s->waiting; q != NULL; q = next, at++) {
		next = q->next;
		if ((at->revents & (POLLRDHUP | POLLHUP | POLLERR)) == 0)
			continue;
		endpoint_end(q->inner);
		q->inner = NULL;
		q->is_gone = true;
		go_on(q);
	}
}

static int milliseconds(uint64_t now, uint64_t next)
{
	uint64_t ms = next == UINT64_MAX ? 3600000 : next > now ? (next - now) / 1000000 + 1 : 0;

	return ms > 3600000 ? 3600000 : (int)ms;
}

/* Sleeps, and gives up the lock meanwhile: what was polled then is looked at only if all is as it was. */
static void sleep_until(struct server *s, uint64_t now, uint64_t next)
{
	unsigned serial = s->serial;
	int n = fill_polled(s);
	char word[128];

	if (n < 0 && now + PULSE_NS < next)
		next = now + PULSE_NS;
	pthread_mutex_unlock(&s->lock);
	n = poll(s->polled, n > 0 ? (nfds_t)n : 0, milliseconds(now, next));
	pthread_mutex_lock(&s->lock);
	if (n <= 0)
		return;
	for (unsigned i = 0; i < 2; i++)
		if (s->polled[i].revents != 0 && read(s->polled[i].fd, word, sizeof(word)) < 0)
			continue; /* who wakes us writes one word */
	if (serial == s->serial)
		drop_the_gone(s, s->polled + POLLED_FIRST);
}

static uint64_t next_moment(struct server *s, uint64_t now)
{
	uint64_t next = look_at_clock(s, now), other = UINT64_MAX;

	if (s->watch.look != NULL)
		other = s->watch.look(s->watch.user, now);
	if (other < next)
		next = other;
	next = wish_of(s->plain, now, next);
	for (struct door *d = s->doors; d != NULL; d = d->next)
		if (d->daemon != NULL && d->daemon != s->plain)
			next = wish_of(d->daemon, now, next);
	return s->is_ending && now + PULSE_NS < next ? now + PULSE_NS : next;
}

void server_run(struct server *s)
{
	uint64_t end_ns = UINT64_MAX, now;

	pthread_mutex_lock(&s->lock);
	while (true) {
		now = clock_monotonic();
		for (struct door *d = s->doors; d != NULL && !s->is_ending; d = d->next)
			if (!d->is_closed)
				accept_all(s, d);
		step_all(s, now);
		run_daemons(s);
		sweep(s);
		if (s->is_ending && end_ns == UINT64_MAX)
			end_ns = now + END_NS;
		if (s->is_ending && (s->connections == 0 || now >= end_ns))
			break;
		sleep_until(s, now, next_moment(s, now));
	}
	pthread_mutex_unlock(&s->lock);
}

/* ---- beginning and end ---- */

int server_create(struct server **ret, const struct server_watch *watch, struct why *why)
{
	struct server *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	s->is_eager = lib.MHD_resume_connection != NULL; /* by server_load() */
	s->watch = watch != NULL ? *watch : (struct server_watch){.fd = -1};
	s->asked_ns = clock_monotonic();
	s->woken = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->woken < 0) {
		why_set(why, "http: no file for it: %s", strerrordesc_np(errno));
		server_destroy(s);
		return -EMFILE;
	}
	*ret = s;
	return 0;
}

static void wake(struct server *s)
{
	const uint64_t one = 1;

	if (write(s->woken, &one, sizeof(one)) < 0)
		return; /* it has not heard of earlier words yet */
}

int server_listen(struct server *s, struct listen *l, struct endpoint *e, struct why *why)
{
	struct door *door = calloc(1, sizeof(*door));
	int r;

	if (door == NULL) {
		listen_close(l);
		return -ENOMEM;
	}
	pthread_mutex_lock(&s->lock);
	door->listen = *l;
	door->endpoint = e;
	/* else when somebody comes: most processes are never asked */
	r = s->is_eager || l->key != NULL ? choose_daemon(s, door, why) : 0;
	if (r == 0) {
		door->next = s->doors;
		s->doors = door;
		s->serial++;
		wake(s);
	} else {
		listen_close(&door->listen);
		free(door);
	}
	*l = (struct listen){.fd = -1};
	pthread_mutex_unlock(&s->lock);
	return r;
}

void server_forget(struct server *s, struct endpoint *e)
{
	uint64_t now = clock_monotonic();
	struct request *q, *next;

	pthread_mutex_lock(&s->lock);
	for (q = s->waiting; q != NULL; q = next) {
		next = q->next;
		if (q->place == NULL || q->place->door->endpoint != e)
			continue;
		q->reply = endpoint_step(q->inner, now, true, &q->next_ns);
		go_on(q);
	}
	for (struct door *d = s->doors; d != NULL; d = d->next) {
		if (d->endpoint != e || d->is_closed)
			continue;
		listen_close(&d->listen);
		d->is_closed = true;
	}
	s->serial++;
	wake(s);
	pthread_mutex_unlock(&s->lock);
}

void server_end(struct server *s)
{
	atomic_store_explicit(&s->is_ending, true, memory_order_seq_cst);
	wake(s);
}

void server_destroy(struct server *s)
{
	if (s == NULL)
		return;
	while (s->waiting != NULL) {
		struct request *q = s->waiting;

		endpoint_end(q->inner);
		q->inner = NULL;
		q->is_gone = true;
		go_on(q);
	}
	run_daemons(s); /* so that they know of them again */
	for (struct door *d = s->doors; d != NULL; d = d->next) {
		listen_close(&d->listen);
		d->is_closed = true;
		if (d->daemon != NULL && d->daemon != s->plain)
			lib.MHD_stop_daemon(d->daemon);
		d->daemon = s->plain;
	}
	if (s->plain != NULL)
		lib.MHD_stop_daemon(s->plain);
	sweep(s);
	if (s->woken >= 0)
		close(s->woken);
	pthread_mutex_destroy(&s->lock);
	free(s->polled);
	free(s);
}
