/*
 * latency: what tasks and regions have in common when they are shown: the states that their time went into, the histogram,
 * and a pattern for their names.
 */
#pragma once

#include <regex.h>

#include "viewer/histogram.h"
#include "viewer/names.h"
#include "viewer/story.h"
#include "viewer/table.h"

/* A column of each state, in the order in which states are shown, for JSON and CSV. */
extern const struct column latency_states[TRACE_STATES];
void latency_cells(struct cell cells[TRACE_STATES], const uint64_t state_ns[TRACE_STATES]);

/*
 * "running 61 %, lock 30 %, gap 9 %": the largest first, of all that is there; what is less than a thousandth is left out. With
 * @has_ns "running 1.20ms, …".
 */
void latency_words(struct name *name, const uint64_t state_ns[TRACE_STATES], uint64_t gap_ns,
		   bool has_ns);

/* Rows of a table of "from_ns", "to_ns", "count", "share" behind @name: one for each doubling. 0 or -ENOMEM. */
enum { LATENCY_COLUMNS = 6 };
extern const struct column latency_columns[LATENCY_COLUMNS];
int latency_rows(struct table *table, const char *name, const struct histogram *h);

/* Strings of a trace by a pattern as grep -E has them, found anywhere. A zeroed one has all. */
struct latency_pattern {
	const struct tables *tables;
	regex_t expression;
	struct map known; /* by str: 1 or 0 */
};
/* 0 or -EINVAL, with @why; @option is what the pattern came with. */
int latency_pattern(struct latency_pattern *p, const char *option, const char *text,
		    const struct tables *t, struct why *why);
bool latency_matches(struct latency_pattern *p, uint32_t str);
void latency_pattern_fini(struct latency_pattern *p);
