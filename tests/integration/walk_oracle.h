/*
 * walk_oracle: at each place, the stack by four walks, compared frame by frame.
 *
 *     ours     walk_signal(): what stays of the last walk, rows, then all registers
 *     alone    the same without the last walk
 *     full     walk_full(): all registers from the first frame on
 *     theirs   libunwind
 *
 * A place is an instruction at which a signal arrives. oracle_step() sets the processor's trap flag, so that every
 * instruction of a call is one; oracle_sample() has another thread send signals while code runs at full speed.
 *
 * While stepping there is a fifth opinion, which needs no tables: each call instruction that is executed is noted
 * with the place of its return address, until the stack pointer is above it. What is noted is the truth; it
 * tells who is wrong when two walks differ.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct oracle_counts {
	uint64_t places, frames;
	uint64_t as_theirs; /* ours and theirs are the same */
	uint64_t as_full;
	uint64_t as_alone; /* nor does the walk before change anything … */
	uint64_t taken;    /* … that so many frames come from, by what every other place shows */
	uint64_t truths;   /* places where the truth is known … */
	uint64_t ours_true, theirs_true;
	uint64_t
		transfers; /* ours is not the truth, because longjmp or an exception is on its way: nobody can know */
	/* where ours and theirs differ, and who is wrong is not known */
	uint64_t ours_longer, theirs_longer, different;
	/* ours is the truth, theirs is not: their walk ends early, or goes elsewhere */
	uint64_t theirs_gave_up, theirs_went_wrong;
};

/* A place seen differently, by the frame from which the walks part. */
enum oracle_kind {
	OURS_WRONG,
	TRANSFER,
	THEIRS_WRONG,
	OURS_LONGER,
	THEIRS_LONGER,
	DIFFERENT,
	FULL_DIFFERS,
	LAST_DIFFERS,
	ORACLE_KINDS,
};

/* Makes a segment and opens libunwind. NULL, or why the comparison cannot be made. */
const char *oracle_init(void);

/* Gives the calling thread a record; @know_stack: with the bounds of its stack. */
void oracle_thread(bool know_stack);

/* Calls @run(@argument) and compares at one of @every instructions, until @limit instructions are done. */
void oracle_step(void (*run)(void *), void *argument, unsigned every, uint64_t limit);

/* The same from here on, in code that returns to where the caller does not see it. There is no truth then. */
void oracle_step_on(unsigned every, uint64_t limit);

/* Whether the truth can be noted: not when the code in question changes stacks. */
extern bool oracle_knows_truth;

/* Calls @run(@argument) again and again for @ms; meanwhile this thread gets signals. */
void oracle_sample(void (*run)(void *), void *argument, unsigned ms);

/* What this process and its children have counted since oracle_clear(). */
const struct oracle_counts *oracle_counts(void);
void oracle_clear(void);

/* Writes the functions in which walks parted, most frequent first, at most @most. */
void oracle_explain(const char *region, unsigned most);
