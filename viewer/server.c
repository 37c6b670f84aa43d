#include "viewer/server.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "output/gzip.h"
#include "page/assets.h"
#include "viewer/pack.h"
#include "viewer/work.h"

#define CONNECTIONS   256
#define CROWD         96 /* connections: from there on nobody may dawdle */
#define BACKLOG       4096
#define HEADER_MAX    (32 << 10) /* bytes of memory for a connection */
#define TOKEN_BYTES   16
#define WORKS         2  /* at a time */
#define WORKS_WAITING 16 /* in line */
#define ANSWERS       24 /* works whose answers are not yet sent */
#define ASSET_MAX     (4 << 20)
#define HELD_MAX      (64 << 20) /* bytes of answers that are on their way */

#define SECOND       UINT64_C(1000000000)
#define INACTIVE_SEC 60
#define LOOK_NS      (SECOND / 20) /* how often the index is looked at while it is made */

/* Loaded when somebody wants the page: no other command pays for what it needs. */
#define LIBRARY "libmicrohttpd.so.12"
#define MHD_FUNCTIONS(X)                   \
	X(MHD_start_daemon)                \
	X(MHD_stop_daemon)                 \
	X(MHD_run)                         \
	X(MHD_get_timeout)                 \
	X(MHD_get_daemon_info)             \
	X(MHD_get_connection_info)         \
	X(MHD_lookup_connection_value)     \
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

/* What a connection is about, and how long it may be: when there is room, and in a crowd. */
enum doing {
	ASKS,  /* from its beginning to its first request */
	KEEPS, /* from one request to the next */
	TAKES, /* an answer */
	WAITS, /* for us */
	GOES,  /* it was too slow */
};
static const uint64_t patience_ns[][2] = {
	[ASKS] = {10 * SECOND, SECOND},
	[KEEPS] = {30 * SECOND, SECOND},
	[TAKES] = {120 * SECOND, 5 * SECOND},
};

/* A connection, from the first byte to the last. */
struct place {
	struct place *next, **link;
	int fd;
	enum doing doing;
	uint64_t since_ns;
};

enum stage { STAGE_NEW, STAGE_WAITING, STAGE_WORKING, STAGE_DONE, STAGE_FAILED, STAGE_GONE };

struct server;

/* One that was asked. */
struct request {
	struct server *server;
	char *uri; /* as it came */
	bool is_seen;
	enum stage stage;
	struct api_request q; /* lies in uri */
	struct work work;
	struct MHD_Connection *connection;
	struct place *place;
	size_t held;          /* bytes of its answer */
	struct request *next; /* of those that work or wait, in the order in which they came */
};

struct server {
	const struct server_ask *ask;
	struct api *api;
	char token[2 * TOKEN_BYTES + 1];
	uint16_t port;
	int sockets[2];
	struct MHD_Daemon *daemons[2];
	int polls[2]; /* of the daemons; -1: none */
	int signals, scratch;
	struct place *places;
	unsigned places_n;
	size_t held;
	struct request *works;
	unsigned working, waiting, answers;
	uint64_t asked_ns; /* when somebody was here last */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

static int load(struct why *why)
{
	void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (handle == NULL) {
		why_set(why,
			"%s is needed for the page, and cannot be loaded (package "
			"libmicrohttpd12)",
			LIBRARY);
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

static void do_now(struct place *p, enum doing doing)
{
	if (p == NULL)
		return;
	p->doing = doing;
	p->since_ns = now_ns();
}

/* ---- answers ---- */

static enum MHD_Result queue(struct request *q, struct MHD_Response *response, int status,
			     const char *type, const char *cache)
{
	static const char *const headers[][2] = {
		{"Content-Security-Policy",
		 "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
		 "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
		{"X-Content-Type-Options", "nosniff"},
		{"Referrer-Policy", "no-referrer"},
		{"Cross-Origin-Resource-Policy", "same-origin"},
		{"Cross-Origin-Opener-Policy", "same-origin"},
	};
	enum MHD_Result r;

	if (response == NULL)
		return MHD_NO;
	for (unsigned i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		lib.MHD_add_response_header(response, headers[i][0], headers[i][1]);
	lib.MHD_add_response_header(response, "Content-Type", type);
	lib.MHD_add_response_header(response, "Cache-Control", cache);
	if (status == 503)
		lib.MHD_add_response_header(response, "Retry-After", "1");
	if (status == 405)
		lib.MHD_add_response_header(response, "Allow", "GET, HEAD");
	do_now(q->place, TAKES);
	r = lib.MHD_queue_response(q->connection, (unsigned)status, response);
	lib.MHD_destroy_response(response);
	return r;
}

static enum MHD_Result say(struct request *q, int status, const char *text)
{
	return queue(q,
		     lib.MHD_create_response_from_buffer(strlen(text), (void *)text,
							 MHD_RESPMEM_MUST_COPY),
		     status, "text/plain; charset=utf-8", "no-store");
}

static bool takes_gzip(struct request *q)
{
	const char *takes =
		lib.MHD_lookup_connection_value(q->connection, MHD_HEADER_KIND, "Accept-Encoding");

	return takes != NULL && strstr(takes, "gzip") != NULL && strstr(takes, "gzip;q=0") == NULL;
}

static enum MHD_Result queue_answer(struct request *q, struct MHD_Response *response,
				    const struct api_answer *answer)
{
	char disposition[96];

	if (answer->filename[0] != '\0' && answer->status == 200) {
		snprintf(disposition, sizeof(disposition), "attachment; filename=\"%s\"",
			 answer->filename);
		lib.MHD_add_response_header(response, "Content-Disposition", disposition);
	}
	if (answer->is_packed)
		lib.MHD_add_response_header(response, "Content-Encoding", "gzip");
	lib.MHD_add_response_header(response, "Vary", "Accept-Encoding");
	return queue(q, response, answer->status,
		     answer->type == API_JSON ? "application/json" : "application/octet-stream",
		     answer->is_immutable ? "private, max-age=31536000, immutable" : "no-store");
}

/* What is in @fd, which is the response's then. */
static enum MHD_Result send_answer(struct request *q, int fd, const struct api_answer *answer)
{
	struct MHD_Response *response;
	struct stat st;

	if (fstat(fd, &st) < 0) {
		close(fd);
		return MHD_NO;
	}
	response = lib.MHD_create_response_from_fd((size_t)st.st_size, fd);
	if (response == NULL) {
		close(fd);
		return MHD_NO;
	}
	return queue_answer(q, response, answer);
}

/* An answer that is small, from the scratch file. */
static enum MHD_Result send_now(struct request *q, struct api_answer *answer)
{
	struct server *s = q->server;
	struct MHD_Response *response;
	char *bytes;
	off_t size;

	if (takes_gzip(q) && pack_file(s->scratch, &answer->is_packed) < 0)
		return MHD_NO;
	size = lseek(s->scratch, 0, SEEK_END);
	if (size < 0)
		return MHD_NO;
	if ((size_t)size > HELD_MAX - s->held)
		return say(q, 503, "nobody takes the answers\n");
	bytes = malloc((size_t)size + 1);
	if (bytes == NULL || pread(s->scratch, bytes, (size_t)size, 0) != size) {
		free(bytes);
		return MHD_NO;
	}
	response = lib.MHD_create_response_from_buffer((size_t)size, bytes, MHD_RESPMEM_MUST_FREE);
	if (response == NULL) {
		free(bytes);
		return MHD_NO;
	}
	q->held = (size_t)size;
	s->held += q->held;
	return queue_answer(q, response, answer);
}

static bool clear_scratch(struct server *s)
{
	return ftruncate(s->scratch, 0) == 0 && lseek(s->scratch, 0, SEEK_SET) == 0;
}

static enum MHD_Result refuse(struct request *q, int status, const char *why)
{
	struct api_answer answer;

	if (!clear_scratch(q->server))
		return MHD_NO;
	api_refuse(q->server->api, status, why, q->server->scratch, &answer);
	return send_now(q, &answer);
}

/* ---- the page's files ---- */

static enum MHD_Result send_asset(struct request *q, const struct asset *asset)
{
	const char *known =
		lib.MHD_lookup_connection_value(q->connection, MHD_HEADER_KIND, "If-None-Match");
	bool is_known = known != NULL && strstr(known, asset->etag) != NULL,
	     is_packed = takes_gzip(q);
	struct MHD_Response *response;
	uint8_t *bytes = NULL;
	size_t size = 0;

	if (is_known) {
		response = lib.MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	} else if (is_packed) {
		response = lib.MHD_create_response_from_buffer(
			asset->packed_size, (void *)asset->bytes, MHD_RESPMEM_PERSISTENT);
	} else {
		if (gzip_unpack(asset->bytes, asset->packed_size, ASSET_MAX, &bytes, &size, NULL) <
		    0)
			return MHD_NO;
		response = lib.MHD_create_response_from_buffer(size, bytes, MHD_RESPMEM_MUST_FREE);
	}
	if (response == NULL) {
		free(bytes);
		return MHD_NO;
	}
	if (is_packed && !is_known)
		lib.MHD_add_response_header(response, "Content-Encoding", "gzip");
	lib.MHD_add_response_header(response, "Vary", "Accept-Encoding");
	lib.MHD_add_response_header(response, "ETag", asset->etag);
	return queue(q, response, is_known ? 304 : 200, asset->type, "no-cache");
}

/* For who writes the page: from a directory, as it is now. */
static enum MHD_Result send_file(struct request *q, const char *directory, const char *name)
{
	const char *type = asset_type(name);
	int at = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
	struct MHD_Response *response;
	struct stat st;

	if (at >= 0 && type != NULL)
		fd = openat(at, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (at >= 0)
		close(at);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		if (fd >= 0)
			close(fd);
		return say(q, 404, "not found\n");
	}
	response = lib.MHD_create_response_from_fd((size_t)st.st_size, fd);
	if (response == NULL) {
		close(fd);
		return MHD_NO;
	}
	return queue(q, response, 200, type, "no-store");
}

static enum MHD_Result answer_asset(struct request *q, char *name)
{
	name[strcspn(name, "?")] = '\0';
	if (name[0] == '\0')
		name = "index.html";
	/* a plain name, whichever way it is taken */
	if (name[strspn(name,
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")] !=
		    '\0' ||
	    name[0] == '.')
		return say(q, 404, "not found\n");
	if (q->server->ask->directory != NULL)
		return send_file(q, q->server->ask->directory, name);
	for (const struct asset *a = assets; a->name != NULL; a++)
		if (strcmp(a->name, name) == 0)
			return send_asset(q, a);
	return say(q, 404, "not found\n");
}

/* ---- works ---- */

/* In a work's process. */
static void leave(void *context)
{
	struct server *s = context;

	for (struct place *p = s->places; p != NULL; p = p->next)
		close(p->fd);
	for (unsigned i = 0; i < 2; i++) {
		if (s->sockets[i] >= 0)
			close(s->sockets[i]);
		if (s->polls[i] >= 0)
			close(s->polls[i]);
	}
	close(s->signals);
}

static struct work_leave leaving(struct server *s)
{
	return (struct work_leave){leave, s};
}

static enum MHD_Result begin_waiting(struct request *q)
{
	struct server *s = q->server;
	struct request **last = &s->works;

	if (s->waiting >= WORKS_WAITING || s->answers >= ANSWERS)
		return refuse(q, 503, "too much is asked at a time");
	while (*last != NULL)
		last = &(*last)->next;
	*last = q;
	q->stage = STAGE_WAITING;
	s->waiting++;
	s->answers++;
	do_now(q->place, WAITS);
	lib.MHD_suspend_connection(q->connection);
	return MHD_YES;
}

/* Out of the line; what comes of it is told when its connection goes on. */
static void unlink_work(struct request *q, enum stage stage)
{
	struct server *s = q->server;
	struct request **at = &s->works;

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	if (q->stage == STAGE_WORKING)
		s->working--;
	else
		s->waiting--;
	q->stage = stage;
	lib.MHD_resume_connection(q->connection);
}

static void fail_work(struct request *q, int status, const char *why)
{
	struct api_answer answer;

	api_refuse(q->server->api, status, why, q->work.file, &answer);
	*q->work.answer = answer;
}

static void start_works(struct server *s)
{
	const struct work_leave leave_all = leaving(s);
	struct request *q, *next;

	for (q = s->works; q != NULL && s->working < WORKS; q = next) {
		next = q->next;
		if (q->stage != STAGE_WAITING)
			continue;
		q->stage = STAGE_WORKING;
		s->waiting--;
		s->working++;
		if (work_begin(&q->work, s->api, &q->q, takes_gzip(q), &leave_all) < 0)
			unlink_work(q, STAGE_FAILED);
	}
}

static void end_work(struct request *q, bool is_late)
{
	bool is_done = work_finish(&q->work, is_late);

	if (is_late)
		fail_work(q, 504, "it took too long");
	else if (!is_done)
		fail_work(q, 500, "the process that worked on it came to an end");
	unlink_work(q, STAGE_DONE);
}

/* ---- requests ---- */

static enum MHD_Result answer_api(struct request *q, char *text)
{
	struct why why = {""};
	struct api_answer answer;
	int r;

	if (strlen(text) > API_TEXT_MAX)
		return refuse(q, 414, "the URL is too long");
	r = api_parse(text, &q->q, &why);
	if (r < 0)
		return refuse(q, r == -ENOENT ? 404 : 400, why.text);
	if (api_is_work(&q->q))
		return begin_waiting(q);
	if (!clear_scratch(q->server))
		return MHD_NO;
	api_answer(q->server->api, &q->q, q->server->scratch, &answer);
	return send_now(q, &answer);
}

/* In a time that says nothing of how much of it is right. */
static bool is_token(const struct server *s, const char *text)
{
	unsigned char differs = 0;

	for (unsigned i = 0; i < 2 * TOKEN_BYTES; i++) {
		if (text[i] == '\0')
			return false;
		differs |= (unsigned char)(text[i] ^ s->token[i]);
	}
	return differs == 0 && text[2 * TOKEN_BYTES] == '/';
}

static enum MHD_Result answer(struct request *q)
{
	static const char api[] = "api/v1/";
	struct server *s = q->server;
	const char *host = lib.MHD_lookup_connection_value(q->connection, MHD_HEADER_KIND, "Host");
	char *rest;
	int fd;

	if (q->stage == STAGE_GONE)
		return MHD_NO;
	if (q->stage == STAGE_FAILED)
		return refuse(q, 503, "there is no process to be had for it");
	if (q->stage == STAGE_DONE) {
		fd = q->work.file;
		q->work.file = -1;
		return send_answer(q, fd, q->work.answer);
	}
	s->asked_ns = now_ns();
	if (!server_is_us(host, s->ask->address, s->port))
		return say(q, 403, "not the name of this server\n");
	if (q->uri[0] != '/' || !is_token(s, q->uri + 1))
		return say(q, 404, "not found\n");
	rest = q->uri + 1 + 2 * TOKEN_BYTES + 1;
	if (strncmp(rest, api, sizeof(api) - 1) == 0)
		return answer_api(q, rest + sizeof(api) - 1);
	return answer_asset(q, rest);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **state)
{
	struct request *q = *state;
	const union MHD_ConnectionInfo *info;

	(void)context, (void)url, (void)version, (void)upload;
	if (q == NULL)
		return MHD_NO;
	if (!q->is_seen) {
		info = lib.MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
		q->is_seen = true;
		q->connection = connection;
		q->place = info != NULL ? info->socket_context : NULL;
		if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
			return say(q, 405, "GET or HEAD was expected\n");
		return MHD_YES;
	}
	/* nobody has to tell us more than that */
	if (*upload_size != 0)
		return MHD_NO;
	return answer(q);
}

static void *on_uri(void *context, const char *uri, struct MHD_Connection *connection)
{
	struct request *q = calloc(1, sizeof(*q));

	(void)connection;
	if (q == NULL)
		return NULL;
	q->server = context;
	q->uri = strdup(uri);
	q->work = (struct work){.over = -1, .file = -1};
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
	if (q->stage != STAGE_NEW)
		q->server->answers--;
	q->server->held -= q->held;
	do_now(q->place, KEEPS);
	work_fini(&q->work);
	free(q->uri);
	free(q);
	*state = NULL;
}

static void on_connection(void *context, struct MHD_Connection *connection, void **state,
			  enum MHD_ConnectionNotificationCode code)
{
	struct server *s = context;
	const union MHD_ConnectionInfo *info;
	struct place *p = *state;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		info = lib.MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		p = calloc(1, sizeof(*p));
		*state = p;
		if (p == NULL || info == NULL)
			return;
		p->fd = info->connect_fd;
		do_now(p, ASKS);
		s->places_n++;
		p->next = s->places;
		p->link = &s->places;
		if (p->next != NULL)
			p->next->link = &p->next;
		s->places = p;
	} else if (p != NULL) {
		if (p->link != NULL) {
			*p->link = p->next;
			s->places_n--;
		}
		if (p->next != NULL)
			p->next->link = p->link;
		free(p);
		*state = NULL;
	}
}

/* ---- the loop ---- */

/* Has it said something that we have not come to? */
static bool is_unheard(const struct place *p)
{
	char c;

	return p->doing != TAKES && recv(p->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* Who was too slow. Returns when the next one will have been. */
static uint64_t look_at_clock(struct server *s, uint64_t now)
{
	bool is_crowd = s->places_n >= CROWD;
	uint64_t next = UINT64_MAX;

	for (struct place *p = s->places; p != NULL; p = p->next) {
		uint64_t until;

		if (p->doing == WAITS || p->doing == GOES)
			continue;
		until = p->since_ns + patience_ns[p->doing][is_crowd];
		if (until <= now && is_crowd && is_unheard(p)) {
			next = now;
		} else if (until <= now) {
			shutdown(p->fd, SHUT_RDWR);
			p->doing = GOES;
		} else {
			next = until < next ? until : next;
		}
	}
	for (struct request *q = s->works; q != NULL; q = q->next)
		if (q->stage == STAGE_WORKING && q->work.begun_ns + WORK_MAX_NS < next)
			next = q->work.begun_ns + WORK_MAX_NS;
	if (s->ask->idle_ns != 0 && s->works == NULL && s->asked_ns + s->ask->idle_ns < next)
		next = s->asked_ns + s->ask->idle_ns;
	return next;
}

static int milliseconds(struct server *s, uint64_t now)
{
	uint64_t next = look_at_clock(s, now), left;
	unsigned MHD_LONG_LONG wish;

	if (s->api->making != NULL && now + LOOK_NS < next)
		next = now + LOOK_NS;
	left = next == UINT64_MAX ? UINT64_MAX : next > now ? (next - now) / 1000000 + 1 : 0;
	for (unsigned i = 0; i < 2; i++)
		if (s->daemons[i] != NULL && lib.MHD_get_timeout(s->daemons[i], &wish) == MHD_YES &&
		    wish < left)
			left = wish;
	return left > 3600000 ? 3600000 : (int)left;
}

/* Works that are over, or that nobody waits for any more. */
static void look_at_works(struct server *s, const struct pollfd *polled, uint64_t now)
{
	struct request *q, *next;

	for (q = s->works; q != NULL; q = next, polled += 2) {
		next = q->next;
		if (polled[1].revents != 0) {
			work_finish(&q->work, true);
			unlink_work(q, STAGE_GONE);
		} else if (q->stage == STAGE_WORKING && polled[0].revents != 0) {
			end_work(q, false);
		} else if (q->stage == STAGE_WORKING && now - q->work.begun_ns > WORK_MAX_NS) {
			end_work(q, true);
		}
	}
}

enum { POLL_SIGNALS, POLL_DAEMONS, POLL_WORKS = POLL_DAEMONS + 2 };

static int serve(struct server *s)
{
	struct pollfd polled[POLL_WORKS + 2 * (WORKS + WORKS_WAITING)];
	unsigned n;
	uint64_t now;
	int r;

	while (true) {
		start_works(s);
		polled[POLL_SIGNALS] = (struct pollfd){.fd = s->signals, .events = POLLIN};
		for (unsigned i = 0; i < 2; i++)
			polled[POLL_DAEMONS + i] =
				(struct pollfd){.fd = s->polls[i], .events = POLLIN};
		n = POLL_WORKS;
		for (struct request *q = s->works; q != NULL; q = q->next) {
			polled[n++] = (struct pollfd){.fd = q->work.over, .events = POLLIN};
			polled[n++] = (struct pollfd){.fd = q->place != NULL ? q->place->fd : -1,
						      .events = POLLRDHUP};
		}
		r = poll(polled, n, milliseconds(s, now_ns()));
		if (r < 0 && errno != EINTR)
			return -errno;
		now = now_ns();
		if (r < 0)
			continue;
		if (polled[POLL_SIGNALS].revents != 0)
			return 0;
		if (s->ask->idle_ns != 0 && s->works == NULL &&
		    now - s->asked_ns >= s->ask->idle_ns)
			return 0;
		if (s->api->making != NULL)
			api_look_at_index(s->api);
		look_at_works(s, polled + POLL_WORKS, now);
		for (unsigned i = 0; i < 2; i++)
			if (s->daemons[i] != NULL)
				lib.MHD_run(s->daemons[i]);
	}
}

/* ---- beginning and end ---- */

static int open_socket(const struct sockaddr *address, socklen_t size, uint16_t *ret_port)
{
	struct sockaddr_storage bound;
	socklen_t length = sizeof(bound);
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, address, size) < 0 || listen(fd, BACKLOG) < 0 ||
	    getsockname(fd, (struct sockaddr *)&bound, &length) < 0) {
		on = -errno;
		close(fd);
		return on;
	}
	/* both have it in the same place */
	*ret_port = ntohs(((struct sockaddr_in *)&bound)->sin_port);
	return fd;
}

static int open_loopback(struct server *s)
{
	struct sockaddr_in four = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				   .sin_port = htons(s->ask->port)};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	uint16_t port;

	s->sockets[0] = open_socket((struct sockaddr *)&four, sizeof(four), &s->port);
	if (s->sockets[0] < 0)
		return s->sockets[0];
	/* where there is no such thing, or somebody has that port, one will do */
	six.sin6_port = htons(s->port);
	s->sockets[1] = open_socket((struct sockaddr *)&six, sizeof(six), &port);
	return 0;
}

static bool is_address(const struct sockaddr *a, in_addr_t four, const struct in6_addr *six)
{
	if (a->sa_family == AF_INET6)
		return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr, six, sizeof(*six)) == 0;
	return ((const struct sockaddr_in *)a)->sin_addr.s_addr == htonl(four);
}

static int open_address(struct server *s, bool *ret_is_open, struct why *why)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	const char *text = s->ask->address;
	size_t n = strlen(text);
	char host[256], port[8];
	struct addrinfo *found;
	int r;

	snprintf(host, sizeof(host), "%.*s", (int)(text[0] == '[' && n > 1 ? n - 2 : n),
		 text[0] == '[' ? text + 1 : text);
	snprintf(port, sizeof(port), "%" PRIu16, s->ask->port);
	r = getaddrinfo(host, port, &hints, &found);
	if (r != 0) {
		why_set(why, "%s: %s", text, gai_strerror(r));
		return -EINVAL;
	}
	*ret_is_open = !is_address(found->ai_addr, INADDR_LOOPBACK, &in6addr_loopback);
	if (is_address(found->ai_addr, INADDR_ANY, &in6addr_any)) {
		why_set(why,
			"%s is every address of this machine: name the one by which the page "
			"will be called",
			text);
		r = -EINVAL;
	} else {
		s->sockets[0] = r = open_socket(found->ai_addr, found->ai_addrlen, &s->port);
	}
	freeaddrinfo(found);
	return r < 0 ? r : 0;
}

static int start_daemon(struct server *s, unsigned i)
{
	const union MHD_DaemonInfo *info;

	if (s->sockets[i] < 0)
		return 0;
	s->daemons[i] = lib.MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (i == 1 ? MHD_USE_IPv6 : 0), 0, NULL,
		NULL, on_request, s, MHD_OPTION_LISTEN_SOCKET, s->sockets[i],
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS / 2,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)INACTIVE_SEC, MHD_OPTION_URI_LOG_CALLBACK,
		on_uri, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_END);
	info = s->daemons[i] != NULL
		       ? lib.MHD_get_daemon_info(s->daemons[i], MHD_DAEMON_INFO_EPOLL_FD)
		       : NULL;
	if (info == NULL)
		return -EIO;
	s->polls[i] = info->epoll_fd;
	return 0;
}

static int begin(struct server *s, bool *ret_is_open, struct why *why)
{
	uint8_t bytes[TOKEN_BYTES];
	const char *directory;
	int r;

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return -errno;
	for (unsigned i = 0; i < TOKEN_BYTES; i++)
		snprintf(s->token + 2 * i, 3, "%02x", bytes[i]);
	s->scratch = source_open_nameless(&directory);
	if (s->scratch < 0) {
		why_set(why, "no file for answers in %s: %s; set TMPDIR to another directory",
			directory, strerror(-s->scratch));
		return s->scratch;
	}
	r = s->ask->address != NULL ? open_address(s, ret_is_open, why) : open_loopback(s);
	if (r == -EADDRINUSE)
		why_set(why, "port %" PRIu16 " is taken; --port 0 takes a free one", s->ask->port);
	for (unsigned i = 0; i < 2 && r == 0; i++)
		r = start_daemon(s, i);
	return r;
}

static void end(struct server *s)
{
	while (s->works != NULL) {
		work_finish(&s->works->work, true);
		unlink_work(s->works, STAGE_GONE);
	}
	/* so that the daemons know of them again */
	for (unsigned i = 0; i < 2; i++)
		if (s->daemons[i] != NULL)
			lib.MHD_run(s->daemons[i]);
	for (unsigned i = 0; i < 2; i++) {
		if (s->daemons[i] != NULL)
			lib.MHD_stop_daemon(s->daemons[i]); /* closes its socket */
		else if (s->sockets[i] >= 0)
			close(s->sockets[i]);
	}
	if (s->scratch >= 0)
		close(s->scratch);
	if (s->signals >= 0)
		close(s->signals);
}

int server_run(const struct server_ask *ask, struct why *why)
{
	struct server s = {.ask = ask,
			   .api = ask->api,
			   .sockets = {-1, -1},
			   .polls = {-1, -1},
			   .scratch = -1,
			   .signals = -1};
	bool is_open = false;
	char url[400];
	sigset_t ending;
	int r = load(why);

	if (r < 0)
		return r;
	sigemptyset(&ending);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGTERM);
	sigprocmask(SIG_BLOCK, &ending, NULL);
	s.signals = signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
	why_set(why, "the server cannot be started");
	/* before there is any connection that its process could keep open */
	api_begin_index(s.api, ask->keeps_index);
	r = s.signals >= 0 ? begin(&s, &is_open, why) : -errno;
	if (r == 0) {
		const char *host = ask->address != NULL ? ask->address : "127.0.0.1";

		snprintf(url, sizeof(url), "http://%.300s:%" PRIu16 "/%s/", host, s.port, s.token);
		s.asked_ns = now_ns();
		ask->ready(ask->context, url, host, s.port, is_open);
		r = serve(&s);
	}
	end(&s);
	return r;
}
