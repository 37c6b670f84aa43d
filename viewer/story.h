/*
 * story: what every thread did, from its start to its end, and who made whom go on. All that people are told of a trace is made
 * of this; nothing else knows what an event means for its thread.
 *
 *     events of all threads, by time ──→ story ──→ intervals, calls, waits, holds, edges ──→ tables, profiles, pictures
 *     (merge.h)
 *
 * The intervals of a thread follow one another without a gap or an overlap from its first moment to its last, so their lengths
 * add up to its life to the nanosecond. One ends where the thread switches tasks, and where a region begins or ends. Calls, waits and holds may contain one another.
 *
 * It goes through a trace once, and keeps no more than what is going on: memory is in proportion to threads and objects, never
 * to events.
 */
#pragma once

#include "viewer/merge.h"

/* How it is known. */
enum story_certainty {
	STORY_EXACT, /* somebody wrote it down */
	STORY_INFERRED, /* it follows from what others wrote down: running, when nothing says otherwise */
	STORY_PROPORTIONAL, /* the length is right within some time, its place is not known */
	STORY_UNKNOWN,
};

struct interval {
	uint64_t begin_ns, end_ns; /* CLOCK_MONOTONIC, as all times here */
	uint32_t thread;           /* its index */
	uint8_t state;             /* enum trace_state */
	uint8_t certainty;
	uint8_t wait; /* the type of the event that began the wait it belongs to: TRACE_LOCK_WAIT_EVENT …; 0: none */
	uint32_t object; /* of that wait; 0: none */
	uint32_t call;   /* the system call it belongs to, + 1; 0: none */
	uint32_t file;   /* of the call, a file's instance; 0: none */
	uint32_t stack;  /* where; 0: not known */
	uint32_t
		other; /* lock: who held it; runnable: who woke it; a thread's index, 0: not known */
	uint64_t task; /* that it worked for; 0: none */
};

/* A system call. */
struct story_call {
	uint64_t begin_ns, end_ns;
	uint32_t thread, number;
	int64_t result; /* a negative errno when it failed */
	uint64_t arguments[3];
	uint32_t file, path, stack; /* path: a str, the name that it was given; 0: none */
	uint32_t
		lock; /* an object that the thread held all the while, the one it took last; 0: none */
	uint32_t locks; /* how many it held */
	uint64_t task;
	bool is_idle;    /* it waits for work or for time to pass, not for what was asked for */
	bool is_of_wait; /* a futex within a wait: the time is that of the wait */
	bool is_open; /* the trace has no end of it: end_ns is that of the thread; of clone, what it did next */
};

/* A wait for an object, or for a thread's end. Those that were over at once are none. */
struct story_wait {
	uint64_t begin_ns, end_ns;
	uint32_t thread;
	uint8_t type;    /* of the event that began it */
	uint8_t mode;    /* of a lock: 1 exclusive, 2 shared; 0: not known */
	uint32_t object; /* 0 for a join */
	uint32_t other;  /* lock: who held it when the wait began; join: for whom; 0: not known */
	uint32_t stack;
	uint32_t error; /* why it is over, an errno; 0: it got what it waited for */
	uint32_t lock;  /* another lock that the thread held; 0: none */
	uint64_t order; /* of its end */
	uint32_t left;  /* how many wait for the object still */
	uint64_t task;
	bool is_idle; /* a thread parked at its usual place */
	bool is_open;
	bool is_again; /* who woke it before did so for nothing: it had to wait for the same once more */
};

/* A lock that was held. Those of the inner calls of a recursive one are none. */
struct story_hold {
	uint64_t begin_ns, end_ns;
	uint32_t thread, object;
	uint8_t mode;
	bool is_open;
	bool has_waited;  /* before it */
	uint32_t waiters; /* when it was let go */
	uint32_t
		stack; /* where it was let go of with waiters, else where it was waited for; 0: not known */
	uint32_t taken;        /* where it was waited for; 0: not known, it was free */
	uint64_t order;        /* of the release; 0: not known */
	uint64_t calls_ns;     /* of it, in system calls that do not wait for locks */
	uint32_t calls;        /* how many */
	uint32_t longest_call; /* its number + 1; 0: none */
	uint32_t longest_file; /* and file */
	uint64_t longest_ns;
	uint64_t waits_ns; /* of it, waiting for other objects */
	uint64_t off_ns;   /* of it, wanting a processor, as far as that is known */
};

enum story_edge_kind {
	EDGE_RELEASE, /* a lock: from who let go to who got it */
	EDGE_SIGNAL,  /* a condition */
	EDGE_POST,    /* a semaphore */
	EDGE_BARRIER, /* the last to arrive */
	EDGE_ONCE,    /* who did it */
	EDGE_EXIT,    /* of the thread that was waited for */
	EDGE_CREATE,
	EDGE_FUTEX,
	EDGE_PIPE, /* a write, to the read that got it, or the poll before that */
	EDGE_FLOW, /* the program said so */
	STORY_EDGES,
};

/* One thread made another go on. */
struct story_edge {
	uint8_t kind, certainty;
	uint32_t from, to; /* threads */
	uint64_t from_ns;
	uint64_t begun_ns; /* since when the other waited */
	uint64_t
		ran_ns; /* when it was on a processor again; that its wait was over, where switches are not known */
	uint64_t to_ns;    /* when its wait was over */
	uint32_t object;   /* or the instance of the file that was read; 0: none */
	uint32_t stack;    /* of who made it */
	uint32_t to_stack; /* of the wait */
};

/* The life of a thread. */
struct story_life {
	uint32_t thread;
	uint64_t begin_ns, end_ns;
	bool has_begin, has_end; /* in this trace */
	uint64_t lost;           /* events of it that are missing */
};

/*
 * Who listens. NULL for what is not wanted. What is returned other than 0 ends the story, which returns it. A thread's intervals
 * come in order; all others when they end.
 */
struct story_listener {
	void *context;
	/*
	 * What was before the time that is asked for is passed over as far as can be: quick, wherever that is. Threads seem to begin
	 * then, and what began before may have no stack.
	 */
	bool may_seek;
	/* How it goes on behind that time is of no use: what is not over soon after is open. */
	bool may_end;
	int (*event)(void *context, const struct merged *m); /* each, before what comes of it */
	int (*interval)(void *context, const struct interval *i);
	int (*call)(void *context, const struct story_call *c);
	int (*wait)(void *context, const struct story_wait *w);
	int (*hold)(void *context, const struct story_hold *h);
	int (*edge)(void *context, const struct story_edge *e);
	int (*life)(void *context, const struct story_life *l);
};

/* What was seen besides; of all of the trace up to where it ended. */
struct story_counts {
	struct merge_counts merge;
	uint64_t begin_ns, end_ns;                /* of what was asked for */
	uint64_t threads;                         /* that lived then */
	uint64_t state_ns[TRACE_STATES];          /* of all threads */
	uint64_t uncertain_ns[STORY_UNKNOWN + 1]; /* the same by certainty */
	uint64_t lost_events, gaps;               /* and in how many places */
	uint64_t pending_left; /* switches that came so close that some have no cause */
	bool has_switches;     /* when threads ran is known */
};

/*
 * Tells the story from @from_ns to @to_ns, inclusive: intervals are cut there; calls, waits, holds and edges are those that
 * overlap it, whole, but for those that go on beyond the next generation behind it, which are open. UINT64_MAX is the end of the
 * trace. 0, -EINTR (the watch ended it), what a listener returned, or another negative errno with @why.
 */
int story_tell(struct reader *r, const struct streams *s, struct tables *t, uint64_t from_ns,
	       uint64_t to_ns, const struct story_listener *listener, struct story_counts *ret,
	       const struct watch *watch, struct why *why);

/* How much of @begin_ns to @end_ns is between @from_ns and @to_ns. */
static inline uint64_t story_within(uint64_t begin_ns, uint64_t end_ns, uint64_t from_ns,
				    uint64_t to_ns)
{
	uint64_t begin = begin_ns > from_ns ? begin_ns : from_ns,
		 end = end_ns < to_ns ? end_ns : to_ns;

	return end > begin ? end - begin : 0;
}

/* "running", "runnable", "lock", "wait", "syscall", "idle", "spin", "unknown"; their letters R r L C S Z X ?. */
const char *story_state_name(unsigned state);
char story_state_letter(unsigned state);
const char *story_edge_name(unsigned kind); /* "release", "signal" … */
const char *story_certainty_name(unsigned certainty);
