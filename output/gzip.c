#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define ZLIB_CONST
#include <zlib.h>

#include "output/gzip.h"

#define GZIP_WINDOW (MAX_WBITS + 16) /* zlib's way of asking for gzip's header and checksum */

struct gzip_packer {
	z_stream z;
	gzip_sink *sink;
	void *context;
	unsigned char out[16 << 10];
};

int gzip_pack_create(struct gzip_packer **ret, gzip_sink *sink, void *context)
{
	struct gzip_packer *packer = calloc(1, sizeof(*packer));

	if (packer == NULL)
		return -ENOMEM;
	packer->sink = sink;
	packer->context = context;
	if (deflateInit2(&packer->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8,
			 Z_DEFAULT_STRATEGY) != Z_OK) {
		free(packer);
		return -ENOMEM;
	}
	*ret = packer;
	return 0;
}

void gzip_pack_quickly(struct gzip_packer *packer)
{
	deflateParams(&packer->z, Z_BEST_SPEED, Z_DEFAULT_STRATEGY);
}

/* Runs deflate until it has room to spare. */
static int drain(struct gzip_packer *packer, int flush)
{
	int r;

	do {
		packer->z.next_out = packer->out;
		packer->z.avail_out = sizeof(packer->out);
		deflate(&packer->z, flush);
		if (packer->z.avail_out == sizeof(packer->out))
			break;
		r = packer->sink(packer->context, packer->out,
				 sizeof(packer->out) - packer->z.avail_out);
		if (r < 0)
			return r;
	} while (packer->z.avail_out == 0);
	return 0;
}

int gzip_pack(struct gzip_packer *packer, const void *bytes, size_t size)
{
	const unsigned char *at = bytes;
	int r;

	while (size > 0) {
		uInt n = size > INT_MAX ? INT_MAX : (uInt)size;

		packer->z.next_in = at;
		packer->z.avail_in = n;
		r = drain(packer, Z_NO_FLUSH);
		if (r < 0)
			return r;
		at += n;
		size -= n;
	}
	return 0;
}

int gzip_pack_finish(struct gzip_packer *packer)
{
	packer->z.next_in = NULL;
	packer->z.avail_in = 0;
	return drain(packer, Z_FINISH);
}

void gzip_pack_destroy(struct gzip_packer *packer)
{
	if (packer == NULL)
		return;
	deflateEnd(&packer->z);
	free(packer);
}

struct bytes {
	uint8_t *at;
	size_t size, room;
};

static int make_room(struct bytes *out, size_t size_max, size_t hint)
{
	size_t room = out->room == 0 ? hint : out->room * 2;
	uint8_t *bigger;

	if (out->size < out->room)
		return 0;
	if (room > size_max + 1) /* one more, to see that there is one more */
		room = size_max + 1;
	if (room <= out->room)
		return -EFBIG;
	bigger = realloc(out->at, room);
	if (bigger == NULL)
		return -ENOMEM;
	out->at = bigger;
	out->room = room;
	return 0;
}

/* Unpacks one member. Returns 0 at its end. */
static int unpack_member(z_stream *z, const unsigned char *start, size_t size, size_t size_max,
			 struct bytes *out, struct why *why)
{
	size_t at = (size_t)(z->next_in - start);
	int r, status;

	for (;;) {
		size_t left = size - at, room;

		r = make_room(out, size_max, size < (64 << 10) ? 64 << 10 : 4 * size);
		if (r == -EFBIG || out->size > size_max) {
			why_set(why,
				"unpacked it would be larger than %zu MiB, more than any profile "
				"needs; "
				"nothing was read",
				size_max >> 20);
			return -EFBIG;
		}
		if (r < 0)
			return r;
		room = out->room - out->size;
		z->next_in = start + at;
		z->avail_in = left > INT_MAX ? INT_MAX : (uInt)left;
		z->next_out = out->at + out->size;
		z->avail_out = room > INT_MAX ? INT_MAX : (uInt)room;
		status = inflate(z, Z_NO_FLUSH);
		at = (size_t)(z->next_in - start);
		out->size = (size_t)(z->next_out - out->at);
		if (status == Z_STREAM_END)
			return 0;
		if (status == Z_MEM_ERROR)
			return -ENOMEM;
		if (status != Z_OK && status != Z_BUF_ERROR) {
			why_set(why,
				"the gzip data is damaged at offset %zu (%s); copy the file again "
				"as "
				"binary, or take the profile again",
				at, z->msg != NULL ? z->msg : "a preset dictionary is asked for");
			return -EBADMSG;
		}
		if (at == size && z->avail_out != 0) {
			why_set(why,
				"the gzip data ends early, after %zu bytes that unpack to %zu; the "
				"file "
				"was cut off: copy it again, or take the profile again",
				size, out->size);
			return -EBADMSG;
		}
	}
}

int gzip_unpack(const void *bytes, size_t size, size_t size_max, uint8_t **ret_bytes,
		size_t *ret_size, struct why *why)
{
	const unsigned char *start = bytes;
	struct bytes out = {0};
	z_stream z = {0};
	size_t at;
	int r;

	if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
		return -ENOMEM;
	z.next_in = start;
	for (;;) {
		r = unpack_member(&z, start, size, size_max, &out, why);
		if (r < 0)
			goto fail;
		at = (size_t)(z.next_in - start);
		if (at == size)
			break;
		if (size - at < 2 || start[at] != 0x1f || start[at + 1] != 0x8b) {
			why_set(why,
				"%zu bytes follow the end of the gzip data at offset %zu; one "
				"profile and "
				"nothing else was expected",
				size - at, at);
			r = -EBADMSG;
			goto fail;
		}
		inflateReset(&z);
	}
	inflateEnd(&z);
	*ret_bytes = out.at;
	*ret_size = out.size;
	return 0;

fail:
	inflateEnd(&z);
	free(out.at);
	return r;
}
