/*
 * closing: the line on stderr with which `cprof run` ends: what was written, how much, what is missing, and what to type next.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/profile.h"
#include "core/segment.h"
#include "core/why.h"

struct closing_first {
	char name[PROFILE_NAME_MAX +
		  1];      /* of the first profile with something in it, else of any; "": none */
	const char *index; /* the option for a column that has something to see */
	bool is_log;
};

struct closing {
	uint64_t samples, waits, events, lost, missed[LOST_KINDS];
	unsigned children, triggered; /* snapshots for trace.on= */
	uint64_t triggered_left_out;
	struct closing_first main_first, child_first;
	bool has_main, has_no_snapshot;
	bool has_samples, has_waits,
		has_events; /* a profile of these ran, whether it found any or not */
	struct why failure;
};

/* @running: processes that go on, and are written when they end. @were_refused: some came that could not be taken in. */
void closing_say(const struct closing *c, const char *directory, bool were_refused,
		 unsigned running);
