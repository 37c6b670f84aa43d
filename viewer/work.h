/*
 * work: what takes long, in a process of its own: a fork of the server, which has all open that the work needs. It cannot block
 * the server, and who does not want it any more ends it; a mistake in it is not the server's end.
 */
#pragma once

#include <sys/types.h>

#include "viewer/api.h"

#define WORK_MAX_NS (UINT64_C(300) * 1000000000)

struct work {
	pid_t pid;                 /* 0: none */
	int over;                  /* readable when it is over */
	int file;                  /* its answer */
	struct api_answer *answer; /* in memory that both have */
	uint64_t begun_ns;
};

/* Called in the new process first: closes what belongs to the server's alone. */
struct work_leave {
	void (*leave)(void *context);
	void *context;
};

/* Answers @q, and packs that when @may_pack. 0 or a negative errno. */
int work_begin(struct work *w, struct api *a, const struct api_request *q, bool may_pack,
	       const struct work_leave *leave);
/* Waits for its end, which work.over tells, or makes it end. Whether it came to it by itself: else there is no answer. */
bool work_finish(struct work *w, bool kill_it);
/* The answer's bytes are the caller's to read until then. */
void work_fini(struct work *w);
