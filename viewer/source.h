/*
 * source: the bytes of a trace, read at any offset. A file, what comes through a pipe, or bytes in memory.
 *
 * Read and not mapped: a mapped file that somebody makes shorter ends the program that looks at it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/why.h"

struct source {
	int fd; /* -1: bytes */
	const uint8_t *bytes;
	uint64_t size;
	uint64_t stamp_ns; /* of its last change */
};

/*
 * Opens @path, or standard input for "-". What comes through a pipe is kept in a file without a name, in $TMPDIR or /tmp.
 * Returns 0 or a negative errno, with the reason in @why.
 */
int source_open(struct source *source, const char *path, struct why *why);
void source_from_bytes(struct source *source, const void *bytes, size_t size); /* borrowed */
void source_close(struct source *source);

/* Reads @size bytes from @offset on. 0, -ENODATA (they are not all there), or what read() said. */
int source_read(const struct source *source, uint64_t offset, void *to, size_t size);
