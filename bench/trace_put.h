/*
 * trace_put: events and tables of a made-up trace, into a file by tracer/writer.h. What drain.c does for a program that runs is
 * done here for one that never did.
 *
 * Times are ns from the beginning; in the file they are those of a counter, as where stamps are the processor's.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tracer/encode.h"
#include "tracer/writer.h"

#define BEGUN_NS    (UINT64_C(86400) * 1000000000) /* the machine is up for a day */
#define BEGUN_REAL  UINT64_C(1790000000000000000)
#define TICK_FS     345782 /* of 2.892 GHz */
#define TICKS(ns)   ((ns)*2892 / 1000)
#define BLOCK_BYTES (48 << 10) /* as drain_events.c has it */
#define EVENT_MAX   (1 + (1 + TRACE_ARGUMENTS_MAX) * ENCODE_MAX)
#define TABLE_BYTES (256 << 10)

/* What one thread, one processor, or the process writes. */
struct stream {
	uint32_t number, sequence;
	bool is_switches, is_first, is_last; /* block of its generation; of the thread */

	/* the block that is being filled */
	uint8_t *bytes;
	uint32_t used, events;
	uint64_t first_ns, last_ns;
	uint32_t classes[TRACE_CLASSES];
	uint64_t state_ns[TRACE_STATES];
	struct trace_steps steps;

	enum trace_state state; /* since last_ns */
};

enum { NEED_STRINGS, NEED_STACKS, NEED_OBJECTS, NEED_MODULES, NEEDS };

struct trace {
	struct writer *writer;
	uint64_t events, raw_bytes, raw_bytes_begun; /* of its generation */
	uint32_t generation, tables_sequence;
	uint64_t now_ns;

	/* tables: what is to be written, and below which number all is known */
	struct {
		uint8_t bytes[TABLE_BYTES];
		uint32_t used, records;
	} tables[TRACE_BLOCK_KINDS];
	uint32_t known[NEEDS], known_written[NEEDS];
};

#define EVENT_CLASS(number, NAME, text, class, ends, arguments) [number] = TRACE_CLASS_##class,
static const uint8_t event_classes[256] = {TRACE_EVENTS(EVENT_CLASS)};
#define EVENT_ARGUMENTS(number, NAME, text, class, ends, arguments) [number] = arguments,
static const char *const event_arguments[256] = {TRACE_EVENTS(EVENT_ARGUMENTS)};
static unsigned event_orders[256]; /* which argument is the order of the first; 0: none */

/* ---- tables ---- */

static void tables_write(struct trace *t)
{
	/* in the order in which they lean on each other */
	static const uint8_t order[] = {
		TRACE_BLOCK_STRINGS, TRACE_BLOCK_SCHEMA,  TRACE_BLOCK_METADATA,
		TRACE_BLOCK_MODULES, TRACE_BLOCK_STACKS,  TRACE_BLOCK_SYMBOLS,
		TRACE_BLOCK_OBJECTS, TRACE_BLOCK_THREADS, TRACE_BLOCK_FILES,
	};

	for (size_t i = 0; i < sizeof(order); i++) {
		struct trace_block_header h = {
			.kind = order[i],
			.generation = t->generation,
			.thread = TRACE_ALL,
			.sequence = t->tables_sequence,
			.events = t->tables[order[i]].records,
			.first_ns = BEGUN_NS + t->now_ns,
			.last_ns = BEGUN_NS + t->now_ns,
			.needs_strings = t->known[NEED_STRINGS],
		};

		if (h.events == 0)
			continue;
		if (order[i] == TRACE_BLOCK_STRINGS)
			h.needs_strings = t->known_written[NEED_STRINGS];
		writer_block(t->writer, &h, NULL, 0, t->tables[order[i]].bytes,
			     t->tables[order[i]].used);
		t->tables_sequence++;
		t->tables[order[i]].used = t->tables[order[i]].records = 0;
		t->known_written[NEED_STRINGS] = t->known[NEED_STRINGS];
	}
	memcpy(t->known_written, t->known, sizeof(t->known));
}

/* Room for a record of at most @bytes. */
static uint8_t *table_begin(struct trace *t, enum trace_block_kind kind, size_t bytes)
{
	if (t->tables[kind].used + bytes > TABLE_BYTES)
		tables_write(t);
	return t->tables[kind].bytes + t->tables[kind].used;
}

static void table_end(struct trace *t, enum trace_block_kind kind, const uint8_t *at)
{
	t->tables[kind].used = (uint32_t)(at - t->tables[kind].bytes);
	t->tables[kind].records++;
}

static void put_record(struct trace *t, enum trace_block_kind kind, const uint64_t *a, unsigned n)
{
	uint8_t *at = table_begin(t, kind, (size_t)n * ENCODE_MAX);

	for (unsigned i = 0; i < n; i++)
		at = encode_u(at, a[i]);
	table_end(t, kind, at);
}

#define ARGUMENTS(...) \
	(const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t)
#define RECORD(t, kind, ...) put_record((t), (kind), ARGUMENTS(__VA_ARGS__))

static uint32_t put_string(struct trace *t, const char *text)
{
	size_t length = strlen(text);
	uint32_t number = t->known[NEED_STRINGS]++;
	uint8_t *at;

	if (length == 0) {
		t->known[NEED_STRINGS]--;
		return 0;
	}
	at = table_begin(t, TRACE_BLOCK_STRINGS, length + 2 * ENCODE_MAX);
	at = encode_u(encode_u(at, number), length);
	memcpy(at, text, length);
	table_end(t, TRACE_BLOCK_STRINGS, at + length);
	return number;
}

static uint32_t put_stack(struct trace *t, const uint64_t *frames, unsigned depth)
{
	uint32_t number = t->known[NEED_STACKS]++;
	uint8_t *at = table_begin(t, TRACE_BLOCK_STACKS, (size_t)(depth + 2) * ENCODE_MAX);
	uint64_t last = 0;

	at = encode_u(encode_u(at, number), depth);
	for (unsigned i = 0; i < depth; i++) {
		at = encode_s(at, (int64_t)(frames[i] - last));
		last = frames[i];
	}
	table_end(t, TRACE_BLOCK_STACKS, at);
	return number;
}

static void put_schema(struct trace *t)
{
#define EVENT_SCHEMA(number, NAME, text, class, ends, arguments)                                   \
	RECORD(t, TRACE_BLOCK_SCHEMA, number, put_string(t, text), put_string(t, arguments), ends, \
	       0);
	TRACE_EVENTS(EVENT_SCHEMA)
#undef EVENT_SCHEMA
}

/* ---- events ---- */

static void stream_flush(struct trace *t, struct stream *s)
{
	struct trace_block_header h = {
		.kind = TRACE_BLOCK_EVENTS,
		.flags = (s->is_switches ? TRACE_BLOCK_SWITCHES : 0) |
			 (s->is_first ? TRACE_BLOCK_STARTS : 0) |
			 (s->is_last ? TRACE_BLOCK_LAST : 0) | TRACE_BLOCK_STEPS,
		.generation = t->generation,
		.thread = s->number,
		.sequence = s->sequence,
		.events = s->events,
		.first_ns = BEGUN_NS + s->first_ns,
		.last_ns = BEGUN_NS + s->last_ns,
		.tick_fs = s->is_switches ? 0 : TICK_FS,
	};
	uint8_t summary[WRITER_SUMMARY_MAX], *at = summary;

	if (s->events == 0)
		return;
	h.span = s->is_switches ? s->last_ns - s->first_ns : TICKS(s->last_ns) - TICKS(s->first_ns);
	tables_write(t);
	h.needs_strings = t->known[NEED_STRINGS];
	h.needs_stacks = t->known[NEED_STACKS];
	h.needs_objects = t->known[NEED_OBJECTS];
	h.needs_modules = t->known[NEED_MODULES];
	if (!s->is_switches) {
		for (unsigned i = 0; i < TRACE_STATES; i++)
			at = encode_u(at, s->state_ns[i]);
		for (unsigned i = 0; i < TRACE_CLASSES; i++)
			at = encode_u(at, s->classes[i]);
	}
	writer_block(t->writer, &h, summary, (uint32_t)(at - summary), s->bytes, s->used);
	t->raw_bytes += s->used;
	s->sequence++;
	s->used = s->events = 0;
	s->is_first = s->is_last = false;
	memset(s->classes, 0, sizeof(s->classes));
	memset(s->state_ns, 0, sizeof(s->state_ns));
	s->steps = (struct trace_steps){0};
}

static void put_event(struct trace *t, struct stream *s, unsigned type, uint64_t ns,
		      const uint64_t *a, unsigned n)
{
	uint64_t since, of_calls;
	uint8_t *at;

	if (s->bytes == NULL && (s->bytes = malloc(BLOCK_BYTES + EVENT_MAX)) == NULL)
		abort();
	if (s->used >= BLOCK_BYTES)
		stream_flush(t, s);
	if (ns < s->last_ns)
		ns = s->last_ns;
	/* a call that was fast is one event: the end of what went by */
	since = ns - s->last_ns;
	of_calls = type == TRACE_SYSCALL_EVENT ? a[1] * TICK_FS / 1000000 : 0;
	of_calls = of_calls < since ? of_calls : since;
	s->state_ns[TRACE_SYSCALL] += of_calls;
	s->state_ns[s->state] += since - of_calls;
	s->classes[event_classes[type]]++;
	if (s->events == 0)
		s->first_ns = s->last_ns = ns;
	at = s->bytes + s->used;
	*at++ = (uint8_t)type;
	at = encode_u(at, s->is_switches ? ns - s->last_ns : TICKS(ns) - TICKS(s->last_ns));
	for (unsigned i = 0; i < n; i++)
		at = encode_u(at, i != 0 && i == event_orders[type]
					  ? trace_step(&s->steps, a[0], a[i])
					  : a[i]);
	s->used = (uint32_t)(at - s->bytes);
	s->events++;
	s->last_ns = ns;
	t->events++;
}

#define PUT(t, s, NAME, ns, ...) \
	put_event((t), (s), TRACE_##NAME##_EVENT, (ns), ARGUMENTS(__VA_ARGS__))

static void find_orders(void)
{
	for (unsigned type = 0; type < 256; type++) {
		const char *found = event_arguments[type] != NULL
					    ? strstr(event_arguments[type], "order:")
					    : NULL;

		for (const char *c = event_arguments[type]; found != NULL && c < found; c++)
			event_orders[type] += *c == ' ';
	}
}

static int trace_open(struct trace *t, int fd, uint64_t seed)
{
	struct trace_file_header header = {
		.begun_monotonic_ns = BEGUN_NS,
		.begun_realtime_ns = BEGUN_REAL,
		.pid = 4711,
		.flags = TRACE_HAS_WRAPPERS | TRACE_HAS_SITES | TRACE_HAS_SWITCHES |
			 TRACE_HAS_SAMPLES | TRACE_IS_TSC,
		.level = TRACE_LEVEL_THREADS | TRACE_LEVEL_LOCKS | TRACE_LEVEL_SYSCALLS |
			 TRACE_LEVEL_SCHED,
	};

	memcpy(header.uuid, "trace_make", 10);
	memcpy(header.uuid + 10, &seed, 6);
	memset(t, 0, sizeof(*t));
	find_orders();
	t->known[NEED_STRINGS] = t->known[NEED_STACKS] = 1;
	return writer_create(&t->writer, fd, &header, (struct writer_ring){0, 0});
}
