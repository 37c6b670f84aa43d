/*
 * threads: what each thread did with its time.
 *
 * A listener of a story that adds up. A row's state_ns add up to its life_ns, to the nanosecond, for the intervals of a thread
 * do.
 */
#pragma once

#include "viewer/map.h"
#include "viewer/story.h"

struct threads_row {
	uint32_t thread;    /* its index; of a group, that of the first */
	uint32_t threads_n; /* 1, or how many are in the group */
	uint64_t life_ns, state_ns[TRACE_STATES];
	uint64_t begin_ns,
		end_ns; /* of its life, not cut to what was asked for; of a group, of the first and the last */
	uint64_t calls, waits, voluntary, involuntary;
	uint64_t start; /* the address of its function; 0: not known */
	uint8_t exit;   /* enum trace_exit_reason */
	bool has_life, has_begin, has_end;
};

enum threads_by { THREADS_BY_NONE, THREADS_BY_NAME, THREADS_BY_START };

struct threads {
	uint64_t from_ns, to_ns;
	struct threads_row *rows;
	uint32_t rows_n, rows_room;
	struct map row_of;   /* by a thread's index */
	bool knows_switches; /* somebody counted them */
};

void threads_init(struct threads *t, uint64_t from_ns, uint64_t to_ns);
void threads_fini(struct threads *t);

struct story_listener threads_listener(struct threads *t);

struct select_threads;

/*
 * Leaves those that lived in the range and that @wanted (NULL: all) has, and puts those together whose names differ in digits
 * at the end only, or that began in the same function. 0 or -ENOMEM.
 */
int threads_group(struct threads *t, enum threads_by by, const struct tables *tables,
		  struct select_threads *wanted);

/* How much of @name is that of its group: "worker" of "worker-3". */
size_t threads_group_length(const char *name, size_t n);
