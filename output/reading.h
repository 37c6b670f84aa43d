/*
 * reading: from a segment to a profile.
 *
 * The segment is input: whatever stands in it, reading ends, in bounded memory, and gives a valid profile or a reason.
 */
#pragma once

#include "core/profile.h"
#include "core/segment.h"
#include "core/wait.h"
#include "core/why.h"
#include "output/profile.h"
#include "output/symbols.h"

/* False: there is nothing to read. It never ran or, of the threads, no snapshot was taken. */
bool reading_is_there(const struct segment *s, const struct profile_ops *ops);

/* A profile's rows at one moment: what a later reading subtracts. */
struct reading_window;

int reading_window_begin(const struct segment *s, const struct profile_ops *ops,
			 struct reading_window **ret);
void reading_window_end(struct reading_window *window); /* NULL is fine */

/* What is in use then is not subtracted: with it what was allocated since, and what is in use now. */
void reading_window_keep_in_use(struct reading_window *window);

/* The oldest generation that @window still needs, by its serial. */
uint64_t reading_window_serial(const struct reading_window *window);

struct reading_counts {
	uint64_t rows, samples, signals, lost, truncated, ns;
	uint64_t last; /* the sum of the last column, the one that tools show */
};

/*
 * Fills a fresh @ret with the profile @ops of @s, symbolized by @symbols (NULL: addresses only). @window NULL: all that the
 * segment still has; of what is now, such as the threads, all that there is, and with a window what there is more or less
 * of than then. @ret_counts may be NULL.
 *
 * Returns 0, -EAGAIN (reading_is_there() is false), -E2BIG or -ENOMEM.
 */
int reading_profile(const struct segment *s, const struct profile_ops *ops,
		    const struct reading_window *window, struct symbols *symbols,
		    struct profile *ret, struct reading_counts *ret_counts, struct why *why);

/*
 * Of a profile of blocks, those that were sampled and nothing worked out from them, with every frame but ours: what pprof
 * expects of a heap profile as text.
 */
int reading_sampled(const struct segment *s, const struct profile_ops *ops, struct symbols *symbols,
		    struct profile *ret, struct why *why);

/* Of releases of locks one in so many is recorded, and counted as many times; 1 where each stands for itself. */
uint64_t reading_every(const struct segment *s, const struct profile_ops *ops);

/* The sums alone, without stacks: cheap. Of blocks, those that were sampled. */
void reading_count(const struct segment *s, const struct profile_ops *ops,
		   struct reading_counts *ret);

/* A thread as the last snapshot found it. Texts are those of the profile that comes with it. */
struct reading_thread {
	int32_t tid; /* 0: it has ended since */
	const char *name, *channel;
	unsigned state;  /* a code of wait.h */
	uint64_t for_ns; /* in that state; 0: not known */
};

/*
 * Every thread of the last snapshot, the main one first, then by tid. The stack of thread i and its labels, but for name
 * and state, are sample i of @ret. The caller frees *ret_threads. Returns as reading_profile().
 */
int reading_threads(const struct segment *s, const struct profile_ops *ops, struct symbols *symbols,
		    struct profile *ret, struct reading_thread **ret_threads, struct why *why);
