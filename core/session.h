/*
 * session: how a process hands its segment to the launcher.
 *
 * `cprof run` listens on a socket that only its user can reach (root's: only who knows the name), and names it in
 * CPROF_SESSION. Each process
 * that records connects once, sends one message with the memfd of its segment, and closes both: nothing stays open in
 * the host, and the launcher holds the memory whatever becomes of the process. The kernel tells it who sent it.
 *
 * Somebody of the same user may also ask for the trace of a process up to this moment, or for its state. The answer is a file
 * without a name, which who asked copies to where it is wanted: so nobody's full disk, slow pipe or closed socket is the
 * launcher's concern. And he may have profiles started and stopped; then it is a text.
 */
#pragma once

#include <stdint.h>

#include "core/why.h"

#define SESSION_VARIABLE "CPROF_SESSION"
#define SESSION_MAGIC    UINT64_C(0x3153454346525043) /* "CPRFCES1" */

#define SESSION_TEXT_MAX 300

/* With a file of @bytes; or without one, with 0 for @bytes and a text behind it. */
struct session_hello {
	uint64_t magic, bytes;
};

/* Sends @fd, a segment of @bytes. Never waits: -EAGAIN when the launcher's queue is full. Normal context. */
int session_send(const char *socket_path, int fd, uint64_t bytes);

/* Tells it why this process is not recorded. In the same way. */
int session_tell(const char *socket_path, const char *text);

#define SESSION_ASK_MAGIC    UINT64_C(0x314b534146525043) /* "CPRFASK1" */
#define SESSION_ANSWER_MAGIC UINT64_C(0x31534e4146525043) /* "CPRFANS1" */

enum session_what {
	SESSION_TRACE, /* a snapshot of the trace, as a file; since a time of CLOCK_MONOTONIC, a number, if there is one behind it */
	SESSION_START, /* the profiles in the text behind it, as in cprof_start() */
	SESSION_STOP,  /* those that are named there, by commas */
	SESSION_STATUS, /* what is on, as a file for people */
};

#define SESSION_ASK_TEXT_MAX 511

/* Of the process @pid, 0: of who asks. */
struct session_ask {
	uint64_t magic;
	int32_t pid;
	uint32_t what;
};

/* With the file; or with a negative errno, and a text for people. */
struct session_answer {
	uint64_t magic;
	int32_t error;
	char text[SESSION_TEXT_MAX];
};

/*
 * Asks for it, and waits for the answer, @wait_ms at most: -ETIMEDOUT. *ret_fd is read with pread(), and -1 where there is no
 * file; then @why has what there is to say. Else the launcher's error: -ESRCH it has no such process, -ENODATA that traces
 * nothing, -EPERM it is another user's, -EBUSY too many ask at once; that of the process, with nothing changed; or that of
 * reaching it: -ENOENT and -ECONNREFUSED, it is gone. @text: NULL for none. Normal context.
 */
int session_ask(const char *socket_path, int pid, enum session_what what, const char *text,
		unsigned wait_ms, int *ret_fd, struct why *why);

/* The same in two parts: a socket, or a negative errno; then the answer. -EINPROGRESS, with 0 for @wait_ms: none yet. */
int session_ask_begin(const char *socket_path, int pid, enum session_what what, const char *text,
		      struct why *why);
int session_ask_end(int sock, enum session_what what, unsigned wait_ms, int *ret_fd,
		    struct why *why);

/*
 * Copies the file @from to @to, as write() does. A @to that does not block is waited for, @wait_ms without a byte at most. A
 * pipe that nobody reads from, or a limit on files, is an error and no signal. Normal context.
 */
int session_copy(int from, int to, unsigned wait_ms);
