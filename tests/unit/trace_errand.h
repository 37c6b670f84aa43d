/*
 * trace_errand: a request that goes through three threads, which make each other wait: what tests/golden/errand has in words.
 *
 *     front      accepts it, hands it on, and waits for the last thread's end
 *     worker-1   parses it, and looks it up under a lock that worker-2 holds across an fsync
 *     worker-2   answers it; a part of it, on front, is not ended before it is
 */
#pragma once

#include "tests/unit/trace_make.h"

static uint64_t errand_first, errand_at;

/* An event @us after the beginning. */
#define ERRAND(m, us, type, ...)                                      \
	do {                                                          \
		uint64_t ns = MADE_BEGUN + (uint64_t)((us)*1000);     \
                                                                      \
		if ((m)->records == 0)                                \
			errand_first = errand_at = ns;                \
		made_event((m), (type), ns - errand_at, __VA_ARGS__); \
		errand_at = ns;                                       \
	} while (0)

static inline void errand_end(struct made *m, uint32_t thread, uint8_t flags)
{
	made_end_block(m, (struct made_block){.kind = MADE_EVENTS,
					      .flags = flags,
					      .thread = thread,
					      .first_ns = errand_first,
					      .last_ns = errand_at,
					      .span = errand_at - errand_first,
					      .tick_fs = 1000000,
					      .needs = {19, 3, 2, 2}});
}

static inline void errand_tables(struct made *m)
{
	static const char *const strings[] = {
		NULL,
		"front",
		"worker-1",
		"worker-2",
		"request",
		"lookup",
		"parse",
		"answer",
		"http",
		"GET /slow\033[31m",
		"g_cache.lock",
		"/var/log/app",
		"cache_get",
		"cache.c",
		"/usr/bin/server",
		"flush",
		"tenant",
		"acme, \"inc\"",
		"a thread that has a name of more words",
	};
	const uint64_t get[] = {FRAME(1, 0x401234)}, flush[] = {FRAME(1, 0x401300)};

	for (uint32_t i = 1; i < sizeof(strings) / sizeof(strings[0]); i++)
		made_string(m, i, strings[i]);
	made_end_block(m, (struct made_block){.kind = MADE_STRINGS});
	made_record(m, 8, U(1), U(0x400000), U(0x480000), U(0), U(0), U(14), U(0), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_MODULES, .needs = {19}});
	made_stack(m, 1, 1, get);
	made_stack(m, 2, 1, flush);
	made_end_block(m, (struct made_block){.kind = MADE_STACKS, .needs = {19, 0, 0, 2}});
	made_record(m, 5, get[0], U(1), U(12), U(13), U(41));
	made_record(m, 5, flush[0], U(1), U(15), U(13), U(77));
	made_end_block(m, (struct made_block){.kind = MADE_SYMBOLS, .needs = {19, 0, 0, 2}});
	made_record(m, 8, U(1), U(1), U(0), U(0x4c0010), U(0), U(10), U(0), U(1000));
	made_end_block(m, (struct made_block){.kind = MADE_OBJECTS, .needs = {19, 0, 0, 2}});
	for (uint32_t i = 1; i <= 3; i++)
		made_record(m, 6, U(i), U(4710 + i), U(0), U(i > 1), U(i), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_THREADS, .needs = {19}});
}

static inline void make_errand(struct made *m)
{
	m->flags = 1 << 3;
	made_begin(m);
	errand_tables(m);
	/* front */
	ERRAND(m, 0, 2, 4, U(4711), U(0), U(0), U(1));
	ERRAND(m, 100, 1, 3, U(2), U(0), U(0));
	ERRAND(m, 200, 1, 3, U(3), U(0), U(0));
	ERRAND(m, 1000, 96, 4, U(7), U(0), U(4), U(1));
	ERRAND(m, 1000, 98, 1, U(7));
	ERRAND(m, 1200, 101, 3, U(8), U(9), U(7));
	ERRAND(m, 1250, 105, 2, U(16), U(17));
	ERRAND(m, 1500, 98, 1, U(0));
	ERRAND(m, 2000, 5, 2, U(3), U(0));
	ERRAND(m, 14000, 6, 1, U(0));
	ERRAND(m, 14100, 96, 4, U(8), U(7), U(5), U(0));
	ERRAND(m, 14200, 97, 1, U(7));
	ERRAND(m, 14500, 4, 1, U(1));
	errand_end(m, 1, 0);
	/* worker-1 */
	ERRAND(m, 150, 2, 4, U(4712), U(0), U(1), U(2));
	ERRAND(m, 2000, 98, 1, U(7));
	ERRAND(m, 2000, 99, 3, U(6), U(7), U(1));
	ERRAND(m, 3000, 99, 3, U(5), U(7), U(1));
	ERRAND(m, 3100, 32, 4, U(1), U(1), U(3), U(1));
	ERRAND(m, 9200, 33, 4, U(1), U(1), U(2), U(6100 * 1000));
	ERRAND(m, 9500, 35, 6, U(1), U(1), U(3), U(300 * 1000), U(0), U(1));
	ERRAND(m, 9600, 100, 1, U(5));
	ERRAND(m, 10000, 100, 1, U(6));
	ERRAND(m, 10000, 98, 1, U(0));
	ERRAND(m, 10500, 4, 1, U(1));
	errand_end(m, 2, 0);
	/* worker-2 */
	ERRAND(m, 260, 2, 4, U(4713), U(0), U(1), U(3));
	ERRAND(m, 1000, 24, 4, U(1), U(5), U(1), U(11));
	ERRAND(m, 8800, 18, 8, U(74), U(5800 * 1000), U(0), U(1), U(5), U(0), U(0), U(2));
	ERRAND(m, 9000, 35, 6, U(1), U(1), U(1), U(6500 * 1000), U(1), U(2));
	ERRAND(m, 9900, 98, 1, U(7));
	ERRAND(m, 9950, 99, 3, U(7), U(7), U(0));
	ERRAND(m, 13000, 100, 1, U(7));
	ERRAND(m, 13000, 98, 1, U(0));
	ERRAND(m, 13900, 4, 1, U(1));
	errand_end(m, 3, 0);
	/* the processor */
	ERRAND(m, 2010, 64, 2, U(1), U(2));
	ERRAND(m, 3010, 64, 2, U(3), U(2));
	ERRAND(m, 3110, 64, 2, U(2), U(2));
	ERRAND(m, 8790, 65, 1, U(3));
	ERRAND(m, 9150, 65, 1, U(2));
	ERRAND(m, 11000, 64, 2, U(3), U(1));
	ERRAND(m, 12000, 65, 1, U(3));
	ERRAND(m, 13980, 65, 1, U(1));
	errand_end(m, 0, 8);
	made_end(m, 2, 0);
}
