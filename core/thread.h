/*
 * thread: one record for each live thread, in the segment, and one private block beside it.
 *
 * The record is what readers may see: who the thread is, which labels it has now, whether a handler of ours is at work on
 * it. The private block is what only this process can use: scratch for a walk, so that a handler needs little of the
 * stack it interrupts, which may be tiny.
 *
 * Records are handed out by index and reused when their thread has ended. Index 0 is never used.
 */
#pragma once

#include "core/segment.h"

#define THREAD_NAME_SIZE 16 /* as the kernel's */
#define THREAD_RESERVED  (-1)

#define THREAD_IS_OURS 1u /* flags: cprof's own, never looked at */

struct thread_record {
	_Atomic int32_t tid;     /* 0: free, -1: being set up */
	_Atomic uint32_t labels; /* current label set */
	/*
	 * 0, or 1 + the generation that a handler or hook on this thread writes in at the moment. Set and checked
	 * against the segment's state in thread_enter(); whoever wants to wipe or stop waits for it to be 0.
	 */
	_Atomic uint32_t inside;
	_Atomic uint32_t flags;
	char name[THREAD_NAME_SIZE];
	uint64_t begun_ns; /* CLOCK_MONOTONIC */

	/* wait.h: the call it waits in, 0 none, and since when */
	_Atomic uint64_t waits, waits_since_ns;

	/* wall: what it was found at last, and how often since then, not yet in the table: it has not moved */
	_Atomic uint64_t idle_row; /* label set << 32 | stack */
	_Atomic uint64_t idle_looks, idle_ns;
	_Atomic uint32_t idle_generation;

	/* threads: what the snapshot with this number saw */
	_Atomic uint32_t snapshot_generation;
	_Atomic uint64_t snapshot_serial;
	_Atomic uint64_t snapshot_row;      /* label set << 32 | stack */
	_Atomic uint64_t snapshot_since_ns; /* CLOCK_MONOTONIC; 0: not known */
	_Atomic uint32_t snapshot_state;    /* a code of wait.h */
	_Atomic uint32_t
		snapshot_channel; /* string id: where in the kernel it waits, when it gave no answer */
	_Atomic int32_t snapshot_tid; /* @tid then: it may have ended since */
	uint32_t reserved;
};

/*
 * Whether the snapshot @serial saw it, or one that has begun since: a reader of the last snapshot has each thread once, as one or the
 * other saw it. Into @ret_of which.
 */
static inline bool thread_in_snapshot(const struct thread_record *record, uint64_t serial,
				      uint64_t *ret_of)
{
	*ret_of = atomic_load_explicit(&record->snapshot_serial, memory_order_acquire);
	return serial != 0 && *ret_of >= serial;
}

/* Where a waiting thread's stack goes on, and the function it called: what wait_begin() was told. */
struct wait_place {
	uintptr_t pc, sp, bp, callee;
};

/* A wait for a lock that is under way. */
struct thread_lock_wait {
	const void *wait; /* the wrapper's struct wait */
	void *waiters;    /* profiles/mutex/waiters.h */
	uint64_t begun_ns;
};
#define THREAD_LOCK_WAITS 4 /* one for each handler that interrupted one */

/* A release inside a call that waits, to be recorded when that is over. */
struct thread_charge {
	const void *call; /* in the wrapper's frame */
	const void *lock;
	uint64_t ns;          /* what others waited for it until then */
	uintptr_t pc, callee; /* where the caller goes on, and what it called */
	unsigned code;
};

struct thread {
	/* as long as there is the block, whoever has it */
	struct thread_record *record;
	uint32_t index;

	int32_t tid;

	/* the stack this thread was given; 0 when unknown: then memory is probed before it is read */
	uintptr_t stack_low, stack_high;

	uint64_t
		number; /* of the threads that somebody told us of, in their order; 0: one that was found */
	uint64_t stack_bytes;      /* of its attributes */
	uint32_t ends;             /* rounds of key destructors it went through */
	unsigned char host_blocks; /* inherited: signals.h */
	/* SIGNALS_PROF and SIGNALS_TRAP as the host has them blocked on it: our clocks that would raise them stand still */
	_Atomic unsigned char held;

	uint32_t trace_parent; /* the number of who made it, in the trace; 0: not known */

	/* what it was started for; the wrapper's way to hand both over */
	void *(*start)(void *);
	void *start_argument;

	/* look.h */
	_Atomic uint32_t asked; /* a signal is on its way: who wants to know, enum look_for */
	_Atomic uint32_t deaf;  /* it did not come for long: blocked by the host */
	uint32_t asked_code;    /* the state it was in then */
	uint32_t names;         /* how many it has had */
	uint32_t name_serial;   /* of look_names_serial, when its record's name was read */
	struct wait_place waits_at;
	uint64_t waits_sequence;

	/* profiles/mutex: the locks it waits for, the last one innermost, and where it waits most of the time */
	struct thread_lock_wait lock_waits[THREAD_LOCK_WAITS];
	struct thread_charge charges[THREAD_LOCK_WAITS];
	uint32_t lock_waits_n, charges_n;
	uint32_t short_waits; /* one after the other, too short to be kept */
	uint32_t idle_votes, idle_waits;
	uint64_t idle_site;

	/*
	 * As long as there is the block: the walk in progress, and the last one; private memory, for the interrupted stack may be
	 * tiny.
	 */
	struct walk_scratch *scratch;
	struct walk_rules *rules;
};

extern __thread struct thread *thread_self_block __attribute__((tls_model("initial-exec")));

/* Sets up the records' private side. Once for each segment. */
int thread_init(struct segment *s);

/*
 * A record for a thread that is yet to come; NULL, and counted as lost, when there is none. thread_publish() gives it its
 * thread. When somebody else gave that thread a record meanwhile, that one is returned, and @t is free again.
 * thread_publish() is for normal context; any other gets NULL when somebody is at it just now: @t is free then, too.
 */
SIGSAFE struct thread *thread_reserve(struct segment *s);
struct thread *thread_publish(struct segment *s, struct thread *t, int tid);
SIGSAFE struct thread *thread_try_publish(struct segment *s, struct thread *t, int tid);

/* @t, reserved, is for a thread of ours: clone() will write its number into the record. */
void thread_set_ours(struct thread *t);

/* No handler may run on it any more. */
SIGSAFE void thread_release(struct segment *s, struct thread *t);

/* The thread with @tid, NULL when it has no record. Walks the list: rare paths only. */
SIGSAFE struct thread *thread_find(const struct segment *s, int tid);
SIGSAFE struct thread *thread_at(const struct segment *s, uint32_t index);

/* Calls @each for every claimed record of the host's threads. */
void thread_each(struct segment *s, void (*each)(struct thread *t, void *user), void *user);

/*
 * The guard. True: this thread may now record in the segment, until thread_leave(). False: it is at work already, and
 * the caller leaves at once.
 */
SIGSAFE static inline bool thread_enter(struct segment *s, struct thread *t)
{
	uint32_t generation;

	if (atomic_load_explicit(&t->record->inside, memory_order_relaxed) != 0)
		return false;
	for (;;) {
		generation = atomic_load_explicit(&s->header->generation, memory_order_relaxed);
		/* pairs: wait_outside, which changes the state first and looks at @inside after; both seq_cst */
		atomic_store_explicit(&t->record->inside, generation + 1, memory_order_seq_cst);
		if (atomic_load_explicit(&s->header->generation, memory_order_seq_cst) ==
		    generation)
			return true;
	}
}

SIGSAFE static inline void thread_leave(struct thread *t)
{
	atomic_store_explicit(&t->record->inside, 0, memory_order_release);
}

/*
 * A record whose memory the calling thread may work with until thread_done(): its own, or one that nobody has when it is not
 * known or at work already, in what a handler interrupted. Inside the guard. NULL when there is none.
 */
SIGSAFE struct thread *thread_begin(struct segment *s);
SIGSAFE void thread_done(struct segment *s, struct thread *t);

/*
 * Returns when no handler or hook of ours is at work that began before the call, or with -ETIMEDOUT after @wait_ns
 * (a stopped thread may be inside for hours). Normal context.
 */
int thread_wait_outside(struct segment *s, const struct thread *except, uint64_t wait_ns);

/*
 * The same for those that began when @generation was the one to write in, and it no longer is. Who began later may be
 * at work all the time.
 */
int thread_wait_generation(struct segment *s, unsigned generation, uint64_t wait_ns);
