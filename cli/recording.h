/*
 * recording: the launcher's side of a session: takes in the segments of the processes, and writes what they hold.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "core/profile.h"
#include "core/why.h"

struct option_set;
struct recording;

/* Opens the socket. recording_end() is due whatever happens after. */
int recording_begin(struct recording **ret, const struct profile_ops *const *profiles,
		    struct why *why);
/* What was asked for: before the program runs. */
void recording_set_options(struct recording *r, const struct option_set *options);
const char *recording_socket(const struct recording *r);

/* Where to write; @pid is the program's, whose profiles go into @directory itself. Makes it. */
int recording_set_directory(struct recording *r, const char *directory, pid_t pid, struct why *why);

/*
 * Takes in segments until @pid ends. *ret_status as waitpid() has it. When it stops by a signal, @stopped is called. SIGCHLD
 * is expected to be blocked and to have a handler.
 */
int recording_wait(struct recording *r, pid_t pid, void (*stopped)(int sig), int *ret_status);

/*
 * Signal safe: while recording_wait() waits, it asks the program for a snapshot of what is now, and writes it as files of
 * their own, NAME.1.txt, NAME.2.txt and so on. In one line on stderr it says so.
 */
void recording_ask_snapshot(void);

/*
 * Writes the profiles, says so in one line on stderr, and frees all. Processes that still run are left to a keeper, a
 * process of our own that waits for them and writes theirs. @is_worth false: nothing ran, nothing is written or said.
 */
void recording_end(struct recording *r, bool is_worth);
