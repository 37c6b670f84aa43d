#include "preload/looks.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdint.h>

#include "core/thread.h"
#include "preload/lock_words.h"

#define NOT_RECOVERABLE (INT_MAX - 1)
#define TAKEN_BITS      0x7ffffu /* of the word of one that protects; above is its ceiling */

int looks_at_mutex(pthread_mutex_t *mutex)
{
	uint32_t word = (uint32_t)__atomic_load_n(&mutex->__data.__lock, __ATOMIC_RELAXED), tid;
	int owner = __atomic_load_n(&mutex->__data.__owner, __ATOMIC_RELAXED);
	const struct thread *self = thread_self_block;

	if (mutex->__data.__kind & PROTECTS) {
		word &= TAKEN_BITS;
		tid = (uint32_t)owner;
	} else if (mutex->__data.__kind & (ROBUST | INHERITS)) {
		tid = word & FUTEX_TID_MASK;
		if (word & FUTEX_OWNER_DIED)
			return LET_IT;
	} else {
		tid = (uint32_t)owner;
	}
	if (word == 0 || owner == NOT_RECOVERABLE || (self != NULL && tid == (uint32_t)self->tid))
		return LET_IT;
	return EBUSY;
}

int looks_at_read(pthread_rwlock_t *lock)
{
	uint32_t word = readers_word(lock);

	if (!(word & WRITE_LOCKED))
		return LET_IT;
	return word & WRITE_PHASE ||
			       lock->__data.__flags == PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP
		       ? EBUSY
		       : LET_IT;
}

int looks_at_write(pthread_rwlock_t *lock)
{
	uint32_t word = readers_word(lock);

	return word & WRITE_LOCKED || READERS(word) != 0 ? EBUSY : LET_IT;
}

int looks_at_spin(pthread_spinlock_t *lock)
{
	return __atomic_load_n(lock, __ATOMIC_RELAXED) > 0 ? LET_IT : EBUSY; /* as x86_64 has it */
}

int looks_at_mtx(mtx_t *mutex)
{
	/* glibc's is one */
	return looks_at_mutex((pthread_mutex_t *)(void *)mutex) == EBUSY ? thrd_busy : thrd_error;
}

int looks_at_thread(pthread_t thread, void **result)
{
	(void)thread;
	(void)result;
	return EBUSY;
}
