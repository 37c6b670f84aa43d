/*
 * lockshared: a mutex of two processes. A child holds it for long and the parent waits; then the parent holds it for a little
 * while one of its own threads waits. Prints how long the parent has waited for the child, and how long it held the mutex.
 *
 *     lockshared
 */
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/host.h"

#define TIMES 5

static struct {
	pthread_mutex_t mutex;
	sem_t taken, again;
} * shared;

static int64_t waited_ns, held_ns;

KEEP static void hold_for_long(void)
{
	pthread_mutex_lock(&shared->mutex);
	sem_post(&shared->taken);
	usleep(50000);
	pthread_mutex_unlock(&shared->mutex);
}

KEEP static void wait_for_child(void)
{
	int64_t begun = host_clock(CLOCK_MONOTONIC);

	pthread_mutex_lock(&shared->mutex);
	waited_ns += host_clock(CLOCK_MONOTONIC) - begun;
	pthread_mutex_unlock(&shared->mutex);
}

static void *wait_a_little(void *arg)
{
	pthread_mutex_lock(&shared->mutex);
	pthread_mutex_unlock(&shared->mutex);
	return arg;
}

KEEP static void hold_a_little(void)
{
	int64_t begun = host_clock(CLOCK_MONOTONIC);
	pthread_t id;

	pthread_mutex_lock(&shared->mutex);
	pthread_create(&id, NULL, wait_a_little, NULL);
	usleep(10000);
	pthread_mutex_unlock(&shared->mutex);
	held_ns = host_clock(CLOCK_MONOTONIC) - begun;
	pthread_join(id, NULL);
}

int main(void)
{
	pthread_mutexattr_t attr;
	pid_t child;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		return 1;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&shared->mutex, &attr);
	sem_init(&shared->taken, 1, 0);
	sem_init(&shared->again, 1, 0);
	child = fork();
	if (child == 0) {
		for (int i = 0; i < TIMES; i++) {
			hold_for_long();
			sem_wait(&shared->again);
		}
		_exit(0);
	}
	for (int i = 0; i < TIMES; i++) {
		sem_wait(&shared->taken);
		wait_for_child();
		sem_post(&shared->again);
	}
	waitpid(child, NULL, 0);
	hold_a_little();
	printf("{\"waited_ns\": %lld, \"held_ns\": %lld}\n", (long long)waited_ns,
	       (long long)held_ns);
	return 0;
}
