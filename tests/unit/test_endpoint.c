/*
 * endpoint/: what is asked and what is answered, with no socket and a clock of our own; and who may ask.
 */
#include <dlfcn.h>
#include <errno.h>

#include "core/table.h"
#include "endpoint/endpoint.h"
#include "http/listen.h"
#include "http/query.h"
#include "tests/unit/reading_make.h"

static const struct profile_ops heap = {
	.name = "heap",
	.values = (const struct value_type[]){{"alloc_objects", "count"},
					      {"alloc_space", "bytes"},
					      {"inuse_objects", "count"},
					      {"inuse_space", "bytes"},
					      {0}},
	.period = {"space", "bytes"},
	.table = SEGMENT_TABLE_HEAP,
	.run = RUN_HEAP,
	.is_by_size = true,
};
static const struct profile_ops block = {
	.name = "block",
	.values = (const struct value_type[]){{"contentions", "count"},
					      {"delay", "nanoseconds"},
					      {0}},
	.period = {"contentions", "count"},
	.table = SEGMENT_TABLE_BLOCK,
	.run = RUN_BLOCK,
};
static const struct profile_ops threads = {
	.name = "threads",
	.values = (const struct value_type[]){{"threads", "count"}, {0}},
	.period = {"threads", "count"},
	.table = SEGMENT_NO_TABLE,
	.run = RUN_THREADS,
	.is_instant = true,
};
static const struct profile_ops *const profiles[] = {&cpu, &heap, &block, &threads, NULL};

/* ---- a process that does what the test says ---- */

static struct segment segment;
static unsigned held, begun, ended, stopped, looks, looks_wanted, cancelled, windows_open;
static bool was_started;
static char told[64];

static const struct segment *hold(void *user)
{
	(void)user;
	if (held++ != 0)
		ok(false, "it is held once");
	return &segment;
}

static void release(void *user)
{
	(void)user;
	held--;
}

static int look(void *user, struct endpoint_call *call, const struct profile_ops *ops,
		struct why *why)
{
	(void)user, (void)ops, (void)why;
	looks++;
	call->state = 1;
	if (looks < looks_wanted)
		return -EINPROGRESS;
	call->state = 0;
	return 0;
}

static int window_begin(void *user, struct endpoint_call *call, const struct profile_ops *ops,
			bool starts, struct reading_window **ret, struct why *why)
{
	int r;

	(void)user, (void)call, (void)why;
	was_started = starts;
	if (!reading_is_there(&segment, ops))
		return -EAGAIN;
	r = reading_window_begin(&segment, ops, ret);
	begun++;
	windows_open += r == 0;
	return r;
}

static void window_stop(void *user, struct reading_window *window)
{
	(void)user, (void)window;
	stopped++;
}

static void window_end(void *user, struct reading_window *window)
{
	(void)user;
	reading_window_end(window);
	ended++;
	windows_open--;
}

static int start(void *user, struct endpoint_call *call, const char *spec, struct why *why)
{
	(void)user, (void)call;
	if (strcmp(spec, "nix") == 0) {
		why_set(why, "unknown word");
		return -EINVAL;
	}
	snprintf(told, sizeof(told), "start %s", spec);
	return 0;
}

static int stop(void *user, struct endpoint_call *call, const char *names, struct why *why)
{
	(void)user, (void)call, (void)why;
	snprintf(told, sizeof(told), "stop %s", names);
	return 0;
}

static void cancel(void *user, struct endpoint_call *call)
{
	(void)user;
	call->state = 0;
	cancelled++;
}

static const struct endpoint_source source = {
	.profiles = profiles,
	.hold = hold,
	.release = release,
	.look = look,
	.window_begin = window_begin,
	.window_stop = window_stop,
	.window_end = window_end,
	.start = start,
	.stop = stop,
	.cancel = cancel,
};

static struct endpoint *endpoint;

static void make(void)
{
	segment = reading_make();
	endpoint = endpoint_create(&source);
	begun = ended = stopped = looks = cancelled = looks_wanted = 0;
}

/* ---- questions ---- */

static struct endpoint_request *begin(const char *method, const char *url, const char *body)
{
	static char path[512];
	const char *query = strchr(url, '?');
	struct endpoint_ask ask = {.method = method,
				   .path = path,
				   .query = query != NULL ? query + 1 : NULL,
				   .body = body,
				   .body_size = strlen(body)};

	snprintf(path, sizeof(path), "%.*s", (int)strcspn(url, "?"), url);
	return endpoint_begin(endpoint, &ask);
}

static char *body_of(struct endpoint_reply *reply)
{
	int fd = reply->fd;

	reply->fd = -1;
	return fd >= 0 ? text_of(fd) : strdup("");
}

/* Answered at once, with this. */
static void answers(const char *method, const char *url, const char *body, int status,
		    const char *type, const char *want)
{
	struct endpoint_request *q = begin(method, url, body);
	uint64_t next = 0;
	struct endpoint_reply *reply = endpoint_step(q, 1, false, &next);
	char *got;

	if (ok(reply != NULL, "%s %s is answered at once", method, url)) {
		is_u64(reply->status, status, "%s: status", url);
		is_str(reply->type, type, "%s: type", url);
		got = body_of(reply);
		if (want != NULL)
			is_str(got, want, "%s: body", url);
		free(got);
	}
	endpoint_end(q);
}

#define PLAIN  "text/plain; charset=utf-8"
#define BINARY "application/octet-stream"
#define BASE   "/debug/pprof/"

static void test_errors(void)
{
	make();
	answers("GET", BASE "nix", "", 404, PLAIN, "Unknown profile\n");
	answers("GET", BASE "heap/", "", 404, PLAIN, "Unknown profile\n");
	answers("GET", BASE "delta_nix", "", 404, PLAIN, "Unknown profile\n");
	answers("GET", BASE "heap?seconds=x", "", 400, PLAIN,
		"invalid value for \"seconds\" - must be a positive integer\n");
	answers("GET", BASE "heap?seconds=0", "", 400, PLAIN,
		"invalid value for \"seconds\" - must be a positive integer\n");
	answers("GET", BASE "heap?seconds=1&debug=1", "", 400, PLAIN,
		"seconds and debug params are incompatible\n");
	answers("GET", BASE "profile?seconds=3601", "", 400, PLAIN,
		"profile duration exceeds server's WriteTimeout\n");
	answers("GET", BASE "heap?seconds=99999999999999999999", "", 400, PLAIN,
		"invalid value for \"seconds\" - must be a positive integer\n");
	answers("GET", "/", "", 404, PLAIN, "404 page not found\n");
	answers("GET", "/debug/", "", 404, PLAIN, "404 page not found\n");
	answers("GET", BASE "trace", "", 500, PLAIN, "Could not enable tracing: not here\n");
	answers("GET", "/debug/cprof/start", "", 405, PLAIN, NULL);
	answers("POST", "/debug/cprof/start", "", 400, PLAIN, NULL);
	endpoint_destroy(endpoint);
}

static void test_redirects(void)
{
	static const char *const cases[][2] = {
		{"/debug/pprof", "/debug/pprof/"},
		{"//debug/pprof/heap", "/debug/pprof/heap"},
		{"/debug/./pprof/heap", "/debug/pprof/heap"},
		{"/debug/pprof/../pprof/heap?debug=1", "/debug/pprof/heap?debug=1"},
		{"/../../debug/pprof//", "/debug/pprof/"},
		{"", "/"},
	};

	make();
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct endpoint_request *q = begin("GET", cases[i][0], "");
		uint64_t next;
		struct endpoint_reply *reply = endpoint_step(q, 1, false, &next);

		is_u64(reply->status, 301, "\"%s\" is elsewhere", cases[i][0]);
		is_str(reply->location, cases[i][1], "there");
		endpoint_end(q);
	}
	endpoint_destroy(endpoint);
}

/* What @url gives, a valid profile, with these in its header. */
static struct profile profile_of(const char *url, const char *file_name)
{
	struct endpoint_request *q = begin("GET", url, "");
	uint64_t next;
	struct endpoint_reply *reply = endpoint_step(q, 1, false, &next);
	struct profile p = {0};
	struct why why = {""};
	char buffer[65536];
	ssize_t n;

	if (reply == NULL)
		reply = endpoint_step(q, next, false, &next);
	if (!ok(reply != NULL && reply->status == 200 && reply->fd >= 0, "%s: 200", url)) {
		profile_init(&p);
		endpoint_end(q);
		return p;
	}
	is_str(reply->type, BINARY, "%s: type", url);
	is_str(reply->file_name, file_name, "%s: file name", url);
	n = pread(reply->fd, buffer, sizeof(buffer), 0);
	ok(n > 0 && pprof_decode(buffer, (size_t)n, &p, &why) == 0, "%s: valid %s", url, why.text);
	endpoint_end(q);
	return p;
}

static void test_off(void)
{
	struct profile p;

	make();
	p = profile_of(BASE "heap", "heap");
	is_u64(p.samples_n, 0, "a profile that never ran is empty");
	is_u64(p.sample_types_n, 4, "and has its columns");
	is_u64(p.period, 512 << 10, "and the period that it would have");
	ok(has_comment(&p, "heap is not switched on: cprof ctl 100 start heap"), "and says why");
	profile_fini(&p);
	p = profile_of(BASE "profile?seconds=1", "profile");
	is_u64(p.samples_n, 0, "so is a CPU profile that cannot be");
	is_u64(p.period, 10000000, "with its period");
	ok(was_started, "it was to be started");
	profile_fini(&p);
	p = profile_of(BASE "goroutine", "goroutine");
	is_str(p.sample_types[0].type, "goroutine", "threads are called as Go's are");
	profile_fini(&p);
	answers("GET", BASE "threads?debug=1", "", 200, PLAIN, "threads profile: total 0\n");
	answers("GET", BASE "block?debug=1", "", 200, PLAIN,
		"--- contention:\ncycles/second=1000000000\n");
	endpoint_destroy(endpoint);
}

static void put(uint64_t ns)
{
	static const uint64_t frames[] = {0x1000, 0x2000};

	table_record(&segment, SEGMENT_TABLE_BLOCK, frames, 2, 0, (const uint64_t[]){1, ns});
}

static void test_windows(void)
{
	struct endpoint_request *first, *second;
	struct endpoint_reply *reply;
	uint64_t next = 0;
	struct profile p;

	make();
	run(&segment, RUN_BLOCK, 1);
	put(100);
	first = begin("GET", BASE "block?seconds=2", "");
	ok(endpoint_step(first, 10 * SECOND, false, &next) == NULL, "a window is waited for");
	is_u64(next, 12 * SECOND, "as long as was said");
	put(20);
	second = begin("GET", BASE "block?seconds=1", "");
	ok(endpoint_step(second, 11 * SECOND, false, &next) == NULL, "so is another");
	put(3);
	ok(endpoint_step(first, 11 * SECOND, false, &next) == NULL, "it is not yet time");
	reply = endpoint_step(first, 12 * SECOND, false, &next);
	ok(reply != NULL && reply->status == 200, "now it is");
	is_str(reply->file_name, "block-delta", "as a difference");
	is_u64(windows_open, 1, "the window is closed");
	ok(!was_started, "nothing was started for it");
	endpoint_end(first);
	is_u64(stopped, 1, "its profile was stopped before it was written");

	endpoint_end(second);
	is_u64(windows_open, 0, "who goes leaves nothing");
	first = begin("GET", BASE "block?seconds=9", "");
	endpoint_step(first, 1, false, &next);
	put(7);
	reply = endpoint_step(first, 2, true, &next);
	ok(reply != NULL && reply->status == 200, "when the process ends there is what there is");
	endpoint_end(first);

	p = profile_of(BASE "delta_block", "delta_block");
	is_u64(p.samples_n == 1 ? p.samples[0].values[1] : 0, 130, "the first is all there was");
	profile_fini(&p);
	p = profile_of(BASE "delta_block", "delta_block");
	is_u64(p.samples_n, 0, "the second is what came since: nothing");
	profile_fini(&p);
	put(4);
	p = profile_of(BASE "delta_block", "delta_block");
	is_u64(p.samples_n == 1 ? p.samples[0].values[1] : 0, 4, "the third has it");
	profile_fini(&p);
	is_u64(windows_open, 1, "one window is kept for the next");
	endpoint_destroy(endpoint);
	is_u64(windows_open, 0, "and no longer");
}

static void test_limits(void)
{
	struct endpoint_request *all[ENDPOINT_WAITING_MAX + 1];
	struct endpoint_reply *reply;
	uint64_t next;

	make();
	for (unsigned i = 0; i < ENDPOINT_WAITING_MAX; i++) {
		all[i] = begin("GET", BASE "profile", "");
		if (endpoint_step(all[i], 1, false, &next) != NULL)
			ok(false, "there is room for %u", i);
	}
	all[ENDPOINT_WAITING_MAX] = begin("GET", BASE "profile", "");
	reply = endpoint_step(all[ENDPOINT_WAITING_MAX], 1, false, &next);
	ok(reply != NULL && reply->status == 503 && reply->retry_sec > 0,
	   "one too many comes again later");
	for (unsigned i = 0; i <= ENDPOINT_WAITING_MAX; i++)
		endpoint_end(all[i]);
	all[0] = begin("GET", BASE "profile", "");
	ok(endpoint_step(all[0], 1, false, &next) == NULL, "then there is room");
	endpoint_end(all[0]);

	looks_wanted = 3;
	all[0] = begin("GET", BASE "threads", "");
	looks = 0;
	ok(endpoint_step(all[0], 1, false, &next) == NULL && next > 1, "a look is waited for");
	ok(endpoint_step(all[0], next, false, &next) == NULL, "and again");
	ok(endpoint_step(all[0], next, false, &next) != NULL, "until it is there");
	endpoint_end(all[0]);
	is_u64(cancelled, 0, "nothing was given up");
	looks = 0;
	all[0] = begin("GET", BASE "threads", "");
	endpoint_step(all[0], 1, false, &next);
	endpoint_end(all[0]);
	is_u64(cancelled, 1, "who goes in the middle gives it up");
	endpoint_destroy(endpoint);
}

/* This program, as far as the segment knows: its code is one module. */
static void put_self(void)
{
	static char path[256];
	uint64_t here = (uintptr_t)test_limits, bias, word;
	Dl_info info;

	if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0 ||
	    dladdr((void *)(uintptr_t)here, &info) == 0)
		abort();
	bias = (uintptr_t)info.dli_fbase;
	word = put_module(&segment, path,
			  (struct segment_module){.start = bias,
						  .end = here + 4096,
						  .image_start = bias,
						  .image_end = here + 4096,
						  .bias = bias,
						  .state = MODULE_LOADED});
	word = (word + 1) << 48 | (here + 1);
	table_record(&segment, SEGMENT_TABLE_BLOCK, &word, 1, 0, (const uint64_t[]){1, 7});
}

static void test_hurry(void)
{
	make();
	run(&segment, RUN_BLOCK, 1);
	put_self();
	for (int round = 0; round < 3; round++) {
		struct profile p;

		endpoint_hurry(endpoint, round != 1);
		p = profile_of(BASE "block", "block");
		is_u64(p.samples_n, 1, "a profile");
		ok((p.functions_n > 0) == (round != 0), "%s",
		   round == 0   ? "in a hurry it has no names"
		   : round == 1 ? "after that it has them"
				: "and in a hurry those that are known");
		profile_fini(&p);
	}
	endpoint_destroy(endpoint);
}

static void test_pages(void)
{
	struct endpoint_header headers[ENDPOINT_HEADERS_MAX];
	struct endpoint_request *q;
	struct endpoint_reply *reply;
	unsigned n, found = 0;
	uint64_t next;
	char *got;

	make();
	segment.header->program = segment_string(&segment, "<b>&\"", 5);
	q = begin("GET", BASE, "");
	reply = endpoint_step(q, 1, false, &next);
	n = endpoint_headers(reply, headers);
	for (unsigned i = 0; i < n; i++)
		found += strcmp(headers[i].name, "Content-Security-Policy") == 0 ||
			 (strcmp(headers[i].name, "X-Content-Type-Options") == 0 &&
			  strcmp(headers[i].value, "nosniff") == 0);
	is_u64(found, 2, "the page has its headers");
	got = body_of(reply);
	ok(strstr(got, "&lt;b&gt;&amp;") != NULL && strstr(got, "<b>") == NULL,
	   "what others wrote is text");
	free(got);
	endpoint_end(q);

	answers("POST", BASE "symbol", "0x10+nix+0x0", 200, PLAIN, "num_symbols: 1\n");
	answers("GET", BASE "symbol?0x10", "", 200, PLAIN, "num_symbols: 1\n");
	answers("POST", "/debug/cprof/start", "cpu=250\n", 200, PLAIN, "done\n");
	is_str(told, "start cpu=250", "the process was told");
	answers("POST", "/debug/cprof/start", "nix", 400, PLAIN, "unknown word\n");
	answers("POST", "/debug/cprof/stop", "cpu", 200, PLAIN, "done\n");
	is_str(told, "stop cpu", "and again");
	endpoint_destroy(endpoint);
}

/* ---- what is read as Go reads it ---- */

static void test_query(void)
{
	static const struct {
		const char *text;
		int r;
		int64_t n;
	} ints[] = {
		{"30", 0, 30},
		{"+5", 0, 5},
		{"-5", 0, -5},
		{"", -EINVAL, 0},
		{"5s", -EINVAL, 0},
		{" 5", -EINVAL, 0},
		{"0x10", -EINVAL, 0},
		{"9223372036854775807", 0, INT64_MAX},
		{"9223372036854775808", -ERANGE, INT64_MAX},
		{"-9223372036854775808", 0, INT64_MIN},
		{"-99999999999999999999", -ERANGE, INT64_MIN},
		{"-", -EINVAL, 0},
	};
	char text[16];
	int64_t n;
	double x;

	for (unsigned i = 0; i < sizeof(ints) / sizeof(ints[0]); i++) {
		ok(query_int(ints[i].text, &n) == ints[i].r, "\"%s\": result", ints[i].text);
		is_u64(n, ints[i].n, "\"%s\": value", ints[i].text);
	}
	ok(query_float("1.5", &x) == 0 && x == 1.5, "a float");
	ok(query_float("1e3", &x) == 0 && x == 1000, "with an exponent");
	ok(query_float("1,5", &x) < 0 && query_float("", &x) < 0 && query_float("1 ", &x) < 0,
	   "no float");

	ok(query_get("a=1&b=2&a=3", "a", text, sizeof(text)) && strcmp(text, "1") == 0,
	   "the first of its name");
	ok(query_get("x&b", "b", text, sizeof(text)) && text[0] == '\0', "one without a value");
	ok(!query_get("aa=1&a%=2", "a", text, sizeof(text)), "no such thing");
	ok(query_get("%61=%31+%2b", "a", text, sizeof(text)) && strcmp(text, "1 +") == 0,
	   "decoded");
	ok(query_get("a=%zz&a=2", "a", text, sizeof(text)) && strcmp(text, "2") == 0,
	   "what cannot be decoded is passed over");
	ok(query_get("a=1;b=2&b=3", "b", text, sizeof(text)) && strcmp(text, "3") == 0,
	   "so is what has a semicolon");
	ok(query_get("a=0123456789012345678", "a", text, sizeof(text)) && strlen(text) == 15,
	   "what is too long is cut");
	ok(!query_get(NULL, "a", text, sizeof(text)), "of nothing");
	ok(query_path("/a%20b+c?d", text, sizeof(text)) == 6 && strcmp(text, "/a b+c") == 0,
	   "a path");
	ok(query_path("/a%00b", text, sizeof(text)) == 4 && strlen(text) == 4,
	   "a NUL does not end it");
	ok(query_path("/a%2", text, sizeof(text)) < 0 &&
		   query_path("/0123456789012345", text, sizeof(text)) < 0,
	   "no path");
	is_u64(query_address("0x10", 4), 16, "an address");
	is_u64(query_address("0X1F", 4), 31, "in capitals");
	is_u64(query_address("010", 3), 8, "as Go reads octal");
	is_u64(query_address("10", 2), 10, "decimal");
	ok(query_address("0x", 2) == 0 && query_address("1g", 2) == 0 &&
		   query_address("0x10000000000000000", 19) == 0 && query_address("", 0) == 0,
	   "none");
}

/* ---- who may ask ---- */

static void test_listen(void)
{
	struct listen l = {.fd = -1, .address = "127.0.0.1", .port = 6060};
	struct why why;

	ok(listen_check("unix:/run/x", &why) == 0 && listen_check("127.0.0.1:0", &why) == 0 &&
		   listen_check("[::1]:6060", &why) == 0 && listen_check("localhost:1", &why) == 0,
	   "this machine alone");
	ok(listen_check("0.0.0.0:6060", &why) < 0, "other machines");
	is_str(why.text,
	       "http=0.0.0.0:6060: other machines can reach this address: it needs "
	       "?token=FILE&cert=FILE&key=FILE; or use 127.0.0.1 or unix:PATH",
	       "are refused");
	ok(listen_check(":6060", &why) < 0 && listen_check("[::]:6060", &why) < 0 &&
		   listen_check("10.0.0.1:6060?token=a", &why) < 0 &&
		   listen_check("10.0.0.1:6060?token=a&cert=b", &why) < 0 &&
		   listen_check("10.0.0.1:6060?cert=b&key=c", &why) < 0,
	   "by whatever name, and with less than all of it");
	ok(listen_check("10.0.0.1:6060?token=a&cert=b&key=c", &why) == 0, "but with it");
	ok(listen_check("example.com:6060", &why) < 0 && listen_check("6060", &why) < 0 &&
		   listen_check("127.0.0.1:65536", &why) < 0 && listen_check("unix:", &why) < 0 &&
		   listen_check("127.0.0.1:", &why) < 0 && listen_check("", &why) < 0,
	   "no addresses");

	ok(listen_is_us(&l, "localhost:6060") && listen_is_us(&l, "127.0.0.1:6060") &&
		   listen_is_us(&l, "LOCALHOST") && listen_is_us(&l, "[::1]:6060") &&
		   listen_is_us(&l, NULL),
	   "our names");
	ok(!listen_is_us(&l, "evil.example") && !listen_is_us(&l, "localhost:6061") &&
		   !listen_is_us(&l, "localhost.evil.example:6060") && !listen_is_us(&l, "") &&
		   !listen_is_us(&l, "127.0.0.1:60600"),
	   "not ours");

	ok(listen_allows(&l, NULL), "without a token everybody may ask");
	strcpy(l.token, "0123456789abcdef");
	ok(listen_is_us(&l, "any.example"), "whatever he calls us");
	ok(listen_allows(&l, "Bearer 0123456789abcdef") &&
		   listen_allows(&l, "bearer 0123456789abcdef") &&
		   listen_allows(&l, "Basic YW55Ym9keTowMTIzNDU2Nzg5YWJjZGVm"),
	   "with one, who knows it: as Bearer, or as the password");
	ok(!listen_allows(&l, NULL) && !listen_allows(&l, "Bearer 0123456789abcdee") &&
		   !listen_allows(&l, "Bearer 0123456789abcde") &&
		   !listen_allows(&l, "Bearer 0123456789abcdef0") &&
		   !listen_allows(&l, "Bearer ") && !listen_allows(&l, "Basic !!") &&
		   !listen_allows(&l, "Basic MDEyMzQ1Njc4OWFiY2RlZg==") &&
		   !listen_allows(&l, "0123456789abcdef"),
	   "and nobody else");
}

int main(void)
{
	plan_begin();
	test_errors();
	test_redirects();
	test_off();
	test_windows();
	test_limits();
	test_hurry();
	test_pages();
	test_query();
	test_listen();
	return plan_end();
}
