#include "viewer/walk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/checksum.h"

_Static_assert(sizeof(struct trace_file_header) == 64 && sizeof(struct trace_block_header) == 96 &&
		       sizeof(struct trace_trailer) == 32,
	       "no padding");

#define FRAME_HEAD   8         /* of a skippable frame: its magic number and its length */
#define WINDOW       (8 << 10) /* read at once around a header: two of the longest */
#define SEARCH_BYTES (256 << 10)
/* How far a block is looked for in what does not begin as a trace: another file, most likely. */
#define SEARCH_OTHER (UINT64_C(64) << 20)
#define TIME_MAX     (UINT64_C(1) << 62) /* so that differences, and sums of two, have room */

struct walk {
	struct reader *r;
	uint8_t *window, *chunk;
	uint64_t window_at;
	size_t window_n;
	struct why *why; /* of what is read, not of what is in it */
};

enum frame_kind { FRAME_BAD, FRAME_FILE_HEADER, FRAME_BLOCK, FRAME_TRAILER };

struct frame {
	enum frame_kind kind;
	uint64_t end;
	struct reader_block block;
	char what[200]; /* why it is bad */
};

/* The @n bytes at @at, or NULL with @ret_error -ENODATA when the file ends before. */
static const uint8_t *peek(struct walk *w, uint64_t at, size_t n, int *ret_error)
{
	const struct source *source = &w->r->source;
	uint64_t left = at < source->size ? source->size - at : 0;
	int r;

	*ret_error = -ENODATA;
	if (n > left)
		return NULL;
	if (at < w->window_at || at + n > w->window_at + w->window_n) {
		w->window_at = at;
		w->window_n = left < WINDOW ? (size_t)left : WINDOW;
		r = source_read(source, at, w->window, w->window_n);
		if (r < 0) {
			w->window_n = 0;
			*ret_error = r;
			if (r != -ENODATA)
				why_set(w->why, "%s: offset %" PRIu64 " cannot be read: %s",
					w->r->name, at, strerror(-r));
			return NULL;
		}
	}
	return w->window + (at - w->window_at);
}

/* All of a header but the checksum itself, so that what a newer version adds is guarded, too. */
static uint32_t crc_around(const uint8_t *bytes, size_t size, size_t crc_offset)
{
	uint32_t crc = checksum_crc32c(0, bytes, crc_offset);

	crc_offset += sizeof(uint32_t);
	return checksum_crc32c(crc, bytes + crc_offset, size - crc_offset);
}

static void bad(struct frame *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void bad(struct frame *f, const char *format, ...)
{
	va_list args;

	f->kind = FRAME_BAD;
	va_start(args, format);
	vsnprintf(f->what, sizeof(f->what), format, args);
	va_end(args);
}

static void parse_file_header(struct walk *w, struct frame *f, const uint8_t *bytes, size_t size)
{
	struct trace_file_header h;

	if (size < sizeof(h)) {
		bad(f, "the file's header has %zu bytes; at least %zu were expected", size,
		    sizeof(h));
		return;
	}
	memcpy(&h, bytes, sizeof(h));
	if (h.header_bytes != size ||
	    h.crc != crc_around(bytes, size, offsetof(struct trace_file_header, crc))) {
		bad(f, "the checksum of the file's header is wrong");
		return;
	}
	w->r->header = h;
	w->r->has_header = true;
	f->kind = FRAME_FILE_HEADER;
}

static void parse_trailer(struct walk *w, struct frame *f, const uint8_t *bytes, size_t size)
{
	struct trace_trailer t;

	if (size < sizeof(t)) {
		bad(f, "the trailer has %zu bytes; at least %zu were expected", size, sizeof(t));
		return;
	}
	memcpy(&t, bytes, sizeof(t));
	if (t.crc != crc_around(bytes, size, offsetof(struct trace_trailer, crc))) {
		bad(f, "the checksum of the trailer is wrong");
		return;
	}
	w->r->trailer = t;
	w->r->has_trailer = true;
	f->kind = FRAME_TRAILER;
}

static void parse_block(struct frame *f, uint64_t at, const uint8_t *bytes, size_t size)
{
	struct trace_block_header h;

	if (size < sizeof(h)) {
		bad(f, "a block's header has %zu bytes; at least %zu were expected", size,
		    sizeof(h));
		return;
	}
	memcpy(&h, bytes, sizeof(h));
	if (h.header_bytes != size || h.summary_bytes > size - sizeof(h) ||
	    h.crc != crc_around(bytes, size, offsetof(struct trace_block_header, crc))) {
		bad(f, "the checksum of a block's header is wrong");
		return;
	}
	/* Whoever wrote this meant it. */
	if (h.kind == 0 || h.raw_bytes > TRACE_RAW_MAX ||
	    h.stored_bytes > h.raw_bytes + READER_FRAME_MORE ||
	    h.stored_bytes < (h.raw_bytes > 0 ? READER_FRAME_MORE + 1 : READER_FRAME_EMPTY)) {
		bad(f,
		    "a block's header of kind %u has sizes that cannot be: %" PRIu32
		    " bytes, %" PRIu32 " packed; at most %" PRIu32 " were expected",
		    h.kind, h.raw_bytes, h.stored_bytes, TRACE_RAW_MAX);
		return;
	}
	if (h.events > h.raw_bytes / 2) {
		bad(f, "a block's header has %" PRIu32 " records in %" PRIu32 " bytes", h.events,
		    h.raw_bytes);
		return;
	}
	if (h.last_ns < h.first_ns || h.last_ns > TIME_MAX || h.span > TIME_MAX) {
		bad(f, "a block's header has times that cannot be: %" PRIu64 " to %" PRIu64 " ns",
		    h.first_ns, h.last_ns);
		return;
	}
	f->kind = FRAME_BLOCK;
	f->block = (struct reader_block){
		.offset = at,
		.first_ns = h.first_ns,
		.last_ns = h.last_ns,
		.span = h.span,
		.lost_before = h.lost_before,
		.recorder_ns = h.recorder_ns,
		.tick_fs = h.tick_fs,
		.header_bytes = FRAME_HEAD + (uint32_t)size,
		.raw_bytes = h.raw_bytes,
		.stored_bytes = h.stored_bytes,
		.events = h.events,
		.generation = h.generation,
		.thread = h.thread,
		.sequence = h.sequence,
		.needs = {h.needs_strings, h.needs_stacks, h.needs_objects, h.needs_modules},
		.summary_bytes = (uint16_t)h.summary_bytes,
		.kind = h.kind,
		.flags = h.flags,
	};
	f->end += h.stored_bytes;
}

/* What stands at @at. Returns 0, also for what is bad, or what reading said. */
static int parse(struct walk *w, uint64_t at, struct frame *f)
{
	uint64_t left = w->r->source.size - at;
	uint32_t magic, size;
	const uint8_t *bytes;
	int r;

	f->kind = FRAME_BAD;
	bytes = peek(w, at, FRAME_HEAD + sizeof(w->r->header.magic), &r);
	if (bytes == NULL && r != -ENODATA)
		return r;
	if (bytes == NULL) {
		bad(f, "the last %" PRIu64 " bytes are the beginning of something that was cut off",
		    left);
		return 0;
	}
	memcpy(&magic, bytes, sizeof(magic));
	memcpy(&size, bytes + 4, sizeof(size));
	if (magic != TRACE_SKIPPABLE_MAGIC) {
		bad(f, "a header was expected (magic number %#" PRIx32 ", not %#" PRIx32 ")",
		    TRACE_SKIPPABLE_MAGIC, magic);
		return 0;
	}
	if (size < sizeof(struct trace_trailer) || size > READER_HEADER_MAX) {
		bad(f, "a header has %" PRIu32 " bytes; %zu to %d were expected", size,
		    sizeof(struct trace_trailer), READER_HEADER_MAX);
		return 0;
	}
	if (size > left - FRAME_HEAD) {
		bad(f, "a header of %" PRIu32 " bytes is cut off after %" PRIu64, size,
		    left - FRAME_HEAD);
		return 0;
	}
	bytes = peek(w, at, FRAME_HEAD + size, &r);
	if (bytes == NULL && r != -ENODATA)
		return r;
	if (bytes == NULL) {
		bad(f, "the file became shorter while it was read");
		return 0;
	}
	bytes += FRAME_HEAD;
	f->end = at + FRAME_HEAD + size;
	if (memcmp(bytes, TRACE_BLOCK_MAGIC, 4) == 0)
		parse_block(f, at, bytes, size);
	else if (memcmp(bytes, TRACE_TRAILER_MAGIC, 8) == 0)
		parse_trailer(w, f, bytes, size);
	else if (memcmp(bytes, TRACE_FILE_MAGIC, 8) == 0 && at == 0)
		parse_file_header(w, f, bytes, size);
	else if (memcmp(bytes, TRACE_FILE_MAGIC, 8) == 0)
		bad(f, "another trace begins here; only the first one in a file is read");
	else
		bad(f, "a header that is none of ours");
	return 0;
}

/* Where the next good header begins, from @from on; the file's end when there is none. */
static int search(struct walk *w, uint64_t from, uint64_t end, uint64_t *ret)
{
	static const uint8_t magic[] = {0x5c, 0x2a, 0x4d, 0x18};
	struct trace_trailer trailer = w->r->trailer;
	bool has_trailer = w->r->has_trailer;
	struct frame f;
	int r;

	*ret = w->r->source.size;
	while (from + FRAME_HEAD < end) {
		size_t n = end - from < SEARCH_BYTES ? (size_t)(end - from) : SEARCH_BYTES;
		const uint8_t *at = w->chunk, *found;

		r = source_read(&w->r->source, from, w->chunk, n);
		if (r < 0 && r != -ENODATA)
			why_set(w->why, "%s: offset %" PRIu64 " cannot be read: %s", w->r->name,
				from, strerror(-r));
		if (r < 0)
			return r == -ENODATA ? 0 : r;
		while ((found = memmem(at, n - (size_t)(at - w->chunk), magic, sizeof(magic))) !=
		       NULL) {
			uint64_t offset = from + (uint64_t)(found - w->chunk);

			r = parse(w, offset, &f);
			if (r < 0)
				return r;
			/* It was only looked at; it is met again. */
			w->r->trailer = trailer;
			w->r->has_trailer = has_trailer;
			if (f.kind == FRAME_BLOCK || f.kind == FRAME_TRAILER) {
				*ret = offset;
				return 0;
			}
			at = found + 1;
		}
		if (n < SEARCH_BYTES)
			break;
		from += n - (sizeof(magic) - 1);
	}
	return 0;
}

static int add_block(struct reader *r, const struct reader_block *block)
{
	size_t room = 2 * r->blocks_room;
	struct reader_block *blocks;

	if (r->blocks_n == r->blocks_room) {
		blocks = realloc(r->blocks, room * sizeof(*blocks));
		if (blocks == NULL)
			return -ENOMEM;
		r->blocks = blocks;
		r->blocks_room = room;
	}
	r->blocks[r->blocks_n++] = *block;
	if (block->raw_bytes > r->raw_max)
		r->raw_max = block->raw_bytes;
	return 0;
}

/*
 * Is the payload of the last block, which ends where damage begins, something else than its checksum says? Asked once for each
 * block, or damage that is met again on the way from there would lead back for ever; and in proportion to the file.
 */
static bool is_last_block_wrong(struct walk *w, uint64_t end)
{
	struct reader *r = w->r;
	struct reader_block *last = r->blocks_n > 0 ? &r->blocks[r->blocks_n - 1] : NULL;
	uint8_t *raw;
	bool is_wrong;

	if (last == NULL || last->is_bad || reader_block_end(last) != end)
		return false;
	r->looked_bytes += last->stored_bytes;
	if (r->looked_bytes > 4 * r->source.size)
		return false;
	raw = malloc(last->raw_bytes + READER_PAD);
	is_wrong = raw != NULL && reader_load(r, last, raw, NULL) == -EBADMSG;
	free(raw);
	return is_wrong;
}

/* Has nothing of a trace been seen, not even where its magic number should be? */
static bool is_other(struct reader *r)
{
	uint8_t start[16];

	return r->blocks_n == 0 && !r->has_header &&
	       (source_read(&r->source, 0, start, sizeof(start)) < 0 ||
		memcmp(start + FRAME_HEAD, TRACE_FILE_MAGIC, 8) != 0);
}

/* Passes over what is at @at, and says what it was. */
static int pass_over(struct walk *w, uint64_t at, const struct frame *f, uint64_t *ret)
{
	struct reader *r = w->r;
	uint64_t from = at + 1, next, end = r->source.size;
	int error;

	if (is_last_block_wrong(w, at)) {
		/* Bytes are missing in it, or there are more than it says. It has counted itself, up to here. */
		from = r->blocks[r->blocks_n - 1].offset + r->blocks[r->blocks_n - 1].header_bytes;
	}
	if (end > SEARCH_OTHER && is_other(r))
		end = SEARCH_OTHER;
	error = search(w, from, end, &next);
	if (error < 0)
		return error;
	if (next > at)
		reader_damage(r, at, next - at, "%s", f->what);
	*ret = next;
	return 0;
}

static int refuse_version(struct reader *r, struct why *why)
{
	if (r->header.major >= 1 && r->header.major <= TRACE_MAJOR)
		return 0;
	why_set(why,
		"%s: is in version %u.%u of the format, and this cprof-trace reads versions 1 to "
		"%d; use the cprof-trace of the cprof that recorded it, or a newer one",
		r->name, r->header.major, r->header.minor, TRACE_MAJOR);
	return -ENOTSUP;
}

static int refuse_other(struct reader *r, const uint8_t *start, size_t n, struct why *why)
{
	if (r->source.size == 0)
		why_set(why,
			"%s: is empty; the recording has not written anything, or there was no "
			"room on the disk",
			r->name);
	else if (n >= 2 && start[0] == 0x1f && start[1] == 0x8b)
		why_set(why,
			"%s: is packed by gzip: no trace, but maybe a profile, which 'cprof raw' "
			"shows; a trace.out of 'cprof run -p trace' was expected",
			r->name);
	else if (n >= 16 && memcmp(start + FRAME_HEAD, TRACE_FILE_MAGIC, 8) == 0)
		why_set(why,
			"%s: is a trace, but nothing behind its beginning can be read: the header "
			"is damaged, and no block was found in %" PRIu64 " bytes",
			r->name, r->source.size);
	else
		why_set(why,
			"%s: is no trace: offset 0 has not the header of one, and no block was "
			"found; a trace.out of 'cprof run -p trace' was expected",
			r->name);
	return -EBADMSG;
}

static int walk_all(struct walk *w, const struct watch *watch)
{
	struct reader *r = w->r;
	struct frame f;
	uint64_t at = 0;
	unsigned steps = 0;
	int error;

	while (at < r->source.size) {
		if (steps++ % 256 == 0 && watch_step(watch, at, r->source.size)) {
			r->is_interrupted = true;
			return 0;
		}
		error = parse(w, at, &f);
		if (error < 0)
			return error;
		if (f.kind == FRAME_BLOCK && f.end > r->source.size)
			bad(&f,
			    "a block of %" PRIu64 " bytes is cut off after %" PRIu64
			    " by the end of the file",
			    f.end - at, r->source.size - at);
		if (f.kind == FRAME_BAD) {
			error = pass_over(w, at, &f, &at);
			if (error < 0)
				return error;
			continue;
		}
		if (f.kind == FRAME_FILE_HEADER && refuse_version(r, w->why) < 0)
			return -ENOTSUP;
		if (f.kind == FRAME_BLOCK && add_block(r, &f.block) < 0)
			return -ENOMEM;
		if (f.kind == FRAME_TRAILER) {
			r->trailer_offset = at;
			if (f.end < r->source.size)
				reader_damage(r, f.end, r->source.size - f.end,
					      "something follows the end of the trace; only the "
					      "first trace in a file is read");
			break;
		}
		at = f.end;
	}
	if (r->blocks_n == 0 && !r->has_header) {
		uint8_t start[16];
		size_t n = r->source.size < sizeof(start) ? (size_t)r->source.size : sizeof(start);

		if (source_read(&r->source, 0, start, n) < 0)
			n = 0;
		return refuse_other(r, start, n, w->why);
	}
	return 0;
}

int walk_blocks(struct reader *r, const struct watch *watch, struct why *why)
{
	struct walk w = {.r = r, .why = why};
	int error = -ENOMEM;

	w.window = malloc(WINDOW);
	w.chunk = malloc(r->source.size < SEARCH_BYTES ? r->source.size + 1 : SEARCH_BYTES);
	if (w.window != NULL && w.chunk != NULL)
		error = walk_all(&w, watch);
	free(w.chunk);
	free(w.window);
	return error;
}
