/*
 * process: what a process that records consists of: a segment, the threads it knows, the profiles that run. And how it
 * goes through fork, exec and exit.
 *
 * Normal context throughout, but for the functions that say otherwise.
 */
#pragma once

#include <pthread.h>

#include "core/option.h"
#include "core/segment.h"
#include "core/thread.h"
#include "core/wait.h"

/* Profiles of this version, as bits of enum option_profile. */
unsigned process_available(void);

/*
 * Makes the segment if there is none, and starts the profiles that @options ask for. 0, or a negative errno with @why
 * and nothing started.
 */
int process_start(const struct option_set *options, struct why *why);

/* Makes the segment if there is none, and starts nothing. */
int process_begin(struct why *why);

/* The calling thread, made known if it was not; NULL when nothing is recorded. */
struct thread *process_self(void);

/* Stops the profiles in @profiles (bits). */
void process_stop(unsigned profiles);

/*
 * The same at the launcher's word: on the helper, so without allocation, the loader, or a lock of the C library. What runs with
 * other values than @words has goes on with these. -EALREADY: somebody else is at it. 0 with @why: what there is to say of it.
 */
int process_change(const struct option_set *words, struct why *why);
int process_drop(unsigned profiles, struct why *why);

/* Bits of those that run. */
unsigned process_running(void);

/* The options of the environment, or their defaults when it has none (NULL). */
void process_set_environment(const struct option_set *options);
const struct option_set *process_options(void);

/*
 * A new thread, from its creator's side and from its own. process_thread_reserve() returns NULL when there is nothing
 * to record or no record is free: the thread then runs unwatched.
 */
struct thread *process_thread_reserve(const pthread_attr_t *attr, void *(*start)(void *),
				      void *arg);
void process_thread_cancel(struct thread *t);
void process_thread_created(void); /* its creator, once it is there */
void *process_thread_main(void *thread);
void process_thread_adopt(int tid); /* made by clone() */

/* The calling thread has a new name; NULL: some other one has. Keeps errno. */
void process_thread_named(const char *name);

/* Around exec of @path. The token, and @w, are for process_exec_failed(). */
struct thread *process_exec_begins(const char *path, struct wait *w);
void process_exec_failed(const char *path, struct thread *t, struct wait *w);

/*
 * For the trace: one library more is on its way; and those that have arrived since are looked for, if any can have. Takes
 * the loader's lock.
 */
void process_expect_library(void);
void process_find_libraries(bool is_last);

/* True when the caller is the process that made the segment and not, say, its vfork child. Signal safe. */
bool process_is_ours(const struct segment *s);

/* Before the program confines its own system calls: all stops, for good, and is counted. errno is kept. */
void process_confined(void);

/* At exit: lets the profiles count what they will not see any more. */
void process_settle(void);

/* The last thing before the end. errno is kept. */
void process_exits(int status);

/* The main thread has ended by pthread_exit(). */
bool process_main_has_left(void);

/* True when files with all that was counted are still to be written. */
bool process_has_files(void);

/* True when a launcher has the segment. */
bool process_has_session(void);

/* Writes what out= asked for, unless a launcher does. Once. */
int process_write_files(void);
