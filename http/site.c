#include "http/site.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "http/works.h"
#include "output/file.h"
#include "page/pack.h"
#include "page/sheet.h"

#define TOKEN_BYTES 16
#define API         "api/v1/"
#define INDEX       "index.html"

static const struct http_rules rules = {
	.connections_max =
		128, /* as many as can hold an answer of the largest kind, within SITE_HELD_MAX */
	.crowd = 96,
	.header_max = 32 << 10,
	.ask = {10 * NS_PER_SECOND, NS_PER_SECOND},
	.keep = {30 * NS_PER_SECOND, NS_PER_SECOND},
	.take = {120 * NS_PER_SECOND, 5 * NS_PER_SECOND},
	.inactive_sec = 60,
};

/* One that runs. */
struct run {
	const struct site *site;
	struct http_server *http;
	struct works works;
	char token[2 * TOKEN_BYTES + 1];
	int signals, scratch;
	struct sheet sheet;
};

#define POLICY "default-src 'none'; base-uri 'none'; form-action 'none'; "

/* ---- replies ---- */

/*
 * http_reply() with what every reply has. One of bytes to be freed, where too many are on their way, becomes a 503.
 * @policy: what a page may do.
 */
static void reply_as(struct http_request *q, struct http_reply *reply, const char *type,
		     const char *cache, const char *policy);

static void say(struct http_request *q, int status, const char *text)
{
	struct http_reply reply = HTTP_REPLY(status);

	reply.bytes = text;
	reply.size = strlen(text);
	reply_as(q, &reply, "text/plain; charset=utf-8", "no-store",
		 POLICY "frame-ancestors 'none'");
}

static void reply_as(struct http_request *q, struct http_reply *reply, const char *type,
		     const char *cache, const char *policy)
{
	static const char *const headers[][2] = {
		{"X-Content-Type-Options", "nosniff"},
		{"Referrer-Policy", "no-referrer"},
		{"Cross-Origin-Resource-Policy", "same-origin"},
		{"Cross-Origin-Opener-Policy", "same-origin"},
	};

	if (reply->is_to_free && reply->size > SITE_HELD_MAX - http_held(q->server)) {
		free((void *)(uintptr_t)reply->bytes);
		say(q, 503, "nobody takes the answers\n");
		return;
	}
	http_add(reply, "Content-Security-Policy", policy);
	for (unsigned i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		http_add(reply, headers[i][0], headers[i][1]);
	http_add(reply, "Content-Type", type);
	http_add(reply, "Cache-Control", cache);
	if (reply->status == 503)
		http_add(reply, "Retry-After", "1");
	if (reply->status == 405)
		http_add(reply, "Allow", "GET, HEAD");
	http_reply(q, reply);
}

/* The page, or, where @nonce is NULL, one of the files that it is made of. */
static void reply_file(struct http_request *q, struct http_reply *reply, const char *type,
		       const char *nonce)
{
	char who[48] = "'self'", policy[400];

	if (nonce != NULL)
		snprintf(who, sizeof(who), "'nonce-%s'", nonce);
	snprintf(policy, sizeof(policy),
		 POLICY "script-src %s; style-src %s; img-src 'self' data:; connect-src 'self'; "
			"frame-src 'self'; frame-ancestors 'none'",
		 who, who);
	reply_as(q, reply, type, "no-store", policy);
}

/* With what is in it already. */
static void reply_answer(struct http_request *q, struct http_reply *reply,
			 const struct answer *answer)
{
	static const char *const types[] = {[ANSWER_JSON] = "application/json",
					    [ANSWER_BYTES] = "application/octet-stream",
					    [ANSWER_PAGE] = "text/html; charset=utf-8"};
	char disposition[96];

	reply->status = answer->status;
	if (answer->filename[0] != '\0' && answer->status == 200) {
		snprintf(disposition, sizeof(disposition), "attachment; filename=\"%s\"",
			 answer->filename);
		http_add(reply, "Content-Disposition", disposition);
	}
	if (answer->is_packed)
		http_add(reply, "Content-Encoding", "gzip");
	http_add(reply, "Vary", "Accept-Encoding");
	reply_as(q, reply, types[answer->type],
		 answer->is_immutable ? "private, max-age=31536000, immutable" : "no-store",
		 answer->type == ANSWER_PAGE ? "frame-ancestors 'self'"
					     : POLICY "frame-ancestors 'none'");
}

/* What @fd has, from malloc; NULL: there is no memory. */
static char *read_scratch(int fd, size_t *ret_size)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *bytes = size >= 0 ? malloc((size_t)size + 1) : NULL;

	if (bytes == NULL || pread(fd, bytes, (size_t)size, 0) != size) {
		free(bytes);
		return NULL;
	}
	*ret_size = (size_t)size;
	return bytes;
}

/* An answer that is small, from the scratch file. */
static void send_now(const struct run *r, struct http_request *q, struct answer *answer)
{
	struct http_reply reply = HTTP_REPLY(200);
	char *bytes;
	off_t size;

	if (http_takes_gzip(q) && pack_file(r->scratch, &answer->is_packed) < 0)
		return;
	size = lseek(r->scratch, 0, SEEK_END);
	bytes = size >= 0 ? malloc((size_t)size + 1) : NULL;
	if (bytes == NULL || pread(r->scratch, bytes, (size_t)size, 0) != size) {
		free(bytes);
		return;
	}
	reply.bytes = bytes;
	reply.size = (size_t)size;
	reply.is_to_free = true;
	reply_answer(q, &reply, answer);
}

static bool clear_scratch(const struct run *r)
{
	return ftruncate(r->scratch, 0) == 0 && lseek(r->scratch, 0, SEEK_SET) == 0;
}

/* ---- what works are told ---- */

static void send_work(struct http_request *q, int file, const struct answer *answer)
{
	struct http_reply reply = HTTP_REPLY(200);

	reply.fd = file;
	reply_answer(q, &reply, answer);
}

static void refuse(struct http_request *q, int status, const char *why)
{
	const struct run *r = q->door;
	struct answer answer;

	if (!clear_scratch(r))
		return;
	r->site->refuse(r->site->context, status, why, r->scratch, &answer);
	send_now(r, q, &answer);
}

/* ---- the page's files ---- */

/* What the page asks first, and is answered at once. */
static int put_given(void *context, struct out *out, struct why *why)
{
	struct run *r = context;
	bool is_first = true;

	sheet_open_given(out);
	for (const char *const *q = r->site->given; *q != NULL; q++) {
		struct answer answer = {.status = 200};
		char *bytes = NULL;
		size_t size;

		if (clear_scratch(r) && r->site->ask(r->site->context, *q, r->scratch, &answer) &&
		    answer.status == 200 && answer.type == ANSWER_JSON)
			bytes = read_scratch(r->scratch, &size);
		if (bytes == NULL)
			continue;
		sheet_give(out, is_first, *q, bytes, size);
		is_first = false;
		free(bytes);
	}
	sheet_close_given(out);
	return 0;
}

static void send_page(struct run *r, struct http_request *q)
{
	struct http_reply reply = HTTP_REPLY(200);
	struct why why = {""};
	bool is_packed = false;
	char *bytes = sheet_text(&r->sheet, r->site->given != NULL ? put_given : NULL, r,
				 &reply.size, &why);

	if (bytes != NULL && http_takes_gzip(q) && clear_scratch(r) &&
	    file_sink(&r->scratch, bytes, reply.size) == 0 &&
	    pack_file(r->scratch, &is_packed) == 0 && is_packed) {
		free(bytes);
		bytes = read_scratch(r->scratch, &reply.size);
		http_add(&reply, "Content-Encoding", "gzip");
	}
	if (bytes == NULL) {
		log_debug("site: %s", why.text);
		say(q, 500, "there is no memory for the page\n");
		return;
	}
	reply.bytes = bytes;
	reply.is_to_free = true;
	http_add(&reply, "Vary", "Accept-Encoding");
	reply_file(q, &reply, asset_type(INDEX), r->sheet.nonce);
}

/* For who writes the page: from a directory, as it is now. */
static void send_file(struct http_request *q, const char *directory, const char *name)
{
	const char *type = asset_type(name);
	int at = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct http_reply reply = HTTP_REPLY(200);
	struct stat st;

	if (at >= 0 && type != NULL)
		reply.fd = openat(at, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (at >= 0)
		close(at);
	if (reply.fd >= 0 && fstat(reply.fd, &st) == 0 && S_ISREG(st.st_mode)) {
		reply_file(q, &reply, type, NULL);
		return;
	}
	if (reply.fd >= 0)
		close(reply.fd);
	say(q, 404, "not found\n");
}

static void answer_asset(struct run *r, struct http_request *q, char *name)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";

	name[strcspn(name, "?")] = '\0';
	if (name[0] == '\0')
		name = INDEX;
	/* a plain name, whichever way it is taken */
	if (name[strspn(name, plain)] != '\0' || name[0] == '.') {
		say(q, 404, "not found\n");
		return;
	}
	if (r->site->directory != NULL) {
		send_file(q, r->site->directory, name);
		return;
	}
	if (strcmp(name, INDEX) == 0)
		send_page(r, q);
	else
		say(q, 404, "not found\n");
}

/* ---- requests ---- */

static void check(struct http_request *q)
{
	if (strcmp(q->method, "GET") != 0 && strcmp(q->method, "HEAD") != 0)
		say(q, 405, "GET or HEAD was expected\n");
}

/* In a time that says nothing of how much of it is right. */
static bool is_token(const struct run *r, const char *text)
{
	unsigned char differs = 0;

	for (unsigned i = 0; i < 2 * TOKEN_BYTES; i++) {
		if (text[i] == '\0')
			return false;
		differs |= (unsigned char)(text[i] ^ r->token[i]);
	}
	return differs == 0 && text[2 * TOKEN_BYTES] == '/';
}

static void ask(struct run *r, struct http_request *q, const char *text)
{
	struct answer answer = {.status = 200};

	if (!clear_scratch(r))
		return;
	if (r->site->ask != NULL && r->site->ask(r->site->context, text, r->scratch, &answer))
		send_now(r, q, &answer);
	else
		works_add(&r->works, q, text);
}

static void begin(struct http_request *q)
{
	struct run *r = q->door;
	const char *host = http_header_of(q, "Host");
	char *rest;

	if (host == NULL || !listen_is_us(q->listen, host)) {
		say(q, 403, "not the name of this server\n");
		return;
	}
	if (q->uri[0] != '/' || !is_token(r, q->uri + 1)) {
		say(q, 404, "not found\n");
		return;
	}
	rest = q->uri + 1 + 2 * TOKEN_BYTES + 1;
	if (strncmp(rest, API, sizeof(API) - 1) == 0)
		ask(r, q, rest + sizeof(API) - 1);
	else
		answer_asset(r, q, rest);
}

static void step(struct http_request *q, enum http_why why, uint64_t now_ns)
{
	struct run *r = q->door;

	(void)now_ns;
	works_step(&r->works, q, why);
}

static void end(struct http_request *q)
{
	struct run *r = q->door;

	if (r != NULL)
		works_end(&r->works, q);
}

static uint64_t look(void *context, uint64_t now_ns, bool has_come)
{
	struct run *r = context;
	uint64_t asked_ns = http_asked_ns(r->http), idle_ns = r->site->idle_ns, next = UINT64_MAX;

	if (has_come)
		http_end(r->http);
	if (r->site->look != NULL)
		next = r->site->look(r->site->context, now_ns);
	works_look(&r->works);
	if (idle_ns == 0 || asked_ns == UINT64_MAX)
		return next;
	if (now_ns - asked_ns >= idle_ns)
		http_end(r->http);
	return asked_ns + idle_ns < next ? asked_ns + idle_ns : next;
}

/* ---- beginning and end ---- */

static int open_one(struct run *r, const struct sockaddr *to, socklen_t size, const char *address,
		    uint16_t *ret_port, struct why *why)
{
	struct listen l = {.fd = -1};
	int e;

	snprintf(l.address, sizeof(l.address), "%s", address);
	e = listen_open_at(&l, to, size);
	if (e < 0)
		return e;
	*ret_port = l.port;
	return http_listen(r->http, &l, r, why);
}

static int open_loopback(struct run *r, uint16_t *ret_port, struct why *why)
{
	struct sockaddr_in four = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				   .sin_port = htons(r->site->port)};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int e = open_one(r, (struct sockaddr *)&four, sizeof(four), "127.0.0.1", ret_port, why);
	uint16_t port;

	if (e < 0)
		return e;
	/* where there is no such thing, or somebody has that port, one will do */
	six.sin6_port = htons(*ret_port);
	open_one(r, (struct sockaddr *)&six, sizeof(six), "[::1]", &port, NULL);
	return 0;
}

static bool is_address(const struct sockaddr *a, in_addr_t four, const struct in6_addr *six)
{
	if (a->sa_family == AF_INET6)
		return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr, six, sizeof(*six)) == 0;
	return ((const struct sockaddr_in *)a)->sin_addr.s_addr == htonl(four);
}

static int open_address(struct run *r, uint16_t *ret_port, bool *ret_is_open, struct why *why)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	const char *text = r->site->address;
	size_t n = strlen(text);
	char host[256], port[8];
	struct addrinfo *found;
	int e;

	snprintf(host, sizeof(host), "%.*s", (int)(text[0] == '[' && n > 1 ? n - 2 : n),
		 text[0] == '[' ? text + 1 : text);
	snprintf(port, sizeof(port), "%" PRIu16, r->site->port);
	e = getaddrinfo(host, port, &hints, &found);
	if (e != 0) {
		why_set(why, "%s: %s", text, gai_strerror(e));
		return -EINVAL;
	}
	*ret_is_open = !is_address(found->ai_addr, INADDR_LOOPBACK, &in6addr_loopback);
	if (is_address(found->ai_addr, INADDR_ANY, &in6addr_any)) {
		why_set(why,
			"%s is every address of this machine: name the one by which the page "
			"will be called",
			text);
		e = -EINVAL;
	} else {
		e = open_one(r, found->ai_addr, found->ai_addrlen, text, ret_port, why);
	}
	freeaddrinfo(found);
	return e;
}

static int open_doors(struct run *r, struct why *why)
{
	const char *host = r->site->address != NULL ? r->site->address : "127.0.0.1";
	uint16_t port = r->site->port;
	bool is_open = false;
	char url[400];
	int e = r->site->address != NULL ? open_address(r, &port, &is_open, why)
					 : open_loopback(r, &port, why);

	if (e == -EADDRINUSE)
		why_set(why, "port %" PRIu16 " is taken; --port 0 takes a free one", port);
	if (e < 0)
		return e;
	snprintf(url, sizeof(url), "http://%.300s:%" PRIu16 "/%s/", host, port, r->token);
	r->site->ready(r->site->context, url, host, port, is_open);
	return 0;
}

static int make_token(struct run *r)
{
	uint8_t bytes[TOKEN_BYTES];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return -errno;
	for (unsigned i = 0; i < TOKEN_BYTES; i++)
		snprintf(r->token + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

/* What ends us comes as a word in a file. */
static int open_signals(void)
{
	sigset_t ending, blocked;
	int fd;

	sigemptyset(&ending);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGTERM);
	blocked = ending;
	sigaddset(&blocked, SIGPIPE);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	fd = signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int site_run(const struct site *site, struct why *why)
{
	struct run r = {.site = site,
			.works = {.ask = {.answer = site->work,
					  .refuse = site->refuse,
					  .context = site->context},
				  .send = send_work,
				  .refuse = refuse}};
	struct http_user user = {.check = check,
				 .begin = begin,
				 .step = step,
				 .end = end,
				 .refuse = say,
				 .look = look,
				 .context = &r};
	const char *directory;
	int e = http_load(why);

	if (e < 0)
		return e;
	r.scratch = file_open_unnamed(&directory);
	if (r.scratch < 0) {
		why_set(why, "no file for answers in %s: %s; set TMPDIR to another directory",
			directory, strerror(-r.scratch));
		return r.scratch;
	}
	why_set(why, "the server cannot be started");
	e = r.signals = user.fd = open_signals();
	if (e >= 0) {
		if (site->begin != NULL)
			site->begin(site->context);
		e = make_token(&r);
		if (e == 0)
			e = sheet_init(&r.sheet, site->assets);
		r.sheet.is_served = true;
		if (e == 0)
			e = http_create(&r.http, &rules, &user, why);
		if (e == 0)
			e = open_doors(&r, why);
		if (e == 0)
			http_run(r.http);
		http_destroy(r.http);
		close(r.signals);
	}
	close(r.scratch);
	return e;
}
