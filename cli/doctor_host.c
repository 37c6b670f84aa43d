/*
 * The program that the trial runs: a little of everything that a profile counts.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "core/clock.h"

#define BURN_NS   \
	UINT64_C( \
		120000000) /* a dozen samples; where the first signal is lost, the next is due after 80 ms */
#define BLOCKS      256 /* 16 MiB in all: 32 samples, none once in 10^14 */
#define BLOCK_BYTES (64 << 10)
#define LONG_NS     UINT64_C(1000000) /* a wait that nobody can take for a short one */
#define ROUNDS      50

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool is_there;
static uint64_t waited_ns;

static void burn(uint64_t ns)
{
	uint64_t until = clock_read(CLOCK_THREAD_CPUTIME_ID) + ns;

	while (clock_read(CLOCK_THREAD_CPUTIME_ID) < until)
		for (volatile unsigned i = 0; i < 10000; i++)
			;
}

static void *wait_for_lock(void *unused)
{
	uint64_t begun = clock_monotonic();

	atomic_store_explicit(&is_there, true, memory_order_relaxed);
	pthread_mutex_lock(&lock);
	waited_ns = clock_monotonic() - begun;
	pthread_mutex_unlock(&lock);
	return unused;
}

/* Until it was long enough: the other thread may come late. */
static void contend(void)
{
	pthread_t other;

	for (int i = 0; i < ROUNDS && waited_ns < LONG_NS; i++) {
		atomic_store_explicit(&is_there, false, memory_order_relaxed);
		pthread_mutex_lock(&lock);
		if (pthread_create(&other, NULL, wait_for_lock, NULL) != 0) {
			pthread_mutex_unlock(&lock);
			return;
		}
		while (!atomic_load_explicit(&is_there, memory_order_relaxed))
			sched_yield();
		nanosleep(&(struct timespec){0, 5 * LONG_NS}, NULL);
		pthread_mutex_unlock(&lock);
		pthread_join(other, NULL);
	}
}

static void allocate(void)
{
	void *volatile blocks[BLOCKS];

	for (int i = 0; i < BLOCKS; i++)
		blocks[i] = malloc(BLOCK_BYTES);
	for (int i = 0; i < BLOCKS; i++)
		free(blocks[i]);
}

int doctor_host(void)
{
	char word;

	while (read(STDIN_FILENO, &word, 1) > 0) /* until whoever watches is ready */
		;
	allocate();
	contend();
	burn(BURN_NS);
	return 0;
}
