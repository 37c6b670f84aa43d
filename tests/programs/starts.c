/*
 * starts: threads that are started from several places, so many from each.
 *
 *     starts
 *
 * Prints {"function": threads, …}. One call fails, and starts nothing.
 */
#include <pthread.h>
#include <threads.h>
#include <unistd.h>

#include "tests/programs/host.h"

static void *do_nothing(void *arg)
{
	return arg;
}

static int do_nothing_c11(void *arg)
{
	return arg != NULL;
}

KEEP static int start_by_pthread(int n)
{
	for (int i = 0; i < n; i++) {
		pthread_t id;

		if (pthread_create(&id, NULL, do_nothing, NULL) != 0)
			return 0;
		pthread_join(id, NULL);
	}
	return n;
}

KEEP static int start_detached(int n)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (int i = 0; i < n; i++) {
		pthread_t id;

		if (pthread_create(&id, &attr, do_nothing, NULL) != 0)
			return 0;
	}
	return n;
}

KEEP static int start_by_c11(int n)
{
	for (int i = 0; i < n; i++) {
		thrd_t id;

		if (thrd_create(&id, do_nothing_c11, NULL) != thrd_success)
			return 0;
		thrd_join(id, NULL);
	}
	return n;
}

/* No room for such a stack. */
KEEP static int start_in_vain(void)
{
	pthread_attr_t attr;
	pthread_t id;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, (size_t)1 << 50);
	return pthread_create(&id, &attr, do_nothing, NULL) == 0;
}

KEEP static void *start_nested(void *arg)
{
	*(int *)arg += start_by_pthread(2);
	return NULL;
}

KEEP static int start_a_starter(int *ret_nested)
{
	pthread_t id;

	if (pthread_create(&id, NULL, start_nested, ret_nested) != 0)
		return 0;
	pthread_join(id, NULL);
	return 1;
}

int main(void)
{
	int nested = 0, vain = start_in_vain(), starters = 0;
	int by_pthread = start_by_pthread(7), by_c11 = start_by_c11(11),
	    detached = start_detached(4);

	for (int i = 0; i < 3; i++)
		starters += start_a_starter(&nested);
	printf("{\"start_by_pthread\": %d, \"start_by_c11\": %d, \"start_detached\": %d, "
	       "\"start_in_vain\": %d, \"start_nested\": %d, \"start_a_starter\": %d}\n",
	       by_pthread + nested, by_c11, detached, vain, nested, starters);
	return 0;
}
