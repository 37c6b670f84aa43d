/*
 * job: the launcher's place between whoever started it and the program: signals go down, stops come up.
 *
 *     shell ── cprof run ──┬── PROGRAM      all three in one process group
 *                          └── witness
 *
 * A signal that is sent to the launcher is meant for the program. One that is sent to the whole group, by the terminal,
 * by kill(-pgid) or kill(0), has reached the program already, and the kernel does not say which it was. So a third
 * process is in the group and does nothing but count the signals that reach it: what the witness saw as well was sent to
 * all.
 *
 * When the program stops, by Ctrl-Z or by itself, the launcher stops in the same way, so that the shell takes note. A
 * stopped launcher learns nothing: the witness looks on meanwhile, and wakes it when the program goes on or ends
 * without it.
 *
 * Without a witness, where processes are scarce, what the terminal sends is not passed on, all else is, and the
 * launcher never stops for the program's sake.
 */
#pragma once

#include <sys/types.h>

/*
 * Between these two no signal gets lost: the program is forked in between, with the mask and the handlers that job_hold()
 * found, which job_restore() gives it.
 */
void job_hold(void);
void job_restore(void); /* in the child */
void job_begin(
	pid_t program,
	char **argv); /* the last words of the command line, which the witness does not keep */

/* From job_begin() on, @sig is for the launcher when it was sent to it alone: @ours is called, in the handler. */
void job_keep(int sig, void (*ours)(void));

/* The program has stopped by @sig. Returns when it is worth waiting for it again. */
void job_stopped(int sig);

/* The program is gone: signals are for the launcher again, as they were before. */
void job_end(void);
