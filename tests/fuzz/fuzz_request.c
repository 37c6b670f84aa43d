/*
 * Any request is answered, and leaves nothing. The first line of the input is method, path with query; what follows is the body.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/profile.h"
#include "endpoint/endpoint.h"
#include "http/listen.h"
#include "http/query.h"
#include "tests/unit/segment_make.h"

static struct segment segment;
static unsigned windows;

static const struct segment *hold(void *user)
{
	(void)user;
	return &segment;
}

static void release(void *user)
{
	(void)user;
}

static int look(void *user, struct endpoint_call *call, const struct profile_ops *ops,
		struct why *why)
{
	(void)user, (void)call, (void)ops, (void)why;
	return 0;
}

static int window_begin(void *user, struct endpoint_call *call, const struct profile_ops *ops,
			bool starts, struct reading_window **ret, struct why *why)
{
	int r = reading_window_begin(&segment, ops, ret);

	(void)user, (void)call, (void)starts, (void)why;
	windows += r == 0;
	return r;
}

static void window_end(void *user, struct reading_window *window)
{
	(void)user;
	windows--;
	reading_window_end(window);
}

static int change(void *user, struct endpoint_call *call, const char *text, struct why *why)
{
	struct option_set set;

	(void)user, (void)call;
	return option_parse(text, OPTION_PROFILES, &set, why);
}

static void check(bool is_right)
{
	if (!is_right)
		abort();
}

static void ask(const char *uri, const char *body, size_t body_size, const char *method)
{
	static const struct endpoint_source source = {
		.profiles = all_profiles,
		.hold = hold,
		.release = release,
		.look = look,
		.window_begin = window_begin,
		.window_end = window_end,
		.start = change,
		.stop = change,
	};
	struct endpoint_ask request = {.method = method, .body = body, .body_size = body_size};
	struct endpoint_header headers[ENDPOINT_HEADERS_MAX];
	struct endpoint *e = endpoint_create(&source);
	struct endpoint_request *q;
	struct endpoint_reply *reply;
	uint64_t next = 0;
	char path[1024];

	request.query = strchr(uri, '?');
	if (request.query != NULL)
		request.query++;
	request.path = path;
	if (query_path(uri, path, sizeof(path)) >= 0) {
		q = endpoint_begin(e, &request);
		reply = endpoint_step(q, 1, false, &next);
		if (reply == NULL)
			reply = endpoint_step(q, next, true, &next);
		check(reply != NULL && reply->status >= 200 && reply->status < 600);
		for (unsigned i = 0, n = endpoint_headers(reply, headers); i < n; i++)
			check(strpbrk(headers[i].value, "\r\n") == NULL);
		endpoint_end(q);
	}
	endpoint_destroy(e);
	check(windows == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct listen l = {
		.fd = -1, .address = "127.0.0.1", .port = 1, .token = "0123456789abcdef"};
	char *text = malloc(size + 1);
	const char *uri;
	size_t line;
	struct why why;

	check(text != NULL);
	if (segment.header == NULL) {
		segment = segment_make(SEGMENT_MIN_BYTES);
		segment.header->runs[RUN_BLOCK].period = 1;
		segment.header->pid = getpid();
	}
	memcpy(text, data, size);
	text[size] = '\0';
	line = strcspn(text, "\n");
	uri = text + strcspn(text, " \n");
	uri += *uri == ' ';
	if (line < size) {
		text[line] = '\0';
		listen_check(text + line + 1, &why);
		listen_is_us(&l, text + line + 1);
		check(!listen_allows(&l, text + line + 1) ||
		      strcasestr(text + line + 1, "bearer") != NULL ||
		      strcasestr(text + line + 1, "basic") != NULL);
		ask(uri, text + line + 1, size - line - 1, "POST");
	} else {
		ask(uri, "", 0, "GET");
	}
	free(text);
	return 0;
}
