/*
 * wrap_rights: a call that wants our helper away, between the two. Both keep errno.
 */
#pragma once

#include <stdbool.h>

#include "core/segment.h"

struct segment *rights_pause_helper(void);
void rights_resume_helper(struct segment *s);

/* The same where the kernel allows one thread: the endpoint's, which the C library knows, is away as well. */
struct rights_alone {
	struct segment *segment;
	bool was_serving;
};

struct rights_alone rights_be_alone(void);
void rights_end_alone(struct rights_alone alone);
