/*
 * trace_timeline: a trace to be drawn. A tick is a ns. Five threads for 4.8 s, which do the same every 600 ms:
 *
 *     main       runs 100, reads 50, runs 100, waits in epoll 350; logs, regions, the heap grows
 *     io-1       writes 150, runs 50, three times
 *     worker-1   runs 200, waits 250 for the lock that worker-2 has, runs on with it
 *     worker-2   runs with the lock, and lets go of it a us before 450
 *     a name that a terminal would obey, from 1 s to 2 s, with a gap
 */
#pragma once

#include "tests/unit/trace_make.h"

#define MS UINT64_C(1000000)

#define TIMELINE_NEEDS      \
	{                   \
		17, 2, 2, 2 \
	}

/* The events of one block so far. */
struct timeline_block {
	struct made *made;
	uint64_t first_ns, at_ns; /* since the beginning */
	uint32_t thread, sequence;
	uint64_t states[8]; /* for the header */
};

/* Ticks from the event before to @ns. */
static inline uint64_t until(struct timeline_block *b, uint64_t ns)
{
	uint64_t delta = b->made->records == 0 ? 0 : ns - b->at_ns;

	if (b->made->records == 0)
		b->first_ns = ns;
	b->at_ns = ns;
	return delta;
}

static inline void timeline_end_block(struct timeline_block *b, uint64_t lost)
{
	struct made_block block = {.kind = MADE_EVENTS,
				   .flags = lost > 0 ? 2 : 0,
				   .thread = b->thread,
				   .sequence = b->sequence++,
				   .first_ns = MADE_BEGUN + b->first_ns,
				   .last_ns = MADE_BEGUN + b->at_ns,
				   .span = b->at_ns - b->first_ns,
				   .tick_fs = 1000000,
				   .needs = TIMELINE_NEEDS,
				   .lost_before = lost,
				   .has_summary = true};

	memcpy(block.summary, b->states, sizeof(b->states));
	memset(b->states, 0, sizeof(b->states));
	made_end_block(b->made, block);
}

static inline void timeline_tables(struct made *m, const char *hostile)
{
	const char *const strings[] = {
		"main",         "io-1",         "worker-1",        "worker-2",
		hostile,        "g_cache.lock", "/usr/bin/server", "exe",
		"/var/log/app", "request",      "parse",           "http",
		"GET /index",   hostile,        "cache_get",       "/src/cache.c"};
	const uint64_t frames[] = {FRAME(1, 0x401234)};

	for (uint32_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		made_string(m, i + 1, strings[i]);
	made_end_block(m, (struct made_block){.kind = MADE_STRINGS});
	made_record(m, 2, U(8), U(7));
	made_end_block(m, (struct made_block){.kind = MADE_METADATA, .needs = {17}});
	made_record(m, 8, U(1), U(0x400000), U(0x480000), U(0), U(0), U(7), U(0), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_MODULES, .needs = {17}});
	made_stack(m, 1, 1, frames);
	made_end_block(m, (struct made_block){.kind = MADE_STACKS, .needs = {17, 0, 0, 2}});
	made_record(m, 5, FRAME(1, 0x401234), U(1), U(15), U(16), U(41));
	made_end_block(m, (struct made_block){.kind = MADE_SYMBOLS, .needs = {17, 0, 0, 2}});
	made_record(m, 8, U(1), U(1), U(0), U(0x4c0010), U(0), U(6), U(0), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_OBJECTS, .needs = {17, 0, 0, 2}});
	for (uint32_t i = 0; i < 5; i++)
		made_record(m, 6, U(i + 1), U(4711 + i), U(0x7f01 + i), U(i > 0), U(i + 1), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_THREADS, .needs = {17}});
	made_record(m, 4, U(1), U(7), U(1), U(9));
	made_end_block(m, (struct made_block){.kind = MADE_FILES, .needs = {17}});
}

static inline void timeline_main(struct made *m)
{
	struct timeline_block b = {.made = m, .thread = 1};

	made_event(m, 2, until(&b, 0), 4, U(4711), U(0x7f01), U(0), U(1));
	for (uint64_t i = 0; i < 8; i++) {
		uint64_t t = i * 600 * MS;

		made_event(m, 99, until(&b, t + 10 * MS), 3, U(10), U(0), U(0));
		made_event(m, 99, until(&b, t + 20 * MS), 3, U(11), U(0), U(0));
		made_event(m, 100, until(&b, t + 90 * MS), 1, U(11));
		made_event(m, 18, until(&b, t + 150 * MS), 8, U(0), 50 * MS, ZIGZAG(512), U(1),
			   U(7), U(0), U(512), U(0));
		made_event(m, 101, until(&b, t + 160 * MS), 3, U(12), i == 3 ? U(14) : U(13), U(0));
		made_event(m, 74, until(&b, t + 170 * MS), 6, (i + 1) << 20, U(10), U(0), U(0),
			   U(0), (i + 2) << 20);
		made_event(m, 100, until(&b, t + 240 * MS), 1, U(10));
		made_event(m, 18, until(&b, t + 600 * MS), 8, U(232), 350 * MS, ZIGZAG(1), U(0),
			   U(5), U(0), U(16), U(0));
		b.states[1] += 200 * MS, b.states[5] += 50 * MS, b.states[6] += 350 * MS;
		if (i == 3)
			timeline_end_block(&b, 0);
	}
	timeline_end_block(&b, 0);
}

static inline void timeline_io(struct made *m)
{
	struct timeline_block b = {.made = m, .thread = 2};

	made_event(m, 2, until(&b, 0), 4, U(4712), U(0x7f02), U(1), U(2));
	for (uint64_t i = 0; i < 24; i++) {
		made_event(m, 18, until(&b, i * 200 * MS + 150 * MS), 8, U(1), 150 * MS,
			   ZIGZAG(4096), U(1), U(7), U(0), U(4096), U(1));
		b.states[1] += i == 0 ? 0 : 50 * MS;
		b.states[5] += 150 * MS;
	}
	made_event(m, 4, until(&b, 4800 * MS), 1, U(1));
	b.states[1] += 50 * MS;
	timeline_end_block(&b, 0);
}

/* One of two that have a lock in turn; the other's numbers are between its own. */
static inline void timeline_worker(struct made *m, uint32_t thread)
{
	struct timeline_block b = {.made = m, .thread = thread};
	bool waits = thread == 3;

	made_event(m, 2, until(&b, 0), 4, U(4710) + thread, U(0x7f00) + thread, U(1), U(thread));
	for (uint64_t i = 0; i < 8; i++) {
		uint64_t t = i * 600 * MS;

		if (waits) {
			made_event(m, 32, until(&b, t + 200 * MS), 4, U(1), U(1), U(4), U(1));
			made_event(m, 33, until(&b, t + 450 * MS), 4, U(1), U(1), i * 4 + 2,
				   250 * MS);
			made_event(m, 35, until(&b, t + 550 * MS), 6, U(1), U(1), i * 4 + 3,
				   100 * MS, U(0), U(1));
			b.states[1] += i == 0 ? 300 * MS : 350 * MS;
			b.states[3] += 250 * MS;
		} else {
			made_event(m, 35, until(&b, t + 450 * MS - 1000), 6, U(1), U(1), i * 4 + 1,
				   440 * MS, U(1), U(1));
			b.states[1] += i == 0 ? 450 * MS : 600 * MS;
		}
	}
	made_event(m, 4, until(&b, 4800 * MS), 1, U(1));
	b.states[1] += waits ? 50 * MS : 150 * MS;
	timeline_end_block(&b, 0);
}

static inline void timeline_hostile(struct made *m)
{
	struct timeline_block b = {.made = m, .thread = 5};

	made_event(m, 2, until(&b, 1000 * MS), 4, U(4715), U(0x7f05), U(1), U(5));
	made_event(m, 67, until(&b, 1200 * MS), 1, U(0));
	b.states[1] = 200 * MS;
	timeline_end_block(&b, 0);
	made_event(m, 67, until(&b, 1700 * MS), 1, U(0));
	made_event(m, 4, until(&b, 2000 * MS), 1, U(1));
	b.states[1] = 300 * MS;
	timeline_end_block(&b, 7);
}

static inline void make_timeline(struct made *m)
{
	made_begin(m);
	timeline_tables(m, "\033[2J\033]0;x\a\xc2\x9b"
			   "1m\n\xe2\x80\xae"
			   "evil");
	timeline_main(m);
	timeline_io(m);
	timeline_worker(m, 3);
	timeline_worker(m, 4);
	timeline_hostile(m);
	made_end(m, 2, 0);
}

/* @n threads, worker-0 and on, each of which runs for 1 ms and then waits for the lock for as many us as it has numbers. */
static inline void make_timeline_threads(struct made *m, uint32_t n)
{
	char name[40];

	made_begin(m);
	made_string(m, 1, "g_cache.lock");
	for (uint32_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "worker-%u", i);
		made_string(m, 2 + i, name);
	}
	made_end_block(m, (struct made_block){.kind = MADE_STRINGS});
	made_record(m, 8, U(1), U(1), U(0), U(0x4c0010), U(0), U(1), U(0), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_OBJECTS, .needs = {2 + n}});
	for (uint32_t i = 0; i < n; i++)
		made_record(m, 6, U(i + 1), U(4711 + i), U(0), U(0), U(i + 2), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_THREADS, .needs = {2 + n}});
	for (uint32_t i = 0; i < n; i++) {
		struct timeline_block b = {.made = m, .thread = i + 1};

		made_event(m, 2, until(&b, 0), 4, U(4711 + i), U(0), U(0), U(i + 2));
		made_event(m, 32, until(&b, MS), 4, U(1), U(1), U(0), U(0));
		made_event(m, 34, until(&b, MS + (i + 1) * 1000), 3, U(1), U(1), U(110));
		made_event(m, 4, until(&b, 3 * MS), 1, U(1));
		made_end_block(m, (struct made_block){.kind = MADE_EVENTS,
						      .thread = i + 1,
						      .first_ns = MADE_BEGUN,
						      .last_ns = MADE_BEGUN + 3 * MS,
						      .span = 3 * MS,
						      .tick_fs = 1000000,
						      .needs = {2 + n, 0, 2}});
	}
	made_end(m, 2, 0);
}
