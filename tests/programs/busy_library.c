/*
 * busy: a library whose constructor starts a thread that stays. What may only be done while there is one thread, cannot.
 */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static void *stay(void *nothing)
{
	for (;;)
		pause();
	return nothing;
}

__attribute__((constructor)) static void begin(void)
{
	pthread_t id;

	if (pthread_create(&id, NULL, stay, NULL) != 0)
		abort();
}
