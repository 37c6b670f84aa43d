/*
 * drain_private: what the files of drain share.
 */
#pragma once

#include "tracer/chunk.h"
#include "tracer/drain.h"
#include "tracer/schedstat.h"

/* The clock: ticks to ns */

#define CLOCK_KNOTS 64

/*
 * Pairs of the two clocks, joined by lines: times go on without a step. A line holds as long as it fits; where the kernel's
 * clock is steered, a new one begins.
 */
struct drain_clock {
	uint64_t base, base_ns;
	uint32_t shift;
	bool is_counter;
	struct clock_knot {
		uint64_t count;  /* since @base: the beginning of the line */
		double ns, rate; /* since @base_ns; ns for each */
	} knots[CLOCK_KNOTS];
	unsigned knots_n;
	uint64_t looked; /* the count of the last look */
};

void drain_clock_start(struct drain_clock *c, const struct segment_header *h);
/* Now, in ticks. */
uint64_t drain_clock_look(struct drain_clock *c);
uint64_t drain_clock_ns(const struct drain_clock *c, uint64_t ticks);
/* The length of a tick. */
uint32_t drain_clock_tick_fs(const struct drain_clock *c);

/* Threads */

#define HELD_MAX    32
#define REGIONS_MAX 32

enum drain_table { TABLE_STRINGS, TABLE_STACKS, TABLE_OBJECTS, TABLE_MODULES, DRAIN_NEEDS };

struct drain_thread {
	struct drain_thread *next, *next_of_tid; /* in their buckets */
	uint32_t number, record;
	int32_t tid;            /* drain_set_tid() */
	uint32_t next_sequence; /* of its chunks */
	bool is_over;
	uint32_t suspicions; /* in how many generations on end it was found gone */
	uint64_t seen_events, events_all;

	/* its table entry */
	uint64_t pthread, begun_ticks;
	uint32_t parent, name;

	/* the block that is being filled */
	uint8_t *bytes;
	uint32_t used, room, events;
	uint64_t first_ticks, last_ticks, lost;
	uint8_t flags;
	struct trace_steps steps;
	uint32_t sequence; /* of its blocks */
	uint64_t written_ns;

	/* what it ran, as of the last look */
	struct sched_times times;
	uint64_t times_ns;

	/* what it does, as of its last event */
	uint64_t ticks;
	enum trace_state wait; /* TRACE_LOCK, TRACE_WAIT or 0 */
	uint32_t wait_type, wait_object;
	uint64_t wait_since;
	uint32_t call; /* number + 1 */
	uint64_t call_since, task;
	uint32_t held_n, regions_n; /* may exceed what there is room for */
	struct {
		uint32_t object, mode;
		uint64_t since;
	} held[HELD_MAX];
	uint32_t regions[REGIONS_MAX];

	/* since its last block */
	uint64_t state_ticks[TRACE_STATES], state_since;
	uint32_t classes[TRACE_CLASSES];
};

#define THREAD_BUCKETS 1024
#define THREADS_LIVE   65536

struct payload {
	uint8_t *bytes;
	uint32_t used, room, records;
};

struct drain_chunk {
	uint64_t serial, ticks;
	uint32_t done;
	bool is_begun, is_finished;
};

struct drain {
	struct drain_setup setup;
	const struct segment *s;
	struct writer *writer;
	struct writer_snapshot *snapshot; /* under way, or NULL */
	bool is_open;
	int error;
	struct drain_counts counts;
	struct drain_clock clock;

	/* chunks */
	struct drain_chunk *chunks;
	struct work {
		uint64_t order; /* thread << 32 | sequence */
		uint32_t chunk;
		uint32_t thread;
	} * work;
	uint32_t chunks_n, work_n;
	uint8_t *copy; /* of a chunk */

	/* threads */
	struct drain_thread *threads[THREAD_BUCKETS], *threads_of_tid[THREAD_BUCKETS];
	uint32_t threads_n;
	/* those that ended in this pass and the one before: the kernel has still something to tell of them */
	struct drain_gone {
		int32_t tid;
		uint32_t number;
		uint32_t next; /* in its bucket, one that ended before; 0: none */
	} * gone;
	uint32_t gone_of_tid[THREAD_BUCKETS]; /* places in @gone + 1 */
	uint32_t gone_n, gone_room, gone_before;
	uint64_t pending_bytes;
	struct drain_thread process; /* what belongs to all */
	uint64_t
		lost_told; /* of the events that the program counted as lost, those that the file speaks of */
	uint64_t now_ticks, now_ns; /* of the pass under way */
	bool has_exited;
	int64_t exit_code;
	bool has_schedstat;
	uint64_t busy_ns; /* CPU time of the thread at work, when it was last asked for */

	/* sequences of blocks that others made, by processor or thread */
	struct foreign {
		uint32_t thread, flags, sequence;
	} * foreign;
	uint32_t foreign_n;

	/* generations */
	uint32_t generation;
	uint64_t generation_ns, generation_bytes;
	uint64_t generation_events; /* that there were before it */

	/* tables: what is to be written, and below which number all is */
	struct payload tables[TRACE_BLOCK_KINDS];
	uint32_t tables_sequence; /* of their blocks, all together */
	uint32_t known[DRAIN_NEEDS], known_written[DRAIN_NEEDS];
	uint32_t *stacks;  /* number in the file, by that in the segment */
	uint8_t *objects;  /* written: a bit each */
	uint32_t *modules; /* what each was when it was written */
	uint32_t modules_serial;
	struct drain_string {
		uint32_t hash, number, at, length;
	} * strings;
	uint32_t strings_n, strings_room;
	struct payload texts;
	struct payload notes; /* metadata: pairs of strings, each with its NUL */
	bool has_begun;
};

/* drain.c: CPU time since the last call. */
uint64_t drain_busy(struct drain *d);
/* Under which number the kernel knows it. */
void drain_set_tid(struct drain *d, struct drain_thread *t, int32_t tid);

/* drain_tables.c: numbers of the file. What is not known yet is put into a table that is written before it is needed. */
void drain_tables_begin(struct drain *d); /* schema and metadata */
uint32_t drain_string(struct drain *d, const char *text, uint32_t length);
uint32_t drain_stack(struct drain *d, uint64_t id);
uint32_t drain_object(struct drain *d, uint64_t number);
void drain_name_objects(struct drain *d); /* all that are in the file, once more */
void drain_modules(struct drain *d);
void drain_metadata(struct drain *d, uint32_t key, uint32_t value);
void drain_file(struct drain *d, uint64_t file, uint64_t number, uint64_t kind, uint64_t name);
void drain_thread_record(struct drain *d, const struct drain_thread *t);
void drain_tables_write(struct drain *d);
uint8_t *payload_room(struct payload *p, uint32_t bytes); /* NULL when out of memory */
void drain_tables_destroy(struct drain *d);

/* drain_events.c: a thread's events into its block. */
/* @bytes are those behind what was read of a chunk, up to ticks *ticks. False: they are no events from there on. */
bool drain_take(struct drain *d, struct drain_thread *t, const uint8_t *bytes, uint32_t n,
		uint64_t *ticks);
/* An event that the thread did not write, with numbers of the file. */
void drain_put(struct drain *d, struct drain_thread *t, unsigned type, uint64_t ticks,
	       const uint64_t *arguments, unsigned n);
#define DRAIN_PUT(d, t, type, ticks, ...)                                     \
	drain_put((d), (t), (type), (ticks), (const uint64_t[]){__VA_ARGS__}, \
		  sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))
void drain_put_status(struct drain *d, struct drain_thread *t, uint64_t ticks);
/* Its block goes to the writer. */
void drain_flush(struct drain *d, struct drain_thread *t);

extern const char *const drain_event_names[256], *const drain_event_arguments[256];
extern const uint8_t drain_event_ends[256];
