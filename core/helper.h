/*
 * helper: the one thread of ours in a host.
 *
 * It is made by a bare clone(), from wherever it is needed first, a child of fork() too: no allocation, nothing that the
 * C library would know of. It shares the host's memory and nothing else that could be noticed:
 *
 *   - all signals are blocked for as long as it lives;
 *   - its files are its own: what it opens takes no number that the host counts on, what the host closes is closed;
 *   - its working directory is its own, so that no file system stays busy because of it;
 *   - its thread-local block is a blank one. What it runs is code for signal context (*_sig.c), which asks for no more.
 *
 * It ends by itself when the host's last thread has ended. Calls that want a process with one thread, and calls that change
 * whose rights a process has, stop it first and start it again after: helper_pause(), helper_resume().
 *
 * Jobs run on it one at a time, each with its next moment.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/segment.h"
#include "core/thread.h"
#include "core/why.h"

/*
 * HELPER_REQUESTS is special: what the launcher asks for (struct segment_request). It starts and stops the other jobs, waits for
 * who is inside, and is not inside itself; it runs when there is a request.
 */
enum helper_job_id { HELPER_WALL, HELPER_THREADS, HELPER_REQUESTS, HELPER_JOBS };

#define HELPER_NEVER UINT64_MAX

/* Runs on the helper, where signal-context rules hold; returns when to run again (CLOCK_MONOTONIC), HELPER_NEVER for when it is woken. */
typedef uint64_t (*helper_job)(struct segment *s, struct thread *self, uint64_t now_ns);

/* Starts @job at @first_ns, and the thread if it is not there. 0, or a negative errno with @why. Any context but a handler. */
int helper_start(struct segment *s, enum helper_job_id id, helper_job job, uint64_t first_ns,
		 struct why *why);

/* True on the helper. */
SIGSAFE bool helper_is_caller(void);

/*
 * Returns when @id no longer runs and will not again; the thread ends with its last job. On the helper itself only while there is
 * another job.
 */
void helper_stop(struct segment *s, enum helper_job_id id);

/* Runs @id as soon as can be, and returns when it has run once more from the beginning. -ETIMEDOUT after @wait_ns, -EAGAIN
 * when the thread is not there. Any context. */
int helper_call(struct segment *s, enum helper_job_id id, uint64_t wait_ns);

/* On the helper itself: runs @id once, now, if it is on. Its next moment stays what it was. */
SIGSAFE void helper_run(enum helper_job_id id);

/* Runs @id as soon as can be. Any context. */
SIGSAFE void helper_rouse(struct segment *s, enum helper_job_id id);

/* Lets the thread end for a while, 0.1 s at most; jobs are kept. */
void helper_pause(struct segment *s);
void helper_resume(struct segment *s);

/* One of the host's last threads is about to end: the helper sees to it that it does not outlive them for long. */
void helper_look_around(struct segment *s);

/* In a child of fork: the thread was the parent's. */
void helper_forked(void);

/* Files of the helper, for what runs on it: /proc/self/task, -1 when there is none. */
extern int helper_task_directory;
extern uint32_t
	helper_serial; /* grows with each helper that begins: an older one's files are gone */

/*
 * Copies memory that may be gone by now: from @address to @to, at most @bytes; returns how many. For what runs on the
 * helper.
 */
SIGSAFE size_t helper_read_memory(uintptr_t address, void *to, size_t bytes);

/*
 * The same of one that is read again and again, through a file that stays open in *file: 0 at first, and to be closed with
 * helper_close_task(). When files run out it is opened each time.
 */
SIGSAFE int helper_read_kept(int tid, const char *name, int *file, char *to, size_t size);
SIGSAFE void helper_close_task(int *file);

/* A small file of one thread, such as "comm", into @to and a NUL behind it; its length, or a negative errno. */
SIGSAFE int helper_read_task(int tid, const char *name, char *to, size_t size);
