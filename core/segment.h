/*
 * segment: the shared memory that holds all that a process records.
 *
 * It is laid out by offset, never by pointer, so that whoever may map it can read it: the process itself, `cprof run`
 * after the process is gone, a test that made it by hand.
 *
 *     header │ threads │ modules │ strings │ label sets │ rows │ live │ custom │ trace │ generation 0  │ generation 1  │ lasting
 *            │         │         │         │            │      │      │        │       │ stacks  cpu … │ stacks  cpu … │ stacks  heap
 *
 * Always true:
 *   - Sizes and places of all parts are set when the segment is made, and @check is their checksum.
 *   - What a reader may follow (a stack id in a slot, a string id in a module) was complete before it was stored.
 *     A process that dies at any instruction leaves a segment that can be read.
 *   - Counters only grow. A window is the difference of two readings.
 *   - A full part loses the new record and adds to @lost.
 *   - The process that made a segment is the only one that writes in it: @live lies in a page that a child of fork
 *     finds zeroed (MADV_WIPEONFORK), however it was forked.
 *
 * Generations: stacks and tables exist twice. When those of one are full, recording goes on in the other if that is
 * clean; a reader adds both up. A generation that no window needs any more is wiped by segment_recycle(). What has to
 * stay as long as the process, because blocks of the heap that are still in use or what the program counts itself lead to it,
 * stands in a third set of the same shape that is never given up.
 *
 * The memory behind it is a memfd: a file in a tmpfs or on a disk that runs full would end the host with SIGBUS at the
 * first touch of a new page (docs/adr/0001-segment-is-a-memfd.md).
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/context.h"
#include "core/why.h"

#define SEGMENT_MAGIC       "cprofseg"
#define SEGMENT_VERSION     9
#define SEGMENT_GENERATIONS 2                   /* that take turns */
#define SEGMENT_LASTING     SEGMENT_GENERATIONS /* the one that is never given up */
#define SEGMENT_SETS        (SEGMENT_GENERATIONS + 1)
#define CPU_COLUMNS         2 /* periods, nanoseconds */
#define WALL_COLUMNS        2 /* looks, nanoseconds */
#define CREATE_COLUMNS      1 /* threads */
#define BLOCK_COLUMNS       2 /* contentions, nanoseconds */
#define MUTEX_COLUMNS       2 /* contentions, nanoseconds */
#define HEAP_COLUMNS        4 /* allocated blocks and bytes, freed blocks and bytes */
#define SEGMENT_MIN_BYTES   ((uint64_t)1 << 20)
#define SEGMENT_MAX_BYTES   ((uint64_t)4 << 30) /* as memory= has it */

#define LIVE_STRIDE 128u /* a set of live blocks: two cache lines */

#define SEGMENT_CUSTOMS 32 /* profiles that the program makes itself */

/* The trace's: tracer/chunk.h and tracer/object.h. Chunks grow with the segment, so that their map has room in the header. */
#define TRACE_CHUNKS_MAX      2048u
#define TRACE_CHUNK_MIN_BYTES 4096u
#define TRACE_CHUNK_MAX_BYTES 16384u
#define TRACE_THREAD_STRIDE   448u
#define TRACE_OBJECT_STRIDE   64u

enum segment_part {
	SEGMENT_THREADS,
	SEGMENT_MODULES,
	SEGMENT_STRING_BUCKETS, /* uint32_t string ids */
	SEGMENT_STRING_BYTES,   /* strings, each behind its struct string_head */
	SEGMENT_LABEL_SETS,
	SEGMENT_ROWS,
	SEGMENT_LIVE,   /* profiles/heap/live.h */
	SEGMENT_CUSTOM, /* profiles/custom/custom.h */
	SEGMENT_TRACE_CHUNKS,
	SEGMENT_TRACE_THREADS, /* one beside each of SEGMENT_THREADS */
	SEGMENT_TRACE_OBJECTS,
	SEGMENT_TRACE_OBJECT_BUCKETS, /* uint32_t object ids */
	SEGMENT_STACK_BUCKETS,        /* this and what follows: once for each generation */
	SEGMENT_STACK_WORDS,
	SEGMENT_TABLE_CPU,
	SEGMENT_TABLE_WALL,
	SEGMENT_TABLE_CREATE,
	SEGMENT_TABLE_BLOCK,
	SEGMENT_TABLE_MUTEX,
	SEGMENT_TABLE_HEAP, /* the only table of the lasting set, which has none of the others */
	SEGMENT_PARTS,
	SEGMENT_NO_TABLE = SEGMENT_PARTS,
};

#define SEGMENT_PLACES \
	(SEGMENT_PARTS + (SEGMENT_SETS - 1) * (SEGMENT_PARTS - SEGMENT_STACK_BUCKETS))

struct segment_place {
	uint64_t offset; /* from the segment's start */
	uint32_t count;  /* elements */
	uint32_t stride; /* bytes an element */
};

/* What could not be recorded. segment_lost_name() has a word for each. */
enum segment_lost {
	LOST_STACKS_FULL, /* samples: no room for a new stack */
	LOST_TABLE_FULL,  /* samples: no room for a new (stack, labels) pair */
	LOST_THREADS,     /* threads that got no record or no timer */
	LOST_UNSAMPLED_NS, /* CPU time of threads that no sample stands for, such as those that block the signal */
	LOST_MODULES,    /* mapped files without a record */
	LOST_STRINGS,    /* names that found no room */
	LOST_STACK_ROOM, /* CPU samples: the alternate stack they came on was too small to walk from */
	LOST_HEAP_ROOM, /* sampled blocks: the same, where a signal handler allocates */
	LOST_CONFINED,  /* processes that were left alone when they set a seccomp filter */
	LOST_CHILDREN,  /* child processes that could not be followed */
	LOST_LIVE,      /* sampled blocks without room in the live set: counted as freed at once */
	LOST_WAITS, /* waits that came where they could not be counted, such as in a handler that interrupts counting */
	LOST_RELEASES, /* releases of locks that others waited for: the same */
	LOST_EVENTS,   /* of the trace, before they had a place in it */
	LOST_OBJECTS,  /* locks and their like without a number in the trace */
	LOST_KINDS,
};

/* One profile's course, in the order of enum option_id: profile.h makes sure. */
enum segment_run_id {
	RUN_CPU,
	RUN_WALL,
	RUN_HEAP,
	RUN_BLOCK,
	RUN_MUTEX,
	RUN_THREADS,
	RUN_THREADCREATE,
	RUN_TRACE,
	SEGMENT_RUNS,
	RUN_CUSTOM = SEGMENT_RUNS, /* and the next: those of segment_header.customs */
};

struct segment_run {
	_Atomic uint64_t period;             /* as it was last started; 0: never */
	_Atomic uint64_t begun_ns, ended_ns; /* CLOCK_MONOTONIC; ended 0: running */
	_Atomic uint64_t lost;               /* of its samples: those that found a table full */
	_Atomic uint64_t
		left_off; /* string id: why it is not on although it was asked for, 0: it is, or was not */

	/*
	 * Of waits: the shortest that is kept, in ns, or with SETTING_IS_RATE the one from which all are; of releases: one in N;
	 * of what the program counts itself: how many this process has added.
	 */
	_Atomic uint64_t setting;
};

#define SETTING_IS_RATE (UINT64_C(1) << 63)

/* A profile that the program made. Its name is written last. */
struct segment_custom {
	struct segment_run run;
	_Atomic uint32_t name; /* string id; 0: free */
	uint32_t reserved;
};

/* Facts about walking and sampling that are no loss. */
enum segment_note {
	NOTE_SIGNALS,       /* CPU samples really taken, each one signal */
	NOTE_TRUNCATED,     /* stacks cut: deeper than depth=, or no way on */
	NOTE_PERF_THREADS,  /* threads sampled by a perf clock */
	NOTE_TIMER_THREADS, /* threads sampled by a CPU timer */
	NOTE_RECYCLED,      /* generations given up */
	NOTE_FORKS,         /* calls of fork() whose children record, too */
	NOTE_LOOKS_ASKED,   /* looks at a thread: by a signal it answered */
	NOTE_LOOKS_WAITING, /* at one in a call that said so: not touched */
	NOTE_LOOKS_KERNEL,  /* at one that sleeps elsewhere: the kernel's word, not touched */
	NOTE_LOOKS_DEAF,    /* at one that did not answer */
	NOTE_KINDS,
};

/*
 * What the launcher asks of the process: one thing at a time. It writes the rest, then @asked; the helper obeys, writes the
 * answer, then @done, which is @asked again.
 */
enum segment_request_kind {
	REQUEST_START = 1, /* @text: profiles with their values, as in cprof_start() */
	REQUEST_STOP,      /* @text: names of profiles, by commas */
};

#define REQUEST_TEXT_MAX   512
#define REQUEST_ANSWER_MAX 320

struct segment_request {
	_Atomic uint32_t asked, done;
	uint32_t kind;
	int32_t error;                   /* 0, or a negative errno: nothing was changed */
	char text[REQUEST_TEXT_MAX];     /* with a NUL, or it is refused */
	char answer[REQUEST_ANSWER_MAX]; /* why not; or what there is to say of it */
};

enum segment_own { OWN_HELPER, OWN_SERVER, OWN_THREADS };

struct segment_generation {
	_Atomic uint64_t serial;     /* 0: clean and unused; grows with each one begun */
	_Atomic uint64_t stack_used; /* words handed out; may exceed the count: then it is full */
	_Atomic uint64_t begun_ns;   /* CLOCK_MONOTONIC */
	uint64_t reserved;
};

struct segment_header {
	/* constant once made */
	char magic[8];
	uint32_t version, header_bytes;
	uint64_t size;
	struct segment_place parts[SEGMENT_PLACES];
	uint64_t check; /* of all above */

	/* the process */
	int32_t pid, is_kept; /* is_kept: a launcher reads it at the end, so nothing is recycled */
	uint64_t begun_monotonic_ns, begun_realtime_ns;
	uint32_t program, executable; /* string ids: the name and the path */
	uint32_t is_forked, reserved; /* made in a child of fork: one of its parent's NOTE_FORKS */

	struct segment_run runs[SEGMENT_RUNS];

	/* the last whole snapshot of all threads: what their records say of it bears this number; 0 none */
	_Atomic uint64_t snapshot_serial, snapshot_ns;

	/* wall: when it looked last, and until when it dozes, 0: it does not. What came since then is not in the records yet. */
	_Atomic uint64_t wall_looked_ns, wall_dozes_until_ns;

	/* The helper thread sleeps on the first (a futex that also the launcher may wake); how many snapshots were asked for. */
	_Atomic uint32_t helper_wake, snapshots_asked;

	/* Threads of ours, which no profile and no trace has; a number stays when its thread is gone. 0: there was none. */
	_Atomic int32_t own_tids[OWN_THREADS];

	/* For the launcher: what runs (bits of enum option_profile), whether somebody obeys, and what is to be changed. */
	_Atomic uint32_t running, is_obeying;
	struct segment_request request;

	/*
	 * The trace. A chunk is free when its bit is set: whoever fills them takes it, whoever empties them sets it. That one
	 * sleeps on the second word (a futex), and is woken when half of the chunks are taken.
	 */
	_Atomic uint64_t trace_free[TRACE_CHUNKS_MAX / 64];
	_Atomic uint32_t trace_wake, trace_taken;
	_Atomic uint64_t trace_given_back; /* how many, ever: written by who empties them */
	_Atomic uint64_t trace_serial;     /* of chunks ever taken */
	_Atomic uint32_t trace_threads;    /* numbers given to threads */
	_Atomic uint32_t trace_objects;    /* and to locks */
	_Atomic uint32_t trace_tasks, trace_files;
	_Atomic uint32_t trace_level; /* bits of enum trace_level: what runs */
	_Atomic uint32_t trace_has;   /* bits of enum trace_has */
	uint64_t trace_base;          /* the clock at which ticks are 0 */
	uint64_t trace_base_ns;       /* CLOCK_MONOTONIC then; 0: no trace yet */
	_Atomic uint32_t
		trace_overwrites; /* 1: nobody empties them; the oldest is taken when none is free */
	_Atomic uint32_t trace_hand;      /* of the chunks, where to look for that */
	_Atomic uint32_t trace_triggered; /* how often a region lasted longer than trace.on= says */
	uint32_t trace_shift,
		trace_is_counter; /* a tick is 2^shift of the processor's counter, else of ns */

	/* grow while it runs */
	_Atomic uint32_t threads_high, modules_high; /* records that were ever used */
	_Atomic uint32_t strings_used, label_sets_used;
	_Atomic uint32_t generation;     /* the one that is written now */
	_Atomic uint32_t modules_serial; /* grows with each change of the module list */
	_Atomic uint32_t
		modules_closing; /* dlclose calls under way: tables of files that may go are not read */
	_Atomic uint64_t modules_asked_ns; /* when /proc/self/maps was last read in vain */
	_Atomic uint64_t lost[LOST_KINDS];
	_Atomic uint64_t notes[NOTE_KINDS];
	struct segment_generation generations[SEGMENT_SETS];
	struct segment_custom customs[SEGMENT_CUSTOMS];
};

/* One string, NUL-terminated behind its head; its id is the head's offset in SEGMENT_STRING_BYTES. */
struct string_head {
	uint32_t next; /* string id in the same bucket, 0 none */
	uint32_t length;
};

/* One executable mapping of a file. A file with two of them has two records. */
struct segment_module {
	uint64_t start, end, file_offset; /* as in a line of /proc/self/maps */
	uint64_t image_start, image_end;  /* all that is loaded of the file, data too */
	uint64_t bias;                    /* run-time address minus the file's virtual address */
	uint64_t cfi_header;              /* run-time address of .eh_frame_hdr, 0 none */
	uint64_t readable_start,
		readable_end;   /* the loaded segment that holds it: all that a walk reads */
	uint64_t own_table;     /* private address of a search table made for it, 0 none */
	_Atomic uint32_t state; /* enum module_state */
	uint32_t path;          /* string id */
	uint32_t own_table_count;
	uint8_t build_id_size, build_id[20];
	uint8_t may_close;     /* opened while the program ran: dlclose can take it away */
	uint8_t is_discovered; /* found in /proc/self/maps; the loader may not know it */
	uint8_t is_ours;       /* libcprof.so: its frames are not the host's and are not shown */
	uint8_t is_runtime;    /* libc, libstdc++ and their like: no program's own code */
	uint8_t reserved[3];
};

enum module_state { MODULE_FREE, MODULE_LOADED, MODULE_RETIRED };

/* A set of labels: pairs of string ids, sorted by key text. Id 0 is the empty set. */
#define LABEL_SET_PAIRS 15
struct segment_label_set {
	_Atomic uint32_t state; /* 0 free, 1 being written, 2 complete */
	uint32_t count;
	uint32_t pairs[LABEL_SET_PAIRS][2];
};

/* Access to a segment. The places are a copy: whoever made the segment may write in its header at any time. */
struct segment {
	struct segment_header *header;
	uint8_t *base;
	uint64_t size;
	struct segment_place parts[SEGMENT_PLACES];
};

/*
 * Every word of a stack: the address to look up (48 bits) and the module it was found in (16 bits, index + 1).
 * Return addresses are stored less one, so that every word lies inside the instruction it stands for.
 */
#define FRAME_ADDRESS(word) ((word)&UINT64_C(0xffffffffffff))
#define FRAME_MODULE(word)  ((uint32_t)((word) >> 48))
#define FRAME_TRUNCATED     (UINT64_C(0xffff) << 48) /* the walk could not go on, or was cut, here */
#define FRAME_NAMED(string) \
	(FRAME_TRUNCATED | (uint32_t)(string)) /* no address: what is shown is this string */

/*
 * The segment of this process, NULL when it records nothing. In a page that fork leaves zeroed, so a child, by
 * whatever call it came to life, finds NULL. Signal safe.
 */
struct segment_live {
	_Atomic(struct segment *) segment;

	/* the trace of it; 0 in a child as well */
	_Atomic uint32_t trace_level;
	_Atomic uint32_t trace_age; /* tracer/object.h */
	uint32_t trace_shift, trace_is_counter;
	uint64_t trace_base;
};
/* NULL before segment_create() */
extern struct segment_live *segment_live_page __attribute__((visibility("hidden")));

static inline struct segment *segment_live(void)
{
	struct segment_live *page = segment_live_page;

	/* pairs: segment_publish release */
	return page ? atomic_load_explicit(&page->segment, memory_order_acquire) : NULL;
}

/*
 * Makes the segment of this process, at most @memory_bytes in size, less where limits ask for it. It is not live yet.
 * *ret_fd is its memfd, for whoever is to read it; the caller closes it.
 */
int segment_create(uint64_t memory_bytes, struct segment **ret, int *ret_fd, struct why *why);
int segment_publish(struct segment *s);

/* The one segment_create() made in this process; NULL when there is none. */
struct segment *segment_own(void);

/* Lets go of it when the start failed half-way. */
void segment_forget(void);

/*
 * In a child of fork: the parent's segment is no longer ours. Its memory stays mapped, to be copied from, until
 * segment_leave() of what segment_own() pointed to. Then empty memory of the child's own lies in its place, until the child has a
 * child: a handler may have forked, which came in the middle of something that goes on there when it returns.
 */
void segment_disown(void);
void segment_leave(struct segment *s);
void segment_release(struct segment *s);

/*
 * The names a child inherits: strings, label sets and modules, by the same ids as in @from, which has the same layout or is
 * left out. @s is not live yet.
 */
void segment_copy_names(struct segment *s, const struct segment *from);

/*
 * Puts a header over @size bytes at @base, zeroed, and lays out the parts. Also how tests make segments.
 */
int segment_format(void *base, uint64_t size, struct segment *ret);

/*
 * Checks all of a header that others wrote, and gives access to it. Offsets inside parts are checked where they are
 * followed. Returns -EBADMSG with @why otherwise.
 */
int segment_attach(void *base, uint64_t size, struct segment *ret, struct why *why);

const char *segment_lost_name(enum segment_lost kind);
const char *segment_lost_unit(enum segment_lost kind); /* "samples", "threads", "ns" … */

SIGSAFE static inline void segment_count_lost(struct segment *s, enum segment_lost kind, uint64_t n)
{
	atomic_fetch_add_explicit(&s->header->lost[kind], n, memory_order_relaxed);
}

SIGSAFE static inline void segment_count_note(struct segment *s, enum segment_note kind, uint64_t n)
{
	atomic_fetch_add_explicit(&s->header->notes[kind], n, memory_order_relaxed);
}

static inline const struct segment_place *segment_place(const struct segment *s,
							enum segment_part part, unsigned generation)
{
	unsigned shift = part >= SEGMENT_STACK_BUCKETS
				 ? generation * (SEGMENT_PARTS - SEGMENT_STACK_BUCKETS)
				 : 0;

	return &s->parts[part + shift];
}

static inline void *segment_part(const struct segment *s, enum segment_part part,
				 unsigned generation)
{
	return s->base + segment_place(s, part, generation)->offset;
}

static inline uint32_t segment_count(const struct segment *s, enum segment_part part,
				     unsigned generation)
{
	return segment_place(s, part, generation)->count;
}

static inline struct segment_module *segment_module_at(const struct segment *s, uint32_t index)
{
	return (struct segment_module *)segment_part(s, SEGMENT_MODULES, 0) + index;
}

/* The module that a frame's word names, NULL when it names none. */
static inline const struct segment_module *segment_frame_module(const struct segment *s,
								uint64_t frame)
{
	uint32_t module = FRAME_MODULE(frame);

	return module != 0 && module <= segment_count(s, SEGMENT_MODULES, 0)
		       ? segment_module_at(s, module - 1)
		       : NULL;
}

/*
 * Strings: interned, never freed. The id is 0 when there is no room (counted) or @text is NULL. Signal
 * safe.
 */
SIGSAFE uint32_t segment_string(struct segment *s, const char *text, size_t length);
/* The text of an id that this process made: never NULL, "" when the id leads nowhere. */
const char *segment_text(const struct segment *s, uint32_t id);
/* For readers of what others write meanwhile: copies at most @size - 1 bytes and a NUL; "" when the id leads nowhere. */
void segment_copy_text(const struct segment *s, uint32_t id, char *ret, size_t size);

/* The generation to write in when @full is full: the other one if it is clean, else @full itself. */
SIGSAFE unsigned segment_next_generation(struct segment *s, unsigned full);

/*
 * Wipes the generation that is not written now, so that it can be the next one.
 *
 * @needed: the oldest serial that somebody will still subtract or read, UINT64_MAX for nobody. Returns 0, -EBUSY when
 * the generation is needed, kept for a launcher, or clean already, or -ETIMEDOUT when a handler did not leave within
 * @wait_ns: nothing is wiped then. Normal context, one caller at a time.
 */
int segment_recycle(struct segment *s, uint64_t needed, uint64_t wait_ns);
