/*
 * pprof: a profile to and from the bytes of profile.proto, gzipped.
 */
#pragma once

#include "core/why.h"
#include "output/profile.h"

/*
 * Limits of what is read: a gzip bomb or a file of a billion empty samples ends in a sentence, not
 * in swap.
 */
#define PPROF_BYTES_MAX  ((size_t)1 << 30) /* unpacked */
#define PPROF_MEMORY_MAX ((size_t)2 << 30) /* in struct profile */

/* Returns 0 or a negative errno. The bytes come from malloc; the caller frees them. Not gzipped. */
int pprof_encode(const struct profile *p, uint8_t **ret_bytes, size_t *ret_size);

/* The same, gzipped: what a file or an HTTP reply holds. */
int pprof_encode_gzip(const struct profile *p, uint8_t **ret_bytes, size_t *ret_size);

/* Writes the gzipped profile to @fd, 64 KiB at a time. */
int pprof_write(const struct profile *p, int fd);

/*
 * Reads @bytes, gzipped or not, into a fresh @ret. Whatever the bytes are, memory stays bounded,
 * and what is returned passed check_valid() (output/check.h): every index is in its table.
 *
 * Returns 0, -EBADMSG (not a profile; @why says at which offset and what was expected), -EFBIG
 * (past the limits above) or -ENOMEM. After an error @ret is zeroed.
 */
int pprof_decode(const void *bytes, size_t size, struct profile *ret, struct why *why);

/*
 * The same from a file, named in @why; @path "-" is standard input. Also a negative errno of open
 * and read.
 */
int pprof_read(const char *path, struct profile *ret, struct why *why);

/*
 * What the file said that a struct profile does not show: for check.c. Ids are in table order;
 * index PROFILE_NONE in a location's lines or a sample's locations is an id that names nothing.
 */
struct pprof_wire {
	uint64_t *mapping_ids, *function_ids, *location_ids;
	uint32_t *values_n;  /* of each sample; struct profile has them cut or filled with 0 */
	uint64_t bad_utf8_n; /* entries of the string table that are not UTF-8 */
	uint64_t dangling_mappings_n; /* locations whose mapping is not there; read as none */
	size_t size;                  /* unpacked */
};

/*
 * Like pprof_decode() and pprof_read(), but without check_valid(): the profile may have
 * PROFILE_NONE where an index should be. @wire's arrays belong to @ret and go with it.
 */
int pprof_decode_wire(const void *bytes, size_t size, struct profile *ret, struct pprof_wire *wire,
		      struct why *why);
int pprof_read_wire(const char *path, struct profile *ret, struct pprof_wire *wire,
		    struct why *why);
/*
 * Either of them, @wire NULL for pprof_read(): out of @fd, which stays open and is called @name, or with -1 out of the file of that
 * name.
 */
int pprof_read_from(int fd, const char *name, struct profile *ret, struct pprof_wire *wire,
		    struct why *why);
