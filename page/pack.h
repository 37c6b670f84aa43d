/*
 * pack: an answer as gzip, quickly: a tenth of the bytes for some milliseconds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define PACK_LEAST 2048 /* bytes: what is smaller goes in one piece anyway */

/* Packs what is in @fd in its place, when it is as long as that: @ret_is_packed. 0 or a negative errno: nothing is left of it. */
int pack_file(int fd, bool *ret_is_packed);
