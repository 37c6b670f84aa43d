#include "tracer/sched_block.h"

#include <errno.h>
#include <string.h>

#include "tracer/encode.h"

#define EVENT_MAX (1 + 5 * ENCODE_MAX) /* the type, the difference, four arguments */

SIGSAFE void sched_block_begin(struct sched_block *b, uint8_t *bytes, uint32_t size)
{
	*b = (struct sched_block){.bytes = bytes, .size = size};
}

SIGSAFE int sched_block_add(struct sched_block *b, const struct sched_event *event, uint32_t thread)
{
	uint8_t *to = b->bytes + b->used;
	uint64_t time_ns = event->time_ns;
	uint8_t type;

	switch (event->kind) {
	case SCHED_IN:
		type = TRACE_SCHED_IN_EVENT;
		break;
	case SCHED_OUT:
	case SCHED_ENDED:
		type = TRACE_SCHED_OUT_EVENT;
		break;
	case SCHED_LOST:
		type = TRACE_LOST_EVENT;
		break;
	default:
		return 0;
	}
	if (b->size - b->used < EVENT_MAX)
		return -ENOSPC;
	if (b->events == 0)
		b->first_ns = b->last_ns = time_ns;
	if (time_ns < b->last_ns)
		time_ns = b->last_ns;

	*to++ = type;
	to = encode_u(to, time_ns - b->last_ns);
	if (type == TRACE_LOST_EVENT) {
		to = encode_u(to, event->lost);
		to = encode_u(to, event->since_ns);
		to = encode_u(to, event->time_ns);
		to = encode_u(to, TRACE_LOST_KERNEL);
	} else {
		to = encode_u(to, thread);
	}
	if (type == TRACE_SCHED_OUT_EVENT)
		to = encode_u(to, event->kind == SCHED_ENDED ? TRACE_OUT_ENDED : event->reason);
	b->used = (uint32_t)(to - b->bytes);
	b->last_ns = time_ns;
	b->events++;
	return 0;
}

SIGSAFE void sched_block_describe(const struct sched_block *b, uint32_t cpu, uint32_t sequence,
				  struct trace_block_header *ret)
{
	*ret = (struct trace_block_header){
		.header_bytes = sizeof(*ret),
		.kind = TRACE_BLOCK_EVENTS,
		.flags = TRACE_BLOCK_SWITCHES,
		.thread = cpu,
		.sequence = sequence,
		.raw_bytes = b->used,
		.events = b->events,
		.first_ns = b->first_ns,
		.last_ns = b->last_ns,
		.span = b->last_ns - b->first_ns, /* a tick is a ns */
	};
	memcpy(ret->magic, TRACE_BLOCK_MAGIC, sizeof(ret->magic));
}
