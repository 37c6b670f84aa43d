/*
 * output: what libcprof-output.so does for a host, and what the programs do with a segment.
 *
 * libcprof.so opens this library at the host's first own output and asks for output_functions by name. Everything
 * heavy hides behind it.
 */
#pragma once

#include "core/profile.h"
#include "core/segment.h"
#include "core/why.h"
#include "output/reading.h"

#define OUTPUT_SYMBOL "cprof_output_functions"
#define OUTPUT_ABI    4

#define OUTPUT_DEBUG_MAX \
	2 /* 0: pprof's protobuf, 1: text, 2: text by thread where the profile is one of threads, of waits with those that are idle */

struct output_functions {
	unsigned abi;
	/* The profile @ops of @s, since @window or since it began, to @fd. */
	int (*write)(const struct segment *s, const struct profile_ops *ops,
		     const struct reading_window *window, int fd, int debug, struct why *why);
	/* Every profile of @profiles that ran, as files in @dir, which is made. */
	int (*write_files)(const struct segment *s, const struct profile_ops *const *profiles,
			   const char *dir, struct why *why);
	/* its trace up to now: log.h */
	int (*write_trace)(const struct segment *s, int fd, bool is_snapshot, struct why *why);
	int (*window_begin)(const struct segment *s, const struct profile_ops *ops,
			    struct reading_window **ret);
	void (*window_end)(struct reading_window *window);
	/* the oldest generation it needs */
	uint64_t (*window_serial)(const struct reading_window *window);
};

extern const struct output_functions cprof_output_functions;

/* The profile, symbolized by @symbols, to @fd, which errors call @target. */
int output_write(const struct segment *s, const struct profile_ops *ops,
		 const struct reading_window *window, struct symbols *symbols, int fd, int debug,
		 const char *target, struct why *why);

/*
 * write_files() with @symbols that serve for many segments: NAME.pb.gz, and of what is now also NAME.txt, for people. With
 * @below, in a directory of that name inside @directory, which is made, too.
 */
int output_write_files(const struct segment *s, const struct profile_ops *const *profiles,
		       struct symbols *symbols, const char *directory, const char *below,
		       struct why *why);

/* The same while the program runs, of what is now alone: NAME.NUMBER.pb.gz and NAME.NUMBER.txt. */
int output_write_snapshot(const struct segment *s, const struct profile_ops *const *profiles,
			  struct symbols *symbols, const char *directory, unsigned number,
			  struct why *why);
