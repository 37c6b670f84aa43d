/*
 * interactive: a timeline on a whole terminal, with keys: timeline --interactive.
 */
#pragma once

#include "viewer/chart.h"
#include "viewer/pictures.h"

struct interactive_ask {
	struct reader *reader;
	const struct streams *streams;
	struct tables *tables;
	struct select_threads *threads;
	uint64_t begun_ns;         /* of the trace's clock */
	uint64_t begin_ns, end_ns; /* of the trace */
	uint64_t from_ns, to_ns;   /* to begin with */
	const char *title;         /* the file's name */
	enum timeline_key key;
	bool is_kept; /* the index is found, and left for the next time */
	bool is_reverse, by_group, is_ascii, has_blocks, has_colour;
};

/* Until it is left. 0, or a negative errno with @why. */
int interactive_run(const struct interactive_ask *ask, struct why *why);
