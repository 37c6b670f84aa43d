#include "tracer/writer.h"

#include <errno.h>
#include <lz4.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/checksum.h"

#define FRAME_HEAD   7                        /* magic number, flags, block size, their checksum */
#define FRAME_AROUND (FRAME_HEAD + 4 + 4 + 4) /* size, checksum and the end mark */
#define HEAD_MAX     (8 + sizeof(struct trace_block_header) + WRITER_SUMMARY_MAX)
#define BUFFER_BYTES \
	(HEAD_MAX + FRAME_AROUND + LZ4_COMPRESSBOUND(TRACE_RAW_MAX) + (UINT32_C(256) << 10))
#define STORED_AS_IT_IS (UINT32_C(1) << 31)

/* For the footer. Beyond as many the file has none, which is a convenience. */
#define ENTRIES_MAX (UINT32_C(1) << 20)
struct entry {
	uint64_t offset, first_ns, last_ns;
	uint32_t thread, events, generation;
	uint8_t kind;
};
#define ENTRY_BYTES 44 /* as numbers, at most */

/* A block of events that is kept back. */
struct kept {
	struct kept *next;
	struct trace_block_header header;
	uint32_t bytes;
	uint8_t stored[];
};

struct writer {
	int fd, error;
	struct trace_file_header header;
	uint64_t written; /* bytes of the file; a block begins there */
	struct writer_counts counts;

	uint8_t *buffer;
	size_t used;

	struct entry *entries;
	uint32_t entries_n, entries_room;
	bool has_no_footer;

	struct writer_ring ring;
	struct kept *kept, **kept_last;
	uint64_t kept_bytes;
	bool is_copied; /* by a snapshot: nothing is dropped meanwhile */

	void *state; /* lz4's */
};

/* The file of a snapshot is that of another writer, which begins with what the first one has written. */
struct writer_snapshot {
	struct writer *from, *to;
	uint64_t copied, copied_end; /* of the file */
	uint32_t entry, entries_n;   /* of the blocks there: the next one, and how many */
	uint64_t block_end;          /* of the block that is being copied */
	uint32_t generation;         /* the first of those whose events are wanted */
	const struct kept *next;
	uint64_t
		left; /* of the blocks from there on: later ones need tables that it does not have */
};

/* Frames */

static uint8_t *put_skippable(uint8_t *at, uint32_t bytes)
{
	const uint32_t head[2] = {TRACE_SKIPPABLE_MAGIC, bytes};

	memcpy(at, head, sizeof(head));
	return at + sizeof(head);
}

/* One frame with one block, which need not be compressed. Returns its length. */
static uint32_t put_frame(struct writer *w, uint8_t *to, const uint8_t *payload, uint32_t bytes)
{
	const uint32_t magic = TRACE_LZ4_MAGIC, end = 0;
	const uint8_t flags[2] = {0x70, bytes <= 65536     ? 4 << 4
					: bytes <= 262144  ? 5 << 4
					: bytes <= 1048576 ? 6 << 4
							   : 7 << 4};
	uint8_t *at = to + FRAME_HEAD;
	uint32_t size, checksum;
	int r;

	memcpy(to, &magic, sizeof(magic));
	memcpy(to + 4, flags, sizeof(flags));
	to[6] = (uint8_t)(checksum_xxh32(flags, sizeof(flags)) >> 8);
	r = bytes == 0 ? 0
		       : LZ4_compress_fast_extState(w->state, (const char *)payload, (char *)at + 4,
						    (int)bytes, LZ4_compressBound((int)bytes), 1);
	size = (uint32_t)r;
	if (r <= 0 || size >= bytes) {
		if (bytes != 0)
			memcpy(at + 4, payload, bytes);
		size = bytes;
		memcpy(at, &(uint32_t){size | STORED_AS_IT_IS}, sizeof(size));
	} else {
		memcpy(at, &size, sizeof(size));
	}
	if (bytes == 0) { /* a size of 0 is the end mark */
		memcpy(at, &end, sizeof(end));
		return (uint32_t)(at + sizeof(end) - to);
	}
	at += sizeof(size);
	checksum = checksum_xxh32(at, size);
	at += size;
	memcpy(at, &checksum, sizeof(checksum));
	memcpy(at + 4, &end, sizeof(end));
	return (uint32_t)(at + 8 - to);
}

/* A block at @to, in full; returns its length and sets the rest of @header. */
static uint32_t put_block(struct writer *w, uint8_t *to, struct trace_block_header *header,
			  const uint8_t *summary, uint32_t summary_bytes, const uint8_t *payload,
			  uint32_t bytes)
{
	uint32_t head = (uint32_t)sizeof(*header) + summary_bytes;
	uint8_t *at = put_skippable(to, head);

	memcpy(header->magic, TRACE_BLOCK_MAGIC, sizeof(header->magic));
	header->header_bytes = (uint16_t)head;
	header->summary_bytes = summary_bytes;
	header->raw_bytes = bytes;
	header->stored_bytes = put_frame(w, at + head, payload, bytes);
	header->crc = checksum_crc32c(0, header, offsetof(struct trace_block_header, crc));
	header->crc = checksum_crc32c(header->crc, summary, summary_bytes);
	memcpy(at, header, sizeof(*header));
	if (summary_bytes != 0)
		memcpy(at + sizeof(*header), summary, summary_bytes);
	return 8 + head + header->stored_bytes;
}

/* The file */

static void write_all(struct writer *w, const uint8_t *bytes, size_t n, size_t *ret_done)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = write(w->fd, bytes + done, n - done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0) {
			w->error = r < 0 ? -errno : -EIO;
			break;
		}
		done += (size_t)r;
	}
	*ret_done = done;
}

/* A block that begins where the writer is. */
static void add_entry(struct writer *w, struct entry entry)
{
	struct entry *grown = w->entries;
	uint32_t room = w->entries_room;

	if (w->entries_n == room && !w->has_no_footer) {
		room = room != 0 ? room * 2 : 256;
		grown = room <= ENTRIES_MAX ? realloc(grown, room * sizeof(*grown)) : NULL;
		if (grown == NULL) {
			w->has_no_footer = true;
		} else {
			w->entries = grown;
			w->entries_room = room;
		}
	}
	if (w->has_no_footer)
		return;
	entry.offset = w->written + w->used;
	w->entries[w->entries_n++] = entry;
}

static void note_entry(struct writer *w, const struct trace_block_header *header)
{
	add_entry(w, (struct entry){
			     .first_ns = header->first_ns,
			     .last_ns = header->last_ns,
			     .thread = header->thread,
			     .events = header->events,
			     .generation = header->generation,
			     .kind = header->kind,
		     });
}

static uint8_t *put_number(uint8_t *at, uint64_t n)
{
	for (; n >= 0x80; n >>= 7)
		*at++ = (uint8_t)(n | 0x80);
	*at++ = (uint8_t)n;
	return at;
}

/* The footer, in as many blocks as it takes, and the trailer, into the buffer; 0 when they do not fit in it. */
static size_t put_end(struct writer *w, enum trace_end reason, uint32_t value)
{
	struct trace_trailer trailer = {.end_reason = reason, .end_value = value};
	uint8_t *at = w->buffer, *payload, *to;
	uint32_t i = 0, n;

	payload = malloc(TRACE_RAW_MAX);
	if (payload == NULL || w->has_no_footer)
		goto trailer;
	trailer.footer_offset = w->written;
	do {
		struct trace_block_header header = {.kind = TRACE_BLOCK_FOOTER,
						    .thread = TRACE_ALL};

		to = payload;
		for (n = 0; i < w->entries_n && to - payload < (65536 - ENTRY_BYTES); i++, n++) {
			const struct entry *e = &w->entries[i];

			to = put_number(to, e->kind);
			to = put_number(to, e->offset);
			to = put_number(to, e->thread);
			to = put_number(to, e->first_ns);
			to = put_number(to, e->last_ns);
			to = put_number(to, e->events);
		}
		header.events = n;
		if ((size_t)(w->buffer + BUFFER_BYTES - at) <
		    2 * HEAD_MAX + FRAME_AROUND + 2 * 65536) {
			size_t done;

			write_all(w, w->buffer, (size_t)(at - w->buffer), &done);
			w->written += done;
			if (w->error < 0)
				goto out;
			at = w->buffer;
		}
		at += put_block(w, at, &header, NULL, 0, payload, (uint32_t)(to - payload));
	} while (i < w->entries_n);
trailer:
	memcpy(trailer.magic, TRACE_TRAILER_MAGIC, sizeof(trailer.magic));
	trailer.crc = checksum_crc32c(0, &trailer, offsetof(struct trace_trailer, crc));
	at = put_skippable(at, sizeof(trailer));
	memcpy(at, &trailer, sizeof(trailer));
	at += sizeof(trailer);
out:
	free(payload);
	return (size_t)(at - w->buffer);
}

/* Nothing more can be written. What is whole, and leaves room for a footer, stays. */
static void give_up(struct writer *w, uint64_t reached)
{
	uint64_t room = 512 + (uint64_t)w->entries_n * ENTRY_BYTES, begin = w->written;
	int error = w->error;
	uint32_t i = w->entries_n;
	size_t n, done;

	w->used = 0;
	while (i > 0 && w->entries[i - 1].offset + room > reached)
		i--;
	if (i > 0) {
		w->entries_n = i - 1;
		begin = w->written = w->entries[i - 1].offset;
	}
	if (ftruncate(w->fd, (off_t)begin) < 0 || lseek(w->fd, (off_t)begin, SEEK_SET) < 0)
		return;
	w->error = 0;
	n = put_end(w, TRACE_END_DISK_FULL, (uint32_t)-error);
	if (w->error == 0)
		write_all(w, w->buffer, n, &done);
	if (w->error < 0 && ftruncate(w->fd, (off_t)begin) < 0)
		w->written = begin; /* as it is, it can be read up to there */
	w->error = error;
}

void writer_flush(struct writer *w)
{
	size_t done;

	if (w->error < 0 || w->used == 0)
		return;
	write_all(w, w->buffer, w->used, &done);
	if (w->error < 0) {
		give_up(w, w->written + done);
		return;
	}
	w->written += done;
	w->used = 0;
}

static void write_header(struct writer *w, bool again)
{
	uint8_t bytes[8 + sizeof(w->header)], *at = put_skippable(bytes, sizeof(w->header));

	w->header.crc = checksum_crc32c(0, &w->header, offsetof(struct trace_file_header, crc));
	memcpy(at, &w->header, sizeof(w->header));
	if (again && w->written >= sizeof(bytes)) {
		if (pwrite(w->fd, bytes, sizeof(bytes), 0) < 0)
			w->header.flags = 0; /* the next one tries again */
		return;
	}
	memcpy(w->buffer, bytes, sizeof(bytes));
	if (!again)
		w->used = sizeof(bytes);
}

static struct writer *create(int fd)
{
	struct writer *w = calloc(1, sizeof(*w));

	if (w == NULL) {
		close(fd);
		return NULL;
	}
	w->fd = fd;
	w->buffer = malloc(BUFFER_BYTES);
	w->state = malloc((size_t)LZ4_sizeofState());
	if (w->buffer == NULL || w->state == NULL) {
		writer_destroy(w);
		return NULL;
	}
	return w;
}

int writer_create(struct writer **ret, int fd, const struct trace_file_header *header,
		  struct writer_ring ring)
{
	struct writer *w = create(fd);

	if (w == NULL)
		return -ENOMEM;
	w->ring = ring;
	w->kept_last = &w->kept;
	w->header = *header;
	memcpy(w->header.magic, TRACE_FILE_MAGIC, sizeof(w->header.magic));
	w->header.major = TRACE_MAJOR;
	w->header.minor = TRACE_MINOR;
	w->header.header_bytes = sizeof(w->header);
	if (ring.ns != 0 || ring.bytes != 0)
		w->header.flags |= TRACE_IS_RING;
	write_header(w, false);
	*ret = w;
	return 0;
}

void writer_set_flags(struct writer *w, uint32_t flags)
{
	if ((w->header.flags | flags) == w->header.flags || w->error < 0)
		return;
	w->header.flags |= flags;
	write_header(w, true);
}

/* Ring */

static void drop_oldest(struct writer *w)
{
	struct kept *k = w->kept;

	w->kept = k->next;
	if (w->kept == NULL)
		w->kept_last = &w->kept;
	w->kept_bytes -= k->bytes;
	w->counts.dropped += k->header.events;
	free(k);
}

/* The first block of the generation after the oldest one. */
static const struct kept *second_generation(const struct writer *w)
{
	const struct kept *k = w->kept;

	while (k != NULL && k->header.generation == w->kept->header.generation)
		k = k->next;
	return k;
}

/*
 * Generations are dropped as a whole, without its beginning one is hard to understand, and only when what is left is as much
 * as was asked for.
 */
static void trim(struct writer *w, uint64_t now_ns)
{
	const struct kept *second;

	while ((second = second_generation(w)) != NULL) {
		uint32_t oldest = w->kept->header.generation;
		uint64_t bytes = 0;

		for (const struct kept *k = w->kept; k != second; k = k->next)
			bytes += k->bytes;
		if (w->ring.bytes != 0 ? w->kept_bytes - bytes < w->ring.bytes
				       : second->header.first_ns + w->ring.ns > now_ns)
			break;
		while (w->kept->header.generation == oldest)
			drop_oldest(w);
	}
}

static void keep(struct writer *w, const struct trace_block_header *header, const uint8_t *stored,
		 uint32_t bytes)
{
	struct kept *k = malloc(sizeof(*k) + bytes);

	if (k == NULL) {
		w->counts.dropped += header->events;
		return;
	}
	*k = (struct kept){.header = *header, .bytes = bytes};
	memcpy(k->stored, stored, bytes);
	*w->kept_last = k;
	w->kept_last = &k->next;
	w->kept_bytes += bytes;
	if (!w->is_copied)
		trim(w, header->last_ns);
}

static void put_kept(struct writer *w, const struct kept *k)
{
	if (w->used + k->bytes > BUFFER_BYTES)
		writer_flush(w);
	if (w->error < 0)
		return;
	note_entry(w, &k->header);
	memcpy(w->buffer + w->used, k->stored, k->bytes);
	w->used += k->bytes;
}

static void write_kept(struct writer *w)
{
	while (w->kept != NULL) {
		struct kept *k = w->kept;

		put_kept(w, k);
		if (w->error < 0)
			return;
		w->kept = k->next;
		free(k);
	}
	w->kept_last = &w->kept;
}

void writer_block(struct writer *w, const struct trace_block_header *header, const uint8_t *summary,
		  uint32_t summary_bytes, const uint8_t *payload, uint32_t bytes)
{
	struct trace_block_header h = *header;
	uint32_t n;

	if (w->used + HEAD_MAX + FRAME_AROUND + (uint32_t)LZ4_COMPRESSBOUND(bytes) > BUFFER_BYTES)
		writer_flush(w);
	if (w->error < 0) {
		if (h.kind == TRACE_BLOCK_EVENTS)
			w->counts.dropped += h.events;
		return;
	}
	n = put_block(w, w->buffer + w->used, &h, summary, summary_bytes, payload, bytes);
	w->counts.blocks++;
	w->counts.raw_bytes += bytes;
	w->counts.bytes += n;
	if (h.kind == TRACE_BLOCK_EVENTS && (w->ring.ns != 0 || w->ring.bytes != 0)) {
		keep(w, &h, w->buffer + w->used, n);
		return;
	}
	note_entry(w, &h);
	w->used += n;
}

void writer_end(struct writer *w, enum trace_end reason, uint32_t value)
{
	write_kept(w);
	writer_flush(w);
	if (w->error < 0)
		return;
	w->used = put_end(w, reason, value);
	if (w->error == 0)
		writer_flush(w);
}

void writer_destroy(struct writer *w)
{
	if (w == NULL)
		return;
	while (w->kept != NULL)
		drop_oldest(w);
	close(w->fd);
	free(w->entries);
	free(w->buffer);
	free(w->state);
	free(w);
}

/* Snapshots */

#define STEP_BYTES (UINT64_C(4) << 20) /* some milliseconds */

/* A generation that has events of @kind and time, looked at in order: the last that begins no later than @since_ns. */
static void look_at(uint32_t generation, uint8_t kind, uint64_t first_ns, uint64_t since_ns,
		    uint32_t *ret)
{
	if (kind == TRACE_BLOCK_EVENTS && first_ns <= since_ns && generation > *ret)
		*ret = generation;
}

/* The generation that was under way at @since_ns: what came later needs none before it. 0: all are wanted. */
static uint32_t generation_at(const struct writer *w, uint64_t since_ns)
{
	uint32_t found = 0;

	if (since_ns == 0 || w->has_no_footer)
		return 0;
	for (uint32_t i = 0; i < w->entries_n; i++)
		look_at(w->entries[i].generation, w->entries[i].kind, w->entries[i].first_ns,
			since_ns, &found);
	for (const struct kept *k = w->kept; k != NULL; k = k->next)
		look_at(k->header.generation, k->header.kind, k->header.first_ns, since_ns, &found);
	return found;
}

static bool is_wanted(const struct writer_snapshot *s, uint8_t kind, uint32_t generation)
{
	return kind != TRACE_BLOCK_EVENTS || generation >= s->generation;
}

/* Events are missing at its beginning. */
static bool is_shortened(const struct writer_snapshot *s)
{
	const struct writer *w = s->from;

	for (uint32_t i = 0; i < w->entries_n; i++)
		if (!is_wanted(s, w->entries[i].kind, w->entries[i].generation))
			return true;
	return w->kept != NULL && !is_wanted(s, w->kept->header.kind, w->kept->header.generation);
}

int writer_snapshot_begin(struct writer_snapshot **ret, struct writer *w, int fd,
			  const uint8_t uuid[16], uint64_t since_ns)
{
	struct writer_snapshot *s;
	struct writer *to;

	if (w->is_copied) {
		close(fd);
		return -EBUSY;
	}
	writer_flush(w);
	if (w->error < 0) {
		close(fd);
		return w->error;
	}
	to = create(fd);
	if (to == NULL)
		return -ENOMEM;
	s = calloc(1, sizeof(*s));
	if (s == NULL) {
		writer_destroy(to);
		return -ENOMEM;
	}
	*s = (struct writer_snapshot){
		.from = w,
		.to = to,
		.copied_end = w->written,
		.entries_n = w->entries_n,
		.generation = generation_at(w, since_ns),
		.next = w->kept,
	};
	to->has_no_footer = w->has_no_footer;
	to->header = w->header;
	memcpy(to->header.uuid, uuid, sizeof(to->header.uuid));
	if (is_shortened(s))
		to->header.flags |= TRACE_IS_RING;
	write_header(to, false);
	s->copied = s->block_end = to->used;
	if (w->has_no_footer)
		s->block_end = s->copied_end;
	for (const struct kept *k = w->kept; k != NULL; k = k->next)
		s->left++;
	w->is_copied = true;
	*ret = s;
	return 0;
}

/* To the next block of the file that is wanted; false: there is none. What is written meanwhile changes only what is behind. */
static bool find_block(struct writer_snapshot *s)
{
	const struct writer *from = s->from;

	while (s->copied == s->block_end && s->entry < s->entries_n) {
		const struct entry *e;

		if (s->entries_n > from->entries_n) { /* it was cut: the disk is full */
			s->to->error = -EIO;
			return false;
		}
		e = &from->entries[s->entry++];
		s->block_end = s->entry < s->entries_n ? e[1].offset : s->copied_end;
		if (is_wanted(s, e->kind, e->generation))
			add_entry(s->to, *e);
		else
			s->copied = s->block_end;
	}
	return s->copied < s->block_end;
}

/* Some of what the file has; false: that is all. It is another's file, too, who may have cut it. */
static bool copy_written(struct writer_snapshot *s)
{
	struct writer *to = s->to;
	uint64_t n;
	ssize_t r;

	if (!find_block(s))
		return false;
	if (to->used == BUFFER_BYTES)
		writer_flush(to);
	n = BUFFER_BYTES - to->used;
	if (n > s->block_end - s->copied)
		n = s->block_end - s->copied;
	r = pread(s->from->fd, to->buffer + to->used, n, (off_t)s->copied);
	if (r <= 0) {
		if (r < 0 && errno == EINTR)
			return true;
		to->error = r < 0 ? -errno : -EIO;
		return false;
	}
	to->used += (size_t)r;
	s->copied += (uint64_t)r;
	return true;
}

int writer_snapshot_step(struct writer_snapshot *s)
{
	struct writer *to = s->to;
	uint64_t begun = to->written;

	while (copy_written(s) && to->error == 0)
		if (to->written - begun > STEP_BYTES)
			return 1;
	while (to->error == 0 && s->left > 0) {
		if (is_wanted(s, s->next->header.kind, s->next->header.generation))
			put_kept(to, s->next);
		s->next = s->next->next;
		s->left--;
		if (to->written - begun > STEP_BYTES)
			return 1;
	}
	if (to->error == 0)
		writer_end(to, TRACE_END_SNAPSHOT, 0);
	return to->error;
}

void writer_snapshot_end(struct writer_snapshot *s)
{
	if (s == NULL)
		return;
	s->from->is_copied = false;
	writer_destroy(s->to);
	free(s);
}

int writer_error(const struct writer *w)
{
	return w->error;
}

struct writer_counts writer_counts(const struct writer *w)
{
	return w->counts;
}

int writer_fd(const struct writer *w)
{
	return w->fd;
}
