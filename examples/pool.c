/* pool: blocks of the program's own allocator, in the heap profile. */
#include <cprof/cprof.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define BLOCK 256
#define ARENA (64 << 20)

/* Blocks of one size out of an arena, and those that came back. */
static union block {
	union block *next;
	char bytes[BLOCK];
} * fresh, *last, *returned;

static void *pool_get(void)
{
	union block *b = returned;

	if (b != NULL)
		returned = b->next;
	else if (fresh < last)
		b = fresh++;
	cprof_alloc(b, BLOCK); /* NULL is none */
	return b;
}

static void pool_put(void *p)
{
	union block *b = p;

	cprof_free(p); /* before the address can be another's */
	b->next = returned;
	returned = b;
}

static void *open_session(void)
{
	return pool_get();
}

static void answer_request(void)
{
	void *request = pool_get(), *reply = pool_get();

	pool_put(reply);
	pool_put(request);
}

int main(void)
{
	unsigned sessions = 0;

	/* not from malloc(): that would be in the profile, too */
	fresh = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (fresh == MAP_FAILED)
		return 1;
	last = fresh + ARENA / BLOCK;
	for (unsigned i = 0; i < 200000; i++) {
		if (i % 2 == 0)
			sessions += open_session() != NULL; /* and nobody closes one */
		answer_request();
	}
	printf("%u sessions\n", sessions);
	return 0;
}
