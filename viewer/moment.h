/*
 * moment: what every thread was doing at one moment, why it was not running, and who made it go on.
 *
 * The story may be told of the whole trace or of a part around the moment, which takes less: of what began before the part or ended
 * behind it the beginning is cut, and who held a lock or ended a wait may not be known.
 */
#pragma once

#include "viewer/map.h"
#include "viewer/story.h"

#define MOMENT_HOLDS \
	4096 /* locks that were held then, of all threads; what is beyond is not known */

struct moment_thread {
	struct interval now;
	struct story_wait wait;
	struct story_call call;
	struct story_edge wake; /* that ended the wait or the call */
	bool has_now, has_wait, has_call, has_wake;
	bool is_alive; /* then */
	struct story_life life;
};

struct moment {
	uint64_t at_ns; /* set before the story */

	/* after it */
	struct moment_thread **threads;
	uint32_t threads_n;
	struct story_hold *holds;
	uint32_t holds_n;
	bool is_cut; /* there were more holds */

	struct map thread_of;
};

/* Why a thread does not go on. */
enum moment_why {
	MOMENT_GONE,      /* it has ended, or had not begun */
	MOMENT_RUNNING,   /* as far as is known */
	MOMENT_PROCESSOR, /* wants one */
	MOMENT_HELD,      /* another has the lock */
	MOMENT_HANDOVER,  /* nobody has it: it is on its way */
	MOMENT_WAKER,     /* waits for what another does later */
	MOMENT_NOBODY,    /* waits for what nobody is known to do */
	MOMENT_WORK,      /* waits for work */
	MOMENT_CALL,      /* in a system call */
	MOMENT_UNKNOWN,
};

struct moment_step {
	enum moment_why why;
	const struct moment_thread *thread; /* NULL: MOMENT_GONE */
	uint32_t index;
	uint64_t since_ns;
	const struct story_hold *hold; /* of who has it; NULL: not known since when */
	uint32_t next;                 /* the thread that is waited for; 0: none */
};

/* From a thread to the one that it waits for, and so on. */
#define MOMENT_STEPS    64
#define MOMENT_NO_CYCLE UINT32_MAX
struct moment_chain {
	struct moment_step steps[MOMENT_STEPS];
	uint32_t n;
	uint32_t cycle_at; /* the step to which the last one leads back, or MOMENT_NO_CYCLE */
	bool is_cut;       /* there were more */
	bool is_deadlock;  /* nobody in the cycle ever goes on */
};

struct story_listener moment_listener(struct moment *m);
void moment_fini(struct moment *m);

/* NULL when it does nothing in the trace. */
const struct moment_thread *moment_thread(const struct moment *m, uint32_t index);
struct moment_step moment_step(const struct moment *m, uint32_t index);
void moment_follow(const struct moment *m, uint32_t index, struct moment_chain *ret);
