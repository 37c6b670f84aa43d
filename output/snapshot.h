/*
 * snapshot: the threads that the last snapshot saw, out of their records.
 *
 * They are not read as rows: a row has its labels by the number of a set, and there may be more names and states of
 * threads than there are sets.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/segment.h"
#include "core/thread.h"
#include "output/places.h"
#include "output/profile.h"

struct snapshot_thread {
	int32_t tid; /* 0: it has ended since */
	bool is_main;
	unsigned state;   /* a code of wait.h */
	uint64_t for_ns;  /* in that state; 0: not known */
	uint32_t channel; /* string id: where in the kernel, 0 when it answered */
	unsigned generation;
	uint32_t stack, labels;
	char name[THREAD_NAME_SIZE + 1];
};

/* All of them, the main one first, then by tid. The caller frees *ret. 0 or -ENOMEM. */
int snapshot_read(const struct segment *s, struct snapshot_thread **ret, size_t *ret_n);

/*
 * A sample of one column for @t. @value is 1, or -1 for a thread that is to be subtracted. @is_named: its state and its
 * name are labels of the sample.
 */
void snapshot_add_sample(struct places *places, const struct snapshot_thread *t, int64_t value,
			 bool is_named, struct profile *ret);
