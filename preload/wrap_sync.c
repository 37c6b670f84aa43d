/*
 * Wrappers of what threads wait for of each other besides locks. What comes to the keeper of waits (core/wait.h) did wait: a
 * semaphore without tokens, a thread that has not ended, an initialization that another thread is at.
 *
 * To wait for a condition variable releases its mutex.
 */
#include <errno.h>

#include "cprof/cprof.h"
#include "preload/lock_words.h"
#include "preload/real.h"
#include "profiles/mutex/contention.h"
#include "tracer/sync.h"

#define SOME (WAIT_SHOWN | WAIT_TIMED | WAIT_TRACED)
#define ANY  (SOME | WAIT_COUNTED)

/* ---- condition variables ---- */

static inline int error_of_c11(int result)
{
	return result == thrd_success ? 0 : result == thrd_timedout ? ETIMEDOUT : EINVAL;
}

/*
 * The mutex is released somewhere inside the call, and locked again before it returns. So this release is charged before the
 * call, and recorded after. A call that fails with one of two errors has not come to it.
 */
static inline bool may_release(const void *mutex)
{
	return wait_is_wanted(WAIT_COUNTED) && contention_may_be(mutex) &&
	       is_outermost_of_mtx(mutex);
}

#define ERROR(result) (result)
#define WAITS_WITH(exported, name, parameters, arguments, is_timed, is_outer, error)             \
	__attribute__((noinline)) static int wait_in_##name parameters                           \
	{                                                                                        \
		struct contention_charge charge;                                                 \
		int r, failed;                                                                   \
                                                                                                 \
		charge.of.ns = 0;                                                                \
		if (may_release(mutex))                                                          \
			contention_charge(&charge, mutex, WAIT_LOCK, WAIT_HERE(real.name));      \
		{                                                                                \
			WAITING_WITH(WAIT_COND, real.name, cond, is_outer(mutex) ? mutex : NULL, \
				     is_timed);                                                  \
			r = real.name arguments;                                                 \
			waiting.result = failed = error(r);                                      \
		}                                                                                \
		if (unlikely(charge.of.ns != 0))                                                 \
			contention_charged(&charge, failed != EPERM && failed != EINVAL);        \
		return r;                                                                        \
	}                                                                                        \
	CPROF_PUBLIC int exported parameters;                                                    \
	CPROF_PUBLIC int exported parameters                                                     \
	{                                                                                        \
		return wait_is_wanted(ANY) ? wait_in_##name arguments : real.name arguments;     \
	}

#define COND  pthread_cond_t *cond, pthread_mutex_t *mutex
#define UNTIL const struct timespec *until

/* clang-format off */
#ifdef __x86_64__
WAITS_WITH(cond_wait_2_3_2, pthread_cond_wait, (COND), (cond, mutex), 0, is_outermost, ERROR)
WAITS_WITH(cond_timedwait_2_3_2, pthread_cond_timedwait, (COND, UNTIL), (cond, mutex, until), 1, is_outermost, ERROR)
WAITS_WITH(cond_wait_2_2_5, old_cond_wait, (COND), (cond, mutex), 0, is_outermost, ERROR)
WAITS_WITH(cond_timedwait_2_2_5, old_cond_timedwait, (COND, UNTIL), (cond, mutex, until), 1, is_outermost, ERROR)
__asm__(".symver cond_wait_2_3_2, pthread_cond_wait@@GLIBC_2.3.2\n\t"
	".symver cond_timedwait_2_3_2, pthread_cond_timedwait@@GLIBC_2.3.2\n\t"
	".symver cond_wait_2_2_5, pthread_cond_wait@GLIBC_2.2.5\n\t"
	".symver cond_timedwait_2_2_5, pthread_cond_timedwait@GLIBC_2.2.5");
#else
WAITS_WITH(pthread_cond_wait, pthread_cond_wait, (COND), (cond, mutex), 0, is_outermost, ERROR)
WAITS_WITH(pthread_cond_timedwait, pthread_cond_timedwait, (COND, UNTIL), (cond, mutex, until), 1, is_outermost, ERROR)
#endif
WAITS_WITH(pthread_cond_clockwait, pthread_cond_clockwait, (COND, clockid_t clock, UNTIL), (cond, mutex, clock, until), 1, is_outermost, ERROR)
WAITS_WITH(cnd_wait, cnd_wait, (cnd_t *cond, mtx_t *mutex), (cond, mutex), 0, is_outermost_of_mtx, error_of_c11)
WAITS_WITH(cnd_timedwait, cnd_timedwait, (cnd_t *cond, mtx_t *mutex, UNTIL), (cond, mutex, until), 1, is_outermost_of_mtx, error_of_c11)
/* clang-format on */

/*
 * Who signals has said so before the other goes on, and the condition may be gone when the call returns. Both jump: they
 * keep nothing.
 */
#define SIGNALS(exported, name, type, is_broadcast)                                        \
	__attribute__((noinline)) static int trace_##name(type *cond)                      \
	{                                                                                  \
		sync_signals(cond, is_broadcast, (uintptr_t)real.name);                    \
		return real.name(cond);                                                    \
	}                                                                                  \
	CPROF_PUBLIC int exported(type *cond);                                             \
	CPROF_PUBLIC int exported(type *cond)                                              \
	{                                                                                  \
		return wait_is_wanted(WAIT_TRACED) ? trace_##name(cond) : real.name(cond); \
	}

/* clang-format off */
#ifdef __x86_64__
SIGNALS(cond_signal_2_3_2, pthread_cond_signal, pthread_cond_t, false)
SIGNALS(cond_broadcast_2_3_2, pthread_cond_broadcast, pthread_cond_t, true)
SIGNALS(cond_signal_2_2_5, old_cond_signal, pthread_cond_t, false)
SIGNALS(cond_broadcast_2_2_5, old_cond_broadcast, pthread_cond_t, true)
__asm__(".symver cond_signal_2_3_2, pthread_cond_signal@@GLIBC_2.3.2\n\t"
	".symver cond_broadcast_2_3_2, pthread_cond_broadcast@@GLIBC_2.3.2\n\t"
	".symver cond_signal_2_2_5, pthread_cond_signal@GLIBC_2.2.5\n\t"
	".symver cond_broadcast_2_2_5, pthread_cond_broadcast@GLIBC_2.2.5");
#else
SIGNALS(pthread_cond_signal, pthread_cond_signal, pthread_cond_t, false)
SIGNALS(pthread_cond_broadcast, pthread_cond_broadcast, pthread_cond_t, true)
#endif
SIGNALS(cnd_signal, cnd_signal, cnd_t, false)
SIGNALS(cnd_broadcast, cnd_broadcast, cnd_t, true)
/* clang-format on */

/* ---- semaphores ---- */

/* Not by a try: that would not be the cancellation point which the call is. */
static bool has_token(sem_t *sem)
{
	int saved = errno, value = 0, r = sem_getvalue(sem, &value);

	errno = saved;
	return r == 0 && value > 0;
}

/* While somebody looks at threads all say so: one that gets a token away before our eyes must not be interrupted. */
#define TAKES(name, parameters, arguments)                                                   \
	__attribute__((noinline)) static int take_in_##name parameters                       \
	{                                                                                    \
		int r;                                                                       \
                                                                                             \
		{                                                                            \
			SHOWING(WAIT_SEM, real.name, sem);                                   \
			r = WAITED_ERRNO(real.name arguments);                               \
		}                                                                            \
		if (r == 0 && wait_is_wanted(WAIT_TRACED))                                   \
			sync_got_token(sem);                                                 \
		return r;                                                                    \
	}                                                                                    \
	__attribute__((noinline)) static int wait_in_##name parameters                       \
	{                                                                                    \
		WAITING(WAIT_SEM, real.name, sem);                                           \
		return WAITED_ERRNO(real.name arguments);                                    \
	}                                                                                    \
	CPROF_PUBLIC int name parameters                                                     \
	{                                                                                    \
		if (!wait_is_wanted(SOME))                                                   \
			return real.name arguments;                                          \
		return has_token(sem) ? take_in_##name arguments : wait_in_##name arguments; \
	}

TAKES(sem_wait, (sem_t * sem), (sem))
TAKES(sem_timedwait, (sem_t * sem, UNTIL), (sem, until))
TAKES(sem_clockwait, (sem_t * sem, clockid_t clock, UNTIL), (sem, clock, until))

static int trace_sem_trywait(sem_t *sem)
{
	int r = real.sem_trywait(sem);

	if (r == 0)
		sync_got_token(sem);
	return r;
}

CPROF_PUBLIC int sem_trywait(sem_t *sem)
{
	return wait_is_wanted(WAIT_TRACED) ? trace_sem_trywait(sem) : real.sem_trywait(sem);
}

/* In signal handlers, too. */
__attribute__((noinline)) static int trace_sem_post(sem_t *sem)
{
	sync_posts(sem, (uintptr_t)real.sem_post);
	return real.sem_post(sem);
}

CPROF_PUBLIC int sem_post(sem_t *sem)
{
	return wait_is_wanted(WAIT_TRACED) ? trace_sem_post(sem) : real.sem_post(sem);
}

/* ---- barriers ---- */

/* glibc's (internaltypes.h). */
struct barrier {
	unsigned in, round, count;
};

static unsigned count_of(const pthread_barrier_t *barrier)
{
	const struct barrier *b = (const void *)barrier;

	return __atomic_load_n(&b->count, __ATOMIC_RELAXED);
}

/* How many of this round have come. */
static unsigned arrived_at(const pthread_barrier_t *barrier)
{
	const struct barrier *b = (const void *)barrier;
	unsigned n = __atomic_load_n(&b->in, __ATOMIC_RELAXED) -
		     __atomic_load_n(&b->round, __ATOMIC_RELAXED);

	return n < count_of(barrier) ? n : 0;
}

/* The last to come is told so, and has not waited. */
__attribute__((noinline)) static int wait_in_barrier(pthread_barrier_t *barrier)
{
	WAITING_WITH(WAIT_BARRIER, real.pthread_barrier_wait, barrier, count_of(barrier),
		     arrived_at(barrier));
	return WAITED(real.pthread_barrier_wait(barrier));
}
_Static_assert(PTHREAD_BARRIER_SERIAL_THREAD != 0, "no errno either");

CPROF_PUBLIC int pthread_barrier_wait(pthread_barrier_t *barrier)
{
	if (!wait_is_wanted(SOME))
		return real.pthread_barrier_wait(barrier);
	return wait_in_barrier(barrier);
}

/* ---- ends of threads ---- */

/* One that has ended is joined at once, without a look at time limits, and without being a cancellation point. */
static bool has_joined(pthread_t thread, void **result)
{
	return real.pthread_tryjoin_np(thread, result) == 0;
}

static bool has_joined_by(pthread_t thread, void **result, clockid_t clock)
{
	return (clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC) && has_joined(thread, result);
}

static bool has_joined_c11(thrd_t thread, int *result)
{
	void *value;

	if (!has_joined(thread, &value))
		return false;
	if (result != NULL)
		*result = (int)(uintptr_t)value;
	return true;
}

#define JOINS(name, parameters, arguments, tried, error)                                     \
	__attribute__((noinline)) static int wait_in_##name parameters                       \
	{                                                                                    \
		int r;                                                                       \
		WAITING_WITH(WAIT_JOIN, real.name, NULL, sync_thread((uintptr_t)thread), 0); \
		r = real.name arguments;                                                     \
		waiting.result = error(r);                                                   \
		return r;                                                                    \
	}                                                                                    \
	__attribute__((noinline)) static int try_in_##name parameters                        \
	{                                                                                    \
		uint32_t number = sync_thread((uintptr_t)thread);                            \
                                                                                             \
		if (!(tried))                                                                \
			return wait_in_##name arguments;                                     \
		if (wait_is_wanted(WAIT_TRACED))                                             \
			sync_joined(number);                                                 \
		return 0;                                                                    \
	}                                                                                    \
	CPROF_PUBLIC int name parameters                                                     \
	{                                                                                    \
		if (!wait_is_wanted(SOME))                                                   \
			return real.name arguments;                                          \
		return try_in_##name arguments;                                              \
	}

/* clang-format off */
JOINS(pthread_join, (pthread_t thread, void **result), (thread, result), has_joined(thread, result), ERROR)
JOINS(pthread_timedjoin_np, (pthread_t thread, void **result, UNTIL), (thread, result, until),
      has_joined(thread, result), ERROR)
JOINS(pthread_clockjoin_np, (pthread_t thread, void **result, clockid_t clock, UNTIL), (thread, result, clock, until),
      has_joined_by(thread, result, clock), ERROR)
JOINS(thrd_join, (thrd_t thread, int *result), (thread, result), has_joined_c11(thread, result), error_of_c11)
/* clang-format on */

CPROF_PUBLIC int pthread_detach(pthread_t thread)
{
	if (wait_is_wanted(WAIT_TRACED))
		sync_detaches(sync_thread((uintptr_t)thread));
	return real.pthread_detach(thread);
}

CPROF_PUBLIC int thrd_detach(thrd_t thread)
{
	if (wait_is_wanted(WAIT_TRACED))
		sync_detaches(sync_thread((uintptr_t)thread));
	return real.thrd_detach(thread);
}

/* ---- once ---- */

/*
 * glibc's first bit says that a thread is in it, and from the third on the word has the number of forks that this process
 * descends from. One that was under way in the parent has another number: the call begins anew, and waits for nobody. The
 * number stands nowhere but in such words, so it is read from one of ours.
 */
#define UNDER_WAY    1
#define FORKS(value) ((value) & ~3)

static __thread pthread_once_t probe __attribute__((tls_model("initial-exec")));
static __thread int forks __attribute__((tls_model("initial-exec")));

static void read_probe(void)
{
	forks = FORKS(__atomic_load_n(&probe, __ATOMIC_RELAXED));
}

__attribute__((noinline)) static bool is_of_this_process(int value)
{
	probe = PTHREAD_ONCE_INIT;
	real.pthread_once(&probe, read_probe);
	return FORKS(value) == forks;
}

static inline bool is_under_way(const int *once)
{
	int value = __atomic_load_n(once, __ATOMIC_RELAXED);

	return value & UNDER_WAY && is_of_this_process(value);
}

static inline bool is_done(const int *once)
{
	return __atomic_load_n(once, __ATOMIC_RELAXED) == 2;
}

/* When the thread that was at it is cancelled, one of those that wait goes on with it: its wait is over then. */
struct once_wait {
	struct wait *wait;
	void (*run)(void);
};
static __thread struct once_wait *once_wait __attribute__((tls_model("initial-exec")));

static void run_once(void)
{
	void (*run)(void) = once_wait->run;
	struct wait *wait = once_wait->wait;

	wait->with[0] = true;
	wait_end(wait);
	wait->begun_ns = 0;
	wait->traced.is_open = false;
	wait->thread = NULL;
	run();
}

/* Only who comes here is the one that does it: of several that find nobody at it, all but one wait after all. */
static void note_run(void)
{
	void (*run)(void) = once_wait->run;

	once_wait->wait->with[0] = true;
	sync_runs_once(once_wait->wait);
	run();
}

#define WAITS_ONCE(wait_for_it)                         \
	struct once_wait *before = once_wait;           \
	WAITING(WAIT_ONCE, real.wait_for_it, once);     \
	once_wait = &(struct once_wait){&waiting, run}; \
	real.wait_for_it(once, run_once);               \
	once_wait = before

#define RUNS_ONCE(run_it)                                    \
	struct once_wait *before = once_wait;                \
	TRACING_WITH(WAIT_ONCE, real.run_it, once, true, 0); \
	waiting.with[0] = false;                             \
	once_wait = &(struct once_wait){&waiting, run};      \
	real.run_it(once, note_run);                         \
	once_wait = before

__attribute__((noinline)) static int wait_in_pthread_once(pthread_once_t *once, void (*run)(void))
{
	WAITS_ONCE(pthread_once);
	return 0; /* glibc's always does */
}

__attribute__((noinline)) static int run_in_pthread_once(pthread_once_t *once, void (*run)(void))
{
	RUNS_ONCE(pthread_once);
	return 0;
}

CPROF_PUBLIC int pthread_once(pthread_once_t *once, void (*run)(void))
{
	if (wait_is_wanted(SOME) && !is_done(once)) {
		if (is_under_way(once))
			return wait_in_pthread_once(once, run);
		if (wait_is_wanted(WAIT_TRACED))
			return run_in_pthread_once(once, run);
	}
	return real.pthread_once(once, run);
}

__attribute__((noinline)) static void wait_in_call_once(once_flag *once, void (*run)(void))
{
	WAITS_ONCE(call_once);
}

__attribute__((noinline)) static void run_in_call_once(once_flag *once, void (*run)(void))
{
	RUNS_ONCE(call_once);
}

CPROF_PUBLIC void call_once(once_flag *once, void (*run)(void))
{
	if (wait_is_wanted(SOME) && is_under_way((const int *)once))
		wait_in_call_once(once, run);
	else if (wait_is_wanted(WAIT_TRACED) && !is_done((const int *)once))
		run_in_call_once(once, run);
	else
		real.call_once(once, run);
}

CPROF_PUBLIC __typeof__(pthread_once) __pthread_once __attribute__((alias("pthread_once")));
