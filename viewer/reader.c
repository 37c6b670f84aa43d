#include "viewer/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <lz4.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/checksum.h"
#include "viewer/varint.h"
#include "viewer/walk.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structs are read as they are written");
#define LZ4_HEAD     7    /* magic number, flags, size of blocks, checksum of these */
#define LZ4_FLAGS    0x70 /* version 1, blocks independent, each with a checksum */
#define BLOCKS_FIRST 256

const char *reader_kind_name(uint8_t kind)
{
	static const char *const names[] = {
		[TRACE_BLOCK_EVENTS] = "events",     [TRACE_BLOCK_STRINGS] = "strings",
		[TRACE_BLOCK_STACKS] = "stacks",     [TRACE_BLOCK_OBJECTS] = "objects",
		[TRACE_BLOCK_MODULES] = "modules",   [TRACE_BLOCK_SYMBOLS] = "symbols",
		[TRACE_BLOCK_THREADS] = "threads",   [TRACE_BLOCK_SCHEMA] = "schema",
		[TRACE_BLOCK_METADATA] = "metadata", [TRACE_BLOCK_FOOTER] = "footer",
		[TRACE_BLOCK_FILES] = "files",
	};

	return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : NULL;
}

void reader_damage(struct reader *r, uint64_t offset, uint64_t bytes, const char *format, ...)
{
	struct reader_damage *damage;
	va_list args;

	r->damages_n++;
	r->damaged_bytes += bytes;
	if (r->damages_kept == READER_DAMAGES_KEPT)
		return;
	if (r->damages_kept % 16 == 0) {
		damage = realloc(r->damages, (r->damages_kept + 16) * sizeof(*damage));
		if (damage == NULL)
			return; /* it is counted */
		r->damages = damage;
	}
	damage = &r->damages[r->damages_kept++];
	damage->offset = offset;
	damage->bytes = bytes;
	va_start(args, format);
	vsnprintf(damage->what, sizeof(damage->what), format, args);
	va_end(args);
}

void reader_spoil(struct reader *r, struct reader_block *block, const char *what)
{
	const char *kind = reader_kind_name(block->kind);

	if (block->is_bad)
		return;
	block->is_bad = true;
	reader_damage(r, block->offset, reader_block_end(block) - block->offset,
		      "%s block %" PRIu32 " of generation %" PRIu32 ": %s",
		      kind != NULL ? kind : "unknown", block->sequence, block->generation, what);
}

static int open_source(struct reader **ret, struct reader *r, const struct watch *watch,
		       struct why *why)
{
	int error = -ENOMEM;

	/* no more than there can be: a small trace is looked at in little memory */
	r->stored =
		malloc(r->source.size < READER_STORED_MAX ? r->source.size + 1 : READER_STORED_MAX);
	r->blocks = malloc(BLOCKS_FIRST * sizeof(*r->blocks));
	r->blocks_room = r->blocks != NULL ? BLOCKS_FIRST : 0;
	if (r->stored != NULL && r->blocks != NULL)
		error = walk_blocks(r, watch, why);
	if (error == -ENOMEM)
		why_set(why, "%s: out of memory", r->name);
	if (error < 0) {
		reader_close(r);
		return error;
	}
	*ret = r;
	return 0;
}

static struct reader *make_reader(const char *name, struct why *why)
{
	struct reader *r = calloc(1, sizeof(*r));

	if (r != NULL) {
		r->source.fd = -1;
		r->name = strdup(name);
	}
	if (r == NULL || r->name == NULL) {
		why_set(why, "%s: out of memory", name);
		free(r);
		return NULL;
	}
	return r;
}

int reader_open(struct reader **ret, const char *path, const struct watch *watch, struct why *why)
{
	struct reader *r = make_reader(strcmp(path, "-") == 0 ? "standard input" : path, why);
	int error;

	if (r == NULL)
		return -ENOMEM;
	error = source_open(&r->source, path, why);
	if (error < 0) {
		r->source.fd = -1;
		reader_close(r);
		return error;
	}
	return open_source(ret, r, watch, why);
}

int reader_open_bytes(struct reader **ret, const char *name, const void *bytes, size_t size,
		      struct why *why)
{
	struct reader *r = make_reader(name, why);

	if (r == NULL)
		return -ENOMEM;
	source_from_bytes(&r->source, bytes, size);
	return open_source(ret, r, NULL, why);
}

void reader_close(struct reader *r)
{
	if (r == NULL)
		return;
	source_close(&r->source);
	free(r->stored);
	free(r->damages);
	free(r->blocks);
	free(r->name);
	free(r);
}

/* Unpacks the LZ4 frame @at. Returns NULL, or what is wrong with it. */
static const char *unpack(const uint8_t *at, const struct reader_block *block, uint8_t *raw)
{
	uint32_t magic, n, sum, end, raw_max;
	const uint8_t *data;
	int unpacked;

	memcpy(&magic, at, sizeof(magic));
	if (magic != TRACE_LZ4_MAGIC)
		return "an LZ4 frame was expected behind its header";
	if (at[4] != LZ4_FLAGS || (at[5] & 0x8f) != 0 || at[5] < 0x40)
		return "its LZ4 frame is of another form: one independent block with a checksum "
		       "was "
		       "expected";
	if (at[6] != (checksum_xxh32(at + 4, 2) >> 8 & 0xff))
		return "the checksum of its LZ4 frame's header is wrong";
	raw_max = UINT32_C(1) << (8 + 2 * (at[5] >> 4));
	memcpy(&n, at + LZ4_HEAD, sizeof(n));
	if (block->raw_bytes == 0)
		return n == 0 && block->stored_bytes == READER_FRAME_EMPTY ? NULL
									   : "it should be empty";
	if ((n & INT32_MAX) != block->stored_bytes - READER_FRAME_MORE ||
	    block->raw_bytes > raw_max)
		return "its LZ4 frame has another length than its header says";
	data = at + LZ4_HEAD + 4;
	memcpy(&sum, data + (n & INT32_MAX), sizeof(sum));
	memcpy(&end, data + (n & INT32_MAX) + 4, sizeof(end));
	if (end != 0)
		return "its LZ4 frame does not end where its header says";
	if (sum != checksum_xxh32(data, n & INT32_MAX))
		return "the checksum of its bytes is wrong";
	if (n >> 31) {
		if (block->raw_bytes != (n & INT32_MAX))
			return "its LZ4 frame has another length than its header says";
		memcpy(raw, data, block->raw_bytes);
		return NULL;
	}
	unpacked =
		LZ4_decompress_safe((const char *)data, (char *)raw, (int)n, (int)block->raw_bytes);
	return unpacked == (int)block->raw_bytes ? NULL : "LZ4 cannot unpack it";
}

uint32_t reader_pack(const uint8_t *raw, uint32_t size, uint8_t *to)
{
	uint32_t magic = TRACE_LZ4_MAGIC, sum, n, is_stored = 0;
	uint8_t *data = to + LZ4_HEAD + 4, *end;
	int packed = 0;

	memcpy(to, &magic, sizeof(magic));
	to[4] = LZ4_FLAGS;
	to[5] = size <= 64 << 10 ? 0x40 : size <= 256 << 10 ? 0x50 : 0x60;
	to[6] = (uint8_t)(checksum_xxh32(to + 4, 2) >> 8);
	if (size == 0) {
		memset(to + LZ4_HEAD, 0, 4);
		return READER_FRAME_EMPTY;
	}
	packed = LZ4_compress_default((const char *)raw, (char *)data, (int)size, (int)size - 1);
	n = (uint32_t)packed;
	if (packed <= 0) {
		memcpy(data, raw, size);
		n = size;
		is_stored = UINT32_C(1) << 31;
	}
	sum = checksum_xxh32(data, n);
	end = data + n;
	n |= is_stored;
	memcpy(to + LZ4_HEAD, &n, sizeof(n));
	memcpy(end, &sum, sizeof(sum));
	memset(end + sizeof(sum), 0, 4);
	return (uint32_t)(end + 8 - to);
}

int reader_unpack(const struct reader *r, const struct reader_block *block, uint8_t *stored,
		  uint8_t *raw, const char **ret_what, struct why *why)
{
	const char *what;
	int error;

	error = source_read(&r->source, block->offset + block->header_bytes, stored,
			    block->stored_bytes);
	if (error < 0 && error != -ENODATA) {
		why_set(why, "%s: offset %" PRIu64 " cannot be read: %s", r->name, block->offset,
			strerror(-error));
		return error;
	}
	what = error < 0 ? "the file became shorter while it was read" : unpack(stored, block, raw);
	if (what != NULL) {
		why_set(why, "%s: offset %" PRIu64 ": %s", r->name, block->offset, what);
		*ret_what = what;
		return -EBADMSG;
	}
	memset(raw + block->raw_bytes, 0, READER_PAD);
	return 0;
}

int reader_load(struct reader *r, struct reader_block *block, uint8_t *raw, struct why *why)
{
	const char *what;
	int error = reader_unpack(r, block, r->stored, raw, &what, why);

	if (error == -EBADMSG)
		reader_spoil(r, block, what);
	return error;
}

int reader_summary(const struct reader *r, const struct reader_block *block,
		   struct reader_summary *ret)
{
	uint8_t bytes[READER_HEADER_MAX + VARINT_BYTES_MAX] = {0};
	const uint8_t *at = bytes, *end = bytes + block->summary_bytes;
	uint64_t value;

	if (block->summary_bytes == 0 ||
	    source_read(&r->source, block->offset + block->header_bytes - block->summary_bytes,
			bytes, block->summary_bytes) < 0)
		return -ENODATA;
	memset(ret, 0, sizeof(*ret));
	for (unsigned i = 0; i < TRACE_STATES + TRACE_CLASSES && at < end; i++) {
		at = varint_get(at, &value);
		if (at == NULL || at > end)
			return -ENODATA;
		if (i < TRACE_STATES)
			ret->state_ns[i] = value;
		else
			ret->classes[i - TRACE_STATES] = value;
	}
	return 0;
}
