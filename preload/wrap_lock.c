/*
 * Wrappers of locks. They try first, so that a thread waits for a lock only when it says so (core/wait.h), and what comes to
 * the keeper did wait.
 *
 * A try that gets the lock has to mean that the call would have got it, too, at once and with the same result. One that finds
 * it taken leaves everything as it was. For all other answers the call finds its own: it does not wait then. What glibc's
 * functions look at before they look at the lock is looked at here: of calls with a time limit, the clock, and for rwlocks
 * the time.
 *
 * A release comes first, and what there is to do about it after (profiles/mutex/contention.h).
 */
#include <errno.h>

#include "cprof/cprof.h"
#include "preload/lock_words.h"
#include "preload/looks.h"
#include "preload/real.h"
#include "profiles/mutex/contention.h"

/*
 * Of a robust mutex, one whose owner died is taken with an error, and a try of one that is beyond recovery leaves it locked
 * (glibc 2.36). Those that change priorities have rules of their own. So these are not tried but looked at.
 */
static inline int try_mutex(pthread_mutex_t *mutex)
{
	if (unlikely(mutex->__data.__kind & (ROBUST | INHERITS | PROTECTS)))
		return looks_at_mutex(mutex);
	return real.pthread_mutex_trylock(mutex);
}

static bool is_clock(clockid_t clock)
{
	return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC;
}

static int try_mutex_by(pthread_mutex_t *mutex, clockid_t clock)
{
	return is_clock(clock) ? try_mutex(mutex) : LET_IT;
}

/* Where writers come first, this leaves the lock to one that waits, as the call itself does. */
static inline int try_read(pthread_rwlock_t *lock)
{
	return real.pthread_rwlock_tryrdlock(lock);
}

static inline int try_write(pthread_rwlock_t *lock)
{
	return real.pthread_rwlock_trywrlock(lock);
}

static bool is_time(clockid_t clock, const struct timespec *until)
{
	return is_clock(clock) && until != NULL && until->tv_nsec >= 0 &&
	       until->tv_nsec < 1000000000;
}

static int try_read_by(pthread_rwlock_t *lock, clockid_t clock, const struct timespec *until)
{
	return is_time(clock, until) ? try_read(lock) : LET_IT;
}

static int try_write_by(pthread_rwlock_t *lock, clockid_t clock, const struct timespec *until)
{
	return is_time(clock, until) ? try_write(lock) : LET_IT;
}

static inline int try_spin(pthread_spinlock_t *lock)
{
	return real.pthread_spin_trylock(lock);
}

static inline int try_mtx(mtx_t *mutex)
{
	int r = real.mtx_trylock(mutex);

	return r == thrd_success ? 0 : r == thrd_busy ? EBUSY : LET_IT;
}
_Static_assert(thrd_success == 0, "what mtx_lock returns");

static inline int error_of_mtx(int result)
{
	return result == thrd_success ? 0 : result == thrd_timedout ? ETIMEDOUT : EINVAL;
}

#define ERROR(result) (result)

/*
 * Several functions each, and all are jumped to but the real ones: the first, which is all there is when nothing is wanted,
 * keeps no registers, and the caller of the last is the host.
 */
#define TRIES(code, name, parameters, arguments, lock, try, error)                  \
	__attribute__((noinline)) static int wait_in_##name parameters              \
	{                                                                           \
		int r;                                                              \
		WAITING(code, real.name, lock);                                     \
		r = real.name arguments;                                            \
		waiting.result = error(r);                                          \
		return r;                                                           \
	}                                                                           \
	__attribute__((noinline)) static int try_in_##name parameters               \
	{                                                                           \
		int r = try;                                                        \
                                                                                    \
		if (likely(r == 0))                                                 \
			return 0;                                                   \
		return r == EBUSY ? wait_in_##name arguments : real.name arguments; \
	}                                                                           \
	CPROF_PUBLIC int name parameters                                            \
	{                                                                           \
		if (wait_is_wanted(WAIT_SHOWN | WAIT_TIMED | WAIT_COUNTED))         \
			return try_in_##name arguments;                             \
		return real.name arguments;                                         \
	}

#define MUTEX  pthread_mutex_t *mutex
#define RWLOCK pthread_rwlock_t *lock
#define UNTIL  const struct timespec *until

/* clang-format off */
TRIES(WAIT_LOCK, pthread_mutex_lock, (MUTEX), (mutex), mutex, try_mutex(mutex), ERROR)
TRIES(WAIT_LOCK, pthread_mutex_timedlock, (MUTEX, UNTIL), (mutex, until), mutex, try_mutex(mutex), ERROR)
TRIES(WAIT_LOCK, pthread_mutex_clocklock, (MUTEX, clockid_t clock, UNTIL), (mutex, clock, until), mutex,
      try_mutex_by(mutex, clock), ERROR)
TRIES(WAIT_RWLOCK, pthread_rwlock_rdlock, (RWLOCK), (lock), lock, try_read(lock), ERROR)
TRIES(WAIT_RWLOCK, pthread_rwlock_wrlock, (RWLOCK), (lock), lock, try_write(lock), ERROR)
TRIES(WAIT_RWLOCK, pthread_rwlock_timedrdlock, (RWLOCK, UNTIL), (lock, until), lock,
      try_read_by(lock, CLOCK_REALTIME, until), ERROR)
TRIES(WAIT_RWLOCK, pthread_rwlock_timedwrlock, (RWLOCK, UNTIL), (lock, until), lock,
      try_write_by(lock, CLOCK_REALTIME, until), ERROR)
TRIES(WAIT_RWLOCK, pthread_rwlock_clockrdlock, (RWLOCK, clockid_t clock, UNTIL), (lock, clock, until), lock,
      try_read_by(lock, clock, until), ERROR)
TRIES(WAIT_RWLOCK, pthread_rwlock_clockwrlock, (RWLOCK, clockid_t clock, UNTIL), (lock, clock, until), lock,
      try_write_by(lock, clock, until), ERROR)
TRIES(WAIT_SPIN, pthread_spin_lock, (pthread_spinlock_t *lock), (lock), (const void *)lock, try_spin(lock), ERROR)
TRIES(WAIT_LOCK, mtx_lock, (mtx_t *mutex), (mutex), mutex, try_mtx(mutex), error_of_mtx)
TRIES(WAIT_LOCK, mtx_timedlock, (mtx_t *mutex, UNTIL), (mutex, until), mutex, try_mtx(mutex), error_of_mtx)
/* clang-format on */

/* ---- releases ---- */

static inline bool is_always(const volatile void *lock)
{
	(void)lock;
	return true;
}

/*
 * Whoever sleeps for the lock was counted before it slept, so nobody has to look again after the release. One that comes at
 * this moment has next to nothing to wait for; what that is goes with the next charge.
 */
#define RELEASE(code, name, type, is_released, shown)                                              \
	__attribute__((noinline)) static int release_in_##name(type *lock)                         \
	{                                                                                          \
		unsigned marked = 0;                                                               \
		int r;                                                                             \
                                                                                                   \
		if (wait_is_wanted(WAIT_COUNTED) && is_released(lock))                             \
			marked = contention_releases((const void *)lock);                          \
		if (marked == 0)                                                                   \
			return real.name(lock);                                                    \
		r = real.name(lock);                                                               \
		if (r == 0)                                                                        \
			contention_released((const void *)lock, marked, code, (uintptr_t)(shown)); \
		else                                                                               \
			contention_kept((const void *)lock, marked);                               \
		return r;                                                                          \
	}

#define RELEASES(name, type)                                                \
	CPROF_PUBLIC int name(type *lock)                                   \
	{                                                                   \
		/* while nobody asks for it nobody is counted, as a rule */ \
		if (contention_may_be((const void *)lock))                  \
			return release_in_##name(lock);                     \
		return real.name(lock);                                     \
	}

/* A writer's as any other. Of readers that leave at once, one is charged. */
__attribute__((noinline)) static int release_in_pthread_rwlock_unlock(pthread_rwlock_t *lock)
{
	bool is_reader = has_reader(lock);
	unsigned marked = 0;
	int r;

	if (wait_is_wanted(WAIT_COUNTED))
		marked = contention_releases(lock);
	if (marked == 0)
		return real.pthread_rwlock_unlock(lock);
	if (is_reader)
		contention_leaves(lock, marked, READERS(readers_word(lock)));
	r = real.pthread_rwlock_unlock(lock);
	if ((!is_reader || contention_left(lock, marked)) && r == 0)
		contention_released(lock, marked, WAIT_RWLOCK,
				    (uintptr_t)real.pthread_rwlock_unlock);
	else
		contention_kept(lock, marked);
	return r;
}

RELEASE(WAIT_LOCK, pthread_mutex_unlock, pthread_mutex_t, is_last, real.pthread_mutex_unlock)
RELEASE(WAIT_SPIN, pthread_spin_unlock, pthread_spinlock_t, is_always,
	NULL) /* glibc's is the same code as pthread_spin_init(), and would be shown as that */
RELEASE(WAIT_LOCK, mtx_unlock, mtx_t, is_last_of_mtx, real.mtx_unlock)

RELEASES(pthread_mutex_unlock, pthread_mutex_t)
RELEASES(pthread_rwlock_unlock, pthread_rwlock_t)
RELEASES(pthread_spin_unlock, pthread_spinlock_t)
RELEASES(mtx_unlock, mtx_t)

/* The names that old programs know them by. */
#define ALSO(name, other) CPROF_PUBLIC __typeof__(name) other __attribute__((nothrow, alias(#name)))

ALSO(pthread_mutex_lock, __pthread_mutex_lock);
ALSO(pthread_mutex_unlock, __pthread_mutex_unlock);
ALSO(pthread_rwlock_rdlock, __pthread_rwlock_rdlock);
ALSO(pthread_rwlock_wrlock, __pthread_rwlock_wrlock);
ALSO(pthread_rwlock_unlock, __pthread_rwlock_unlock);
