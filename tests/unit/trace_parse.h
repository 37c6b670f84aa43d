/*
 * A reader of trace files for unit tests: calls @each for every event, in the order of the file. All that a file must be is
 * checked on the way: frames, checksums, sequences, numbers that fill their blocks.
 */
#pragma once

#include <lz4.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/checksum.h"
#include "tracer/format.h"

struct trace_parsed {
	struct trace_file_header header;
	struct trace_trailer trailer;
	bool has_trailer;
	unsigned blocks, events, strings, gaps;
	uint64_t lost; /* by headers and by events */
	unsigned counts[256];
	const char *problem; /* NULL: none */
	uint64_t at;         /* where */
};

struct trace_parsed_event {
	const struct trace_block_header *block;
	unsigned type;
	uint64_t ticks; /* since the block's first */
	uint64_t a[TRACE_ARGUMENTS_MAX];
};

typedef void (*trace_each)(void *user, const struct trace_parsed_event *event);

#define TRACE_PARSE_ARGUMENTS(number, NAME, text, class, ends, arguments) [number] = arguments,
#define TRACE_PARSE_SEQUENCES                                             4096

static inline const uint8_t *trace_parse_number(const uint8_t *at, const uint8_t *end,
						uint64_t *ret)
{
	unsigned shift = 0;

	for (*ret = 0; at < end && shift < 70; shift += 7) {
		*ret |= (uint64_t)(*at & 0x7f) << shift % 64;
		if (*at++ < 0x80)
			return at;
	}
	return NULL;
}

static inline void trace_parse_events(struct trace_parsed *p, const struct trace_block_header *h,
				      const uint8_t *at, const uint8_t *end, trace_each each,
				      void *user)
{
	static const char *const arguments[256] = {TRACE_EVENTS(TRACE_PARSE_ARGUMENTS)};
	struct trace_parsed_event e = {.block = h};
	unsigned n = 0;

	while (at < end && p->problem == NULL) {
		const char *text = arguments[*at];
		uint64_t since;

		e.type = *at++;
		if (text == NULL) {
			p->problem = "an event of unknown type";
			return;
		}
		at = trace_parse_number(at, end, &since);
		for (unsigned i = 0; at != NULL && (text = strchr(text, ':')) != NULL; i++, text++)
			at = trace_parse_number(at, end, &e.a[i]);
		if (at == NULL) {
			p->problem = "an event that is cut";
			return;
		}
		e.ticks += since;
		p->counts[e.type]++;
		if (e.type == TRACE_LOST_EVENT)
			p->lost += e.a[0];
		if (each != NULL)
			each(user, &e);
		n++;
	}
	p->events += n;
	if (n != h->events || e.ticks != h->span)
		p->problem = "a block whose header counts otherwise";
}

static inline const uint8_t *trace_parse_payload(struct trace_parsed *p,
						 const struct trace_block_header *h,
						 const uint8_t *at, uint8_t *payload)
{
	static const uint8_t head[4] = {0x04, 0x22, 0x4d, 0x18};
	uint32_t size, checksum;

	memcpy(&size, at + 7, 4);
	if (memcmp(at, head, 4) != 0 || h->raw_bytes > TRACE_RAW_MAX ||
	    h->stored_bytes != (size & 0x7fffffff) + (size != 0 ? 19 : 11)) {
		p->problem = "no frame as it should be";
		return NULL;
	}
	if (size == 0)
		return at;
	memcpy(&checksum, at + 11 + (size & 0x7fffffff), 4);
	if (checksum != checksum_xxh32(at + 11, size & 0x7fffffff)) {
		p->problem = "a wrong checksum of a payload";
		return NULL;
	}
	if (size >> 31) {
		memcpy(payload, at + 11, size & 0x7fffffff);
		return payload;
	}
	if (LZ4_decompress_safe((const char *)at + 11, (char *)payload, (int)size,
				(int)TRACE_RAW_MAX) != (int)h->raw_bytes) {
		p->problem = "a payload that cannot be unpacked";
		return NULL;
	}
	return payload;
}

static inline struct trace_parsed trace_parse(int fd, trace_each each, void *user)
{
	struct trace_parsed p = {0};
	static uint32_t sequences[TRACE_PARSE_SEQUENCES];
	struct stat st;
	uint8_t *bytes, *payload = malloc(TRACE_RAW_MAX);
	const uint8_t *at, *end;
	uint32_t frame[2];

	memset(sequences, 0, sizeof(sequences));
	fstat(fd, &st);
	bytes = malloc((size_t)st.st_size + 16);
	if (bytes == NULL || payload == NULL ||
	    pread(fd, bytes, (size_t)st.st_size, 0) != (ssize_t)st.st_size)
		abort();
	at = bytes;
	end = bytes + st.st_size;
	while (at < end && p.problem == NULL) {
		struct trace_block_header h;
		const uint8_t *what = at + 8;

		p.at = (uint64_t)(at - bytes);
		memcpy(frame, at, 8);
		if (end - at < 8 || frame[0] != TRACE_SKIPPABLE_MAGIC ||
		    frame[1] > (uint64_t)(end - what) || p.has_trailer) {
			p.problem = "no frame of ours, or one that is cut";
			break;
		}
		at = what + frame[1];
		if (frame[1] == sizeof(p.header) && memcmp(what, TRACE_FILE_MAGIC, 8) == 0) {
			memcpy(&p.header, what, sizeof(p.header));
			continue;
		}
		if (frame[1] == sizeof(p.trailer) && memcmp(what, TRACE_TRAILER_MAGIC, 8) == 0) {
			memcpy(&p.trailer, what, sizeof(p.trailer));
			p.has_trailer = true;
			continue;
		}
		memcpy(&h, what, sizeof(h));
		if (memcmp(h.magic, TRACE_BLOCK_MAGIC, 4) != 0 || h.header_bytes != frame[1] ||
		    h.crc != checksum_crc32c(
				     checksum_crc32c(0, what,
						     offsetof(struct trace_block_header, crc)),
				     what + sizeof(h), h.summary_bytes)) {
			p.problem = "a damaged block header";
			break;
		}
		if (h.stored_bytes > (uint64_t)(end - at)) {
			p.problem = "a block that is cut";
			break;
		}
		what = trace_parse_payload(&p, &h, at, payload);
		at += h.stored_bytes;
		p.blocks++;
		p.lost += h.lost_before;
		/* with a number before it, it is not a chunk but the word of who lost them */
		p.gaps += (h.flags & TRACE_BLOCK_AFTER_GAP) != 0 && h.lost_before == 0;
		if (h.kind == TRACE_BLOCK_STRINGS)
			p.strings += h.events;
		if (what == NULL || h.kind != TRACE_BLOCK_EVENTS)
			continue;
		if (h.thread < TRACE_PARSE_SEQUENCES && !(p.header.flags & TRACE_IS_RING) &&
		    h.sequence != sequences[h.thread]++)
			p.problem = "a block too many or too few";
		trace_parse_events(&p, &h, what, what + h.raw_bytes, each, user);
	}
	free(payload);
	free(bytes);
	return p;
}
