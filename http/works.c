#include "http/works.h"

#include <stdlib.h>

#define WORKING_MAX 2  /* at a time */
#define WAITING_MAX 16 /* in line */
#define ANSWERS_MAX 24 /* works whose answers are not yet sent */

struct job {
	struct job *next; /* of those that work or wait, in the order in which they came */
	struct http_request *request;
	const char *text; /* lies in the request */
	struct work work;
	bool is_working;
};

void works_add(struct works *w, struct http_request *q, const char *text)
{
	struct job **last = &w->jobs, *j = NULL;

	if (w->waiting < WAITING_MAX && w->answers < ANSWERS_MAX)
		j = calloc(1, sizeof(*j));
	if (j == NULL) {
		w->refuse(q, 503, "too much is asked at a time");
		return;
	}
	*j = (struct job){.request = q, .text = text, .work = {.over = -1, .file = -1}};
	while (*last != NULL)
		last = &(*last)->next;
	*last = j;
	q->state = j;
	w->waiting++;
	w->answers++;
	http_wait(q, -1, UINT64_MAX);
}

/* Out of the line, if it is in there. */
static void unlink_job(struct works *w, struct job *j)
{
	struct job **at = &w->jobs;

	while (*at != NULL && *at != j)
		at = &(*at)->next;
	if (*at == NULL)
		return;
	*at = j->next;
	if (j->is_working)
		w->working--;
	else
		w->waiting--;
}

/* In a work's process. */
static void leave(void *server)
{
	http_leave(server);
}

void works_look(struct works *w)
{
	struct job *j, *next;

	for (j = w->jobs; j != NULL && w->working < WORKING_MAX; j = next) {
		struct http_request *q = j->request;

		next = j->next;
		if (j->is_working)
			continue;
		w->ask.leave = leave;
		w->ask.leaves = q->server;
		if (work_begin(&j->work, &w->ask, j->text, http_takes_gzip(q)) < 0) {
			unlink_job(w, j);
			http_wait(q, -1, 0); /* to be refused */
			continue;
		}
		j->is_working = true;
		w->waiting--;
		w->working++;
		http_wait(q, j->work.over, j->work.begun_ns + WORK_MAX_NS);
	}
}

static void fail(struct works *w, struct job *j, int status, const char *why)
{
	struct answer answer;

	w->ask.refuse(w->ask.context, status, why, j->work.file, &answer);
	*j->work.answer = answer;
}

/* It is over, or takes too long. */
void works_step(struct works *w, struct http_request *q, enum http_why why)
{
	struct job *j = q->state;
	bool is_late = why == HTTP_TIME, is_done;
	int file;

	if (why == HTTP_END)
		return;
	if (!j->is_working) {
		w->refuse(q, 503, "there is no process to be had for it");
		return;
	}
	is_done = work_finish(&j->work, is_late);
	if (is_late)
		fail(w, j, 504, "it took too long");
	else if (!is_done)
		fail(w, j, 500, "the process that worked on it came to an end");
	unlink_job(w, j);
	file = j->work.file;
	j->work.file = -1;
	w->send(q, file, j->work.answer);
}

void works_end(struct works *w, struct http_request *q)
{
	struct job *j = q->state;

	if (j == NULL)
		return;
	unlink_job(w, j);
	w->answers--;
	work_fini(&j->work);
	free(j);
	q->state = NULL;
}
