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

#define ANY (WAIT_SHOWN | WAIT_TIMED | WAIT_COUNTED)

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
	return wait_is_wanted(WAIT_COUNTED) && contention_may_be(mutex) && is_last_of_mtx(mutex);
}

#define ERROR(result) (result)
#define WAITS_WITH(exported, name, parameters, arguments, error)                             \
	__attribute__((noinline)) static int wait_in_##name parameters                       \
	{                                                                                    \
		struct contention_charge charge;                                             \
		int r, failed;                                                               \
                                                                                             \
		charge.of.ns = 0;                                                            \
		if (may_release(mutex))                                                      \
			contention_charge(&charge, mutex, WAIT_LOCK, WAIT_HERE(real.name));  \
		{                                                                            \
			WAITING(WAIT_COND, real.name, cond);                                 \
			r = real.name arguments;                                             \
			waiting.result = failed = error(r);                                  \
		}                                                                            \
		if (unlikely(charge.of.ns != 0))                                             \
			contention_charged(&charge, failed != EPERM && failed != EINVAL);    \
		return r;                                                                    \
	}                                                                                    \
	CPROF_PUBLIC int exported parameters;                                                \
	CPROF_PUBLIC int exported parameters                                                 \
	{                                                                                    \
		return wait_is_wanted(ANY) ? wait_in_##name arguments : real.name arguments; \
	}

#define COND  pthread_cond_t *cond, pthread_mutex_t *mutex
#define UNTIL const struct timespec *until

/* clang-format off */
#ifdef __x86_64__
WAITS_WITH(cond_wait_2_3_2, pthread_cond_wait, (COND), (cond, mutex), ERROR)
WAITS_WITH(cond_timedwait_2_3_2, pthread_cond_timedwait, (COND, UNTIL), (cond, mutex, until), ERROR)
WAITS_WITH(cond_wait_2_2_5, old_cond_wait, (COND), (cond, mutex), ERROR)
WAITS_WITH(cond_timedwait_2_2_5, old_cond_timedwait, (COND, UNTIL), (cond, mutex, until), ERROR)
__asm__(".symver cond_wait_2_3_2, pthread_cond_wait@@GLIBC_2.3.2\n\t"
	".symver cond_timedwait_2_3_2, pthread_cond_timedwait@@GLIBC_2.3.2\n\t"
	".symver cond_wait_2_2_5, pthread_cond_wait@GLIBC_2.2.5\n\t"
	".symver cond_timedwait_2_2_5, pthread_cond_timedwait@GLIBC_2.2.5");
#else
WAITS_WITH(pthread_cond_wait, pthread_cond_wait, (COND), (cond, mutex), ERROR)
WAITS_WITH(pthread_cond_timedwait, pthread_cond_timedwait, (COND, UNTIL), (cond, mutex, until), ERROR)
#endif
WAITS_WITH(pthread_cond_clockwait, pthread_cond_clockwait, (COND, clockid_t clock, UNTIL), (cond, mutex, clock, until), ERROR)
WAITS_WITH(cnd_wait, cnd_wait, (cnd_t *cond, mtx_t *mutex), (cond, mutex), error_of_c11)
WAITS_WITH(cnd_timedwait, cnd_timedwait, (cnd_t *cond, mtx_t *mutex, UNTIL), (cond, mutex, until), error_of_c11)
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
#define TAKES(name, parameters, arguments)                             \
	__attribute__((noinline)) static int wait_in_##name parameters \
	{                                                              \
		bool is_free = has_token(sem);                         \
		WAITING(WAIT_SEM, real.name, sem);                     \
		if (is_free)                                           \
			waiting.begun_ns = 0;                          \
		return WAITED_ERRNO(real.name arguments);              \
	}                                                              \
	CPROF_PUBLIC int name parameters                               \
	{                                                              \
		if (!wait_is_wanted(WAIT_SHOWN | WAIT_TIMED))          \
			return real.name arguments;                    \
		return wait_in_##name arguments;                       \
	}

TAKES(sem_wait, (sem_t * sem), (sem))
TAKES(sem_timedwait, (sem_t * sem, UNTIL), (sem, until))
TAKES(sem_clockwait, (sem_t * sem, clockid_t clock, UNTIL), (sem, clock, until))

/* ---- barriers ---- */

/* The last to come is told so, and has not waited. */
__attribute__((noinline)) static int wait_in_barrier(pthread_barrier_t *barrier)
{
	WAITING(WAIT_BARRIER, real.pthread_barrier_wait, barrier);
	return WAITED(real.pthread_barrier_wait(barrier));
}
_Static_assert(PTHREAD_BARRIER_SERIAL_THREAD != 0, "no errno either");

CPROF_PUBLIC int pthread_barrier_wait(pthread_barrier_t *barrier)
{
	if (!wait_is_wanted(WAIT_SHOWN | WAIT_TIMED))
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

#define JOINS(name, parameters, arguments, tried, error)               \
	__attribute__((noinline)) static int wait_in_##name parameters \
	{                                                              \
		int r;                                                 \
		WAITING(WAIT_JOIN, real.name, NULL);                   \
		r = real.name arguments;                               \
		waiting.result = error(r);                             \
		return r;                                              \
	}                                                              \
	CPROF_PUBLIC int name parameters                               \
	{                                                              \
		if (!wait_is_wanted(WAIT_SHOWN | WAIT_TIMED))          \
			return real.name arguments;                    \
		return tried ? 0 : wait_in_##name arguments;           \
	}

/* clang-format off */
JOINS(pthread_join, (pthread_t thread, void **result), (thread, result), has_joined(thread, result), ERROR)
JOINS(pthread_timedjoin_np, (pthread_t thread, void **result, UNTIL), (thread, result, until),
      has_joined(thread, result), ERROR)
JOINS(pthread_clockjoin_np, (pthread_t thread, void **result, clockid_t clock, UNTIL), (thread, result, clock, until),
      has_joined_by(thread, result, clock), ERROR)
JOINS(thrd_join, (thrd_t thread, int *result), (thread, result), has_joined_c11(thread, result), error_of_c11)
/* clang-format on */

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

	wait_end(wait);
	wait->begun_ns = 0;
	wait->thread = NULL;
	run();
}

#define WAITS_ONCE(wait_for_it)                         \
	struct once_wait *before = once_wait;           \
	WAITING(WAIT_ONCE, real.wait_for_it, once);     \
	once_wait = &(struct once_wait){&waiting, run}; \
	real.wait_for_it(once, run_once);               \
	once_wait = before

__attribute__((noinline)) static int wait_in_pthread_once(pthread_once_t *once, void (*run)(void))
{
	WAITS_ONCE(pthread_once);
	return 0; /* glibc's always does */
}

CPROF_PUBLIC int pthread_once(pthread_once_t *once, void (*run)(void))
{
	if (wait_is_wanted(WAIT_SHOWN | WAIT_TIMED) && is_under_way(once))
		return wait_in_pthread_once(once, run);
	return real.pthread_once(once, run);
}

__attribute__((noinline)) static void wait_in_call_once(once_flag *once, void (*run)(void))
{
	WAITS_ONCE(call_once);
}

CPROF_PUBLIC void call_once(once_flag *once, void (*run)(void))
{
	if (wait_is_wanted(WAIT_SHOWN | WAIT_TIMED) && is_under_way((const int *)once))
		wait_in_call_once(once, run);
	else
		real.call_once(once, run);
}

CPROF_PUBLIC __typeof__(pthread_once) __pthread_once __attribute__((alias("pthread_once")));
