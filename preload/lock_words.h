/*
 * What glibc keeps in locks, as far as their wrappers look at it (bits/struct_mutex.h, bits/struct_rwlock.h, pthreadP.h,
 * pthread_rwlock_common.c), and what its pthread_mutex_trylock() puts there.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Of a mutex's kind. */
enum { RECURSIVE = 1, TYPE = 3, ROBUST = 16, INHERITS = 32, PROTECTS = 64 };

/* No kind at all, which most are: neither recursive nor checked, robust, shared between processes or with priorities. */
static inline bool is_plain(const pthread_mutex_t *mutex)
{
	return mutex->__data.__kind == PTHREAD_MUTEX_TIMED_NP;
}

/* glibc's; not there before 2.32. Once there was a second thread it is 0. */
extern char __libc_single_threaded __attribute__((weak));

/* Takes a plain one for the thread @tid, unless somebody has it: true. As glibc's lock, without an atomic instruction where one thread is alone. */
static inline bool take_plain(pthread_mutex_t *mutex, int tid)
{
	int *word = &mutex->__data.__lock, none = 0;

	if (&__libc_single_threaded != NULL && __libc_single_threaded) {
		if (*word != 0)
			return false;
		*word = 1;
	} else if (!__atomic_compare_exchange_n(word, &none, 1, false, __ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED)) {
		return false;
	}
	mutex->__data.__owner = tid;
	mutex->__data.__nusers++;
	return true;
}

/*
 * A recursive one is taken by the first of its locks and released by the last of its unlocks; to wait for a condition with it
 * is one unlock, too.
 */
static inline bool is_outermost(const pthread_mutex_t *mutex)
{
	return (mutex->__data.__kind & TYPE) != RECURSIVE || mutex->__data.__count <= 1;
}

/* C11's is one. */
static inline bool is_outermost_of_mtx(const void *mutex)
{
	return is_outermost((const pthread_mutex_t *)mutex);
}

/* Asked by who has it. */
static inline bool has_reader(const pthread_rwlock_t *lock)
{
	return lock->__data.__cur_writer == 0;
}

/* The number of readers stands above three bits of other meaning. */
enum { WRITE_PHASE = 1, WRITE_LOCKED = 2 };
#define READERS(word) ((word) >> 3)

static inline uint32_t readers_word(const pthread_rwlock_t *lock)
{
	return __atomic_load_n(&lock->__data.__readers, __ATOMIC_RELAXED);
}
