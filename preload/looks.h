/*
 * looks: locks that are looked at where they must not be tried.
 *
 * A wrapper tries first (wrap_lock.c). But another library may stand between us and the C library, with functions of its own
 * by these names: a counter, a checker of the order of locks, a sanitizer's runtime. It has to see the calls that the program
 * makes, and no others: to a checker a lock that was tried is not one that was waited for. So then the lock is only looked at,
 * and one that is taken between the look and the call is waited for without a word.
 *
 * Each has the type of the function that it stands for. Always EBUSY, or what it is for mtx_trylock(): the call waits. Or LET_IT:
 * the call shall find out by itself.
 */
#pragma once

#include <pthread.h>
#include <threads.h>

#define LET_IT (-1)

int looks_at_mutex(pthread_mutex_t *mutex);
int looks_at_read(pthread_rwlock_t *lock);
int looks_at_write(pthread_rwlock_t *lock);
int looks_at_spin(pthread_spinlock_t *lock);
int looks_at_mtx(mtx_t *mutex);
int looks_at_thread(pthread_t thread, void **result); /* nobody can tell: EBUSY */
