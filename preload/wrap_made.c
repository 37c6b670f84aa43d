/*
 * Wrappers of what makes and destroys locks and their like: a lock in no file's data is known by where it was made.
 */
#include "cprof/cprof.h"
#include "preload/real.h"
#include "profiles/mutex/contention.h"
#include "tracer/sync.h"

#define WANTED (WAIT_TIMED | WAIT_COUNTED | WAIT_IO | WAIT_TRACED)
#define HERE   ((uintptr_t)__builtin_return_address(0) - 1) /* as in a stack */

__attribute__((noinline)) static void note_made(const void *object, uintptr_t pc)
{
	contention_made(object, pc);
	if (wait_is_wanted(WAIT_TRACED))
		sync_made(object, pc);
}

__attribute__((noinline)) static void note_gone(const void *object)
{
	if (wait_is_wanted(WAIT_TRACED))
		sync_gone(object);
	contention_gone(object);
}

#define MAKES(exported, name, parameters, arguments, object)   \
	CPROF_PUBLIC int exported parameters;                  \
	CPROF_PUBLIC int exported parameters                   \
	{                                                      \
		if (wait_is_wanted(WANTED))                    \
			note_made((const void *)object, HERE); \
		return real.name arguments;                    \
	}

#define DESTROYS(exported, name, parameters, arguments, object) \
	CPROF_PUBLIC int exported parameters;                   \
	CPROF_PUBLIC int exported parameters                    \
	{                                                       \
		if (wait_is_wanted(WANTED))                     \
			note_gone((const void *)object);        \
		return real.name arguments;                     \
	}

/* clang-format off */
MAKES(pthread_mutex_init, pthread_mutex_init, (pthread_mutex_t *mutex, const pthread_mutexattr_t *attr), (mutex, attr), mutex)
MAKES(pthread_rwlock_init, pthread_rwlock_init, (pthread_rwlock_t *lock, const pthread_rwlockattr_t *attr), (lock, attr), lock)
MAKES(pthread_spin_init, pthread_spin_init, (pthread_spinlock_t *lock, int shared), (lock, shared), lock)
MAKES(pthread_barrier_init, pthread_barrier_init, (pthread_barrier_t *barrier, const pthread_barrierattr_t *attr, unsigned int count),
      (barrier, attr, count), barrier)
MAKES(sem_init, sem_init, (sem_t *sem, int shared, unsigned int value), (sem, shared, value), sem)
MAKES(mtx_init, mtx_init, (mtx_t *mutex, int type), (mutex, type), mutex)
MAKES(cnd_init, cnd_init, (cnd_t *cond), (cond), cond)
DESTROYS(pthread_mutex_destroy, pthread_mutex_destroy, (pthread_mutex_t *mutex), (mutex), mutex)
DESTROYS(pthread_rwlock_destroy, pthread_rwlock_destroy, (pthread_rwlock_t *lock), (lock), lock)
DESTROYS(pthread_spin_destroy, pthread_spin_destroy, (pthread_spinlock_t *lock), (lock), lock)
DESTROYS(pthread_barrier_destroy, pthread_barrier_destroy, (pthread_barrier_t *barrier), (barrier), barrier)
DESTROYS(sem_destroy, sem_destroy, (sem_t *sem), (sem), sem)


CPROF_PUBLIC void mtx_destroy(mtx_t *mutex)
{
	if (wait_is_wanted(WANTED))
		note_gone(mutex);
	real.mtx_destroy(mutex);
}

CPROF_PUBLIC void cnd_destroy(cnd_t *cond)
{
	if (wait_is_wanted(WANTED))
		note_gone(cond);
	real.cnd_destroy(cond);
}

/* Those of the older kind go to the C library: see libcprof.map. */
#ifdef __x86_64__
MAKES(cond_init_2_3_2, pthread_cond_init, (pthread_cond_t *cond, const pthread_condattr_t *attr), (cond, attr), cond)
DESTROYS(cond_destroy_2_3_2, pthread_cond_destroy, (pthread_cond_t *cond), (cond), cond)
__asm__(".symver cond_init_2_3_2, pthread_cond_init@@GLIBC_2.3.2\n\t"
	".symver cond_destroy_2_3_2, pthread_cond_destroy@@GLIBC_2.3.2");
#else
MAKES(pthread_cond_init, pthread_cond_init, (pthread_cond_t *cond, const pthread_condattr_t *attr), (cond, attr), cond)
DESTROYS(pthread_cond_destroy, pthread_cond_destroy, (pthread_cond_t *cond), (cond), cond)
#endif
/* clang-format on */

/* The names that old programs know them by. */
#define ALSO(name, other) \
	CPROF_PUBLIC __typeof__(name) other __attribute__((nothrow, leaf, alias(#name)))

ALSO(pthread_mutex_init, __pthread_mutex_init);
ALSO(pthread_mutex_destroy, __pthread_mutex_destroy);
ALSO(pthread_rwlock_init, __pthread_rwlock_init);
ALSO(pthread_rwlock_destroy, __pthread_rwlock_destroy);
