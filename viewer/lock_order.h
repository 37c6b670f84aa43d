/*
 * lock_order: which locks were taken while others were held, and whether that can end in a deadlock.
 *
 *     thread 1   holds A, takes B        A ──→ B
 *     thread 2   holds B, takes A        B ──→ A     a cycle: if both come so far at once, none goes on
 *
 * A cycle is harmless when one thread alone makes it, when two of its edges are only there while one and the same other lock is
 * held (a gate), or when at one of its locks all are readers.
 *
 * Locks that were free are told of when they are released, so what a thread held when it took one is known only afterwards: a
 * thread's last takings are kept until then, those of the same lock with the same locks held as one.
 */
#pragma once

#include "viewer/map.h"
#include "viewer/story.h"

#define LOCK_ORDER_HELD   8 /* locks held at once; of more, the first that are released */
#define LOCK_ORDER_EDGES  (UINT32_C(1) << 16)
#define LOCK_ORDER_CYCLES 100
#define LOCK_ORDER_LENGTH 8 /* of a cycle */

/* Bits of the modes in which a lock was held or taken. */
#define LOCK_ORDER_EXCLUSIVE 1
#define LOCK_ORDER_SHARED    2

struct lock_order_gate {
	uint32_t object;
	uint8_t modes;
};

struct lock_order_edge {
	uint32_t held, taken; /* objects */
	uint8_t held_modes, taken_modes;
	uint64_t n;        /* at least */
	uint64_t first_ns; /* when @taken was taken, or waited for, the first time */
	uint32_t thread;   /* that was the first to do so */
	uint32_t other;    /* and another one; 0: none did */
	/* the first that are known: of @held where it was waited for or, if it never was, let go; of @taken the same */
	uint32_t held_stack, taken_stack;
	bool is_held_taken, is_taken_taken; /* where it was waited for */
	uint32_t gates_n;
	struct lock_order_gate gates[LOCK_ORDER_HELD]; /* held each time */
	bool is_in_cycle;                              /* one that can be a deadlock */
};

struct lock_order_cycle {
	uint32_t n;
	uint32_t edges
		[LOCK_ORDER_LENGTH]; /* each takes what the next one holds, the last what the first does */
	bool is_harmless;
	uint32_t gate;      /* harmless by it; 0 */
	bool is_alone;      /* harmless: one thread */
	bool is_of_readers; /* harmless */
};

/* Threads that wait for each other when the trace ends. */
struct lock_order_deadlock {
	uint32_t n;
	uint32_t threads[LOCK_ORDER_LENGTH]; /* each waits for the next, the last for the first */
	uint32_t objects[LOCK_ORDER_LENGTH]; /* what they wait for; 0: the other's end */
	uint32_t stacks[LOCK_ORDER_LENGTH];
	uint64_t since_ns[LOCK_ORDER_LENGTH];
};

struct lock_order {
	struct lock_order_edge *edges;
	uint32_t edges_n, edges_room;
	uint64_t left_out; /* takings beyond LOCK_ORDER_EDGES */

	/* after lock_order_finish(): at most LOCK_ORDER_CYCLES, harmless ones behind the others */
	struct lock_order_cycle *cycles;
	uint32_t cycles_n, dangerous_n;
	bool is_cut; /* there may be more */
	struct lock_order_deadlock *deadlocks;
	uint32_t deadlocks_n;

	struct map edge_of, thread_of;
	struct lock_order_thread **threads;
	uint32_t threads_n;
	struct map owner_of; /* of the locks that are held at the end */
};

/* A zeroed one is empty. */
struct story_listener lock_order_listener(struct lock_order *o);
/* To be called when the story is told. 0 or -ENOMEM. */
int lock_order_finish(struct lock_order *o);
void lock_order_fini(struct lock_order *o);
