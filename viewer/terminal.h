/*
 * terminal: what is done for people and left out for programs: colour, a pager, progress; and Ctrl-C, which ends long work early.
 */
#pragma once

#include "output/tty.h"
#include "viewer/watch.h"

enum terminal_colour { COLOUR_AUTO, COLOUR_ALWAYS, COLOUR_NEVER };

/* Is colour wanted in what goes to @fd? By output/tty.h, unless @wish says. */
bool terminal_has_colour(int fd, enum terminal_colour wish);

/*
 * Puts a pager ($PAGER, else less) between standard output and the terminal, if there is one, and returns the file to write
 * to, standard output otherwise. terminal_end_pager() waits until it was left.
 */
int terminal_begin_pager(void);
void terminal_end_pager(int fd);

/*
 * From now on Ctrl-C is noted, and tells the watch to end the work; a second one ends the program. Progress is shown on
 * standard error when that is a terminal, and only from half a second on: one line, which goes when it is done.
 */
struct terminal_progress {
	struct watch watch;
	const char *what; /* "reading" */
	uint64_t begun_ns, shown_ns;
	bool is_shown, is_quiet;
};
void terminal_watch(struct terminal_progress *p, const char *what, bool is_quiet);
void terminal_watch_end(struct terminal_progress *p);
bool terminal_was_interrupted(void);
