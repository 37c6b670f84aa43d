/*
 * work: what takes long, in a process of its own: a fork of the server, which has all open that the work needs. It cannot block
 * the server, and who does not want it any more ends it; a mistake in it is not the server's end.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "page/answer.h"

#define WORK_MAX_NS (UINT64_C(300) * 1000000000)

/* All are called in the new process. */
struct work_ask {
	/* First: closes what belongs to the server's alone. NULL: there is no such thing. */
	void (*leave)(void *context);
	void *leaves;
	/* Writes the answer to @text into @fd, which is empty. An error is an answer, too. */
	void (*answer)(void *context, const char *text, int fd, struct answer *ret);
	/* The same for an error from elsewhere. */
	void (*refuse)(void *context, int status, const char *why, int fd, struct answer *ret);
	void *context;
};

struct work {
	pid_t pid;             /* 0: none */
	int over;              /* readable when it is over */
	int file;              /* its answer */
	struct answer *answer; /* in memory that both have */
	uint64_t begun_ns;
};

/* Answers @text, and packs that when @may_pack. 0 or a negative errno. */
int work_begin(struct work *w, const struct work_ask *ask, const char *text, bool may_pack);
/* Waits for its end, which work.over tells, or makes it end. Whether it came to it by itself: else there is no answer. */
bool work_finish(struct work *w, bool kill_it);
/* The answer's bytes are the caller's to read until then. */
void work_fini(struct work *w);
