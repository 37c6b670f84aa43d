/*
 * profiles: where threads spent the time that a trace tells of, by stack: a listener to the story that adds up.
 *
 *     sync      waits for locks, conditions, semaphores, barriers, once, other threads' ends, futexes
 *     lock      of these, those for locks                     cond     those for conditions
 *     syscall   system calls, from begin to end               sleep    those that only let time pass
 *     sched     could run, and no processor was free          idle     waits for work or for time to pass
 *     offcpu    all that is not running, sched and idle too   cpu      samples of the cpu profile
 *     all       of every thread all of its life, by state
 *
 * Waits and calls count as far as they lie in the time that was asked for. Memory is in proportion to the distinct stacks and
 * labels, up to PROFILES_ROWS_MAX of them: beyond, what is new goes without labels.
 */
#pragma once

#include "output/profile.h"
#include "viewer/frames.h"
#include "viewer/select.h"
#include "viewer/story.h"

#define PROFILES_ROWS_MAX (UINT32_C(1) << 20)

enum profiles_kind {
	PROFILES_SYNC,
	PROFILES_LOCK,
	PROFILES_COND,
	PROFILES_SYSCALL,
	PROFILES_SCHED,
	PROFILES_SLEEP,
	PROFILES_IDLE,
	PROFILES_OFFCPU,
	PROFILES_CPU,
	PROFILES_ALL,
	PROFILES_KINDS,
};

enum profiles_label {
	PROFILES_THREAD = 1 << 0,
	PROFILES_OBJECT = 1 << 1, /* "lock" */
	PROFILES_CALL = 1 << 2,   /* "syscall" */
	PROFILES_WHAT = 1 << 3,   /* "kind": mutex, cond …; of offcpu, idle and all the state */
	PROFILES_PATH = 1 << 4,
	PROFILES_HOLDER = 1 << 5,
	PROFILES_TASK = 1 << 6, /* "task_type" */
	PROFILES_LABELS_USUAL = PROFILES_THREAD | PROFILES_OBJECT | PROFILES_CALL | PROFILES_WHAT,
};

struct profiles_options {
	enum profiles_kind kind;
	unsigned labels;
	bool by_holder;    /* of sync and lock: the stack of who let the waiter go on */
	bool include_idle; /* of sync, lock, cond and syscall */
	uint64_t from_ns, to_ns;
	struct select_threads *threads; /* NULL: all */
};

/* A stack and its labels; 0 for what a label is not there for. */
struct profiles_row {
	uint32_t stack, thread, object, call; /* call: its number + 1 */
	uint32_t file, path, holder, task_type;
	uint32_t what; /* enum profiles_what */
	uint32_t reserved;
	uint64_t count, ns;
};

enum profiles_what {
	PROFILES_NOTHING,
	PROFILES_STATE, /* and enum trace_state */
	PROFILES_MUTEX = PROFILES_STATE + TRACE_STATES,
	PROFILES_RWLOCK,
	PROFILES_SPIN,
	PROFILES_OTHER_LOCK,
	PROFILES_COND_WAIT,
	PROFILES_SEM,
	PROFILES_BARRIER,
	PROFILES_ONCE,
	PROFILES_JOIN,
	PROFILES_FUTEX,
	PROFILES_NOBODY, /* by holder: nobody knows who */
	PROFILES_WHATS,
};

struct profiles {
	struct profiles_options options;
	const struct tables *tables;

	struct profiles_row *rows; /* in the order of their first */
	uint32_t rows_n, rows_room;
	uint32_t *slots; /* row + 1; a power of two of them */
	uint32_t slots_n;

	uint64_t count, ns;           /* of all rows */
	uint64_t idle_count, idle_ns; /* left out */
	uint64_t unlabelled;          /* that found no room */

	struct profiles_waits *waits; /* by thread: who made it go on is told of behind it */
	struct map wait_of;
	uint32_t waits_n, waits_room;
	struct profiles_task *tasks; /* the types of the latest */
	int error;
};

/* "sync" …; -1: there is no such kind. */
const char *profiles_kind_name(unsigned kind);
int profiles_find_kind(const char *name);
/* "thread", "lock" …; 0: there is no such label. */
unsigned profiles_find_label(const char *name, size_t size);
const char *profiles_what_name(unsigned what);

void profiles_init(struct profiles *p, const struct profiles_options *options,
		   const struct tables *t);
void profiles_fini(struct profiles *p);

struct story_listener profiles_listener(struct profiles *p);
/* When the story is over. 0 or -ENOMEM. */
int profiles_finish(struct profiles *p);

/* All of it as profile.proto has it. @ret is new, and has its period and times from @counts. 0 or -ENOMEM. */
int profiles_write(const struct profiles *p, struct frames *frames, const struct reader *r,
		   const struct story_counts *counts, struct profile *ret);
