/*
 * catalog: the profiles of one segment: those that every process may have, and those that its program made.
 */
#pragma once

#include "core/profile.h"
#include "core/segment.h"

struct catalog;

/* @profiles: ended by NULL, with families. NULL: no memory. */
struct catalog *catalog_create(const struct profile_ops *const *profiles);
void catalog_destroy(struct catalog *c); /* NULL is fine */

/*
 * All that @s has by now, ended by NULL. It is always the same segment. What it points to stays until the end, and the next
 * call only appends; one at a time.
 */
const struct profile_ops *const *catalog_list(struct catalog *c, const struct segment *s);
