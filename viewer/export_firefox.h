/*
 * What the form of Firefox's profiler is made of. A profile has tables by columns, each thread its own, so nothing can be written before
 * everything is known:
 *
 *     the story ──→ rows, spooled by thread ──→ tables of a thread, a column after another
 *     export_firefox.c                          export_firefox_write.c
 *
 * A row is a sample or a marker. Texts are numbers in it, and written once for all threads.
 */
#pragma once

#include "viewer/export.h"
#include "viewer/spool.h"
#include "viewer/texts.h"

#define FIREFOX_FIELDS 6

enum firefox_kind {
	FIREFOX_SAMPLE,
	/* markers */
	FIREFOX_STATE,
	FIREFOX_REGION,
	FIREFOX_WAIT,
	FIREFOX_CALL,
	FIREFOX_WAKE,
	FIREFOX_TASK,
	FIREFOX_MARK,
	FIREFOX_COUNTER,
	FIREFOX_LOST,
	FIREFOX_KINDS,
};

enum firefox_phase { FIREFOX_INSTANT, FIREFOX_INTERVAL, FIREFOX_BEGIN };

/* Of a kind of markers; formats are those of Firefox: "unique-string" is a text's number. */
struct firefox_field {
	const char *key, *label, *format;
};
struct firefox_schema {
	const char *name, *about;
	bool is_nested; /* those of a thread never overlap in part */
	bool has_graph; /* of its first field */
	struct firefox_field fields[FIREFOX_FIELDS];
};
extern const struct firefox_schema firefox_schemas[FIREFOX_KINDS];

struct firefox_category {
	const char *name, *colour;
};
enum { FIREFOX_OTHER, FIREFOX_RUNNING };
extern const struct firefox_category firefox_categories[];
extern const unsigned firefox_categories_n;

struct firefox_row {
	uint8_t kind, phase, category;
	uint8_t has; /* fields, a bit each */
	uint32_t name, stack;
	uint64_t begin_ns,
		end_ns; /* since the trace's beginning; of a sample end_ns is its weight */
	uint64_t fields[FIREFOX_FIELDS]; /* texts; signed numbers */
};

struct firefox_thread {
	uint32_t thread;
	bool has_begin, has_end; /* of its life */
	uint64_t begin_ns, end_ns;
	uint64_t markers, samples;
	struct spool_list list;
	const struct reader_block *block; /* whose header was looked at */
};

/* A row of counts. */
struct firefox_counter {
	const char *name, *about;
	uint64_t n;
	struct spool_list list;
};
#define FIREFOX_COUNTERS 3

/* A task that is open, by its number. */
struct firefox_task {
	bool is_open;
	uint32_t thread, type, stack;
	uint64_t begin_ns, task;
};

struct firefox {
	struct spool spool;
	struct texts texts;
	struct firefox_thread *threads;
	struct map thread_of;
	uint32_t threads_n, threads_room;
	struct firefox_counter counters[FIREFOX_COUNTERS];
	struct firefox_task *tasks;
	uint32_t tasks_room;
};

/* Their bytes in the spool. */
#define FIREFOX_ROW_BYTES ((6 + FIREFOX_FIELDS) * VARINT_BYTES_MAX)
uint8_t *firefox_put_row(uint8_t *at, const struct firefox_row *row);
/* NULL: it is none. */
const uint8_t *firefox_get_row(const uint8_t *at, struct firefox_row *ret);

/* The number of what is in x->name; TEXTS_NONE: out of memory. */
uint32_t firefox_text(struct export *x);

/* All of the file, packed. 0 or a negative errno. */
int firefox_write(struct export *x);
