#include "viewer/proto.h"

#include <stdlib.h>
#include <string.h>

#include "output/profile.h"
#include "viewer/varint.h"

enum { WIRE_VARINT, WIRE_FIXED64, WIRE_BYTES };

void proto_clear(struct proto *p)
{
	p->n = 0;
}

void proto_fini(struct proto *p)
{
	free(p->at);
	memset(p, 0, sizeof(*p));
}

/* Room for @size bytes more; NULL when there is none. */
static uint8_t *room(struct proto *p, size_t size)
{
	size_t wanted;
	uint8_t *bigger;

	if (size <= p->room - p->n)
		return p->at + p->n;
	wanted = (p->n + size) * 2 + 256;
	bigger = realloc(p->at, wanted);
	if (bigger == NULL) {
		p->is_broken = true;
		return NULL;
	}
	p->at = bigger;
	p->room = wanted;
	return p->at + p->n;
}

static void put_tag(struct proto *p, uint32_t field, unsigned wire)
{
	uint8_t *to = room(p, VARINT_BYTES_MAX);

	if (to != NULL)
		p->n = (size_t)(varint_put(to, (uint64_t)field << 3 | wire) - p->at);
}

static void put_varint(struct proto *p, uint64_t value)
{
	uint8_t *to = room(p, VARINT_BYTES_MAX);

	if (to != NULL)
		p->n = (size_t)(varint_put(to, value) - p->at);
}

void proto_u64(struct proto *p, uint32_t field, uint64_t value)
{
	put_tag(p, field, WIRE_VARINT);
	put_varint(p, value);
}

void proto_s64(struct proto *p, uint32_t field, int64_t value)
{
	proto_u64(p, field, (uint64_t)value);
}

void proto_fixed64(struct proto *p, uint32_t field, uint64_t value)
{
	uint8_t *to;

	put_tag(p, field, WIRE_FIXED64);
	to = room(p, 8);
	if (to == NULL)
		return;
	for (unsigned i = 0; i < 8; i++)
		to[i] = (uint8_t)(value >> 8 * i);
	p->n += 8;
}

void proto_bytes(struct proto *p, uint32_t field, const void *bytes, size_t size)
{
	uint8_t *to;

	put_tag(p, field, WIRE_BYTES);
	put_varint(p, size);
	to = room(p, size);
	if (to == NULL || size == 0)
		return;
	memcpy(to, bytes, size);
	p->n += size;
}

void proto_text(struct proto *p, uint32_t field, const char *bytes, size_t size)
{
	size_t begun;
	uint8_t *to;

	if (profile_is_utf8(bytes, size)) {
		proto_bytes(p, field, bytes, size);
		return;
	}
	begun = proto_begin(p, field);
	to = room(p, 3 * size);
	if (to != NULL)
		p->n += profile_mend_utf8(bytes, size, (char *)to);
	proto_end(p, begun);
}

/* A byte is left for the length, which most messages need no more of. */
size_t proto_begin(struct proto *p, uint32_t field)
{
	put_tag(p, field, WIRE_BYTES);
	if (room(p, 1) != NULL)
		p->n++;
	return p->n;
}

void proto_end(struct proto *p, size_t begun)
{
	uint8_t length[VARINT_BYTES_MAX];
	size_t size = p->n - begun, n = (size_t)(varint_put(length, size) - length);

	if (p->is_broken || begun == 0 || room(p, n) == NULL)
		return;
	memmove(p->at + begun - 1 + n, p->at + begun, size);
	memcpy(p->at + begun - 1, length, n);
	p->n += n - 1;
}
