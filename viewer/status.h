/*
 * status: what a thread does at one moment: the state that it is in, the locks that it holds, its regions and its task. Who
 * records writes it at the beginning of each generation, as thread.status and the events behind that; this follows it from there on,
 * and writes the same at any other moment.
 */
#pragma once

#include "viewer/decode.h"

#define STATUS_HELD_MAX    32
#define STATUS_REGIONS_MAX 32
#define STATUS_BYTES       ((1 + STATUS_HELD_MAX + STATUS_REGIONS_MAX) * EVENT_BYTES)

struct status {
	bool is_known, is_over; /* something was seen of it; its end was */
	uint8_t wait;           /* enum trace_state; 0: it waits for no other thread */
	uint8_t wait_type;      /* of the event that began it */
	uint32_t wait_object, mutex;
	uint32_t call; /* the system call's number + 1; 0: none */
	uint64_t wait_ns, call_ns;
	uint64_t task;
	uint32_t held_n, regions_n; /* may exceed what there is room for */
	struct {
		uint64_t since_ns;
		uint32_t object, mode;
	} held[STATUS_HELD_MAX];
	uint32_t regions[STATUS_REGIONS_MAX];

	/* what was taken is accounted for up to here */
	uint64_t ns;
	uint64_t state_ns[TRACE_STATES];
};

/* Goes on to @event, whose ticks are @ticks. */
void status_take(struct status *s, const struct event *event, const struct ticks *ticks);

/* As events of one moment, @ns, whose ticks are ns. Returns how many bytes, and in *ret_events how many events. */
uint32_t status_put(const struct status *s, const struct schema *schema, uint64_t ns,
		    uint8_t to[STATUS_BYTES], uint32_t *ret_events);
