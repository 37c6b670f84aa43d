/*
 * reception: where processes hand in their segments (core/session.h).
 *
 * Any process of the same user, or one that the program's own rights have dwindled to, may come, with anything: what it sends is bounded, checked and, when it is not right,
 * given back to the kernel. Nobody is waited for: who has connected and says nothing is asked again later, and sent away
 * after a second.
 */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <sys/types.h>

#include "core/segment.h"
#include "core/session.h"
#include "core/why.h"

#define RECEPTION_CALLERS \
	128 /* who have connected and not spoken; when it is full, the first of them goes */
#define RECEPTION_FILES (1 + RECEPTION_CALLERS)
#define RECEPTION_DOOR  4096

struct reception;

/* Somebody who asks; or with a segment; else without header, and why says why: it has none, or it was refused. */
struct arrival {
	pid_t pid;
	uid_t uid;
	int connection; /* where an answer is waited for: the caller's now. -1: nothing was asked */
	pid_t asked;    /* of this one */
	uint32_t what;  /* enum session_what, or anything */
	char text[SESSION_ASK_TEXT_MAX + 1];
	bool has_none;
	struct segment segment;
	void *door; /* its first page, to write in; NULL when that is not to be had */
	struct why why;
};

/* Opens the socket, in a directory of its own. */
int reception_open(struct reception **ret, struct why *why);
const char *reception_path(const struct reception *r);

/* True with the next one who has spoken. */
bool reception_take(struct reception *r, struct arrival *ret);

/*
 * To whoever asked: @error, @text, and @fd unless it is -1, which stays the caller's. Never waits; @connection is closed. From any
 * thread.
 */
void reception_answer(int connection, int error, const char *text, int fd);

/* True while somebody has connected and not spoken. */
bool reception_is_busy(const struct reception *r);

/* What to poll for the next one: up to RECEPTION_FILES entries. */
unsigned reception_files(const struct reception *r, struct pollfd *ret);

/* The socket at @path, what processes keep for each other beside it (tracer/syscalls/kept_sig.c), and their directory. Signal safe. */
void reception_remove(const char *path);

/* @for_good: the socket goes, too; else another process of ours goes on with it. */
void reception_close(struct reception *r, bool for_good);
