/*
 * trace_sample: a trace with something of everything, which is also tests/golden/trace-1.0.out, and in the format's version 2
 * tests/golden/trace-2.0.out.
 *
 * Three threads and a processor, two generations, an event of a type that only the schema knows, one that came with an argument
 * more than this version knows, text that nobody would want on a terminal.
 */
#pragma once

#include "tests/unit/trace_make.h"

#define SAMPLE_EVENTS  44
#define SAMPLE_BLOCKS  17 /* with the footer */
#define SAMPLE_STRINGS 23
#define SAMPLE_NEEDS                    \
	{                               \
		SAMPLE_STRINGS, 4, 5, 3 \
	}

static inline void sample_tables(struct made *m)
{
	static const char *const strings[SAMPLE_STRINGS] = {
		NULL,
		"main",
		"worker-1",
		"worker-3",
		"g_cache.lock",
		"cache_get",
		"/src/cache.c",
		"/lib/libc.so.6",
		"0123abcd",
		"/usr/bin/server",
		"inlined",
		"/var/log/app \"x\"",
		"exe",
		"app.tick",
		"count:u note:str took:ticks",
		"request",
		"GET /\n\033[31m\xff\\",
		"http",
		"kernel",
		"Linux 6.1",
		"heap",
		"live_bytes:u live_objects:u allocated_bytes:u freed_bytes:u mapped_bytes:u "
		"rss_bytes:u arenas:u",
		"[kernel] futex_wait",
	};
	const uint64_t frames[] = {FRAME(1, 0x401234), FRAME(1, 0x401000), FRAME(2, 0x7f0000012345),
				   FRAME(0xffff, 0)};
	const uint64_t kernel[] = {FRAME(0xffff, 22), FRAME(0, 0xdead)};

	for (uint32_t i = 1; i < SAMPLE_STRINGS; i++)
		made_string(m, i, strings[i]);
	made_end_block(m, (struct made_block){.kind = MADE_STRINGS});
	made_record(m, 5, U(200), U(13), U(14), U(0), U(0));
	made_record(m, 5, U(74), U(20), U(21), U(0), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_SCHEMA, .needs = {SAMPLE_STRINGS}});
	made_record(m, 2, U(12), U(9));
	made_record(m, 2, U(18), U(19));
	made_end_block(m, (struct made_block){.kind = MADE_METADATA, .needs = {SAMPLE_STRINGS}});
	made_record(m, 8, U(1), U(0x400000), U(0x480000), U(0), U(0), U(9), U(8), U(0));
	made_record(m, 8, U(2), U(0x7f0000000000), U(0x7f0000200000), U(0x1000), U(0x7f0000000000),
		    U(7), U(0), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_MODULES, .needs = {SAMPLE_STRINGS}});
	made_stack(m, 1, 4, frames);
	made_stack(m, 2, 2, kernel);
	made_stack(m, 3, 0, NULL);
	made_end_block(
		m, (struct made_block){.kind = MADE_STACKS, .needs = {SAMPLE_STRINGS, 0, 0, 3}});
	made_record(m, 8, FRAME(1, 0x401234), U(2), U(10), U(6), U(12), U(5), U(6), U(41));
	made_end_block(
		m, (struct made_block){.kind = MADE_SYMBOLS, .needs = {SAMPLE_STRINGS, 0, 0, 3}});
	made_record(m, 8, U(1), U(1), U(0), U(0x4c0010), U(0), U(4), U(0), U(1000));
	made_record(m, 8, U(2), U(4), U(0), U(0x7ffd1230), U(1), U(0), FRAME(1, 0x401000), U(2000));
	made_record(m, 8, U(3), U(5), U(0), U(0x55d0c8), U(0), U(0), U(0), U(2000));
	made_record(m, 8, U(4), U(6), U(0), U(0x55d0f8), U(0), U(0), U(0), U(2000));
	made_end_block(
		m, (struct made_block){.kind = MADE_OBJECTS, .needs = {SAMPLE_STRINGS, 0, 0, 3}});
	made_record(m, 6, U(1), U(4711), U(0x7f01), U(0), U(1), U(0));
	made_record(m, 6, U(2), U(4712), U(0x7f02), U(1), U(2), U(150000));
	made_record(m, 6, U(3), U(4713), U(0x7f03), U(1), U(3), U(160000));
	made_end_block(m, (struct made_block){.kind = MADE_THREADS, .needs = {SAMPLE_STRINGS}});
	made_record(m, 4, U(1), U(7), U(1), U(11));
	made_end_block(m, (struct made_block){.kind = MADE_FILES, .needs = {SAMPLE_STRINGS}});
}

/* A block of events whose ticks are those of a counter of 2.892 GHz. */
static inline void sample_end(struct made *m, uint32_t thread, uint32_t sequence,
			      uint32_t generation, uint64_t from_ns, uint64_t to_ns, uint64_t span,
			      uint64_t lost)
{
	made_end_block(m, (struct made_block){.kind = MADE_EVENTS,
					      .flags = (uint8_t)((lost > 0 ? 2 : 0) |
								 (sequence == generation ? 4 : 0)),
					      .thread = thread,
					      .sequence = sequence,
					      .generation = generation,
					      .first_ns = MADE_BEGUN + from_ns,
					      .last_ns = MADE_BEGUN + to_ns,
					      .span = span,
					      .tick_fs = 345782,
					      .needs = SAMPLE_NEEDS,
					      .lost_before = lost});
}

static inline void sample_first(struct made *m)
{
	/* main: from 100 us to 200 us */
	made_event(m, 112, 0, 4, MADE_BEGUN, MADE_REAL, U(7), U(289200));
	made_event(m, 2, 10, 4, U(4711), U(0x7f01), U(0), U(1));
	made_event(m, 67, 2, 1, U(0));
	made_event(m, 1, 28907, 3, U(2), U(0x401000), U(1));
	made_event(m, 101, 28920, 3, U(17), U(16), U(0));
	made_event(m, 24, 28920, 4, U(2), U(8), U(3), U(0));
	made_event(m, 96, 28920, 4, U(1), U(0), U(15), U(1));
	made_event(m, 18, 28920, 8, U(0), U(2892), ZIGZAG(-11), U(1), U(3), U(140000000), U(4096),
		   U(1));
	made_event(m, 200, 28920, 3, U(99), U(15), U(28920));
	made_event(m, 74, 28920, 7, U(1000), U(10), U(5000), U(4000), U(8192), U(16384), U(6));
	made_event(m, 76, 28920, 2, U(15), ZIGZAG(-5));
	made_event(m, 5, 28920, 2, U(3), U(2));
	made_event(m, 18, 28921, 8, U(1), U(28920), ZIGZAG(512), U(2), U(1), U(2), U(70000), U(0));
	sample_end(m, 1, 0, 0, 100000, 200000, 289200, 0);
	/* worker-1: holds the lock from 150 us to 180 us */
	made_event(m, 2, 0, 4, U(4712), U(0x7f02), U(1), U(2));
	made_event(m, 67, 0, 1, U(2));
	made_event(m, 33, 28920, 4, U(1), U(1), U(5), U(2892));
	made_event(m, 80, 1446, 1, U(11));
	made_event(m, 35, 56394, 6, U(1), U(1), U(6), U(57840), U(1), U(1));
	made_event(m, 42, 0, 4, U(2), U(1), U(3), U(0));
	sample_end(m, 2, 0, 0, 150000, 180000, 86760, 0);
	/* worker-3: waits for it, and has it a moment too early */
	made_event(m, 2, 0, 4, U(4713), U(0x7f03), U(1), U(3));
	made_event(m, 67, 0, 1, U(3));
	made_event(m, 32, 1446, 4, U(1), U(1), U(2), U(1));
	made_event(m, 64, 1446, 2, U(0), U(0));
	made_event(m, 33, 50000, 4, U(1), U(1), U(7), U(52000));
	made_event(m, 99, 100, 3, U(15), U(1), U(2));
	made_event(m, 41, 2000, 3, U(2), U(110), U(4));
	made_event(m, 4, 2848, 1, U(1));
	sample_end(m, 3, 0, 0, 160000, 180000, 57840, 12);
	/* what processor 3 ran */
	made_event(m, 65, 0, 1, U(3));
	made_event(m, 64, 1500, 2, U(3), U(2));
	made_event(m, 65, 16500, 1, U(3));
	made_event(m, 64, 1000, 2, U(9), U(1));
	made_end_block(m, (struct made_block){.kind = MADE_EVENTS,
					      .flags = 8,
					      .thread = 3,
					      .first_ns = MADE_BEGUN + 160000,
					      .last_ns = MADE_BEGUN + 179000,
					      .span = 19000,
					      .needs = SAMPLE_NEEDS});
}

static inline void sample_second(struct made *m)
{
	/* main: from 3 s on; one moment, so no rate of its own */
	made_event(m, 112, 0, 4, MADE_BEGUN + U(3000000000), MADE_REAL, U(7), U(289200));
	made_event(m, 11, 0, 7, U(1), U(0), U(0), U(0), U(289), U(1), U(1));
	made_event(m, 12, 0, 3, U(1), U(1), U(2892));
	made_event(m, 13, 0, 1, U(15));
	made_event(m, 113, 0, 4, U(12), U(1), U(2), U(1));
	made_event(m, 46, 0, 3, U(3), U(1), U(1));
	made_event(m, 54, 0, 5, U(4), U(1), U(1), ZIGZAG(1), U(0));
	sample_end(m, 1, 1, 1, 3000000000, 3000000000, 0, 0);
	/* worker-1: goes on after a hole */
	made_event(m, 72, 0, 4, U(1), U(10000000), U(1), U(0));
	made_event(m, 73, 500, 3, U(2), U(4), U(10000000));
	made_event(m, 45, 500, 3, U(3), U(0), U(2));
	made_event(m, 4, 500, 1, U(3));
	sample_end(m, 2, 1, 1, 3000000100, 3000001600, 1500, 0);
	/* the end */
	made_event(m, 97, 0, 1, U(1));
	made_event(m, 10, 1000, 2, ZIGZAG(-1), U(9));
	sample_end(m, 1, 2, 1, 3000002000, 3000003000, 1000, 0);
}

static inline void make_sample(struct made *m)
{
	m->flags = 1 | 1 << 3 | 1 << 5 | 1 << 7;
	made_begin(m);
	sample_tables(m);
	sample_first(m);
	sample_second(m);
	made_end(m, 2, 7);
}

/* The same events as version 2 has them. */
static inline void make_sample_2(struct made *m)
{
	m->major = 2;
	m->has_steps = true;
	make_sample(m);
}
