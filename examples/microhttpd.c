/* microhttpd: a server by libmicrohttpd that has /debug/pprof/ among its pages. */
#include <cprof/cprof.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What cprof_handle() writes, and what a POST brings. */
struct reply {
	int status;
	char *names[20], *values[20], *body, *posted;
	size_t headers, size, posted_size;
};

static int begin(void *user, int status, const char *const *headers)
{
	struct reply *r = user;

	r->status = status;
	for (; headers[0] != NULL && r->headers < 20; headers += 2) {
		r->names[r->headers] = strdup(headers[0]);
		r->values[r->headers++] = strdup(headers[1]);
	}
	return 0;
}

static int append(char **to, size_t *to_size, const void *bytes, size_t size)
{
	char *grown = realloc(*to, *to_size + size);

	if (grown == NULL)
		return -1;
	*to = grown;
	memcpy(grown + *to_size, bytes, size);
	*to_size += size;
	return 0;
}

static int put(void *user, const void *bytes, size_t size)
{
	struct reply *r = user;

	return append(&r->body, &r->size, bytes, size);
}

static void forget(void *unused, struct MHD_Connection *connection, void **state,
		   enum MHD_RequestTerminationCode code)
{
	struct reply *r = *state;

	(void)unused, (void)connection, (void)code;
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->headers; i++) {
		free(r->names[i]);
		free(r->values[i]);
	}
	free(r->posted);
	free(r);
}

struct query {
	char text[1024];
};

static enum MHD_Result add(void *user, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct query *q = user;
	size_t n = strlen(q->text);

	(void)kind;
	snprintf(q->text + n, sizeof(q->text) - n, "%s%s=%s", n > 0 ? "&" : "", key,
		 value != NULL ? value : "");
	return MHD_YES;
}

static enum MHD_Result answer(void *unused, struct MHD_Connection *connection, const char *url,
			      const char *method, const char *version, const char *bytes,
			      size_t *size, void **state)
{
	struct reply *r = *state;
	struct cprof_writer writer = {r, begin, put};
	struct MHD_Response *response;
	struct query query = {""};
	enum MHD_Result result;

	(void)unused, (void)version;
	if (r == NULL) {
		*state = calloc(1, sizeof(*r));
		return *state != NULL ? MHD_YES : MHD_NO;
	}
	if (*size > 0) {
		if (append(&r->posted, &r->posted_size, bytes, *size) < 0)
			return MHD_NO;
		*size = 0;
		return MHD_YES;
	}
	if (strncmp(url, "/debug/", 7) == 0) {
		MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, add, &query);
		if (cprof_handle(method, url, query.text, r->posted, r->posted_size, &writer) < 0)
			return MHD_NO;
	} else {
		r->status = 200;
		put(r, "hello\n", 6);
	}
	response = MHD_create_response_from_buffer(r->size, r->body, MHD_RESPMEM_MUST_FREE);
	for (size_t i = 0; i < r->headers; i++)
		MHD_add_response_header(response, r->names[i], r->values[i]);
	result = MHD_queue_response(connection, (unsigned)r->status, response);
	MHD_destroy_response(response);
	return result;
}

int main(int argc, char **argv)
{
	unsigned short port = (unsigned short)(argc > 1 ? atoi(argv[1]) : 8080);
	struct MHD_Daemon *server = MHD_start_daemon(
		MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION, port, NULL, NULL,
		answer, NULL, MHD_OPTION_NOTIFY_COMPLETED, forget, NULL, MHD_OPTION_END);

	if (server == NULL || cprof_enable(CPROF_HEAP) < 0)
		return 1;
	printf("http://127.0.0.1:%u/debug/pprof/\n", port);
	fflush(stdout);
	pause();
	MHD_stop_daemon(server);
	return 0;
}
