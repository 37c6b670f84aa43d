/*
 * session: how a process hands its segment to the launcher.
 *
 * `cprof run` listens on a socket that only its user can reach (root's: only who knows the name), and names it in
 * CPROF_SESSION. Each process
 * that records connects once, sends one message with the memfd of its segment, and closes both: nothing stays open in
 * the host, and the launcher holds the memory whatever becomes of the process. The kernel tells it who sent it.
 */
#pragma once

#include <stdint.h>

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
