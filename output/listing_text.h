/*
 * listing_text: what the listings are made of: numbers, names, stacks, on their way to a file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "output/profile.h"

/* The first error is kept; what comes after it goes nowhere. */
struct text {
	int fd, error;
	uint64_t bytes_n; /* all, also those that are written already */
	size_t n;
	char bytes[64 << 10];
};

struct text *text_create(int fd); /* NULL: no memory */
int text_end(struct text *t);     /* frees it; 0 or the error */

void text_put_char(struct text *t, char c);
void text_put(struct text *t, const char *text);
void text_put_number(struct text *t, uint64_t n, unsigned base);
void text_put_value(struct text *t, int64_t value);
void text_put_hex(struct text *t, uint64_t n);
/* A name, on its line whatever is in it: files and threads may have any. */
void text_put_name(struct text *t, const char *name);
void text_put_quoted(struct text *t, const char *text); /* as Go's %q */
void text_put_labels(struct text *t, const struct profile_sample *sample);

/* The mapping's file, or NULL when the place is in none that has a path. */
const char *text_file_of(const struct profile *p, const struct profile_location *l);
/* file:line, or what else is known of where it is. */
void text_put_source(struct text *t, const struct profile *p, const struct profile_location *l,
		     const struct profile_line *line);

/*
 * From the "@" on: the addresses, the labels, and each frame with its functions. @hides_allocators: the frames of the
 * allocator at the leaf end are among the addresses alone, unless there are no others.
 */
void text_put_stack(struct text *t, const struct profile *p, const struct profile_sample *sample,
		    bool hides_allocators);

/* As what text_put_stack() writes of them sorts. */
int text_compare_stacks(const struct profile *p, const struct profile_sample *a,
			const struct profile_sample *b);
