/*
 * limit: by how much something may change: "> 20%", "<0.8x", ">+2pp", "> 10ms".
 *
 *     N%           by so much more than before, or with < less
 *     Npp          the same in percentage points, of what is a share
 *     Nx           so many times what it was
 *     DURATION, N  what it is now, whatever it was
 *
 * + behind > and - behind < say the same again, and may be there. Whoever asks has a grammar of its own before it.
 */
#pragma once

#include <stdbool.h>

struct limit {
	bool is_below; /* < */
	enum { LIMIT_PERCENT, LIMIT_POINTS, LIMIT_TIMES, LIMIT_ABSOLUTE } by;
	double value; /* 0.2 for 20%, 0.02 for 2pp, ns of a duration */
};

/* From the > or < up to a comma or the end. Returns what is behind it, or NULL: none of the above. */
const char *limit_parse(const char *text, struct limit *ret);
bool limit_is_passed(const struct limit *l, double before, double now);
