/*
 * gzip: RFC 1952 both ways, a piece at a time, by zlib.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/why.h"

/* Takes the bytes that come out. Returns 0 or a negative errno, which ends the work. */
typedef int gzip_sink(void *context, const void *bytes, size_t size);

struct gzip_packer;

/*
 * Packs into @sink. The same input gives the same bytes: the header has no time and no name. 0 or
 * -ENOMEM.
 */
int gzip_pack_create(struct gzip_packer **ret, gzip_sink *sink, void *context);
/* Before the first bytes: in a third of the time, for some more bytes. */
void gzip_pack_quickly(struct gzip_packer *packer);
/* 0 or what the sink returned. */
int gzip_pack(struct gzip_packer *packer, const void *bytes, size_t size);
int gzip_pack_finish(struct gzip_packer *packer);
void gzip_pack_destroy(struct gzip_packer *packer); /* NULL is fine */

/*
 * Unpacks all members in @bytes. Never keeps more than @size_max bytes. The result comes from
 * malloc.
 *
 * Returns 0, -EBADMSG (damaged, cut off, or not gzip; @why says where), -EFBIG (more than
 * @size_max) or -ENOMEM.
 */
int gzip_unpack(const void *bytes, size_t size, size_t size_max, uint8_t **ret_bytes,
		size_t *ret_size, struct why *why);
