/*
 * blocked: where the time goes in which threads do not run: by the stack of the wait, or by that of who had the lock meanwhile.
 */
#pragma once

#include "viewer/holders.h"
#include "viewer/same_file.h"
#include "viewer/select.h"
#include "viewer/tables.h"

enum blocked_kind {
	BLOCKED_LOCK,
	BLOCKED_COND, /* conditions, semaphores, barriers, once, the end of a thread */
	BLOCKED_SYSCALL,
	BLOCKED_SCHED, /* wants a processor */
	BLOCKED_SLEEP, /* asked for time to pass */
	BLOCKED_IDLE,  /* waits for work */
	BLOCKED_KINDS,
};

#define BLOCKED_ROWS_MAX (UINT32_C(1) << 20)

struct blocked_row {
	uint8_t kind, wait_type;
	uint32_t stack;
	uint32_t thread; /* who, where there is no stack; by holder 0: nobody, it was handed over */
	uint32_t object; /* that was waited for; 0: none */
	uint32_t call, file; /* call + 1, same_file()'s; 0: none */
	uint64_t n, sum_ns, max_ns;
};

struct blocked {
	/* set before the story */
	bool kinds[BLOCKED_KINDS];
	bool by_holder; /* locks only, and whole waits */
	uint64_t from_ns, to_ns, min_ns;
	struct select_threads *threads;
	bool (*wants_object)(void *context, uint32_t object); /* then, nothing that is no object */
	void *context;
	const struct tables *tables;

	/* after it */
	struct blocked_row *rows;
	uint32_t rows_n;
	uint64_t sum_ns;
	uint64_t left_out;

	struct map row_of;
	struct same_files files;
	struct holders holders;
};

struct story_listener blocked_listener(struct blocked *b);
void blocked_fini(struct blocked *b);
const char *blocked_kind_name(enum blocked_kind kind); /* "lock", "cond" … */

/*
 * The rows as a tree of stacks from the root on. A leaf below the innermost frame says what was waited for. Children are sorted, the largest
 * first.
 */
struct blocked_node {
	char *name;
	uint64_t sum_ns, own_ns, n, own_n;
	uint32_t depth;
	uint32_t parent;
	uint32_t child, next; /* the first, the next of the same parent; 0: none. Node 0 is all */
};

struct blocked_tree {
	struct blocked_node *nodes;
	uint32_t n;
	uint64_t left_out; /* rows for which there was no room */
};

#define BLOCKED_NODES_MAX (UINT32_C(1) << 20)

/* 0 or -ENOMEM. */
int blocked_make_tree(const struct blocked *b, struct blocked_tree *ret);
void blocked_tree_fini(struct blocked_tree *tree);

/* What a row waits for: "mutex g_cache.lock", "fsync 7:/var/log/app", "a processor". */
struct name;
void blocked_what(const struct blocked *b, const struct blocked_row *row, struct name *ret);
