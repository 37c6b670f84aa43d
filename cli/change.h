/*
 * change: what somebody asks to be started or stopped in a process that is recorded. The word is left in its segment, and its
 * helper obeys (struct segment_request). One at a time; nobody is waited for.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/patience.h"
#include "core/segment.h"

struct change {
	int connection; /* who waits for an answer */
	bool is_under_way;
	uint32_t serial;
	struct patience patience;
};

/*
 * Asks the process behind @door, its first page. @connection, who asks, is the caller's no more and gets the answer
 * (reception_answer()), now or from change_attend().
 */
void change_begin(struct change *c, struct segment_header *door, enum segment_request_kind kind,
		  const char *text, int connection);

/* True when one has just been answered, or given up. */
bool change_attend(struct change *c, struct segment_header *door);

/* Whoever waits hears that it is over, and why. */
void change_give_up(struct change *c, int error, const char *why);
