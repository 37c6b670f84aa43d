/*
 * screen: a terminal taken whole: its other screen, keys as they come, its size; and given back as it was, however the program
 * ends.
 *
 *     ended by                                   given back by
 *     screen_end(), exit()                       that, atexit()
 *     Ctrl-C, SIGTERM, SIGHUP, a crash …         the signal's handler, which then lets it do what it always does
 *     Ctrl-Z                                     the same; taken again when the program goes on
 *
 * There is one of them. The signal handlers call only what may be called there.
 */
#pragma once

#include <stdbool.h>

#include "core/why.h"

enum screen_key {
	/* below: a byte that was typed */
	KEY_NONE = 256, /* nothing happened */
	KEY_CHANGED,    /* the size did, or the program goes on: draw all of it anew */
	KEY_CLOSED,     /* nobody is there any more */
	KEY_UP,
	KEY_DOWN,
	KEY_LEFT,
	KEY_RIGHT,
	KEY_SHIFT_LEFT,
	KEY_SHIFT_RIGHT,
	KEY_SHIFT_UP,
	KEY_SHIFT_DOWN,
	KEY_HOME,
	KEY_END,
	KEY_PAGE_UP,
	KEY_PAGE_DOWN,
};
#define KEY_ESCAPE 27
#define KEY_ENTER  13

/* Takes the terminal. 0, or -ENOTTY (there is none, or one that cannot do it) or another negative errno, with @why. */
int screen_begin(struct why *why);
void screen_end(void);

/* Of the moment; 80 and 24 when the terminal does not know. */
void screen_size(unsigned *ret_columns, unsigned *ret_rows);

/* The next key; KEY_NONE when there is none within @timeout_ms, -1: waits for one. */
int screen_key(int timeout_ms);
/* The same, and it stays the next one. Does not wait. */
int screen_peek(void);
