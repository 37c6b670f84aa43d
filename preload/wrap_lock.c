/*
 * Wrappers of locks. While somebody looks at threads they try first, so that a thread says that it waits for a lock only
 * when it does (core/wait.h). Those with a time limit do not: they look at their arguments before they look at the lock,
 * and a try does not. They are among those of wrap_wait.c, and so is all else that waits.
 */
#include <stdatomic.h>

#include "core/wait.h"
#include "cprof/cprof.h"
#include "preload/real.h"

/*
 * A try that does not succeed leaves everything as it was, and the call behind it finds its own result. One that does has to
 * mean that the call would have returned 0, too, at once. A robust mutex whose owner died is taken with an error, and those
 * that change priorities have rules of their own: they are not tried.
 */
static bool try_mutex(pthread_mutex_t *mutex)
{
	enum { ROBUST = 16, INHERITS = 32, PROTECTS = 64 };

	return !(mutex->__data.__kind & (ROBUST | INHERITS | PROTECTS)) &&
	       real.pthread_mutex_trylock != NULL && real.pthread_mutex_trylock(mutex) == 0;
}

/* Where writers come first, this leaves the lock to one that waits, as the call itself does. */
static bool try_read(pthread_rwlock_t *lock)
{
	return real.pthread_rwlock_tryrdlock != NULL && real.pthread_rwlock_tryrdlock(lock) == 0;
}

static bool try_write(pthread_rwlock_t *lock)
{
	return real.pthread_rwlock_trywrlock != NULL && real.pthread_rwlock_trywrlock(lock) == 0;
}

static bool try_mtx(mtx_t *mutex)
{
	return real.mtx_trylock != NULL && real.mtx_trylock(mutex) == thrd_success;
}

/* Two functions each, as in wrap_wait.c. */
#define TRIES(name, type, try)                                                        \
	__attribute__((noinline)) static int wait_in_##name(type *lock)               \
	{                                                                             \
		WAITING(WAIT_LOCK, real.name);                                        \
		return real.name(lock);                                               \
	}                                                                             \
	CPROF_PUBLIC int name(type *lock)                                             \
	{                                                                             \
		if (likely(!atomic_load_explicit(&wait_is_on, memory_order_relaxed))) \
			return real.name(lock);                                       \
		return try(lock) ? 0 : wait_in_##name(lock);                          \
	}

TRIES(pthread_mutex_lock, pthread_mutex_t, try_mutex)
TRIES(pthread_rwlock_rdlock, pthread_rwlock_t, try_read)
TRIES(pthread_rwlock_wrlock, pthread_rwlock_t, try_write)
TRIES(mtx_lock, mtx_t, try_mtx)
_Static_assert(thrd_success == 0, "what mtx_lock returns");

/* The names that old programs know them by. */
#define ALSO(name, other) CPROF_PUBLIC __typeof__(name) other __attribute__((nothrow, alias(#name)))

ALSO(pthread_mutex_lock, __pthread_mutex_lock);
ALSO(pthread_rwlock_rdlock, __pthread_rwlock_rdlock);
ALSO(pthread_rwlock_wrlock, __pthread_rwlock_wrlock);
