/*
 * mapped: the files that were mapped as code, as a segment has them. Records are input, and may change while they are read.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/segment.h"

/* How many records there may be: indexes are below. */
uint32_t mapped_count(const struct segment *s);

/* A copy of record @index, which cannot change any more; false when it makes no sense. */
bool mapped_read(const struct segment *s, uint32_t index, struct segment_module *ret);

/*
 * The file whose image had @address, in its code or its data. One that is loaded before one that is gone, whose place another
 * may have taken. False: none.
 */
bool mapped_find(const struct segment *s, uint64_t address, struct segment_module *ret);

/* The path of the file as profiles have it: pprof wants no " (deleted)". */
void mapped_path(const struct segment *s, const struct segment_module *module, char *ret,
		 size_t size);
