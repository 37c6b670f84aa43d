/*
 * works: questions that take long, in line: a few at a time have a process each (page/work.h), the others wait for theirs. What works,
 * what waits, and what answers are not yet taken is bounded, and so is the time of each.
 */
#pragma once

#include "http/server.h"
#include "page/work.h"

struct job;

struct works {
	struct work_ask ask;
	/* Sends the answer that is in @file, which is its own from now on. */
	void (*send)(struct http_request *q, int file, const struct answer *answer);
	/* Sends a refusal instead. */
	void (*refuse)(struct http_request *q, int status, const char *why);

	struct job *jobs;
	unsigned working, waiting, answers;
};

/* @text must stay as long as @q. */
void works_add(struct works *w, struct http_request *q, const char *text);
/* Those of struct http_user. */
void works_step(struct works *w, struct http_request *q, enum http_why why);
void works_end(struct works *w, struct http_request *q);
/* In every round. */
void works_look(struct works *w);
