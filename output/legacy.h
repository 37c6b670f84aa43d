/*
 * legacy: formats from before profile.proto, as pprof still reads them.
 *
 *     legacy_cpu.c     gperftools' binary CPU profile: words of 4 or 8 bytes in either order, then a memory map
 *     legacy_text.c    heap, growth, contention and count profiles as text, of gperftools and of Go (debug=1)
 *     legacy_maps.c    the memory map that ends each of them, and which mapping an address is in
 *     legacy.c         which it is, and what all have in common
 *
 * jemalloc's heap text, which pprof does not read, is read here, too; as jeprof does.
 *
 * Source of the rules: google/pprof, profile/legacy_profile.go.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/why.h"
#include "output/profile.h"

/*
 * Reads @bytes into a fresh @ret. Returns 0; -ENOENT: it is none of these formats; -EBADMSG: it is one and damaged, @why says
 * where; -EFBIG or -ENOMEM. After an error @ret is zeroed.
 */
int legacy_decode(const uint8_t *bytes, size_t size, struct profile *ret, struct why *why);

/* ---- between the files of this module ---- */

struct legacy {
	struct profile *p;
	struct why *why;
	const char *at, *end; /* what is left of the file */
	uint64_t line;        /* number of the line that was last taken, from 1 on; of text */
	uint32_t *stack;      /* of the sample that is being read */
	size_t stack_n, stack_room;
};

int legacy_read_cpu(struct legacy *l);
int legacy_read_text(struct legacy *l);
/* From here on there is nothing but a memory map. */
int legacy_read_maps(struct legacy *l);

/* The next line, without blanks around it; false at the end. */
struct legacy_line {
	const char *at, *end;
};
bool legacy_next(struct legacy *l, struct legacy_line *ret);
bool legacy_is_blank(const struct legacy_line *line); /* or a comment */
bool legacy_starts(const struct legacy_line *line, const char *start);
bool legacy_has(const struct legacy_line *line, const char *text);
bool legacy_ends_samples(const struct legacy_line *line); /* the line before a memory map */

/* Puts one more caller on l->stack, and what is there into a sample with @values. 0 or -ENOMEM. */
int legacy_push(struct legacy *l, uint64_t address);
int legacy_add_sample(struct legacy *l, const int64_t *values, const struct profile_label *label);

__attribute__((format(printf, 2, 3))) int legacy_refuse(struct legacy *l, const char *format, ...);
