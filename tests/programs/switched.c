/*
 * A program that works all the time, while profiles are switched on and off around it, and says how much of everything it has
 * done: a line for each line that it reads. At the end of its input it ends.
 *
 * Of each kind of work it counts what has begun and what is done. What was done between two looks lies between
 * later done - earlier begun and later begun - earlier done.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "tests/programs/host.h"

#define ALLOCATE_BYTES 1000
#define WAIT_NS        INT64_C(1000000)

enum work { BURNS, ALLOCATES, WAITS, LOCKS, WORKS };

static struct counts {
	atomic_uint_fast64_t begun, done;
} counts[WORKS];
static atomic_bool is_over;
static atomic_uint wrong;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

KEEP static void burn_some(void)
{
	host_spin();
}

KEEP static void allocate_some(void)
{
	unsigned char *p = malloc(ALLOCATE_BYTES);

	memset(p, 0x5a, ALLOCATE_BYTES);
	wrong += p[ALLOCATE_BYTES / 2] != 0x5a;
	free(p);
	usleep(100);
}

/* Nobody posts it. */
KEEP static void wait_some(sem_t *never)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += WAIT_NS;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	wrong += sem_timedwait(never, &until) == 0;
}

static int inside; /* of the lock */

KEEP static void lock_some(void)
{
	pthread_mutex_lock(&lock);
	wrong += ++inside != 1;
	usleep(200);
	inside--;
	pthread_mutex_unlock(&lock);
}

static void *work(void *which)
{
	enum work w = (enum work)(intptr_t)which;
	sem_t never;

	sem_init(&never, 0, 0);
	while (!is_over) {
		atomic_fetch_add(&counts[w].begun, 1);
		if (w == BURNS)
			burn_some();
		else if (w == ALLOCATES)
			allocate_some();
		else if (w == WAITS)
			wait_some(&never);
		else
			lock_some();
		atomic_fetch_add(&counts[w].done, 1);
	}
	sem_destroy(&never);
	return NULL;
}

static void say(void)
{
	static const char *const names[WORKS] = {"burns", "allocates", "waits", "locks"};
	char line[512];
	int n = snprintf(line, sizeof(line), "{\"pid\": %d, \"cpu_ns\": %lld", (int)getpid(),
			 (long long)process_ns());

	for (int w = 0; w < WORKS; w++) {
		unsigned long long done = atomic_load(&counts[w].done);
		unsigned long long begun = atomic_load(&counts[w].begun);

		n += snprintf(line + n, sizeof(line) - (size_t)n, ", \"%s\": [%llu, %llu]",
			      names[w], done, begun);
	}
	n += snprintf(line + n, sizeof(line) - (size_t)n, "}\n");
	if (write(STDOUT_FILENO, line, (size_t)n) != n)
		_exit(2);
}

int main(int argc, char **argv)
{
	int of_each = argc > 1 ? atoi(argv[1]) : 2;
	pthread_t threads[WORKS * 16];
	char line;
	int n = 0;

	for (int w = 0; w < WORKS; w++)
		for (int i = 0; i < of_each && i < 16; i++)
			n += pthread_create(&threads[n], NULL, work, (void *)(intptr_t)w) == 0;
	say();
	while (read(STDIN_FILENO, &line, 1) == 1)
		if (line == '\n')
			say();
	is_over = true;
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	printf("{\"wrong\": %u, \"threads\": %d}\n", atomic_load(&wrong), n);
	return 17;
}
