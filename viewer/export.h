/*
 * export: a trace in the forms of other viewers. Each form is a listener to the story that writes as it is told, with no more in
 * memory than threads, objects, stacks and what is going on; its file has the same bytes for the same trace.
 *
 * Within a thread, and within a lock, everything is in the order of time; between them as it became known, which for what
 * lasted is when it was over.
 */
#pragma once

#include "output/out.h"
#include "viewer/frames.h"
#include "viewer/lanes.h"
#include "viewer/rows.h"
#include "viewer/select.h"
#include "viewer/story.h"

#define EXPORT_TASKS_MAX   65536 /* open at a time; more are left out */
#define EXPORT_READERS_MAX 64    /* of a lock at a time; more are left out */

struct export_format;

struct export
{
	const struct export_format *format;
	struct out *out;
	const struct reader *reader;
	const struct tables *tables;
	struct frames *frames;
	struct select_threads *threads;
	uint64_t begun_ns, from_ns, to_ns;

	struct lanes lanes;
	struct name name; /* what is being written */

	/* which thread has a tid first: tids are used again */
	struct map tid_of;

	struct export_lock *locks;
	struct map lock_of;
	uint32_t locks_n, locks_room;

	struct export_task *tasks;
	uint32_t *task_slots; /* by hash, task + 1 */
	uint32_t tasks_n, tasks_room, tasks_free;

	uint64_t written; /* events of the form, where somebody wants to know */
	int error;        /* why the story was ended: out of memory, or with @why */
	struct why why;

	/* what is not in the file */
	uint64_t left_holds; /* of locks before anybody waited for them */
	uint64_t left_readers, left_tasks;
	uint64_t left_regions;
	uint64_t left_edges; /* from threads that are not selected */

	void *own; /* of the form */
};

struct export_format {
	const char *name, *about;
	bool has_lanes, has_holds; /* fills x->lanes, asks for holds */
	bool is_binary;
	const char *left; /* what it has no place for, in words */
	int (*begin)(struct export *x);
	int (*end)(struct export *x, const struct story_counts *counts);
	void (*fini)(struct export *x); /* also when begin() failed */
	/* of threads that are selected; NULL for what is not wanted */
	int (*event)(struct export *x, const struct merged *m);
	int (*interval)(struct export *x, const struct interval *i);
	int (*hold)(struct export *x, const struct story_hold *h, uint32_t reader);
	int (*life)(struct export *x, const struct story_life *l);
	struct lanes_sink lanes; /* its context is set */
};

extern const struct export_format export_perfetto, export_chrome_json, export_speedscope,
	export_firefox, export_folded, export_csv;

/* NULL: there is no such form. @i-th of all of them; NULL behind the last. */
const struct export_format *export_find(const char *name);
const struct export_format *export_nth(unsigned i);

/*
 * All of @x but what is borrowed must be zero. These, and what the listener returns, are 0 or 1: to go on is no use, for the reason
 * in x->error, or in x->out when that is 0.
 */
int export_begin(struct export *x);
struct story_listener export_listener(struct export *x);
int export_end(struct export *x, const struct story_counts *counts);
void export_fini(struct export *x);

/* ---- for the forms ---- */

static inline uint64_t export_since(const struct export *x, uint64_t ns)
{
	return ns > x->begun_ns ? ns - x->begun_ns : 0;
}

/* A number that no other thread of this trace has: its tid, where that is not used twice. */
uint64_t export_tid(struct export *x, uint32_t thread);
/* "server", the program's name without its directory. */
void export_program(const struct export *x, struct name *name);

/* What a slice is called: "lock g_cache.lock", "read", a region's name. In x->name. */
void export_item_name(struct export *x, const struct lane_item *item);
void export_wait_name(struct export *x, uint8_t type, uint32_t object, uint32_t thread);
void export_call_name(struct export *x, uint32_t number);
/* "region", "lock", "wait", "syscall", "idle". */
const char *export_item_category(const struct lane_item *item);
void export_thread_name(struct export *x, uint32_t thread);
void export_string(struct export *x, uint64_t id);

/*
 * Is the event one that is but a moment with a name: a log, a signal, an attribute, labels, the end of the process? Then x->name says
 * what. @ret_category: "log" …; @ret_note: a string, the log's own category; 0: none.
 */
bool export_instant(struct export *x, const struct merged *m, const char **ret_category,
		    uint32_t *ret_note);

/* Tasks that are open have numbers, which are used again: those of a type that overlap differ. False: it is not there. */
bool export_task_begin(struct export *x, uint64_t task, uint32_t type, uint32_t *ret_number);
bool export_task_end(struct export *x, uint64_t task, uint32_t *ret_type, uint32_t *ret_number);
