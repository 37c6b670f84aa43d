/*
 * tty: what a terminal can show, by what its user has said and what it says itself.
 */
#pragma once

#include <stdbool.h>

/* NO_COLOR, CLICOLOR_FORCE, and whether @fd is a terminal that has colours. */
bool tty_has_colour(int fd);
/* Columns of text: COLUMNS, else the terminal's, else 100. */
unsigned tty_width(void);
/* By the locale's variables; a program need not have called setlocale(). */
bool tty_is_utf8(void);
