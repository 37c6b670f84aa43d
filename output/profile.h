/*
 * profile: one profile in memory, as profile.proto has it.
 *
 * Indexes stand in place of the file's ids and C strings in place of its string indexes. Everything
 * hangs on one arena and goes with profile_fini(). Strings are interned, so two are equal when
 * their pointers are.
 *
 *     sample ── locations, leaf first ── location ── lines, innermost inlined first ── function
 *        └───── values, labels              └─────── mapping
 *
 * Running out of memory is remembered in @error and the adders go on harmlessly; whoever hands the
 * profile on asks profile_error() once. An index returned after an error is good for passing on,
 * not for looking up.
 *
 * Source of the names and meanings: google/pprof, proto/profile.proto.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/why.h"

/* "no mapping"; in a file that names one it lacks, also "no function", "no location" */
#define PROFILE_NONE UINT32_MAX

struct profile_value_type {
	const char *type; /* "cpu" */
	const char *unit; /* "nanoseconds" */
};

struct profile_mapping {
	uint64_t start, limit, offset;
	const char *file;     /* "" when unknown */
	const char *build_id; /* lower-case hex, "" when unknown */
	bool has_functions, has_filenames, has_line_numbers, has_inline_frames;
};

struct profile_function {
	const char *name, *system_name, *file; /* never NULL */
	int64_t start_line;
};

struct profile_line {
	uint32_t function; /* index into functions */
	int64_t line, column;
};

struct profile_location {
	uint64_t address;
	uint32_t mapping; /* index into mappings, or PROFILE_NONE */
	bool is_folded;
	uint32_t lines_n;
	struct profile_line *lines;
};

struct profile_label {
	const char *key;
	const char *str; /* NULL: a number */
	int64_t num;
	const char *num_unit; /* "" when it has none */
};

struct profile_sample {
	uint32_t locations_n, labels_n;
	uint32_t *locations; /* indexes, leaf first */
	int64_t *values;     /* sample_types_n of them */
	struct profile_label *labels;
};

struct profile {
	struct profile_value_type *sample_types;
	struct profile_mapping *mappings; /* [0] is the main program */
	struct profile_location *locations;
	struct profile_function *functions;
	struct profile_sample *samples;
	const char **comments;
	uint32_t sample_types_n, mappings_n, locations_n, functions_n, samples_n, comments_n;

	struct profile_value_type period_type; /* type NULL: unset */
	int64_t period, time_ns, duration_ns;
	const char *default_sample_type; /* "" when unset, like the next three */
	const char *drop_frames, *keep_frames, *doc_url;

	struct profile_store
		*store; /* the arena and the tables behind the adders; profile.c only */
	int error;      /* 0, -ENOMEM or -E2BIG (past profile_limit()), first one kept */
	bool has_wrapped; /* a sum of profile_merge_samples() was too large, and is what Go makes of it */
};

/* Returns 0 or -ENOMEM; @p is good for profile_fini() either way. */
int profile_init(struct profile *p);
void profile_fini(struct profile *p); /* a zeroed one is fine */
int profile_error(const struct profile *p);
void profile_limit(struct profile *p,
		   size_t bytes_max); /* all memory of @p together; none at first */

/* The one copy of @text; invalid UTF-8 bytes become U+FFFD. NULL gives "". */
const char *profile_string(struct profile *p, const char *text);
/*
 * The same for @size bytes kept as they are, but for NUL, which becomes U+FFFD: what others wrote
 * is shown unchanged.
 */
const char *profile_string_raw(struct profile *p, const char *bytes, size_t size);
/* From here on all strings of @p are kept like that. What pprof_write.c writes is UTF-8 all the same. */
void profile_keep_bytes(struct profile *p);
bool profile_is_utf8(const char *bytes, size_t size);
size_t profile_columns(const char *bytes,
		       size_t size); /* characters; a byte that is of none is one */
/*
 * Writes @bytes with U+FFFD for what is not UTF-8 to @ret, at least 3 * @size bytes. Returns the
 * length.
 */
size_t profile_mend_utf8(const char *bytes, size_t size, char *ret);
void *profile_alloc(struct profile *p, size_t size); /* zeroed, NULL when out of memory */

void profile_add_sample_type(struct profile *p, const char *type, const char *unit);
void profile_add_comment(struct profile *p, const char *text);

/* Each returns the index of the equal one that is there already, else of a new one. */
uint32_t profile_add_mapping(struct profile *p, const struct profile_mapping *mapping);
uint32_t profile_add_function(struct profile *p, const struct profile_function *function);
uint32_t profile_add_location(struct profile *p, const struct profile_location *location);

/*
 * For text; files have no place for it: where the function of a location begins, 0 when that is not known; without lines,
 * where its file's address 0 lies.
 */
void profile_set_base(struct profile *p, uint32_t location, uint64_t base);
uint64_t profile_base(const struct profile *p, uint32_t location);

/*
 * Copies @sample. Samples with equal locations and labels are not merged: that is
 * profile_merge_samples(), which adds up the values of equal samples, drops those that are zero in
 * every column, and keeps the order of first sight. It also puts the labels of each sample in the
 * order pprof writes them: strings before numbers, then by key. It returns how many samples added
 * up to zero.
 */
void profile_add_sample(struct profile *p, const struct profile_sample *sample);
uint32_t profile_merge_samples(struct profile *p);

/*
 * For a reader of files, whose tables keep the file's order and its duplicates: appends without
 * looking for an equal one. Strings must come from profile_string*() of @p, arrays from
 * profile_alloc() of @p. NULL when out of memory.
 */
struct profile_mapping *profile_append_mapping(struct profile *p);
struct profile_function *profile_append_function(struct profile *p);
struct profile_location *profile_append_location(struct profile *p);
struct profile_sample *profile_append_sample(struct profile *p);

/*
 * Adds @sources up into a fresh @ret the way pprof does: tables hold what samples use, in order of
 * first sight; mappings are equal on size, offset and build id (else file), so runs at other
 * addresses merge; values and periods are first brought to the finer unit. @sources are changed
 * only in their units and values. (profile_merge.c)
 *
 * Returns 0, -EINVAL (their types differ, @why says how) or -ENOMEM.
 */
int profile_merge(struct profile *const *sources, size_t sources_n, struct profile *ret,
		  struct why *why);

/*
 * Multiplies each column. As in pprof, a sample goes when all columns that changed are zero,
 * whatever the others say.
 */
void profile_scale(struct profile *p, const double *ratios);

/* Scales each column of @p to the sum that @to has. Returns 0, -EINVAL (their types differ, @why says how) or -ENOMEM. */
int profile_normalize(struct profile *p, const struct profile *to, struct why *why);
