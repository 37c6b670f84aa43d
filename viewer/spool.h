/*
 * spool: lists that grow all at once and are read one after another: in a file without a name, so that a buffer for each is all that is
 * in memory.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/why.h"

#define SPOOL_CHUNK 4096

struct spool {
	int fd;
	uint64_t end;
	const char *directory;
};

/* A zeroed one is empty. */
struct spool_list {
	uint64_t first, at; /* chunks in the file, + 1; 0: none */
	uint8_t *buffer;    /* from malloc, when there is anything */
	size_t n;
};

/* A zeroed one with fd -1 opens its file with the first full buffer. Each: 0 or a negative errno, with @why. */
int spool_put(struct spool *s, struct spool_list *list, const void *bytes, size_t size,
	      struct why *why); /* at most SPOOL_CHUNK / 2 at a time, and in one piece */
/* Nothing is put behind it any more. */
int spool_seal(struct spool *s, struct spool_list *list, struct why *why);
/* The next piece of a sealed list, into @chunk; returns its size, and 0 at the end. *@at is 0 at first. */
int spool_next(const struct spool *s, const struct spool_list *list, uint64_t *at,
	       uint8_t chunk[SPOOL_CHUNK], const uint8_t **ret, struct why *why);
void spool_list_fini(struct spool_list *list);
void spool_fini(struct spool *s);
