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
#include "tracer/sync.h"

/*
 * Of a robust mutex, one whose owner died is taken with an error, and a try of one that is beyond recovery leaves it locked
 * (glibc 2.36). Those that change priorities have rules of their own. So these are not tried but looked at.
 */
static inline int try_mutex(pthread_mutex_t *mutex)
{
	if (unlikely(mutex->__data.__kind & (ROBUST | INHERITS | PROTECTS)))
		return looks_at_mutex(mutex);
	return tries.mutex(mutex);
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
	return tries.read(lock);
}

static inline int try_write(pthread_rwlock_t *lock)
{
	return tries.write(lock);
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
	return tries.spin(lock);
}

static inline int try_mtx(mtx_t *mutex)
{
	int r = tries.mtx(mutex);

	return r == thrd_success ? 0 : r == thrd_busy ? EBUSY : LET_IT;
}
_Static_assert(thrd_success == 0, "what mtx_lock returns");

static inline int error_of_mtx(int result)
{
	return result == thrd_success ? 0 : result == thrd_timedout ? ETIMEDOUT : EINVAL;
}

#define ERROR(result) (result)

static inline bool is_always(const volatile void *lock)
{
	(void)lock;
	return true;
}

/* Who has it, or had it just now: a thread's number, 0 when it is not known. */
static inline int holder_of(const pthread_mutex_t *mutex)
{
	return __atomic_load_n(&mutex->__data.__owner, __ATOMIC_RELAXED);
}

static inline int holder_of_mtx(const mtx_t *mutex)
{
	return holder_of((const pthread_mutex_t *)(const void *)mutex);
}

static inline int writer_of(const pthread_rwlock_t *lock)
{
	return __atomic_load_n(&lock->__data.__cur_writer, __ATOMIC_RELAXED);
}

static inline int holder_of_spin(const volatile void *lock)
{
	(void)lock;
	return 0;
}

/*
 * What kinds of locks are to the tracer: kind, whether a call that has it was the outermost one, who has it. And how a call
 * takes it.
 */
#define OF_MUTEX  TRACE_OBJECT_MUTEX, is_outermost, holder_of
#define OF_MTX    TRACE_OBJECT_MUTEX, is_outermost_of_mtx, holder_of_mtx
#define OF_RWLOCK TRACE_OBJECT_RWLOCK, is_always, writer_of
#define OF_SPIN   TRACE_OBJECT_SPIN, is_always, holder_of_spin
#define ALONE     SYNC_EXCLUSIVE
#define SHARED    SYNC_SHARED

/*
 * Several functions each, and all are jumped to but the real ones: the first, which is all there is when nothing is wanted,
 * keeps no registers, and the caller of the last is the host.
 */
#define TRIES(code, of, mode, name, parameters, arguments, lock, try, error)    \
	TRIES_OF(code, of, mode, name, parameters, arguments, lock, try, error) \
	TRIES_DOOR(name, parameters, arguments, take_in_##name, try_in_##name)
#define TRIES_BODY(...) TRIES_OF(__VA_ARGS__)
#define TRIES_OF(code, kind, is_first, holder, mode, name, parameters, arguments, lock, try,    \
		 error)                                                                         \
	__attribute__((noinline)) static int wait_in_##name parameters                          \
	{                                                                                       \
		int r;                                                                          \
		WAITING_WITH(code, real.name, (const void *)lock, mode, holder(lock));          \
		r = real.name arguments;                                                        \
		waiting.result = error(r);                                                      \
		return r;                                                                       \
	}                                                                                       \
	__attribute__((noinline)) static int let_in_##name parameters                           \
	{                                                                                       \
		int r = real.name arguments;                                                    \
                                                                                                \
		if (wait_is_wanted(WAIT_TRACED) && (error(r) == 0 || r == EOWNERDEAD) &&        \
		    is_first(lock))                                                             \
			sync_taken((const void *)lock, kind, mode);                             \
		return r;                                                                       \
	}                                                                                       \
	__attribute__((noinline)) static int take_in_##name parameters                          \
	{                                                                                       \
		int r = try;                                                                    \
                                                                                                \
		if (likely(r == 0))                                                             \
			return is_first(lock) ? sync_taken((const void *)lock, kind, mode) : 0; \
		return r == EBUSY ? wait_in_##name arguments : let_in_##name arguments;         \
	}                                                                                       \
	__attribute__((noinline)) static int try_in_##name parameters                           \
	{                                                                                       \
		int r = try;                                                                    \
                                                                                                \
		if (likely(r == 0))                                                             \
			return 0;                                                               \
		return r == EBUSY ? wait_in_##name arguments : real.name arguments;             \
	}

#define TRIES_DOOR(name, parameters, arguments, take, try)                                 \
	CPROF_PUBLIC int name parameters                                                   \
	{                                                                                  \
		uint32_t on = atomic_load_explicit(&wait_is_on, memory_order_relaxed);     \
                                                                                           \
		if (unlikely(on & (WAIT_SHOWN | WAIT_TIMED | WAIT_COUNTED | WAIT_TRACED))) \
			return on & WAIT_TRACED ? take arguments : try arguments;          \
		return real.name arguments;                                                \
	}

#define MUTEX  pthread_mutex_t *mutex
#define RWLOCK pthread_rwlock_t *lock
#define UNTIL  const struct timespec *until

/* clang-format off */
TRIES_BODY(WAIT_LOCK, OF_MUTEX, ALONE, pthread_mutex_lock, (MUTEX), (mutex), mutex, try_mutex(mutex), ERROR)
TRIES(WAIT_LOCK, OF_MUTEX, ALONE, pthread_mutex_timedlock, (MUTEX, UNTIL), (mutex, until), mutex, try_mutex(mutex), ERROR)
TRIES(WAIT_LOCK, OF_MUTEX, ALONE, pthread_mutex_clocklock, (MUTEX, clockid_t clock, UNTIL), (mutex, clock, until), mutex,
      try_mutex_by(mutex, clock), ERROR)
TRIES(WAIT_RWLOCK, OF_RWLOCK, SHARED, pthread_rwlock_rdlock, (RWLOCK), (lock), lock, try_read(lock), ERROR)
TRIES(WAIT_RWLOCK, OF_RWLOCK, ALONE, pthread_rwlock_wrlock, (RWLOCK), (lock), lock, try_write(lock), ERROR)
TRIES(WAIT_RWLOCK, OF_RWLOCK, SHARED, pthread_rwlock_timedrdlock, (RWLOCK, UNTIL), (lock, until), lock,
      try_read_by(lock, CLOCK_REALTIME, until), ERROR)
TRIES(WAIT_RWLOCK, OF_RWLOCK, ALONE, pthread_rwlock_timedwrlock, (RWLOCK, UNTIL), (lock, until), lock,
      try_write_by(lock, CLOCK_REALTIME, until), ERROR)
TRIES(WAIT_RWLOCK, OF_RWLOCK, SHARED, pthread_rwlock_clockrdlock, (RWLOCK, clockid_t clock, UNTIL), (lock, clock, until), lock,
      try_read_by(lock, clock, until), ERROR)
TRIES(WAIT_RWLOCK, OF_RWLOCK, ALONE, pthread_rwlock_clockwrlock, (RWLOCK, clockid_t clock, UNTIL), (lock, clock, until), lock,
      try_write_by(lock, clock, until), ERROR)
TRIES(WAIT_SPIN, OF_SPIN, ALONE, pthread_spin_lock, (pthread_spinlock_t *lock), (lock), lock, try_spin(lock), ERROR)
TRIES(WAIT_LOCK, OF_MTX, ALONE, mtx_lock, (mtx_t *mutex), (mutex), mutex, try_mtx(mutex), error_of_mtx)
TRIES(WAIT_LOCK, OF_MTX, ALONE, mtx_timedlock, (mtx_t *mutex, UNTIL), (mutex, until), mutex, try_mtx(mutex), error_of_mtx)
/* clang-format on */

/*
 * What nearly all calls are: of a plain mutex. It is taken here, for to call somebody who asks for its kind once more and then does
 * the same takes half as long again.
 */
static inline bool may_take(const pthread_mutex_t *mutex, const struct thread *self)
{
	return is_plain(mutex) && tries.takes_words && self != NULL;
}

__attribute__((noinline)) static int take_plain_in_lock(pthread_mutex_t *mutex)
{
	const struct thread *self = thread_self_block;

	if (unlikely(!may_take(mutex, self)))
		return take_in_pthread_mutex_lock(mutex);
	if (unlikely(!take_plain(mutex, self->tid)))
		return wait_in_pthread_mutex_lock(mutex);
	return sync_taken(mutex, TRACE_OBJECT_MUTEX, ALONE);
}

__attribute__((noinline)) static int try_plain_in_lock(pthread_mutex_t *mutex)
{
	const struct thread *self = thread_self_block;

	if (unlikely(!may_take(mutex, self)))
		return try_in_pthread_mutex_lock(mutex);
	return likely(take_plain(mutex, self->tid)) ? 0 : wait_in_pthread_mutex_lock(mutex);
}

TRIES_DOOR(pthread_mutex_lock, (MUTEX), (mutex), take_plain_in_lock, try_plain_in_lock)

/* ---- tries of the host's own ---- */

#define TRIED(of, mode, name, type, busy) TRIED_OF(of, mode, name, type, busy)
#define TRIED_OF(kind, is_first, holder, mode, name, type, busy)                           \
	__attribute__((noinline)) static int trace_##name(type *lock)                      \
	{                                                                                  \
		int r = real.name(lock);                                                   \
                                                                                           \
		if ((r == 0 || r == EOWNERDEAD) && is_first(lock))                         \
			sync_got((const void *)lock, kind, mode);                          \
		else if (r == (busy))                                                      \
			sync_refused((const void *)lock, kind, mode, EBUSY);               \
		return r;                                                                  \
	}                                                                                  \
	CPROF_PUBLIC int name(type *lock)                                                  \
	{                                                                                  \
		return wait_is_wanted(WAIT_TRACED) ? trace_##name(lock) : real.name(lock); \
	}

TRIED(OF_MUTEX, ALONE, pthread_mutex_trylock, pthread_mutex_t, EBUSY)
TRIED(OF_RWLOCK, SHARED, pthread_rwlock_tryrdlock, pthread_rwlock_t, EBUSY)
TRIED(OF_RWLOCK, ALONE, pthread_rwlock_trywrlock, pthread_rwlock_t, EBUSY)
TRIED(OF_SPIN, ALONE, pthread_spin_trylock, pthread_spinlock_t, EBUSY)
TRIED(OF_MTX, ALONE, mtx_trylock, mtx_t, thrd_busy)

/* ---- releases ---- */

/* How it is held. */
static inline enum sync_mode alone(const volatile void *lock)
{
	(void)lock;
	return SYNC_EXCLUSIVE;
}

static inline enum sync_mode mode_of_rwlock(const pthread_rwlock_t *lock)
{
	return writer_of(lock) != 0 ? SYNC_EXCLUSIVE : SYNC_SHARED;
}

/*
 * Whoever sleeps for the lock was counted before it slept, so nobody has to look again after the release. One that comes at
 * this moment has next to nothing to wait for; what that is goes with the next charge.
 */
#define CHARGES(code, name, type, is_released, shown)                                              \
	__attribute__((noinline)) static int charge_in_##name(type *lock)                          \
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

/* A writer's as any other. Of readers that leave at once, one is charged. */
__attribute__((noinline)) static int charge_in_pthread_rwlock_unlock(pthread_rwlock_t *lock)
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

CHARGES(WAIT_LOCK, pthread_mutex_unlock, pthread_mutex_t, is_outermost, real.pthread_mutex_unlock)
CHARGES(WAIT_SPIN, pthread_spin_unlock, pthread_spinlock_t, is_always,
	NULL) /* glibc's is the same code as pthread_spin_init(), and would be shown as that */
CHARGES(WAIT_LOCK, mtx_unlock, mtx_t, is_outermost_of_mtx, real.mtx_unlock)

#define RELEASES(of, mode, name, type, shown) RELEASES_OF(of, mode, name, type, shown)
#define RELEASES_OF(kind, is_last, holder, mode, name, type, shown)                            \
	__attribute__((noinline)) static int write_in_##name(type *lock)                       \
	{                                                                                      \
		bool is_counted = contention_may_be((const void *)lock);                       \
		struct sync_release release;                                                   \
		int r;                                                                         \
                                                                                               \
		release.event = 0;                                                             \
		if (is_last(lock) && !sync_pairs((const void *)lock))                          \
			sync_releases(&release, (const void *)lock, kind, mode(lock),          \
				      (uintptr_t)(shown));                                     \
		r = is_counted ? charge_in_##name(lock) : real.name(lock);                     \
		if (r == 0)                                                                    \
			sync_released(&release, (uintptr_t)(shown));                           \
		return r;                                                                      \
	}                                                                                      \
	__attribute__((noinline)) static int release_in_##name(type *lock)                     \
	{                                                                                      \
		return wait_is_wanted(WAIT_TRACED) ? write_in_##name(lock)                     \
						   : charge_in_##name(lock);                   \
	}                                                                                      \
	CPROF_PUBLIC int name(type *lock)                                                      \
	{                                                                                      \
		/* while nobody asks for it nobody is counted, as a rule */                    \
		if (!contention_may_be_seen((const void *)lock))                               \
			return real.name(lock);                                                \
		if (likely(!contention_may_be((const void *)lock)) &&                          \
		    (unlikely(!is_last(lock)) || likely(sync_pairs_near((const void *)lock)))) \
			return real.name(lock);                                                \
		return release_in_##name(lock);                                                \
	}

RELEASES(OF_MUTEX, alone, pthread_mutex_unlock, pthread_mutex_t, real.pthread_mutex_unlock)
RELEASES(OF_RWLOCK, mode_of_rwlock, pthread_rwlock_unlock, pthread_rwlock_t,
	 real.pthread_rwlock_unlock)
RELEASES(OF_SPIN, alone, pthread_spin_unlock, pthread_spinlock_t, NULL)
RELEASES(OF_MTX, alone, mtx_unlock, mtx_t, real.mtx_unlock)

/* The names that old programs know them by. */
#define ALSO(name, other) CPROF_PUBLIC __typeof__(name) other __attribute__((nothrow, alias(#name)))

ALSO(pthread_mutex_lock, __pthread_mutex_lock);
ALSO(pthread_mutex_unlock, __pthread_mutex_unlock);
ALSO(pthread_rwlock_rdlock, __pthread_rwlock_rdlock);
ALSO(pthread_rwlock_wrlock, __pthread_rwlock_wrlock);
ALSO(pthread_rwlock_unlock, __pthread_rwlock_unlock);
ALSO(pthread_mutex_trylock, __pthread_mutex_trylock);
ALSO(pthread_rwlock_tryrdlock, __pthread_rwlock_tryrdlock);
ALSO(pthread_rwlock_trywrlock, __pthread_rwlock_trywrlock);
