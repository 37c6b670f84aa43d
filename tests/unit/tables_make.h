/*
 * tables_make: the tables of a small server, loaded from a trace made by hand, for what needs names.
 */
#pragma once

#include "tests/unit/trace_make.h"
#include "viewer/streams.h"
#include "viewer/tables.h"

enum { /* strings */
       NAME_MAIN = 1,
       NAME_WORKER,
       NAME_LOG,
       NAME_DATA,
       NAME_TCP,
       NAME_TCP_AGAIN,
       NAME_UNIX,
       NAME_LOCK,
       NAME_MADE,
       NAME_APP,
       NAME_LIBC,
       NAME_FLUSH,
       NAME_SOURCE,
       NAME_FSYNC,
       NAME_WORKER_TWO,
       NAME_PIPE,
       NAMES,
};

enum { FILE_LOG = 1, FILE_LOG_AGAIN, FILE_TCP, FILE_TCP_AGAIN, FILE_UNIX, FILE_PIPE, FILE_EVENT };
enum { LOCK_NAMED = 1, LOCK_MADE, LOCK_BARE, COND_BARE };

struct made_tables {
	struct made made;
	struct reader *reader;
	struct streams streams;
	struct tables tables;
};

static inline void made_tables_begin(struct made *m)
{
	static const char *const names[NAMES] = {
		[NAME_MAIN] = "main",
		[NAME_WORKER] = "worker-1",
		[NAME_LOG] = "/var/log/app",
		[NAME_DATA] = "/data/x",
		[NAME_TCP] = "tcp 127.0.0.1:41000->10.0.0.1:80",
		[NAME_TCP_AGAIN] = "tcp 127.0.0.1:41001->10.0.0.1:80",
		[NAME_UNIX] = "unix:[4711]",
		[NAME_LOCK] = "g_cache.lock",
		[NAME_MADE] = "cache_new cache.c:71",
		[NAME_APP] = "/usr/bin/app",
		[NAME_LIBC] = "/lib/libc.so.6",
		[NAME_FLUSH] = "flush",
		[NAME_SOURCE] = "/src/log.c",
		[NAME_FSYNC] = "fsync",
		[NAME_WORKER_TWO] = "worker-22",
		[NAME_PIPE] = "pipe:[7]",
	};
	const uint64_t frames[] = {FRAME(2, 0x7f0000012345), FRAME(1, 0x401234)};

	made_begin(m);
	for (uint32_t i = 1; i < NAMES; i++)
		made_string(m, i, names[i]);
	made_end_block(m, (struct made_block){.kind = MADE_STRINGS});
	made_record(m, 8, U(1), U(0x400000), U(0x480000), U(0), U(0), U(NAME_APP), U(0), U(0));
	made_record(m, 8, U(2), U(0x7f0000000000), U(0x7f0000200000), U(0), U(0x7f0000000000),
		    U(NAME_LIBC), U(0), U(2));
	made_end_block(m, (struct made_block){.kind = MADE_MODULES, .needs = {NAMES}});
	made_stack(m, 1, 2, frames);
	made_end_block(m, (struct made_block){.kind = MADE_STACKS, .needs = {NAMES, 0, 0, 3}});
	made_record(m, 5, FRAME(1, 0x401234), U(1), U(NAME_FLUSH), U(NAME_SOURCE), U(12));
	made_record(m, 5, FRAME(2, 0x7f0000012345), U(1), U(NAME_FSYNC), U(0), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_SYMBOLS, .needs = {NAMES, 0, 0, 3}});
	made_record(m, 8, U(LOCK_NAMED), U(1), U(0), U(0x4c0010), U(0), U(NAME_LOCK), U(0), U(0));
	made_record(m, 8, U(LOCK_MADE), U(1), U(1), U(0x55d0c8), U(0), U(NAME_MADE), U(0), U(0));
	made_record(m, 8, U(LOCK_BARE), U(1), U(0), U(0x55d0d8), U(1), U(0), U(0), U(0));
	made_record(m, 8, U(COND_BARE), U(4), U(0), U(0x55d0e8), U(0), U(0), U(0), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_OBJECTS, .needs = {NAMES, 0, 0, 3}});
	made_record(m, 6, U(1), U(4711), U(0), U(0), U(NAME_MAIN), U(0));
	made_record(m, 6, U(2), U(4712), U(0), U(1), U(NAME_WORKER), U(0));
	made_record(m, 6, U(3), U(4713), U(0), U(1), U(NAME_WORKER_TWO), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_THREADS, .needs = {NAMES}});
	made_record(m, 4, U(FILE_LOG), U(3), U(1), U(NAME_LOG));
	made_record(m, 4, U(FILE_LOG_AGAIN), U(4), U(1), U(NAME_LOG));
	made_record(m, 4, U(FILE_TCP), U(5), U(3), U(NAME_TCP));
	made_record(m, 4, U(FILE_TCP_AGAIN), U(6), U(3), U(NAME_TCP_AGAIN));
	made_record(m, 4, U(FILE_UNIX), U(7), U(3), U(NAME_UNIX));
	made_record(m, 4, U(FILE_PIPE), U(8), U(2), U(NAME_PIPE));
	made_record(m, 4, U(FILE_EVENT), U(9), U(4), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_FILES, .needs = {NAMES}});
}

static inline void made_tables_load(struct made_tables *t)
{
	struct why why = {""};

	made_tables_begin(&t->made);
	made_end(&t->made, 2, 0);
	tables_init(&t->tables);
	if (reader_open_bytes(&t->reader, "test", t->made.file.at, t->made.file.n, &why) < 0 ||
	    streams_init(&t->streams, t->reader) < 0 ||
	    tables_load(&t->tables, t->reader, &why) < 0)
		abort();
}

static inline void made_tables_free(struct made_tables *t)
{
	tables_fini(&t->tables);
	streams_fini(&t->streams);
	reader_close(t->reader);
	made_free(&t->made);
}
