/*
 * text_filter: the steps of report_prepare() that change samples, frames and labels, in their order.
 *
 * Those that return a result return 0, -EINVAL (an option's value is no good, @why says which) or -ENOMEM.
 */
#pragma once

#include "output/text.h"

/* text_labels.c: labels as frames, above the root (-tagroot) and below the leaf (-tagleaf) */
int filter_label_frames(struct report *r, struct why *why);

/* All of the next five: -focus … -prune_from */
int filter_apply(struct report *r, struct why *why);
int filter_by_tags(struct report *r, struct why *why);    /* text_tags.c: -tagfocus, -tagignore */
int filter_tag_names(struct report *r, struct why *why);  /* text_labels.c: -tagshow, -taghide */
int filter_prune_from(struct report *r, struct why *why); /* text_prune.c */

void filter_aggregate(struct profile *p, enum granularity granularity, bool no_inlines);

/* text_prune.c: what the profile itself says is not worth seeing; part of report_load() */
int filter_drop_frames(struct profile *p, struct why *why);

/* Says that option @name did nothing, if so. */
void note_unmatched(const struct report *r, const char *name, bool is_on, bool has_matched);
