/*
 * wall: where time goes, running or waiting.
 *
 * The helper looks at every thread, 99 times a second on average, at moments that are half to one and a half periods apart.
 * A look counts the time since the one before. Threads that have not moved since then count with the stack they had, and
 * are not touched:
 *
 *     the word of wait.h is the same        it is in the same call: one load
 *     its CPU clock stands still            it sleeps in a call that does not say so: one system call, and after sixteen
 *                                           such looks at every eighth only
 *     otherwise                             look_at()
 *
 * What an unmoved thread is owed stands in its record, where readers find it (wall_profile.read), so a sleeping thread
 * costs no look-up in a table, and nothing is lost when the process is killed. It goes into the table when the thread
 * moves on.
 *
 * When no thread has moved for a while the sampler itself sleeps longer. The first that leaves a call that says so wakes it.
 */
#pragma once

#include "core/helper.h"
#include "core/look.h"
#include "core/profile.h"

extern const struct profile_ops wall_profile;

struct wall_thread {
	int32_t tid;      /* whom the rest is about; 0 nobody */
	bool is_idle;     /* it was found, and may still be there: its record's idle_* are its */
	bool is_settling; /* it was asked last: its answer itself moved its clock */
	uint32_t quiet;   /* looks since it moved */
	uint64_t word;    /* of its record, 0: it did not say */
	uint64_t cpu_ns;  /* its CPU clock when it was found */
	uint64_t run_ns,
		wait_ns;    /* the kernel's count of time on a processor, and of waiting for one */
	uint64_t told_ns;   /* taken for waiting before the kernel has counted it */
	uint64_t looks, ns; /* what the look under way counts */
	uint64_t later_looks, later_ns; /* passed over since it was found idle */
	_Atomic uint64_t
		doze_from_ns; /* what it is owed since then, nobody has counted; 0: all is counted */
	uint64_t kept_ns;     /* of a tick at which it was just answering: the next one counts it */

	/* files of the kernel's about it, open while it is busy, in the helper that is numbered so */
	int asks_file, times_file;
	uint32_t files_of;

	/* the last label set, and what it was made of */
	uint32_t labels, labels_base, labels_code, labels_names;

	uint32_t depth;
	uint64_t frames[]; /* its last stack */
};

struct wall_settings {
	uint64_t period_ns;
	uint8_t *threads; /* by thread index */
	size_t stride;
	uint32_t depth; /* frames that each has room for */
};
extern struct wall_settings wall_settings;
extern _Atomic uint32_t wall_is_on;

SIGSAFE static inline struct wall_thread *wall_thread_of(const struct thread *t)
{
	return (struct wall_thread *)(wall_settings.threads + t->index * wall_settings.stride);
}

SIGSAFE uint64_t wall_tick(struct segment *s, struct thread *self, uint64_t now);
SIGSAFE void wall_sink(struct segment *s, struct thread *t, const struct look *look);
SIGSAFE void wall_begin(uint64_t first_ns); /* before the first tick, which is to come then */

/* @t leaves, or is looked at, while the sampler dozes: it has not moved until now. */
SIGSAFE void wall_count_doze(struct thread *t, uint64_t until_ns);

/* What @t is owed goes into the table. On the thread itself or the helper, whoever is first. */
SIGSAFE void wall_flush(struct segment *s, struct thread *t);
