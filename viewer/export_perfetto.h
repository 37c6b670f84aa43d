/*
 * The form of Perfetto: a row of packets of protocol buffers, each of a sequence. A sequence has its own order of time and its
 * own numbers of names and stacks, so each thread has some of its own, and each lock:
 *
 *     sequence 1            descriptors, counters, tasks, logs, samples: in the order of the events
 *     sequence 2            what the kernel ran
 *     16 + 8 * thread ...   slices; states; what it made others go on with
 *     2^30 ...              who held a lock
 *     2^31 ...              how many threads were in a state
 *
 *     export_perfetto.c           what the story tells, as events
 *     export_perfetto_tracks.c    the tracks that they are on
 *     export_perfetto_packets.c   packets, and the numbers of names and stacks in them
 *
 * Field numbers are those of Perfetto's own .proto files.
 */
#pragma once

#include "viewer/export.h"
#include "viewer/levels.h"
#include "viewer/proto.h"

#define COUNTS_ID (UINT32_C(1) << 31)
#define WAKES_MAX 6 /* sequences of a thread; more than that are never out of order in earnest */

enum { /* TracePacket */
       CLOCK_SNAPSHOT = 6,
       TIMESTAMP = 8,
       SEQUENCE_ID = 10,
       TRACK_EVENT = 11,
       INTERNED_DATA = 12,
       SEQUENCE_FLAGS = 13,
       PREVIOUS_DROPPED = 42,
       CLOCK_ID = 58,
       DEFAULTS = 59,
       TRACK_DESCRIPTOR = 60,
       FIRST_ON_SEQUENCE = 87,
       TASK_STATE = 117,
       STACK_SAMPLE = 135,
};
enum { CLOCK_REALTIME_ID = 1, CLOCK_MONOTONIC_ID = 3, CLOCK_BOOTTIME_ID = 6 };
enum { SLICE_BEGIN = 1, SLICE_END, INSTANT, COUNTER, STATE };

/* Their names are in export_perfetto_packets.c. */
enum category {
	CATEGORY_HELD = 6,
	CATEGORY_WAKE,
	CATEGORY_TASK,
	CATEGORY_LOST,
};
enum annotation {
	NOTE_RESULT = 1,
	NOTE_ERROR,
	NOTE_FILE,
	NOTE_PATH,
	NOTE_OBJECT,
	NOTE_HOLDER,
	NOTE_WAKER,
	NOTE_CATEGORY,
	NOTE_HELD,
	NOTE_WAITERS,
	NOTE_TASK,
	NOTE_CERTAINTY,
};

/* What has a track: its uuid is made of that. */
enum of {
	OF_PROCESS = 1,
	OF_THREAD,
	OF_STATES,
	OF_LOCKS,
	OF_LOCK,
	OF_TASK,
	OF_COUNTER,
	OF_HEAP,
	OF_FLOW,
	OF_LEVEL,
};

struct sequence {
	uint32_t id;
	bool is_begun;
	uint64_t last_ns, track;
	struct map seen; /* what it has numbers for */
};

struct thread_tracks {
	uint32_t thread;
	struct sequence slices, states, wakes[WAKES_MAX];
	uint8_t state; /* that was told last, + 1; 0: none */
	uint8_t kernel_state;
	uint64_t state_end_ns;
	const struct reader_block *block;
};

struct perfetto {
	struct proto p;
	struct name name; /* of what a packet needs besides, while its own is in export.name */
	uint64_t uuid;
	struct sequence main, kernel, counts;
	struct levels *levels;
	struct thread_tracks *threads;
	struct map thread_of;
	uint32_t threads_n, threads_room;
	struct sequence *locks;
	struct map lock_of;
	uint32_t locks_n, locks_room;
	struct map described; /* counters and tasks, by their tracks */
	bool has_locks;
	uint64_t flows;
};

/* ---- packets ---- */

/* What the uuids of all tracks are made of. */
void perfetto_set_trace(struct perfetto *f, const uint8_t uuid[16]);
/* The same for the same thing of the same trace. */
uint64_t perfetto_uuid(const struct perfetto *f, enum of of, uint64_t id);

void perfetto_put_text(struct proto *p, uint32_t field, const char *text);
/* What is in x->name. */
void perfetto_put_name(struct export *x, uint32_t field);
bool perfetto_has_stack(const struct export *x, uint32_t stack);

/* Begins a packet, with what must be known to read it. @stack 0: none. */
void perfetto_begin_packet(struct export *x, struct sequence *s, uint64_t ns, uint32_t stack);
int perfetto_end_packet(struct export *x);
/* Begins an event; what belongs to it follows, and perfetto_end_event(). @category, @track 0: none, that of the sequence. */
size_t perfetto_begin_event(struct export *x, unsigned type, unsigned category, uint64_t track);
int perfetto_end_event(struct export *x, size_t at);
unsigned perfetto_category(const char *name); /* 0: it is none */

/* What is in x->name, as an annotation; nothing when that is empty. */
void perfetto_note_name(struct export *x, enum annotation note);
void perfetto_note_number(struct export *x, enum annotation note, int64_t value);
void perfetto_note_error(struct export *x, uint64_t error);

/* ---- tracks ---- */

struct track {
	uint64_t uuid, parent;
	unsigned merge;   /* 1: with those of the same name, 2: with none, 3: by its key */
	const char *key;  /* of merge 3 */
	unsigned counter; /* its unit: 1 ns, 2 count, 3 bytes */
	const char
		*share; /* of its height, with counters of the same; NULL: of its unit, or none */
	bool is_state;
};

/* The name is in x->name. */
int perfetto_describe(struct export *x, const struct track *t);
int perfetto_describe_process(struct export *x);
/* Is the track new? Marks that it is described. */
bool perfetto_is_undescribed(struct perfetto *f, uint64_t uuid);
/* The tracks of a thread, which are described when they are met. NULL: out of memory. */
struct thread_tracks *perfetto_tracks(struct export *x, uint32_t thread);
/* The same of a lock's holders. */
struct sequence *perfetto_lock(struct export *x, uint32_t object, uint32_t reader);
