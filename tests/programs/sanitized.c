/*
 * sanitized: what the compilers' sanitizers look for, and work in two threads beside it.
 *
 *     sanitized none|heap|overflow|race|leak|order
 *
 * With -DOWN_OPTIONS it brings defaults for the address sanitizer of its own. The test builds it, once for each sanitizer.
 */
#include <limits.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/host.h"

BURNER(burn_main)
BURNER(burn_thread)
BURNER(burn_child)
BURNER(burn_between)

#ifdef OWN_OPTIONS
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "exitcode=41";
}
#endif

static volatile int shared;
static int is_racing;
static int64_t thread_burnt; /* by all threads */

static void *work(void *arg)
{
	(void)arg;
	if (is_racing)
		for (int i = 0; i < 1000; i++)
			shared = i; /* only writes: which of a read and a write is told differs */
	__atomic_fetch_add(&thread_burnt, burn_thread(150 * MS), __ATOMIC_RELAXED);
	return NULL;
}

KEEP static int past_the_end(int size)
{
	char *block = calloc(1, (size_t)size);
	int c;

	block[size] = 1;
	c = block[0];
	free(block);
	return c;
}

/* Never at the same time, and yet a deadlock to be. */
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER, two = PTHREAD_MUTEX_INITIALIZER;

static void *lock_both(void *arg)
{
	pthread_mutex_t *first = arg, *second = first == &one ? &two : &one;

	pthread_mutex_lock(first);
	pthread_mutex_lock(second);
	pthread_mutex_unlock(second);
	pthread_mutex_unlock(first);
	return NULL;
}

static void lock_in_both_orders(void)
{
	pthread_t id;

	for (int i = 0; i < 2; i++) {
		pthread_create(&id, NULL, lock_both, i == 0 ? &one : &two);
		pthread_join(id, NULL);
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	volatile int most = INT_MAX;
	pthread_t id;

	is_racing = strcmp(what, "race") == 0;
	pthread_create(&id, NULL, work, NULL);
	work(NULL);
	pthread_join(id, NULL);
	if (fork() == 0) {
		burn_child(100 * MS);
		_exit(0);
	}
	wait(NULL);
	if (strcmp(what, "overflow") == 0)
		most = most + argc;
	if (strcmp(what, "order") == 0)
		lock_in_both_orders();
	if (strcmp(what, "leak") == 0)
		host_sink = (uintptr_t)malloc(77) & 1;
	burn_between(
		20 *
		MS); /* has what the kernel did for fork(), with the large mappings of a sanitizer */
	host_print_ns("burnt", "burn_main", burn_main(150 * MS));
	host_print_ns("burnt", "burn_thread", thread_burnt);
	host_print_clock("sanitized");
	if (strcmp(what, "heap") == 0)
		return past_the_end(10);
	return 3;
}
