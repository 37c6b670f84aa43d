/*
 * source_files: the lines of source files, which are looked for as pprof does.
 *
 *     a name in the profile    /build/app/src/x.c
 *     without what -trim_path says, or what is above a directory of -source_path (path_trim())
 *     still absolute           there or nowhere
 *     else                     in each directory of the search path, and in all that are above it
 *
 * The search path is -source_path, or the working directory. Names are a profile's, which anybody may have written: only regular
 * files are read, and no more than SOURCE_FILES_MAX bytes of them are kept.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/why.h"
#include "output/text.h"

#define SOURCE_FILES_MAX ((size_t)256 << 20)

struct source_file {
	const char *name;  /* as the profile has it */
	const char *error; /* why there are no lines, in pprof's words; NULL: it was read */
	char *bytes;
	size_t *lines; /* where each begins, and the end */
	size_t lines_n;
};

struct source_files {
	struct profile *profile; /* for its texts */
	const char *search_path, *trim_path;
	struct source_file *all;
	size_t n, bytes;
	const char *missing; /* the first that was not found */
};

/* Of the options of @r. 0, or a negative errno with @why. */
int source_files_init(struct source_files *s, struct report *r, struct why *why);
void source_files_fini(struct source_files *s);

/* The file that the profile calls @name; NULL when out of memory. Good until the next one is asked for. */
const struct source_file *source_files_get(struct source_files *s, const char *name);
/* Its line @number, from 1 on, without its end; NULL: it has none. */
const char *source_file_line(const struct source_file *f, int64_t number, size_t *ret_size);

/* What to type so that @missing is found; NULL when nothing is missing. */
const char *source_files_advise(const struct source_files *s);
