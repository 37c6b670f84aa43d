/*
 * contended: locks of every place, each waited for a known number of times, and a pool's thread that waits for work.
 *
 *     contended [DIRECTORY]
 *
 * Under `cprof run` it also writes what was counted into DIRECTORY, in every form.
 */
#include <cprof/cprof.h>

#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/programs/host.h"

#define ROUNDS  6
#define HOLD_US 20000

struct entry {
	int key;
	pthread_mutex_t lock;
};

pthread_mutex_t g_cache = PTHREAD_MUTEX_INITIALIZER; /* seen by other files */
static pthread_mutex_t hidden = PTHREAD_MUTEX_INITIALIZER;
static struct entry table[4];
static pthread_mutex_t *made;
static int failures;

static struct {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	int jobs, done, is_over;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER};

__attribute__((noinline)) static pthread_mutex_t *cache_new(void)
{
	pthread_mutex_t *lock = malloc(sizeof(*lock));

	pthread_mutex_init(lock, NULL);
	return lock;
}

static volatile int is_held, waiter;

/* Whether thread @tid sleeps. */
static int sleeps(int tid)
{
	char path[64], line[512] = "";
	const char *state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	if (f == NULL)
		return 1;
	state = fgets(line, sizeof(line), f) != NULL ? strrchr(line, ')') : NULL;
	fclose(f);
	return state != NULL && state[2] == 'S';
}

__attribute__((noinline)) static void hold(pthread_mutex_t *lock)
{
	pthread_mutex_lock(lock);
	is_held = 1;
	while (waiter == 0 || !sleeps(waiter))
		usleep(100);
	usleep(HOLD_US);
	pthread_mutex_unlock(lock);
}

static void *holder(void *lock)
{
	hold(lock);
	return NULL;
}

/* Waits once, for as long as the lock is held and somewhat more. */
__attribute__((noinline)) static void wait_for(pthread_mutex_t *lock)
{
	pthread_t id;

	is_held = waiter = 0;
	pthread_create(&id, NULL, holder, lock);
	while (!is_held)
		usleep(100);
	waiter = (int)syscall(SYS_gettid);
	pthread_mutex_lock(lock);
	pthread_mutex_unlock(lock);
	pthread_join(id, NULL);
}

static void *worker(void *arg)
{
	pthread_mutex_lock(&pool.lock);
	while (!pool.is_over) {
		pool.done += pool.jobs;
		pool.jobs = 0;
		pthread_cond_wait(&pool.filled, &pool.lock);
	}
	pthread_mutex_unlock(&pool.lock);
	return arg;
}

static void give_work(int is_over)
{
	pthread_mutex_lock(&pool.lock);
	pool.jobs++;
	pool.is_over = is_over;
	pthread_mutex_unlock(&pool.lock);
	pthread_cond_signal(&pool.filled);
}

static void write_profile(const char *directory, const char *name, int debug)
{
	static const char *const forms[] = {".pb.gz", ".1.txt", ".2.txt"};
	char path[4096];
	int fd, r;

	snprintf(path, sizeof(path), "%s/%s%s", directory, name, forms[debug]);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	r = cprof_write(name, fd, debug);
	if (r < 0) {
		failures++;
		fprintf(stderr, "%s: %d\n", path, r);
	}
	close(fd);
}

int main(int argc, char **argv)
{
	pthread_t id;

	for (int i = 0; i < 4; i++)
		pthread_mutex_init(&table[i].lock, NULL);
	made = cache_new();
	pthread_create(&id, NULL, worker, NULL);
	for (int i = 0; i < ROUNDS; i++) {
		wait_for(&g_cache);
		wait_for(&hidden);
		wait_for(&table[2].lock);
		wait_for(made);
		give_work(0);
	}
	usleep(10 * HOLD_US);
	give_work(1);
	pthread_join(id, NULL);
	for (int debug = 0; debug < 3 && argc > 1; debug++) {
		write_profile(argv[1], "block", debug);
		write_profile(argv[1], "mutex", debug);
	}
	printf("{\"rounds\": %d, \"offset\": %d}\n", ROUNDS,
	       (int)((char *)&table[2].lock - (char *)table));
	return failures != 0;
}
