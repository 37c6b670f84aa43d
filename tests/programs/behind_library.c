/*
 * behind_library: stands in front of the C library's locks, and behind whatever is preloaded: counts their calls. A checker of
 * the order of locks would do the same.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <threads.h>

void behind_print(void);

#define COUNTS(name, parameters, arguments)                             \
	static unsigned count_##name;                                   \
	int name parameters                                             \
	{                                                               \
		static int(*next) parameters;                           \
                                                                        \
		if (next == NULL)                                       \
			*(void **)&next = dlsym(RTLD_NEXT, #name);      \
		__atomic_fetch_add(&count_##name, 1, __ATOMIC_RELAXED); \
		return next arguments;                                  \
	}
#define ALL                                                                                      \
	COUNTS(pthread_mutex_lock, (pthread_mutex_t * mutex), (mutex))                           \
	COUNTS(pthread_mutex_trylock, (pthread_mutex_t * mutex), (mutex))                        \
	COUNTS(pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock))                         \
	COUNTS(pthread_rwlock_timedwrlock, (pthread_rwlock_t * lock, const struct timespec *at), \
	       (lock, at))                                                                       \
	COUNTS(pthread_spin_lock, (pthread_spinlock_t * lock), (lock))                           \
	COUNTS(mtx_lock, (mtx_t * mutex), (mutex))                                               \
	COUNTS(pthread_join, (pthread_t thread, void **result), (thread, result))
/* clang-format off */
ALL

void behind_print(void)
{
#undef COUNTS
#define COUNTS(name, parameters, arguments) printf("%s: %u\n", #name, count_##name);
	ALL
}
/* clang-format on */
