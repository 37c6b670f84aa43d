/*
 * session: how a process hands its segment to the launcher.
 *
 * `cprof run` listens on a socket in a directory that only its user can enter, and names it in CPROF_SESSION. Each process
 * that records connects once, sends one message with the memfd of its segment, and closes both: nothing stays open in
 * the host, and the launcher holds the memory whatever becomes of the process. The kernel tells it who sent it.
 */
#pragma once

#include <stdint.h>

#define SESSION_VARIABLE "CPROF_SESSION"
#define SESSION_MAGIC    UINT64_C(0x3153454346525043) /* "CPRFCES1" */

struct session_hello {
	uint64_t magic, bytes;
};

/*
 * What the launcher asks of a process that it records: a value that comes with SIGPROF, by sigqueue(). The answer is a
 * snapshot in the segment, under a new number.
 */
#define SESSION_ASK_SNAPSHOT UINT64_C(0x6370727300000001)

/*
 * 0, or a negative errno: -ENOTSUP when the process does not catch the signal, which would end it. By then it has run a
 * program that does not carry the library.
 */
int session_ask_snapshot(int pid);

/* Sends @fd, a segment of @bytes. Never waits: -EAGAIN when the launcher's queue is full. Normal context. */
int session_send(const char *socket_path, int fd, uint64_t bytes);
