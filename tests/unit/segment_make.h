/* Segments made by hand, for unit tests. */
#pragma once

#include <pthread.h>
#include <sys/mman.h>

#include "core/segment.h"
#include "tests/tap.h"

/* Shared with children, as a memfd is. */
static inline struct segment segment_make(uint64_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct segment s = {0};

	if (memory == MAP_FAILED || segment_format(memory, bytes, &s) < 0) {
		printf("Bail out! no segment of %llu bytes\n", (unsigned long long)bytes);
		exit(1);
	}
	return s;
}

static inline void segment_unmake(struct segment *s)
{
	munmap(s->base, s->size);
}

/* Calls @run on @n threads at once, with numbers from 0, and waits for all. */
struct on_threads {
	void (*run)(unsigned number, void *user);
	void *user;
	unsigned number;
	pthread_barrier_t *barrier;
};

static inline void *one_of_threads(void *argument)
{
	struct on_threads *t = argument;

	pthread_barrier_wait(t->barrier);
	t->run(t->number, t->user);
	return NULL;
}

static inline void on_threads(unsigned n, void (*run)(unsigned number, void *user), void *user)
{
	pthread_t threads[64];
	struct on_threads each[64];
	pthread_barrier_t barrier;

	pthread_barrier_init(&barrier, NULL, n);
	for (unsigned i = 0; i < n; i++) {
		each[i] = (struct on_threads){run, user, i, &barrier};
		if (pthread_create(&threads[i], NULL, one_of_threads, &each[i]) != 0)
			abort();
	}
	for (unsigned i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
}
