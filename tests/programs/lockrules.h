/*
 * lockrules: every result of every function that locks or waits, one line each. The same program with and without somebody
 * in front of these functions has to print the same.
 *
 *     SAY("sem_trywait, empty", sem_trywait(&sem));      sem_trywait, empty: -1 EAGAIN
 *     SAY("lock, free", pthread_mutex_lock(&m));         lock, free: 0
 *
 * A result that is an errno is said by name, and errno when it was changed. What another thread does is a function that is
 * handed to it; that it is asleep in there is known from the kernel, not hoped for after a while.
 */
#ifndef LOCKRULES_H
#define LOCKRULES_H

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "tests/programs/host.h"

#define KEPT 4711

void say(const char *what, int r, int error);
void say_text(const char *what, const char *text);
void say_number(const char *what, long number);

#define SAY(what, call)                    \
	do {                               \
		int say_r;                 \
		errno = KEPT;              \
		say_r = (call);            \
		say((what), say_r, errno); \
	} while (0)

/* Of a case that has a name of its own before it: "normal, robust: trylock, held". */
extern const char *say_before;

/* @ms milliseconds from now; and whether they have passed. */
struct timespec in_ms(clockid_t clock, int64_t ms);
int is_past(clockid_t clock, const struct timespec *at);

/* The same, and nanoseconds that are none. */
struct timespec bad_time(void);

/* A call with a time in it: also says when it came back early. */
#define SAY_TIMED(what, clock, ms, call)                             \
	do {                                                         \
		struct timespec at = in_ms((clock), (ms));           \
		SAY(what, call);                                     \
		if ((ms) > 0 && !is_past((clock), &at))              \
			say_text(what, "came back before its time"); \
	} while (0)

/* Another thread. */
struct other {
	pthread_t id;
	int tid;
	int to[2], from[2];
	int (*what)(void *);
	void *arg;
	int result, error;
};

void other_start(struct other *o);
void other_begin(struct other *o, int (*what)(void *), void *arg);
void other_end(struct other *o, const char *about); /* says its result */
void other_do(struct other *o, const char *about, int (*what)(void *), void *arg);
void other_leave(struct other *o);

/*
 * Until the thread sleeps on a futex in @object, or on any when that is NULL. Says so when it never does, or when there is
 * something to read at @answer first: the call did not wait. -1: nobody answers.
 */
void until_asleep(const char *about, int pid, int tid, const void *object, size_t size, int answer);
#define OTHER_ASLEEP(about, o, object) \
	until_asleep((about), getpid(), (o)->tid, (object), sizeof(*(object)), (o)->from[0])
#define OTHER_ASLEEP_SOMEWHERE(about, o) \
	until_asleep((about), getpid(), (o)->tid, NULL, 0, (o)->from[0])

/* A handler that only counts. */
extern volatile sig_atomic_t signals_seen;
void count_signals(int sig, int flags);
void wait_for_signals(int count);

/* What is in the other files. */
void rules_of_conditions(void);
void rules_of_old_conditions(void);
void rules_of_semaphores(void);
void rules_of_barriers(void);
void rules_of_joining(void);
void rules_of_once(void);
void rules_of_c11(void);
void rules_of_futexes(void);
void rules_of_cancelling(void);
void rules_of_jumping(void);
void rules_of_forking(void);

#endif
