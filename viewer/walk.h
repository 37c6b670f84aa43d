/*
 * walk: finds the blocks of a trace by their headers, and what lies between them.
 */
#pragma once

#include "viewer/reader.h"

/* Fills the lists of @r, which is new. What reader_open() returns. */
int walk_blocks(struct reader *r, const struct watch *watch, struct why *why);
