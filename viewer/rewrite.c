#include "viewer/rewrite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/checksum.h"
#include "output/file.h"
#include "viewer/varint.h"

#define FRAME_HEAD   8
#define RECORD_BYTES (6 * VARINT_BYTES_MAX) /* of a footer */
#define NOTE_BYTES   4096

struct rewrite_entry {
	uint64_t offset, first_ns, last_ns;
	uint32_t thread, events;
	uint8_t kind;
};

int rewrite_begin(struct rewrite *w, struct reader *r, const struct tables *t, uint64_t now_ns,
		  int fd, struct why *why)
{
	*w = (struct rewrite){.reader = r, .tables = t, .now_ns = now_ns, .fd = fd, .why = why};
	why_set(why, "%s: out of memory", r->name);
	w->frame = malloc(TRACE_RAW_MAX + READER_FRAME_MORE);
	if (w->frame == NULL)
		return -ENOMEM;
	w->strings = t->known[NEEDS_STRINGS] > 1 ? t->known[NEEDS_STRINGS] : 1;
	/* beyond what blocks need that were written before some table was lost */
	for (size_t i = 0; i < r->blocks_n; i++)
		if (r->blocks[i].needs[NEEDS_STRINGS] > w->strings)
			w->strings = r->blocks[i].needs[NEEDS_STRINGS];
	return 0;
}

void rewrite_fini(struct rewrite *w)
{
	free(w->frame);
	free(w->list);
	memset(w, 0, sizeof(*w));
}

static int put(struct rewrite *w, const void *bytes, size_t size)
{
	int r = file_write(w->fd, bytes, size);

	w->bytes += size;
	if (r < 0)
		why_set(w->why, "the new trace cannot be written: %s", strerror(-r));
	return r;
}

static int read_old(struct rewrite *w, uint64_t offset, void *to, size_t size)
{
	int r = source_read(&w->reader->source, offset, to, size);

	if (r == -ENODATA)
		why_set(w->why, "%s became shorter while it was read", w->reader->name);
	else if (r < 0)
		why_set(w->why, "%s cannot be read: %s", w->reader->name, strerror(-r));
	return r;
}

/* A skippable frame of @size bytes, whose checksum goes to @crc_offset. */
static int put_header(struct rewrite *w, uint8_t *bytes, uint32_t size, size_t crc_offset)
{
	uint32_t head[2] = {TRACE_SKIPPABLE_MAGIC, size}, crc;
	int r;

	crc = checksum_crc32c(0, bytes, crc_offset);
	crc = checksum_crc32c(crc, bytes + crc_offset + sizeof(crc),
			      size - crc_offset - sizeof(crc));
	memcpy(bytes + crc_offset, &crc, sizeof(crc));
	r = put(w, head, sizeof(head));
	return r < 0 ? r : put(w, bytes, size);
}

int rewrite_header(struct rewrite *w, uint64_t begun_ns, const uint8_t uuid[16], uint32_t less)
{
	uint32_t flags = w->reader->header.flags & ~less;
	struct trace_file_header own = {.major = TRACE_MAJOR, .minor = TRACE_MINOR};
	uint8_t bytes[READER_HEADER_MAX];
	uint32_t size = sizeof(own);

	if (w->reader->has_header) {
		int r;

		size = w->reader->header.header_bytes;
		r = read_old(w, FRAME_HEAD, bytes, size);
		if (r < 0)
			return r;
	} else {
		/* What it said is gone. Times are counted from the first event. */
		memcpy(own.magic, TRACE_FILE_MAGIC, sizeof(own.magic));
		own.header_bytes = sizeof(own);
		own.begun_monotonic_ns = begun_ns;
		memcpy(bytes, &own, sizeof(own));
	}
	memcpy(bytes + offsetof(struct trace_file_header, flags), &flags, sizeof(flags));
	if (uuid != NULL)
		memcpy(bytes + offsetof(struct trace_file_header, uuid), uuid, sizeof(own.uuid));
	return put_header(w, bytes, size, offsetof(struct trace_file_header, crc));
}

static int note_entry(struct rewrite *w, const struct rewrite_entry *entry)
{
	size_t room = w->list_room == 0 ? 256 : 2 * w->list_room;
	struct rewrite_entry *list;

	if (w->list_n == w->list_room) {
		list = realloc(w->list, room * sizeof(*list));
		if (list == NULL) {
			why_set(w->why, "%s: out of memory", w->reader->name);
			return -ENOMEM;
		}
		w->list = list;
		w->list_room = room;
	}
	w->list[w->list_n++] = *entry;
	return 0;
}

struct rewrite_change rewrite_unchanged(const struct reader_block *block)
{
	return (struct rewrite_change){block->sequence, block->flags, block->lost_before};
}

int rewrite_copy(struct rewrite *w, const struct reader_block *block,
		 const struct rewrite_change *change)
{
	struct rewrite_entry entry = {.offset = w->bytes,
				      .first_ns = block->first_ns,
				      .last_ns = block->last_ns,
				      .thread = block->thread,
				      .events = block->events,
				      .kind = block->kind};
	uint32_t size = block->header_bytes - FRAME_HEAD;
	uint8_t bytes[READER_HEADER_MAX];
	int r;

	r = note_entry(w, &entry);
	if (r == 0)
		r = read_old(w, block->offset + FRAME_HEAD, bytes, size);
	if (r < 0)
		return r;
	memcpy(bytes + offsetof(struct trace_block_header, sequence), &change->sequence,
	       sizeof(change->sequence));
	memcpy(bytes + offsetof(struct trace_block_header, lost_before), &change->lost_before,
	       sizeof(change->lost_before));
	bytes[offsetof(struct trace_block_header, flags)] = change->flags;
	r = put_header(w, bytes, size, offsetof(struct trace_block_header, crc));
	if (r == 0)
		r = read_old(w, block->offset + block->header_bytes, w->frame, block->stored_bytes);
	return r < 0 ? r : put(w, w->frame, block->stored_bytes);
}

int rewrite_block(struct rewrite *w, struct trace_block_header *h, const uint8_t *summary,
		  uint32_t summary_bytes, const uint8_t *raw)
{
	struct rewrite_entry entry = {.offset = w->bytes,
				      .first_ns = h->first_ns,
				      .last_ns = h->last_ns,
				      .thread = h->thread,
				      .events = h->events,
				      .kind = h->kind};
	uint8_t bytes[READER_HEADER_MAX];
	int r = note_entry(w, &entry);

	if (r < 0)
		return r;
	memcpy(h->magic, TRACE_BLOCK_MAGIC, sizeof(h->magic));
	h->header_bytes = (uint16_t)(sizeof(*h) + summary_bytes);
	h->summary_bytes = summary_bytes;
	h->stored_bytes = reader_pack(raw, h->raw_bytes, w->frame);
	memcpy(bytes, h, sizeof(*h));
	if (summary_bytes > 0)
		memcpy(bytes + sizeof(*h), summary, summary_bytes);
	r = put_header(w, bytes, h->header_bytes, offsetof(struct trace_block_header, crc));
	return r < 0 ? r : put(w, w->frame, h->stored_bytes);
}

int rewrite_table(struct rewrite *w, uint8_t kind, uint32_t records, const uint8_t *raw,
		  uint32_t size)
{
	struct trace_block_header h = {
		.kind = kind,
		.generation = w->generation,
		.thread = TRACE_ALL,
		.sequence = w->sequence++,
		.raw_bytes = size,
		.events = records,
		.first_ns = w->now_ns,
		.last_ns = w->now_ns,
	};

	if (kind != TRACE_BLOCK_STRINGS && kind != TRACE_BLOCK_FOOTER)
		h.needs_strings = w->strings;
	if (kind == TRACE_BLOCK_SYMBOLS)
		h.needs_modules = w->tables->known[NEEDS_MODULES];
	return rewrite_block(w, &h, NULL, 0, raw);
}

int rewrite_note(struct rewrite *w, const char *key, const char *value)
{
	const char *texts[2] = {key, value};
	uint8_t raw[2 * (NOTE_BYTES + 2 * VARINT_BYTES_MAX)], *at = raw;
	uint32_t first = w->strings;
	int r;

	if (first > UINT32_MAX - 3)
		return 0;
	for (unsigned i = 0; i < 2; i++) {
		size_t n = strnlen(texts[i], NOTE_BYTES);

		at = varint_put(at, w->strings++);
		at = varint_put(at, n);
		memcpy(at, texts[i], n);
		at += n;
	}
	r = rewrite_table(w, TRACE_BLOCK_STRINGS, 2, raw, (uint32_t)(at - raw));
	if (r < 0)
		return r;
	at = varint_put(varint_put(raw, first), first + 1);
	return rewrite_table(w, TRACE_BLOCK_METADATA, 1, raw, (uint32_t)(at - raw));
}

/* As many blocks as it takes: each has so many records as are sure to have room. */
static int put_footer(struct rewrite *w)
{
	size_t each = TRACE_RAW_MAX / RECORD_BYTES, n = w->list_n, from = 0;
	uint8_t *raw = malloc((n < each ? n + 1 : each) * RECORD_BYTES);
	int r = 0;

	if (raw == NULL) {
		why_set(w->why, "%s: out of memory", w->reader->name);
		return -ENOMEM;
	}
	do {
		size_t to = n - from < each ? n : from + each;
		uint8_t *at = raw;

		for (size_t i = from; i < to; i++) {
			const struct rewrite_entry *e = &w->list[i];

			at = varint_put(at, e->kind);
			at = varint_put(at, e->offset);
			at = varint_put(at, e->thread);
			at = varint_put(at, e->first_ns);
			at = varint_put(at, e->last_ns);
			at = varint_put(at, e->events);
		}
		r = rewrite_table(w, TRACE_BLOCK_FOOTER, (uint32_t)(to - from), raw,
				  (uint32_t)(at - raw));
		from = to;
	} while (from < n && r == 0);
	free(raw);
	return r;
}

int rewrite_end(struct rewrite *w, uint32_t reason, uint32_t value)
{
	struct trace_trailer trailer = {
		.footer_offset = w->bytes, .end_reason = reason, .end_value = value};
	uint8_t bytes[sizeof(trailer)];
	int r = put_footer(w);

	if (r < 0)
		return r;
	memcpy(trailer.magic, TRACE_TRAILER_MAGIC, sizeof(trailer.magic));
	memcpy(bytes, &trailer, sizeof(trailer));
	return put_header(w, bytes, sizeof(bytes), offsetof(struct trace_trailer, crc));
}
