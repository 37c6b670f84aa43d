#include "viewer/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http/site.h"
#include "viewer/pack.h"
#include "viewer/work.h"

#define WORKS         2  /* at a time */
#define WORKS_WAITING 16 /* in line */
#define ANSWERS       24 /* works whose answers are not yet sent */

#define LOOK_NS UINT64_C(50000000) /* how often the index is looked at while it is made */

/* One that takes long. */
struct job {
	struct job *next; /* of those that work or wait, in the order in which they came */
	struct http_request *request;
	struct api_request q; /* lies in the request's text */
	struct work work;
	bool is_working;
};

struct server {
	const struct server_ask *ask;
	struct api *api;
	int scratch;
	struct job *jobs;
	unsigned working, waiting, answers;
};

/* ---- answers ---- */

/* With what is in it already. */
static void send_answer(struct http_request *q, struct http_reply *reply,
			const struct api_answer *answer)
{
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
	site_reply(q, reply,
		   answer->type == API_JSON ? "application/json" : "application/octet-stream",
		   answer->is_immutable ? "private, max-age=31536000, immutable" : "no-store");
}

/* An answer that is small, from the scratch file. */
static void send_now(struct server *s, struct http_request *q, struct api_answer *answer)
{
	struct http_reply reply = HTTP_REPLY(200);
	char *bytes;
	off_t size;

	if (http_takes_gzip(q) && pack_file(s->scratch, &answer->is_packed) < 0)
		return;
	size = lseek(s->scratch, 0, SEEK_END);
	bytes = size >= 0 ? malloc((size_t)size + 1) : NULL;
	if (bytes == NULL || pread(s->scratch, bytes, (size_t)size, 0) != size) {
		free(bytes);
		return;
	}
	reply.bytes = bytes;
	reply.size = (size_t)size;
	reply.is_to_free = true;
	send_answer(q, &reply, answer);
}

static bool clear_scratch(struct server *s)
{
	return ftruncate(s->scratch, 0) == 0 && lseek(s->scratch, 0, SEEK_SET) == 0;
}

static void refuse(struct server *s, struct http_request *q, int status, const char *why)
{
	struct api_answer answer;

	if (!clear_scratch(s))
		return;
	api_refuse(s->api, status, why, s->scratch, &answer);
	send_now(s, q, &answer);
}

/* ---- works ---- */

/* In a work's process. */
static void leave(void *context)
{
	http_leave(context);
}

static void begin_waiting(struct server *s, struct http_request *q, const struct api_request *asked)
{
	struct job **last = &s->jobs, *j = NULL;

	if (s->waiting < WORKS_WAITING && s->answers < ANSWERS)
		j = calloc(1, sizeof(*j));
	if (j == NULL) {
		refuse(s, q, 503, "too much is asked at a time");
		return;
	}
	*j = (struct job){.request = q, .q = *asked, .work = {.over = -1, .file = -1}};
	while (*last != NULL)
		last = &(*last)->next;
	*last = j;
	q->state = j;
	s->waiting++;
	s->answers++;
	http_wait(q, -1, UINT64_MAX);
}

/* Out of the line, if it is in there. */
static void unlink_job(struct server *s, struct job *j)
{
	struct job **at = &s->jobs;

	while (*at != NULL && *at != j)
		at = &(*at)->next;
	if (*at == NULL)
		return;
	*at = j->next;
	if (j->is_working)
		s->working--;
	else
		s->waiting--;
}

static void start_works(struct server *s)
{
	struct job *j, *next;

	for (j = s->jobs; j != NULL && s->working < WORKS; j = next) {
		struct http_request *q = j->request;
		const struct work_leave leave_all = {leave, q->server};

		next = j->next;
		if (j->is_working)
			continue;
		if (work_begin(&j->work, s->api, &j->q, http_takes_gzip(q), &leave_all) < 0) {
			unlink_job(s, j);
			http_wait(q, -1, 0); /* to be refused */
			continue;
		}
		j->is_working = true;
		s->waiting--;
		s->working++;
		http_wait(q, j->work.over, j->work.begun_ns + WORK_MAX_NS);
	}
}

static void fail_work(const struct server *s, struct job *j, int status, const char *why)
{
	struct api_answer answer;

	api_refuse(s->api, status, why, j->work.file, &answer);
	*j->work.answer = answer;
}

/* It is over, or takes too long. */
static void on_step(void *context, struct http_request *q, enum http_why why, uint64_t now_ns)
{
	struct http_reply reply = HTTP_REPLY(200);
	struct server *s = context;
	struct job *j = q->state;
	bool is_late = why == HTTP_TIME, is_done;

	(void)now_ns;
	if (why == HTTP_END)
		return;
	if (!j->is_working) {
		refuse(s, q, 503, "there is no process to be had for it");
		return;
	}
	is_done = work_finish(&j->work, is_late);
	if (is_late)
		fail_work(s, j, 504, "it took too long");
	else if (!is_done)
		fail_work(s, j, 500, "the process that worked on it came to an end");
	unlink_job(s, j);
	reply.fd = j->work.file;
	j->work.file = -1;
	send_answer(q, &reply, j->work.answer);
}

static void on_end(void *context, struct http_request *q)
{
	struct server *s = context;
	struct job *j = q->state;

	if (j == NULL)
		return;
	unlink_job(s, j);
	s->answers--;
	work_fini(&j->work);
	free(j);
	q->state = NULL;
}

/* ---- questions ---- */

static void on_ask(void *context, struct http_request *q, char *text)
{
	struct server *s = context;
	struct why why = {""};
	struct api_request asked;
	struct api_answer answer;
	int r;

	if (strlen(text) > API_TEXT_MAX) {
		refuse(s, q, 414, "the URL is too long");
		return;
	}
	r = api_parse(text, &asked, &why);
	if (r < 0) {
		refuse(s, q, r == -ENOENT ? 404 : 400, why.text);
	} else if (api_is_work(&asked)) {
		begin_waiting(s, q, &asked);
	} else if (clear_scratch(s)) {
		api_answer(s->api, &asked, s->scratch, &answer);
		send_now(s, q, &answer);
	}
}

/* ---- the server ---- */

static uint64_t on_look(void *context, uint64_t now_ns)
{
	struct server *s = context;

	if (s->api->making != NULL)
		api_look_at_index(s->api);
	start_works(s);
	return s->api->making != NULL ? now_ns + LOOK_NS : UINT64_MAX;
}

static void on_begin(void *context)
{
	const struct server *s = context;

	api_begin_index(s->api, s->ask->keeps_index);
}

static void on_ready(void *context, const char *url, const char *host, uint16_t port, bool is_open)
{
	const struct server_ask *ask = ((struct server *)context)->ask;

	ask->ready(ask->context, url, host, port, is_open);
}

int server_run(const struct server_ask *ask, struct why *why)
{
	struct server s = {.ask = ask, .api = ask->api};
	const struct site site = {
		.address = ask->address,
		.port = ask->port,
		.idle_ns = ask->idle_ns,
		.assets = assets,
		.directory = ask->directory,
		.begin = on_begin,
		.ready = on_ready,
		.ask = on_ask,
		.step = on_step,
		.end = on_end,
		.look = on_look,
		.context = &s,
	};
	const char *directory;
	int r;

	s.scratch = source_open_nameless(&directory);
	if (s.scratch < 0) {
		why_set(why, "no file for answers in %s: %s; set TMPDIR to another directory",
			directory, strerror(-s.scratch));
		return s.scratch;
	}
	r = site_run(&site, why);
	close(s.scratch);
	return r;
}
