/*
 * story_make: traces made by hand whose ticks are ns, an event at a time, and traces of any events at all.
 */
#pragma once

#include "tests/unit/trace_make.h"
#include "viewer/schema.h"

#define FLAG_SWITCHES (1u << 3)

enum { /* types of events */
       CREATE = 1,
       START = 2,
       EXIT = 4,
       JOIN = 5,
       JOINED = 6,
       FORK = 8,
       EXEC = 9,
       STATUS = 11,
       HELD_ALREADY = 12,
       CALL_BEGIN = 16,
       CALL_END = 17,
       CALL = 18,
       FD_OPEN = 24,
       WAIT = 32,
       ACQUIRED = 33,
       FAILED = 34,
       RELEASED = 35,
       PAIR = 36,
       HELD = 37,
       COND = 40,
       COND_END = 41,
       SIGNAL = 42,
       SEM = 44,
       SEM_END = 45,
       POST = 46,
       BARRIER = 48,
       BARRIER_END = 49,
       ONCE = 50,
       ONCE_END = 51,
       FUTEX = 52,
       FUTEX_END = 53,
       WAKE = 54,
       ONCE_RUN = 55,
       OUT = 64,
       IN = 65,
       SWITCH_TASK = 98,
       GAP = 113,
};

static uint64_t first_ns, at_ns;
static uint32_t generation; /* of the blocks that follow */

/* An event at @ns, those of a block one after the other. */
#define AT(m, ns, type, n, ...)                                          \
	do {                                                             \
		if ((m)->records == 0)                                   \
			first_ns = at_ns = (ns);                         \
		made_event((m), (type), (ns)-at_ns, (n), ##__VA_ARGS__); \
		at_ns = (ns);                                            \
	} while (0)

static inline void end_of(struct made *m, uint32_t thread, uint32_t sequence, uint8_t flags,
			  uint64_t lost)
{
	made_end_block(m, (struct made_block){.kind = MADE_EVENTS,
					      .flags = flags,
					      .thread = thread,
					      .sequence = sequence,
					      .generation = generation,
					      .first_ns = first_ns,
					      .last_ns = at_ns,
					      .span = at_ns - first_ns,
					      .tick_fs = 1000000,
					      .lost_before = lost,
					      .needs = {100, 100, 100, 100}});
}
#define THREAD(m, thread) end_of(m, thread, 0, 0, 0)
#define STARTS(m, ns)     AT(m, ns, START, 4, U(1), U(0), U(0), U(0))
#define EXITS(m, ns)      AT(m, ns, EXIT, 1, U(1))
#define CALLS_IN(m, ns, number, took, result) \
	AT(m, ns, CALL, 8, U(number), U(took), ZIGZAG(result), U(0), U(0), U(0), U(0), U(0))
#define WAITS_FOR(m, ns, object, holder) AT(m, ns, WAIT, 4, U(object), U(1), U(holder), U(0))
#define GETS(m, ns, object, order)       AT(m, ns, ACQUIRED, 4, U(object), U(1), U(order), U(0))
#define LETS_GO(m, ns, object, order, held, waiters) \
	AT(m, ns, RELEASED, 6, U(object), U(1), U(order), U(held), U(waiters), U(0))
#define SWITCHES(m, cpu) end_of(m, cpu, 0, 8, 0)

static uint64_t seed = 1;

static inline unsigned roll(unsigned n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

/*
 * Eight threads that do @events of anything in any order, with switches if @m says so. Orders at random move events far from
 * where they were.
 */
static inline void make_any(struct made *m, unsigned events, bool has_orders)
{
	static const uint8_t types[] = {
		WAIT,     ACQUIRED,   FAILED,      RELEASED,  PAIR, HELD,     COND,
		COND_END, SIGNAL,     SEM,         SEM_END,   POST, BARRIER,  BARRIER_END,
		ONCE,     ONCE_END,   FUTEX,       FUTEX_END, WAKE, ONCE_RUN, JOIN,
		JOINED,   CALL_BEGIN, CALL_END,    CALL,      CALL, CALL,     SWITCH_TASK,
		GAP,      STATUS,     HELD_ALREADY};
	static struct schema schema;

	schema_init(&schema);
	for (uint32_t thread = 1; thread <= 8; thread++) {
		uint64_t ns = 1000 + roll(100);

		STARTS(m, ns);
		for (unsigned i = 0; i < events; i++) {
			uint8_t type = types[roll(sizeof(types))];
			unsigned second, third;

			ns += roll(50);
			second = has_orders || (type != POST && type != BARRIER) ? roll(60) : 0;
			third = has_orders ? roll(6) : 0;
			AT(m, ns, type, schema.types[type].n, U(roll(9)), U(second), U(third),
			   U(roll(9)), U(roll(99)), U(roll(3)), U(roll(3)), U(roll(3)));
		}
		ns += roll(100);
		if (roll(3) != 0)
			EXITS(m, ns);
		THREAD(m, thread);
	}
	if (m->flags & FLAG_SWITCHES) {
		uint64_t ns = 1000;

		for (unsigned i = 0; i < 300; i++) {
			ns += roll(10);
			if (roll(2) != 0)
				AT(m, ns, IN, 1, U(roll(8) + 1));
			else
				AT(m, ns, OUT, 2, U(roll(8) + 1), U(roll(4)));
		}
		SWITCHES(m, 0);
	}
}
