/*
 * contention: who waited for a lock, and who made others wait. One set of wrappers, two profiles.
 */
#pragma once

#include "core/profile.h"

extern const struct profile_ops block_profile, mutex_profile;

/* Both: the run's course, as it is written in the segment. */
void contention_run_begins(struct segment *s, enum segment_run_id id);
void contention_run_ends(struct segment *s, enum segment_run_id id);
