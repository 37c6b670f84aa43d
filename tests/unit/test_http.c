/*
 * http/: the server as its users see it: what is called, when, and what comes of it; a client of our own at its socket.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/clock.h"
#include "http/server.h"
#include "tests/tap.h"

#define HOUR (3600 * NS_PER_SECOND)

static const struct http_rules plain = {
	.connections_max = 16,
	.header_max = 16 << 10,
	.body_max = 10,
	.ask.ns = HOUR,
	.keep.ns = HOUR,
	.take.ns = HOUR,
	.inactive_sec = 3600,
	.end_ns = HOUR,
};

static struct http_server *server;
static pthread_t thread;
static char directory[] = "/tmp/cprof-http-test.XXXXXX", path[64];
static int door, called[2], awaited[2],
	ended[2]; /* pipes: the user's file, what a request waits for, what has ended */
static _Atomic unsigned begun, steps, looks_with_word, forgotten;
static _Atomic size_t held;

/* ---- the user ---- */

static void say(struct http_request *q, int status, const char *text)
{
	struct http_reply reply = HTTP_REPLY(status);

	reply.bytes = text;
	reply.size = strlen(text);
	http_add(&reply, "X-Of", "a user");
	http_reply(q, &reply);
}

static void check(struct http_request *q)
{
	if (http_header_of(q, "X-Refuse") != NULL)
		say(q, 403, "refused");
}

static void send_copy(struct http_request *q, const char *text)
{
	struct http_reply reply = HTTP_REPLY(200);

	reply.bytes = strdup(text);
	reply.size = strlen(text);
	reply.is_to_free = true;
	http_reply(q, &reply);
	held = http_held(q->server);
}

static void begin(struct http_request *q)
{
	struct http_reply reply = HTTP_REPLY(201);

	atomic_fetch_add(&begun, 1);
	if (q->door == NULL) {
		say(q, 503, "gone");
	} else if (strcmp(q->uri, "/file") == 0) {
		reply.fd = memfd_create("reply", MFD_CLOEXEC);
		if (write(reply.fd, "in a file", 9) == 9)
			http_reply(q, &reply);
	} else if (strcmp(q->uri, "/empty") == 0) {
		reply.fd = memfd_create("reply", MFD_CLOEXEC);
		http_reply(q, &reply);
	} else if (strcmp(q->uri, "/copy") == 0) {
		send_copy(q, "a copy");
	} else if (strcmp(q->uri, "/body") == 0) {
		send_copy(q, q->body_size == 4 && memcmp(q->body, "four", 4) == 0 ? "four" : "?");
	} else if (strcmp(q->uri, "/time") == 0) {
		http_wait(q, -1, 1);
	} else if (strcmp(q->uri, "/ready") == 0) {
		http_wait(q, awaited[0], UINT64_MAX);
	} else if (strcmp(q->uri, "/forever") == 0) {
		http_wait(q, -1, UINT64_MAX);
	} else if (strcmp(q->uri, "/nothing") != 0) {
		say(q, 200, http_takes_gzip(q) ? "gzip" : "plain");
	}
	q->state = q->door;
}

static void step(struct http_request *q, enum http_why why, uint64_t now_ns)
{
	char c;

	(void)now_ns;
	atomic_fetch_add(&steps, 1);
	if (why == HTTP_READY && read(awaited[0], &c, 1) == 1)
		say(q, 200, c == 'x' ? "ready" : "not ready");
	else if (why == HTTP_TIME && steps == 1)
		http_wait(q, -1, 2);
	else if (why == HTTP_TIME && steps == 2)
		say(q, 200, "time");
	else if (why == HTTP_END && forgotten == 0)
		say(q, 200, "what there is");
	/* else it is closed */
}

static void end(struct http_request *q)
{
	char c = q->state != NULL ? 'b' : 'n';

	if (write(ended[1], &c, 1) != 1)
		abort();
}

static uint64_t look(void *context, uint64_t now_ns, bool has_come)
{
	(void)context, (void)now_ns;
	atomic_fetch_add(&looks_with_word, has_come);
	if (has_come)
		http_end(server);
	return UINT64_MAX;
}

static void *serve(void *unused)
{
	(void)unused;
	http_run(server);
	return NULL;
}

static void start(const struct http_rules *rules)
{
	struct http_user user = {check, begin, step, end, say, look, NULL, -1};
	struct listen l;
	struct why why = {""};
	char text[80];
	int r;

	if (pipe(called) < 0 || pipe(awaited) < 0 || pipe(ended) < 0)
		abort();
	user.fd = called[0];
	r = http_create(&server, rules, &user, &why);
	begun = steps = looks_with_word = forgotten = 0;
	snprintf(text, sizeof(text), "unix:%s", path);
	if (r == 0)
		r = listen_open(text, &l, &why);
	if (r == 0)
		r = http_listen(server, &l, &door, &why);
	if (r == 0)
		r = -pthread_create(&thread, NULL, serve, NULL);
	ok(r == 0, "a server %s", why.text);
}

static void stop(void)
{
	http_end(server);
	pthread_join(thread, NULL);
	http_destroy(server);
}

/* ---- the client ---- */

static int dial(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(to.sun_path, path);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		note("connect: %s", strerror(errno));
	return fd;
}

/* What is said until it has an end, or to the end. */
static const char *hear(int fd)
{
	static char text[4096];
	const char *top, *length;
	size_t n = 0;
	ssize_t got;

	do {
		got = recv(fd, text + n, sizeof(text) - 1 - n, 0);
		n += got > 0 ? (size_t)got : 0;
		text[n] = '\0';
		top = strstr(text, "\r\n\r\n");
		length = strstr(text, "Content-Length: ");
		if (top != NULL && length != NULL && length < top &&
		    n >= (size_t)(top + 4 - text) + strtoul(length + 16, NULL, 10))
			break;
	} while (got > 0);
	return text;
}

static void put(int fd, const char *text)
{
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		note("send: %s", strerror(errno));
}

static const char *ask(int fd, const char *what, const char *more)
{
	char text[512];

	snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: x\r\n%s\r\n", what, more);
	put(fd, text);
	return hear(fd);
}

static bool is_answer(const char *said, const char *status, const char *body)
{
	const char *top = strstr(said, "\r\n\r\n");
	bool is = strncmp(said, "HTTP/1.1 ", 9) == 0 && strncmp(said + 9, status, 3) == 0 &&
		  top != NULL && strcmp(top + 4, body) == 0;

	if (!is)
		note("said: %s", said);
	return is;
}

/* How the next one that ends did: 'b' it had begun, 'n' not. */
static char next_end(void)
{
	char c = '?';

	return read(ended[0], &c, 1) == 1 ? c : '!';
}

/* How many have ended that nobody looked at; after stop(): all of them have. */
static unsigned ends(void)
{
	int n = 0;

	return ioctl(ended[0], FIONREAD, &n) == 0 ? (unsigned)n : 0;
}

/* ---- tests ---- */

static void test_replies(void)
{
	int fd;

	start(&plain);
	fd = dial();
	ok(is_answer(ask(fd, "GET /", ""), "200", "plain"), "bytes that stay");
	ok(is_answer(ask(fd, "GET /", "Accept-Encoding: br, gzip\r\n"), "200", "gzip"),
	   "who unpacks gzip");
	ok(is_answer(ask(fd, "GET /", "Accept-Encoding: gzip;q=0\r\n"), "200", "plain"),
	   "and who does not");
	ok(is_answer(ask(fd, "GET /file", ""), "201", "in a file"), "a file");
	ok(is_answer(ask(fd, "GET /empty", ""), "201", ""), "a file with nothing in it");
	ok(is_answer(ask(fd, "GET /copy", ""), "200", "a copy"), "bytes to be freed");
	is_u64(held, 6, "are held until they were taken");
	ok(strstr(ask(fd, "GET /", ""), "\r\nX-Of: a user\r\n") != NULL, "a header");
	is_u64(begun, 7, "on one connection");
	close(fd);
	stop();
	is_u64(ends(), 7, "each has its end");
}

static void test_refusals(void)
{
	static const char *const cases[][4] = {
		{"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "400",
		 "400 Bad Request: a header is there twice\n", "two names"},
		{"GET / HTTP/1.1\r\nHost: x\r\nX-Refuse: 1\r\n\r\n", "403", "refused",
		 "what the user does not want"},
		{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n", "413",
		 "that is too much\n", "a body that is too long"},
		{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
		 "413", NULL, "and one of no length that there is"},
	};
	int fd;

	start(&plain);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *said;

		fd = dial();
		put(fd, cases[i][0]);
		said = hear(fd);
		ok(cases[i][2] != NULL ? is_answer(said, cases[i][1], cases[i][2])
				       : strncmp(said + 9, cases[i][1], 3) == 0,
		   "refused: %s", cases[i][3]);
		close(fd);
	}
	is_u64(begun, 0, "none of them has begun");
	fd = dial();
	ok(is_answer(ask(fd, "POST /body", "Content-Length: 4\r\n\r\nfour"), "200", "four"),
	   "a body");
	close(fd);
	fd = dial();
	put(fd, "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		"b\r\n0123456789a\r\n0\r\n\r\n");
	ok(strstr(hear(fd), " 200 ") == NULL, "a body of pieces that is too long");
	close(fd);
	fd = dial();
	is_str(ask(fd, "GET /nothing", ""), "", "who is not answered is hung up on");
	close(fd);
	stop();
	is_u64(begun, 2, "which has begun");
	is_u64(ends(), 7, "and so has who was refused");
}

static void test_waiting(void)
{
	int fd;

	start(&plain);
	fd = dial();
	ok(is_answer(ask(fd, "GET /time", ""), "200", "time"), "who waits for a time");
	is_u64(steps, 2, "twice");
	if (write(awaited[1], "x", 1) == 1)
		ok(is_answer(ask(fd, "GET /ready", ""), "200", "ready"), "and for a file");
	is_u64(steps, 3, "once");
	is_u64(next_end(), 'b', "the first has ended");
	is_u64(next_end(), 'b', "and the second");
	put(fd, "GET /forever HTTP/1.1\r\nHost: x\r\n\r\n");
	shutdown(fd, SHUT_WR);
	is_u64(next_end(), 'b', "who goes is not waited for");
	is_u64(steps, 3, "and not stepped");
	is_str(hear(fd), "", "nor answered");
	close(fd);
	fd = dial();
	put(fd, "GET /forever HTTP/1.1\r\nHost: x\r\n\r\n");
	while (begun < 4)
		sched_yield();
	http_end(server);
	ok(is_answer(hear(fd), "200", "what there is"), "at the end there is a reply");
	close(fd);
	stop();
}

static void test_doors(void)
{
	int fd, other;

	start(&plain);
	fd = dial();
	other = dial();
	ok(is_answer(ask(other, "GET /", ""), "200", "plain"), "another connection");
	put(fd, "GET /forever HTTP/1.1\r\nHost: x\r\n\r\n");
	while (begun < 2)
		sched_yield();
	http_forget(server, &door);
	ok(is_answer(hear(fd), "200", "what there is"),
	   "who waits at a door that goes is answered");
	ok(access(path, F_OK) < 0, "its file is gone");
	ok(is_answer(ask(other, "GET /", ""), "503", "gone"), "who is inside still is told");
	close(fd);
	close(other);
	stop();

	start(&plain);
	fd = dial();
	put(fd, "GET /forever HTTP/1.1\r\nHost: x\r\n\r\n");
	while (begun < 1)
		sched_yield();
	forgotten = 1;
	http_forget(server, &door);
	is_str(hear(fd), "", "and hung up on when there is no reply");
	close(fd);
	stop();
	is_u64(ends(), 1, "which is its end");
}

/* Bounds: none of them is for the clock to say. */
static void test_bounds(void)
{
	struct http_rules rules = plain;
	int first, second;

	rules.connections_max = 1;
	start(&rules);
	first = dial();
	ok(is_answer(ask(first, "GET /", ""), "200", "plain"), "the only connection");
	second = dial();
	put(second, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	for (int i = 0; i < 4; i++)
		ok(is_answer(ask(first, "GET /", ""), "200", "plain"), "goes on");
	is_u64(begun, 5, "and another is not looked at");
	close(first);
	ok(is_answer(hear(second), "200", "plain"), "until it is gone");
	close(second);
	stop();

	rules = plain;
	rules.ask.ns = 0;
	start(&rules);
	first = dial();
	is_str(hear(first), "", "who does not ask in time is hung up on");
	close(first);
	stop();

	rules = plain;
	rules.keep.ns = 0;
	start(&rules);
	first = dial();
	ok(is_answer(ask(first, "GET /", ""), "200", "plain"), "who has asked");
	is_str(hear(first), "", "and not again");
	close(first);
	stop();

	rules = plain;
	rules.crowd = 2;
	start(&rules);
	first = dial();
	ok(is_answer(ask(first, "GET /", ""), "200", "plain"), "while there is room");
	ok(is_answer(ask(first, "GET /", ""), "200", "plain"), "nobody is in a hurry");
	second = dial();
	is_str(hear(first), "", "in a crowd who says nothing goes");
	close(first);
	close(second);
	stop();
}

static void test_word(void)
{
	start(&plain);
	if (write(called[1], "w", 1) == 1)
		pthread_join(thread, NULL);
	is_u64(looks_with_word, 1, "the user's file was read, and the user told: it ends");
	http_destroy(server);
}

static void test_names(void)
{
	static const char *const ours[] = {"localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:80",
					   "[::1]",     "[::1]:80",     "box",       "box:80"},
				 *const others[] = {"",
						    ":80",
						    "localhost:",
						    "localhost:8",
						    "localhost:800",
						    "localhost:80:80",
						    "localhost.evil.example",
						    "evil.example",
						    "127.0.0.1.evil.example",
						    "127.0.0.12",
						    "::1",
						    "[::1",
						    "boxes",
						    "localhos"};
	struct listen l = {.fd = -1, .address = "box", .port = 80};

	for (unsigned i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		ok(listen_is_us(&l, ours[i]), "a name of ours: %s", ours[i]);
	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		ok(!listen_is_us(&l, others[i]), "and of nobody here: '%s'", others[i]);
	strcpy(l.address, "127.0.0.1");
	ok(!listen_is_us(&l, "box"), "nor where it is another machine's");
}

int main(void)
{
	struct why why;

	plan_begin();
	alarm(60); /* for what hangs */
	test_names();
	if (http_load(&why) < 0) {
		skip("%s", why.text);
		return plan_end();
	}
	if (mkdtemp(directory) == NULL)
		return 1;
	snprintf(path, sizeof(path), "%s/s", directory);
	test_replies();
	test_refusals();
	test_waiting();
	test_doors();
	test_bounds();
	test_word();
	rmdir(directory);
	return plan_end();
}
