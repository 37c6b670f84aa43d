/*
 * What a request asks for: paths and parameters as Go's net/http/pprof has them, and what is refused at once.
 */
#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "endpoint/private.h"
#include "http/query.h"

#define PREFIX "/debug/pprof/"

/* What the other muxer's replies are: none of pprof's. */
static void not_found(struct endpoint_request *q)
{
	endpoint_fail(q, 404, "404 page not found");
	q->reply.is_error = false;
}

/* False, with the reply: it would be too long. */
static bool set_window(struct endpoint_request *q, double seconds)
{
	if (!(seconds <= ENDPOINT_SECONDS_MAX)) {
		endpoint_fail(q, 400, "profile duration exceeds server's WriteTimeout");
		return false;
	}
	q->has_window = true;
	q->window_ns = (uint64_t)(seconds * (double)NS_PER_SECOND);
	return true;
}

static void name_file(struct endpoint_request *q, const char *name, const char *behind)
{
	snprintf(q->reply.file_name, sizeof(q->reply.file_name), "%s%s", name, behind);
}

/* /profile */
static void ask_cpu(struct endpoint_request *q, const struct endpoint_ask *ask)
{
	char text[128];
	int64_t seconds;

	query_get(q->form, "seconds", text, sizeof(text));
	if (query_int(text, &seconds) < 0 || seconds <= 0)
		seconds = 30;
	q->ops = endpoint_find(q->endpoint, "cpu");
	if (q->ops == NULL) {
		not_found(q);
		return;
	}
	q->starts = true;
	q->reply.type = BINARY;
	name_file(q, "profile", "");
	set_window(q, (double)seconds);
}

/* /debug/fgprof */
static void ask_wall(struct endpoint_request *q, const struct endpoint_ask *ask)
{
	char text[128], line[320];
	int64_t seconds = 30;

	if (query_get(q->form, "seconds", text, sizeof(text)) && text[0] != '\0' &&
	    (query_int(text, &seconds) < 0 || seconds <= 0)) {
		snprintf(line, sizeof(line),
			 "bad seconds: \"%.100s\": a number of seconds is expected", text);
		endpoint_fail(q, 400, line);
		return;
	}
	query_get(q->form, "format", text, sizeof(text));
	if (text[0] != '\0' && strcmp(text, "pprof") != 0 && strcmp(text, "folded") != 0) {
		snprintf(line, sizeof(line), "bad format: \"%.100s\": pprof or folded is expected",
			 text);
		endpoint_fail(q, 400, line);
		return;
	}
	q->ops = endpoint_find(q->endpoint, "wall");
	if (q->ops == NULL) {
		not_found(q);
		return;
	}
	q->is_folded = strcmp(text, "folded") == 0;
	q->starts = true;
	q->reply.type = q->is_folded ? TEXT_PLAIN : BINARY;
	if (!q->is_folded)
		name_file(q, "profile", "");
	set_window(q, (double)seconds);
}

static void ask_trace(struct endpoint_request *q, const struct endpoint_ask *ask)
{
	char text[128];
	double seconds;

	query_get(q->form, "seconds", text, sizeof(text));
	if (query_float(text, &seconds) < 0 || seconds <= 0)
		seconds = 1;
	if (q->endpoint->source.trace_begin == NULL) {
		endpoint_fail(q, 500, "Could not enable tracing: not here");
		return;
	}
	q->kind = KIND_TRACE;
	q->reply.type = BINARY;
	name_file(q, "trace", "");
	if (set_window(q, seconds))
		q->stage = STAGE_OPEN;
}

/* NAME?seconds= */
static void ask_difference(struct endpoint_request *q, const struct endpoint_ask *ask,
			   const char *seconds_text)
{
	char text[128];
	int64_t seconds, debug;

	if (query_int(seconds_text, &seconds) < 0 || seconds <= 0) {
		endpoint_fail(q, 400, "invalid value for \"seconds\" - must be a positive integer");
		return;
	}
	if (!set_window(q, (double)seconds))
		return;
	query_get(q->form, "debug", text, sizeof(text));
	query_int(text, &debug);
	if (debug != 0) {
		endpoint_fail(q, 400, "seconds and debug params are incompatible");
		return;
	}
	q->starts = q->ops->run == RUN_WALL || q->ops->run == RUN_CPU;
	q->reply.type = BINARY;
}

static void ask_named(struct endpoint_request *q, const struct endpoint_ask *ask, const char *name)
{
	char text[128];
	int64_t debug;

	if (strncmp(name, "delta_", 6) == 0) {
		q->ops = endpoint_find(q->endpoint, name + 6);
		q->is_delta = true;
	} else {
		q->ops = endpoint_find(q->endpoint, name);
	}
	if (q->ops == NULL || (q->is_delta && q->ops->is_instant)) {
		endpoint_fail(q, 404, "Unknown profile");
		return;
	}
	if (!q->is_delta && query_get(q->form, "seconds", text, sizeof(text)) && text[0] != '\0') {
		ask_difference(q, ask, text);
		if (q->stage != STAGE_DONE)
			name_file(q, name, "-delta");
		return;
	}
	query_get(q->form, "debug", text, sizeof(text));
	query_int(text, &debug);
	q->debug = q->is_delta || debug == 0 ? 0 : debug > 1 ? 2 : 1;
	q->reply.type = q->debug != 0 ? TEXT_PLAIN : BINARY;
	if (q->debug == 0)
		name_file(q, name, "");
}

/* ---- what the process is told ---- */

static void ask_change(struct endpoint_request *q, const struct endpoint_ask *ask,
		       enum endpoint_kind kind)
{
	if (strcmp(ask->method, "POST") != 0) {
		endpoint_fail(q, 405, "POST is expected");
		q->reply.allow = "POST";
		return;
	}
	if (ask->body_size == 0 || ask->body_size >= sizeof(q->text) ||
	    memchr(ask->body, '\0', ask->body_size) != NULL) {
		endpoint_fail(q, 400, "words as in SPEC are expected, such as cpu=250,heap");
		return;
	}
	if (q->endpoint->source.start == NULL) {
		endpoint_fail(q, 501, "this process cannot be told what to record");
		return;
	}
	memcpy(q->text, ask->body, ask->body_size);
	q->text[strcspn(q->text, "\r\n")] = '\0';
	q->kind = kind;
	q->stage = STAGE_WRITE;
}

/* ---- routes ---- */

/* Pages that need the segment and nothing else. */
static void ask_page(struct endpoint_request *q, const struct endpoint_ask *ask, const char *name)
{
	struct endpoint *e = q->endpoint;
	const struct segment *s = e->source.hold(e->source.user);
	bool is_post = strcmp(ask->method, "POST") == 0;

	if (s == NULL) {
		endpoint_fail(q, 503, "the process has ended");
		return;
	}
	if (strcmp(name, "cmdline") == 0)
		endpoint_cmdline(q, s);
	else if (strcmp(name, "symbol") == 0)
		endpoint_symbol(q, s,
				is_post              ? ask->body
				: ask->query != NULL ? ask->query
						     : "",
				is_post              ? ask->body_size
				: ask->query != NULL ? strlen(ask->query)
						     : 0);
	else if (strcmp(name, "status") == 0)
		endpoint_status(q, s);
	else
		endpoint_index(q, s);
	e->source.release(e->source.user);
}

/* As path.Clean() of Go, with the slash at the end kept; false when it is clean already. */
static bool clean_path(const char *path, char *ret, size_t size)
{
	size_t n = 0, length = strlen(path);

	ret[n++] = '/';
	for (const char *at = path; *at != '\0' && n + 2 < size;) {
		size_t part = strcspn(at, "/");

		if (part == 2 && strncmp(at, "..", 2) == 0) {
			while (n > 1 && ret[--n - 1] != '/')
				;
		} else if (part > 0 && !(part == 1 && *at == '.')) {
			if (n + part + 2 >= size)
				return false;
			memcpy(ret + n, at, part);
			n += part;
			ret[n++] = '/';
		}
		at += part + (at[part] == '/');
	}
	if (n > 1 && (length == 0 || path[length - 1] != '/'))
		n--;
	ret[n] = '\0';
	return strcmp(path, ret) != 0;
}

static void redirect(struct endpoint_request *q, const struct endpoint_ask *ask, const char *to)
{
	const char *query = ask->query != NULL ? ask->query : "";
	bool shows = strcmp(ask->method, "GET") == 0 || strcmp(ask->method, "HEAD") == 0;
	int size = sizeof(q->reply.location), n;
	FILE *body;

	if (strlen(to) >= sizeof(q->reply.location)) {
		not_found(q);
		return;
	}
	for (const char *c = to; *c != '\0'; c++)
		if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || *c == '"' ||
		    *c == '<' || *c == '>' || *c == '%' || *c == '?' || *c == '#' || *c == '\\') {
			not_found(q); /* nothing of ours is called so */
			return;
		}
	n = strpbrk(query, "\r\n") != NULL ? size
					   : snprintf(q->reply.location, (size_t)size, "%s%s%s", to,
						      query[0] != '\0' ? "?" : "", query);
	if (n >= size)
		snprintf(q->reply.location, (size_t)size, "%s", to);
	q->reply.status = 301;
	body = endpoint_open_body(q, shows ? TEXT_HTML : NULL);
	if (body != NULL && shows)
		fprintf(body, "<a href=\"%s\">Moved Permanently</a>.\n\n", to);
	endpoint_close_body(q, body);
}

/* gperftools' names */
static const struct {
	const char *theirs, *ours;
} other_names[] = {
	{"/pprof/heap", PREFIX "heap"},        {"/pprof/profile", PREFIX "profile"},
	{"/pprof/contention", PREFIX "mutex"}, {"/pprof/cmdline", PREFIX "cmdline"},
	{"/pprof/symbol", PREFIX "symbol"},
};

void endpoint_route(struct endpoint_request *q, const struct endpoint_ask *ask)
{
	const char *path = ask->path, *name;
	char clean[4096];

	if (strlen(path) >= sizeof(clean)) {
		not_found(q);
		return;
	}
	if (clean_path(path, clean, sizeof(clean))) {
		redirect(q, ask, clean);
		return;
	}
	for (unsigned i = 0; i < sizeof(other_names) / sizeof(other_names[0]); i++)
		if (strcmp(path, other_names[i].theirs) == 0)
			path = other_names[i].ours;
	if (strcmp(path, "/debug/pprof") == 0) {
		redirect(q, ask, PREFIX);
		return;
	}
	if (strcmp(path, "/debug/fgprof") == 0)
		ask_wall(q, ask);
	else if (strcmp(path, "/debug/cprof/status") == 0)
		ask_page(q, ask, "status");
	else if (strcmp(path, "/debug/cprof/start") == 0)
		ask_change(q, ask, KIND_START);
	else if (strcmp(path, "/debug/cprof/stop") == 0)
		ask_change(q, ask, KIND_STOP);
	else if (strncmp(path, PREFIX, strlen(PREFIX)) != 0)
		not_found(q);
	else if (name = path + strlen(PREFIX), strcmp(name, "profile") == 0)
		ask_cpu(q, ask);
	else if (strcmp(name, "trace") == 0)
		ask_trace(q, ask);
	else if (name[0] == '\0' || strcmp(name, "cmdline") == 0 || strcmp(name, "symbol") == 0)
		ask_page(q, ask, name);
	else
		ask_named(q, ask, name);
}
