/*
 * proto: messages of protocol buffers, written field by field. Who makes a trace of millions of packets needs no tree of objects
 * for each.
 *
 *     size_t at = proto_begin(p, 11);       message of field 11
 *     proto_u64(p, 9, 1);
 *     proto_end(p, at);
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct proto {
	uint8_t *at;
	size_t n, room;
	bool is_broken; /* out of memory: what there is, is not to be used */
};

void proto_clear(struct proto *p);
void proto_fini(struct proto *p);

void proto_u64(struct proto *p, uint32_t field, uint64_t value);
void proto_s64(struct proto *p, uint32_t field, int64_t value); /* int64, not sint64 */
void proto_fixed64(struct proto *p, uint32_t field, uint64_t value);
void proto_bytes(struct proto *p, uint32_t field, const void *bytes, size_t size);
/* As UTF-8, which a string of a message has to be: what is none becomes U+FFFD. */
void proto_text(struct proto *p, uint32_t field, const char *bytes, size_t size);

size_t proto_begin(struct proto *p, uint32_t field);
void proto_end(struct proto *p, size_t begun);
