/*
 * http: the endpoint in a host: one thread of ours that serves it.
 *
 * It is made by pthread_create(), for libraries that need the C library's threads, and is none of the host's all the same:
 * it blocks all signals, has a table of files of its own, is marked as ours wherever threads are looked at, and does all that
 * it does as own work. It ends when it is the last one.
 */
#pragma once

#include <stdbool.h>

#include "core/why.h"

/* Serves at @listen. 0, -EBUSY (there is one already) or a negative errno, with @why. Normal context. */
int http_start(const char *listen, struct why *why);

/*
 * Returns when the thread is gone, or after three seconds: a reply that is being written gets no more names, and who does not take
 * his is given one second.
 */
void http_stop(void);

/* Around a call that the kernel refuses to a process with a second thread: true when it served. Keeps errno. */
bool http_pause(void);
void http_resume(bool was_serving);

/* At exit: the socket's file goes. Waits for nobody. */
void http_leave(void);

/* The main thread is gone, and one more now: perhaps all. */
void http_look_around(void);

/* In a child of fork: it is the parent's. */
void http_forked(void);
