/*
 * reading: from a segment to a profile.
 *
 * The segment is input: whatever stands in it, reading ends, in bounded memory, and gives a valid profile or a reason.
 */
#pragma once

#include "core/profile.h"
#include "core/segment.h"
#include "core/why.h"
#include "output/profile.h"
#include "output/symbols.h"

/* A table at one moment: what a later reading subtracts. */
struct reading_window;

int reading_window_begin(const struct segment *s, const struct profile_ops *ops,
			 struct reading_window **ret);
void reading_window_end(struct reading_window *window); /* NULL is fine */

/* The oldest generation that @window still needs, by its serial. */
uint64_t reading_window_serial(const struct reading_window *window);

struct reading_counts {
	uint64_t rows, samples, signals, lost, truncated, ns;
};

/*
 * Fills a fresh @ret with the profile @ops of @s, symbolized by @symbols (NULL: addresses only). @window NULL: all that the
 * segment still has. @ret_counts may be NULL.
 */
int reading_profile(const struct segment *s, const struct profile_ops *ops,
		    const struct reading_window *window, struct symbols *symbols,
		    struct profile *ret, struct reading_counts *ret_counts, struct why *why);

/* The sums alone, without stacks: cheap. */
void reading_count(const struct segment *s, const struct profile_ops *ops,
		   struct reading_counts *ret);
