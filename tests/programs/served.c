/*
 * served: works until its standard input ends, a little of everything, and says how much it has done in a file that may be
 * looked at at any time: host of the tests of the endpoint. tests/programs/go/served.go is the same for Go's.
 *
 *     served FILE
 *
 * FILE is two numbers of eight bytes: rounds, and the nanoseconds of CPU time that they took.
 */
#define CPROF_WEAK
#include <cprof/cprof.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/programs/host.h"

#define WORKERS 3
#define BLOCKS  64 /* of each worker: kept until as many newer ones are there */

struct done {
	_Atomic uint64_t rounds, cpu_ns;
};

static struct done *done;
static _Atomic bool is_over;
static pthread_mutex_t shared = PTHREAD_MUTEX_INITIALIZER;

static void rest(long ns)
{
	struct timespec t = {0, ns};

	nanosleep(&t, NULL);
}

KEEP static void compute(void)
{
	for (int i = 0; i < 5; i++)
		host_spin();
	__asm__ volatile("" ::: "memory");
}

KEEP static void allocate(void **blocks, unsigned round)
{
	for (unsigned i = 0; i < 16; i++) {
		void **at = &blocks[(round * 16 + i) % BLOCKS];

		free(*at);
		*at = malloc(1024 << (i % 4));
	}
	__asm__ volatile("" ::: "memory");
}

/* Longer than the others need to come back: there is always one who waits. */
KEEP static void contend(void)
{
	pthread_mutex_lock(&shared);
	host_spin();
	rest(200000);
	pthread_mutex_unlock(&shared);
	__asm__ volatile("" ::: "memory");
}

static void *short_life(void *arg)
{
	return arg;
}

KEEP static void start_thread(void)
{
	pthread_t id;

	if (pthread_create(&id, NULL, short_life, NULL) == 0)
		pthread_join(id, NULL);
	__asm__ volatile("" ::: "memory");
}

static void *work(void *arg)
{
	void *blocks[BLOCKS] = {0};
	int64_t before = thread_ns();

	for (unsigned round = 0; !atomic_load_explicit(&is_over, memory_order_relaxed); round++) {
		int64_t now;

		compute();
		allocate(blocks, round);
		contend();
		if (round % 16 == 0)
			start_thread();
		rest(1000000);
		now = thread_ns();
		atomic_fetch_add(&done->cpu_ns, (uint64_t)(now - before));
		atomic_fetch_add(&done->rounds, 1);
		before = now;
	}
	for (int i = 0; i < BLOCKS; i++)
		free(blocks[i]);
	return arg;
}

KEEP static void open_handles(void)
{
	static int handles[5];
	struct cprof_profile *profile = cprof_profile_new("handles");

	for (int i = 0; i < 5; i++)
		cprof_profile_add(profile, &handles[i], 0);
	__asm__ volatile("" ::: "memory");
}

int main(int argc, char **argv)
{
	pthread_t id[WORKERS];
	char byte;
	int fd;

	fd = argc == 2 ? open(argv[1], O_RDWR | O_CREAT, 0600) : -1;
	if (fd < 0 || ftruncate(fd, sizeof(*done)) != 0)
		return 2;
	done = mmap(NULL, sizeof(*done), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (done == MAP_FAILED)
		return 2;
	open_handles();
	for (int i = 0; i < WORKERS; i++)
		if (pthread_create(&id[i], NULL, work, NULL) != 0)
			return 2;
	printf("ready\n");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	atomic_store(&is_over, true);
	for (int i = 0; i < WORKERS; i++)
		pthread_join(id[i], NULL);
	printf("{\"rounds\": %llu}\n", (unsigned long long)done->rounds);
	return 0;
}
