/*
 * libmicrohttpd, which no other file knows: loaded when somebody wants it, so that no program or process needs it that serves nothing.
 */
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "http/private.h"
#include "http/query.h"

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

bool carrier_is_loaded(void)
{
	return lib.MHD_resume_connection != NULL; /* the last of them */
}

int http_load(struct why *why)
{
	void *handle = carrier_is_loaded() ? NULL : dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (carrier_is_loaded())
		return 0;
	if (handle == NULL) {
		why_set(why, "%s cannot be loaded (package libmicrohttpd12)", LIBRARY);
		return -ENOSYS;
	}
#define LOOK_UP(name)                                                        \
	*(void **)&lib.name = dlsym(handle, #name);                          \
	if (lib.name == NULL) {                                              \
		why_set(why, "%s has no %s: it is too old", LIBRARY, #name); \
		return -ENOSYS;                                              \
	}
	MHD_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
	return 0;
}

/* ---- headers ---- */

const char *http_header_of(const struct http_request *q, const char *name)
{
	return lib.MHD_lookup_connection_value(request_of(q)->connection, MHD_HEADER_KIND, name);
}

bool http_takes_gzip(const struct http_request *q)
{
	const char *takes = http_header_of(q, "Accept-Encoding");

	return takes != NULL && strstr(takes, "gzip") != NULL && strstr(takes, "gzip;q=0") == NULL;
}

bool http_is_foreign(const struct http_request *q)
{
	const char *origin = http_header_of(q, "Origin"), *host = http_header_of(q, "Host");
	const char *site = http_header_of(q, "Sec-Fetch-Site");
	const char *name = origin != NULL ? strstr(origin, "://") : NULL;

	if (site != NULL && strcmp(site, "cross-site") == 0)
		return true;
	return origin != NULL && (host == NULL || name == NULL || strcasecmp(name + 3, host) != 0);
}

/* ---- replies ---- */

void http_add(struct http_reply *reply, const char *name, const char *value)
{
	assert(reply->headers_n < HTTP_HEADERS_MAX);
	reply->headers[reply->headers_n].name = name;
	reply->headers[reply->headers_n++].value = value;
}

static struct MHD_Response *from_file(int fd)
{
	struct MHD_Response *response = NULL;
	struct stat st;
	bool is_there = fstat(fd, &st) == 0;

	if (is_there && st.st_size > 0)
		response = lib.MHD_create_response_from_fd((size_t)st.st_size, fd);
	if (response != NULL)
		return response; /* which has it now */
	close(fd);
	return is_there && st.st_size == 0
		       ? lib.MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT)
		       : NULL;
}

static struct MHD_Response *from_bytes(const struct http_reply *reply)
{
	void *bytes = (void *)(uintptr_t)reply->bytes;
	struct MHD_Response *response = lib.MHD_create_response_from_buffer(
		reply->size, bytes,
		reply->is_to_free ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);

	if (response == NULL && reply->is_to_free)
		free(bytes);
	return response;
}

void http_reply(struct http_request *shown, const struct http_reply *reply)
{
	struct request *q = request_of(shown);

	assert(!q->has_replied);
	q->has_replied = true;
	q->status = reply->status;
	q->response = reply->fd >= 0 ? from_file(reply->fd) : from_bytes(reply);
	if (q->response != NULL && reply->fd < 0 && reply->is_to_free) {
		q->held = reply->size;
		shown->server->held += q->held;
	}
	for (unsigned i = 0; i < reply->headers_n && q->response != NULL; i++)
		lib.MHD_add_response_header(q->response, reply->headers[i].name,
					    reply->headers[i].value);
	if (q->is_waiting)
		request_stop_waiting(q);
}

static enum MHD_Result queue(struct request *q)
{
	enum MHD_Result r;

	if (q->response == NULL)
		return MHD_NO;
	if (q->shown.server->is_ending)
		lib.MHD_add_response_header(q->response, "Connection", "close");
	q->is_queued = true;
	place_do(q->place, DOING_TAKE);
	r = lib.MHD_queue_response(q->connection, (unsigned)q->status, q->response);
	lib.MHD_destroy_response(q->response);
	q->response = NULL;
	return r;
}

/* ---- requests ---- */

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
static enum MHD_Result check(struct request *q, const char *version)
{
	const struct http_server *s = q->shown.server;
	const struct http_user *user = &s->user;
	const char *length = http_header_of(&q->shown, "Content-Length");
	unsigned counts[2] = {0};
	int64_t bytes = 0;

	lib.MHD_get_connection_values(q->connection, MHD_HEADER_KIND, count_single, counts);
	if (counts[0] > 1 || counts[1] > 1)
		user->refuse(&q->shown, 400, "400 Bad Request: a header is there twice\n");
	else if (counts[0] == 0 && strcmp(version, "HTTP/1.1") == 0)
		user->refuse(&q->shown, 400, "400 Bad Request: missing required Host header\n");
	else
		user->check(&q->shown);
	if (!q->has_replied && length != NULL &&
	    (query_int(length, &bytes) < 0 || bytes > (int64_t)s->rules.body_max))
		user->refuse(&q->shown, 413, "that is too much\n");
	return q->has_replied ? queue(q) : MHD_YES;
}

static enum MHD_Result take_body(struct request *q, const char *bytes, size_t *size)
{
	char *body;

	if (q->is_queued) { /* it is answered already */
		*size = 0;
		return MHD_YES;
	}
	if (*size > q->shown.server->rules.body_max - q->shown.body_size)
		return MHD_NO;
	body = realloc(q->body, q->shown.body_size + *size);
	if (body == NULL)
		return MHD_NO;
	memcpy(body + q->shown.body_size, bytes, *size);
	q->shown.body = q->body = body;
	q->shown.body_size += *size;
	*size = 0;
	return MHD_YES;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **state)
{
	const union MHD_ConnectionInfo *info;
	struct http_server *s = context;
	struct request *q = *state;

	(void)url;
	if (q == NULL)
		return MHD_NO;
	if (q->connection == NULL) {
		info = lib.MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
		q->connection = connection;
		q->place = info != NULL ? info->socket_context : NULL;
		if (q->place == NULL)
			return MHD_NO;
		q->place->is_busy = true;
		q->shown.method = method;
		q->shown.door = q->place->door->user;
		q->shown.listen = &q->place->door->listen;
		return check(q, version);
	}
	if (*upload_size != 0)
		return take_body(q, upload, upload_size);
	if (q->is_queued)
		return MHD_YES;
	if (!q->is_begun) {
		q->is_begun = true;
		q->shown.door = q->place->door->user;
		s->asked_ns = clock_monotonic();
		s->user.begin(&q->shown);
	}
	return q->is_waiting ? MHD_YES : queue(q);
}

static void *on_uri(void *context, const char *uri, struct MHD_Connection *connection)
{
	struct request *q = calloc(1, sizeof(*q));

	(void)connection;
	if (q == NULL)
		return NULL;
	q->shown.server = context;
	q->shown.body = "";
	q->shown.uri = strdup(uri);
	if (q->shown.uri != NULL)
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
	if (q->is_waiting)
		request_unlink(q);
	if (q->place != NULL) {
		place_do(q->place, DOING_KEEP);
		q->place->is_busy = false;
	}
	request_end(q);
	if (q->response != NULL)
		lib.MHD_destroy_response(q->response);
	q->shown.server->held -= q->held;
	free(q->shown.uri);
	free(q->body);
	free(q);
	*state = NULL;
}

static void on_connection(void *context, struct MHD_Connection *connection, void **state,
			  enum MHD_ConnectionNotificationCode code)
{
	const union MHD_ConnectionInfo *info;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		info = lib.MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		*state = info != NULL ? place_begin(context, info->connect_fd) : NULL;
	} else if (*state != NULL) {
		place_end(context, *state);
		*state = NULL;
	}
}

void carrier_suspend(struct MHD_Connection *connection)
{
	lib.MHD_suspend_connection(connection);
}

void carrier_resume(struct MHD_Connection *connection)
{
	lib.MHD_resume_connection(connection);
}

/* ---- daemons ---- */

struct MHD_Daemon *carrier_start(struct http_server *s, const struct listen *l, struct why *why)
{
	struct MHD_OptionItem secrets[] = {
		{MHD_OPTION_HTTPS_MEM_KEY, 0, l->key},
		{MHD_OPTION_HTTPS_MEM_CERT, 0, l->certificate},
		{MHD_OPTION_END, 0, NULL},
	};
	struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
	bool is_secret = l->key != NULL;
	struct MHD_Daemon *daemon;

	if (is_secret && lib.MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES) {
		why_set(why, "%s was built without TLS, which this address needs", LIBRARY);
		return NULL;
	}
	daemon = lib.MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME |
			(is_secret ? MHD_USE_TLS : 0),
		0, NULL, NULL, on_request, s, MHD_OPTION_CONNECTION_LIMIT,
		s->rules.connections_max + 8, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		s->rules.header_max, MHD_OPTION_CONNECTION_TIMEOUT, s->rules.inactive_sec,
		MHD_OPTION_URI_LOG_CALLBACK, on_uri, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
		s, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
		MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_ARRAY, is_secret ? secrets : none, MHD_OPTION_END);
	if (daemon == NULL)
		why_set(why, "%s does not start%s", LIBRARY,
			is_secret ? ": are certificate and key right?" : "");
	return daemon;
}

void carrier_stop(struct MHD_Daemon *daemon)
{
	lib.MHD_stop_daemon(daemon);
}

void carrier_run(struct MHD_Daemon *daemon)
{
	lib.MHD_run(daemon);
}

void carrier_add(struct MHD_Daemon *daemon, int fd, const struct sockaddr *from, socklen_t size)
{
	lib.MHD_add_connection(daemon, fd, from, size);
}

int carrier_fd(struct MHD_Daemon *daemon)
{
	const union MHD_DaemonInfo *info =
		lib.MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);

	return info != NULL ? info->epoll_fd : -1;
}

uint64_t carrier_wish(struct MHD_Daemon *daemon, uint64_t now, uint64_t next)
{
	unsigned MHD_LONG_LONG ms;

	if (lib.MHD_get_timeout(daemon, &ms) == MHD_YES && now + ms * UINT64_C(1000000) < next)
		return now + ms * UINT64_C(1000000);
	return next;
}
