/*
 * lock_chains: why those who had a lock kept it for so long while others waited: who waits → who has it → what that one did
 * meanwhile, which may be to wait for somebody else, and so on.
 *
 *     get_page ──waits for g_cache.lock──→ evict ──is in──→ fsync 7:/var/log/app
 *
 * A wait counts as a whole for the one who had the lock for the largest part of it, and a hold for what took the largest part of
 * that. So a chain is one line, and the sum over all chains is that of all waits.
 */
#pragma once

#include "viewer/holders.h"
#include "viewer/same_file.h"
#include "viewer/select.h"

enum lock_chain_kind {
	CHAIN_LOCK,     /* waits for a lock, that somebody has */
	CHAIN_WAIT,     /* waits for another object, or for a thread */
	CHAIN_CALL,     /* is in a system call */
	CHAIN_RUNNING,  /* as far as is known */
	CHAIN_RUNNABLE, /* wants a processor */
	CHAIN_HANDOVER, /* nobody has the lock for the largest part: it is on its way */
	CHAIN_MANY,     /* many have it, one after the other */
	CHAIN_OPEN,     /* has it until the trace ends */
	CHAIN_MORE,     /* the chain is too long */
};

#define LOCK_CHAIN_NONE  UINT32_MAX
#define LOCK_CHAIN_STEPS 16
#define LOCK_CHAIN_NODES (UINT32_C(1) << 18)

struct lock_chain_node {
	uint8_t kind, mode;
	uint8_t wait_type;
	uint8_t steps;       /* from here to the end */
	uint32_t object;     /* that is waited for */
	uint32_t stack;      /* where */
	uint32_t call, file; /* the number; same_file()'s */
	/* CHAIN_LOCK: who has it, by where it was let go; by its thread when that is not known */
	uint32_t holder_stack, holder_thread;
	uint32_t next; /* what that one does; LOCK_CHAIN_NONE */

	/* of waits that begin here */
	uint64_t n, sum_ns, max_ns;
	uint64_t max_begin_ns; /* when the longest of them began, and who it was */
	uint32_t max_thread;
};

struct lock_chains {
	/* set before the story */
	uint64_t from_ns, to_ns;
	uint64_t min_ns;
	const struct tables *tables;
	struct select_threads *threads; /* who waits; NULL: all */
	bool (*wants_object)(void *context, uint32_t object);
	void *context;

	/* after it; those with n > 0 are chains, told from their beginnings */
	struct lock_chain_node *nodes;
	uint32_t nodes_n;

	struct map node_of, thread_of;
	struct same_files files;
	struct lock_chains_thread **threads_list;
	uint32_t threads_n;
	struct holders holders;
	/* of the wait that is looked at: who had the lock for the longest part */
	struct holder longest;
	uint64_t longest_ns;
};

struct story_listener lock_chains_listener(struct lock_chains *c);
void lock_chains_fini(struct lock_chains *c);
