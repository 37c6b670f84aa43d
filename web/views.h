/*
 * views: what the page shows, as JSON: the numbers of the commands of the same names, and their texts.
 */
#pragma once

#include "core/why.h"
#include "output/out.h"
#include "output/text.h"

/*
 * @r is prepared; each writes one object. 0, -EINVAL (the expression is none), -ENOENT (it matches nothing), or another negative errno,
 * with @why.
 */
int view_top(struct report *r, struct out *out, struct why *why);
int view_peek(struct report *r, struct out *out, struct why *why);
int view_source(struct report *r, struct out *out, struct why *why); /* by line */
int view_tags(struct report *r, struct out *out, struct why *why);
