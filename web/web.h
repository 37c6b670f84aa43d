/*
 * web: profiles as a local page, for one person on this machine: docs/web-api.md.
 *
 *     loaded once ──→ a question comes ──→ a fork prepares its own report, with the filters of the question
 *                                              ├─ top, peek, source, tags    JSON (views.c)
 *                                              └─ flame                      the page of `cprof flame`
 *
 * So a question may change the profile as it likes, take as long as it likes, and find what makes it fall: the next one has
 * the profile as it was.
 */
#pragma once

#include "http/site.h"
#include "output/text.h"

extern const struct asset web_page[]; /* web/page/ */

struct web {
	struct report *report;          /* loaded, by its options */
	const char *title, *base_title; /* of the files; NULL: nothing is compared */
	const char *command; /* what is typed behind "cprof top" for the same: options and files */
	const char *address; /* as those of struct site */
	uint16_t port;
	uint64_t idle_ns;
	const char *directory;
	void (*ready)(void *context, const char *url, const char *host, uint16_t port,
		      bool is_open);
	void *context;
};

/* As site_run(). */
int web_run(const struct web *w, struct why *why);

/* Answers @text, "top?focus=parse", into @fd, and leaves the report as it then is: site.work(). */
void web_answer(const struct web *w, const char *text, int fd, struct answer *ret);
