/*
 * condition: what must not have happened, such as "cum:parse>+10%".
 *
 *     flat | cum [_share | _total] [:FUNCTION]  >|<  N% | Npp | Nx
 *     total                                     >|<  N% | Nx
 *
 * FUNCTION is a name, or a pattern as a shell has them, each function of which is looked at by itself; none: all functions.
 * _share: of the whole profile; _total: in the profile's unit, a run; neither: as the rest of the comparison has it.
 * total: the whole profile. What is behind > or <: compare/limit.h.
 */
#pragma once

#include "compare/limit.h"
#include "compare/runs.h"
#include "core/why.h"

enum compare_scale { SCALE_DEFAULT, SCALE_SHARE, SCALE_TOTAL };

struct condition {
	const char *text;  /* as it was written; the caller's */
	bool is_all;       /* total: the whole profile */
	enum runs_sum sum; /* else which of a function's, */
	enum compare_scale scale;
	char function[256]; /* "": every one */
	bool is_name;       /* not a pattern */
	struct limit limit;
};

/* -EINVAL: @why says what was expected where. */
int condition_parse(const char *text, struct condition *ret, struct why *why);
bool condition_concerns(const struct condition *c, const char *function);
