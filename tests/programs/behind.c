/*
 * behind: locks of every kind, taken and waited for, with a library that counts the calls (behind_library.c). It says how often it
 * was called. What is waited for is held until the waiter sleeps.
 *
 *     behind
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <threads.h>
#include <unistd.h>

#include "tests/programs/host.h"

#define TIMES 100

void behind_print(void);

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spin;
static mtx_t mtx;
static sem_t begun;

KEEP static void take_all(void)
{
	struct timespec at = {INT32_MAX, 0};

	pthread_mutex_lock(&mutex);
	pthread_mutex_unlock(&mutex);
	pthread_rwlock_rdlock(&rwlock);
	pthread_rwlock_unlock(&rwlock);
	pthread_rwlock_timedwrlock(&rwlock, &at);
	pthread_rwlock_unlock(&rwlock);
	pthread_spin_lock(&spin);
	pthread_spin_unlock(&spin);
	mtx_lock(&mtx);
	mtx_unlock(&mtx);
}

KEEP static void *wait_for_mutex(void *arg)
{
	sem_post(&begun);
	pthread_mutex_lock(&mutex);
	pthread_mutex_unlock(&mutex);
	return arg;
}

KEEP static void *wait_to_read(void *arg)
{
	sem_post(&begun);
	pthread_rwlock_rdlock(&rwlock);
	pthread_rwlock_unlock(&rwlock);
	return arg;
}

static void hold(void *(*wait)(void *), int (*unlock)(void *), void *lock)
{
	pthread_t id;

	pthread_create(&id, NULL, wait, NULL);
	sem_wait(&begun);
	usleep(50000);
	unlock(lock);
	pthread_join(id, NULL);
}

static int unlock_mutex(void *lock)
{
	return pthread_mutex_unlock(lock);
}

static int unlock_rwlock(void *lock)
{
	return pthread_rwlock_unlock(lock);
}

/* What the program tries it gets, or not, as ever. */
KEEP static void try_all(void)
{
	for (int i = 0; i < 2; i++) {
		printf("try mutex: %d\n", pthread_mutex_trylock(&mutex));
		printf("try to read: %d\n", pthread_rwlock_tryrdlock(&rwlock));
		printf("try spin: %d\n", pthread_spin_trylock(&spin));
		printf("try mtx: %d\n", mtx_trylock(&mtx));
	}
	printf("try to write: %d\n", pthread_rwlock_trywrlock(&rwlock));
	pthread_rwlock_unlock(&rwlock);
	printf("try to write: %d\n", pthread_rwlock_trywrlock(&rwlock));
	pthread_rwlock_unlock(&rwlock);
	printf("try to write: %d\n", pthread_rwlock_trywrlock(&rwlock));
	pthread_rwlock_unlock(&rwlock);
	pthread_mutex_unlock(&mutex);
	pthread_spin_unlock(&spin);
	mtx_unlock(&mtx);
}

int main(void)
{
	struct timespec at = {INT32_MAX, 0};

	pthread_spin_init(&spin, 0);
	mtx_init(&mtx, mtx_plain);
	sem_init(&begun, 0, 0);
	for (int i = 0; i < TIMES; i++)
		take_all();
	try_all();
	pthread_mutex_lock(&mutex);
	hold(wait_for_mutex, unlock_mutex, &mutex);
	pthread_rwlock_timedwrlock(&rwlock, &at);
	hold(wait_to_read, unlock_rwlock, &rwlock);
	behind_print();
	return 0;
}
