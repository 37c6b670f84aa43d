/*
 * story, inside: story.c goes through the events, story_time.c makes intervals of them, story_sync.c waits, holds and edges.
 */
#pragma once

#include "viewer/map.h"
#include "viewer/story.h"

#define WAITS_MAX 4 /* one in each handler that interrupted one */
#define HOLDS_MAX 8 /* open ones that a wait came before; who holds more has them when they end */
#define RECENT \
	256 /* calls, waits and stretches without a processor that a hold may contain; a power of two */
#define PIECES_MAX  256                 /* switches whose cause is not known yet */
#define RING        8                   /* what may have made somebody go on */
#define OBJECTS_MAX (UINT32_C(1) << 20) /* beyond as many, who made whom go on is not known */
#define FLOWS_MAX   (UINT32_C(1) << 16)
#define THREAD_NONE UINT32_MAX

/* A stretch between two switches; it ends where the next begins. */
enum piece_kind { PIECE_ON, PIECE_PREEMPTED, PIECE_BLOCKED };
struct piece {
	uint64_t begin_ns;
	uint8_t kind;
};

struct open_wait {
	uint64_t begin_ns, order;
	uint32_t object, mutex, stack, other;
	uint8_t type, mode;
};

struct open_hold {
	uint64_t begin_ns;
	uint32_t object, stack;
	uint8_t mode;
	bool has_waited;
};

enum recent_kind { RECENT_CALL, RECENT_WAIT, RECENT_RUNNABLE };
struct recent {
	uint64_t begin_ns, end_ns;
	uint32_t call, file; /* the number + 1 */
	uint8_t kind;
};

/* What a thread does where nothing else is known. */
struct context {
	uint8_t state;
	uint8_t wait;
	uint32_t object, call, file, stack, other;
	uint64_t woken_ns; /* 0: not known */
	uint32_t waker;
};

struct story_thread {
	uint32_t index;
	bool is_alive, has_begin, has_exit;
	bool is_awaited; /* it has not said yet what it was doing when the time asked for was over */
	uint64_t begin_ns, end_ns;
	uint64_t at_ns;   /* intervals are told up to here */
	uint64_t last_ns; /* its last event */
	uint64_t lost;
	const struct reader_block *block; /* of its last event */

	struct piece *pieces; /* from at_ns on; the first may have begun before */
	uint32_t pieces_n, pieces_room;

	struct open_wait waits[WAITS_MAX];
	uint32_t waits_n;
	struct story_call call; /* the open one; number UINT32_MAX: none */
	bool has_call;
	uint32_t paths[2], paths_n;
	uint64_t task;

	struct open_hold holds[HOLDS_MAX];
	uint32_t holds_n;
	struct recent *recent;  /* RECENT of them, when there were any */
	uint32_t recent_n;      /* ever */
	struct story_hold pair; /* a lock.pair, until the thread's next event */
	bool has_pair;

	/* who is ended at the same place by others, most of the time, waits for work; as the block profile has it */
	uint32_t idle_stack, idle_votes, idle_waits;
	uint32_t again_object; /* of a wait for a condition that was the last thing it did */
	bool again_released;   /* and a release, which is the next wait's, if it is one */

	/* poll or its like, until it is known what was ready: its edge, but for who made it so */
	struct story_edge poll;
	bool has_poll;

	/* told by who made it */
	uint32_t creator, creator_stack;
	uint64_t created_ns;
};

/* What makes others go on. */
struct cause {
	uint64_t order, ns;
	uint32_t thread, stack;
	uint8_t type;
	bool is_used;
};

struct story_object {
	struct cause causes[RING];
	uint32_t causes_n; /* ever */
	uint32_t waiting;
};

/*
 * What was written into a pipe, and whoever read something that nobody is known to have written, yet: what it waited in, the poll
 * before it or the read.
 */
struct story_pipe {
	struct cause writes[RING];
	uint32_t writes_n; /* ever */
	struct story_edge reads[2];
	uint32_t reads_n;
};

struct story {
	struct reader *reader;
	struct tables *tables;
	const struct story_listener *listener;
	struct story_counts *counts;
	uint64_t from_ns, to_ns;
	bool has_switches;
	uint64_t switches_ns; /* from when on they were recorded: a program runs before they are */
	int result;           /* of a listener, or -ENOMEM; ends it */

	struct story_thread **threads;
	uint32_t awaited; /* threads that are */
	uint32_t threads_n, threads_room;
	struct story_thread *
		*by_stream; /* NULL: a processor's, or a thread that only the kernel knows */
	struct map thread_of;

	struct story_object *objects;
	uint32_t objects_n, objects_room;
	struct map object_of;

	struct story_pipe *pipes;
	uint32_t pipes_n, pipes_room;
	struct map pipe_of; /* by what both ends have in common; by an end of a connection, too */

	struct cause *flows;
	uint32_t flows_n, flows_room;
	struct map flow_of;

	uint64_t last_ns; /* of all events */
};

static inline bool story_overlaps(const struct story *s, uint64_t begin_ns, uint64_t end_ns)
{
	return end_ns >= s->from_ns && begin_ns <= s->to_ns;
}

static inline void story_fail(struct story *s, int result)
{
	if (s->result == 0)
		s->result = result;
}

/* ---- story_time.c ---- */

/* What the thread does by what is open. */
struct context story_context(const struct story *s, const struct story_thread *t);
/* Tells the intervals of @t up to @to_ns, all of them of @c. */
void story_advance(struct story *s, struct story_thread *t, uint64_t to_ns,
		   const struct context *c);
/* A switch. */
void story_switch(struct story *s, struct story_thread *t, uint64_t ns, enum piece_kind kind);
/* When the thread was last put on a processor before @ns, not before @begin_ns; @ns when that is not known. */
uint64_t story_ran_ns(const struct story *s, const struct story_thread *t, uint64_t begin_ns,
		      uint64_t ns);
void story_note_recent(struct story *s, struct story_thread *t, enum recent_kind kind,
		       uint64_t begin_ns, uint64_t end_ns, uint32_t call, uint32_t file);

/* ---- story_sync.c ---- */

struct story_thread *story_thread(struct story *s, uint32_t index); /* NULL: none has that number */
/* Anything but calls: waits, locks, threads, flows. */
void story_sync(struct story *s, struct story_thread *t, const struct merged *m);
void story_push_wait(struct story *s, struct story_thread *t, const struct open_wait *w);
/* A call has ended: it may have read what another wrote, or waited for it. */
void story_pipes(struct story *s, struct story_thread *t, const struct story_call *c);
/* What is still open when the thread ends, or the story does. */
void story_leave_open(struct story *s, struct story_thread *t, uint64_t ns);
/* All that was open is not to be believed any more: something is missing. */
void story_forget(struct story *s, struct story_thread *t);
/* The pair before, now that the thread went on. */
void story_flush_pair(struct story *s, struct story_thread *t);
