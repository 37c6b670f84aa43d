/*
 * early: prints what a library's constructor found. Its allocator takes a lock and makes a system call each time, as some do
 * that keep count: whoever allocates on the way to those calls comes back to them.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/programs/early.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static _Alignas(64) unsigned char memory[64 << 20];
static size_t used;
static int count;

struct block {
	_Alignas(16) size_t size;
};

static void *take(size_t alignment, size_t size)
{
	static int null = -1;
	struct block *b = NULL;
	int saved = errno;
	size_t at;

	pthread_mutex_lock(&mutex);
	at = (used + sizeof(*b) + alignment - 1) & ~(alignment - 1);
	if (at + size < sizeof(memory)) {
		used = at + size;
		b = (struct block *)(memory + at) - 1;
		b->size = size;
		count++;
	}
	if (null < 0)
		null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (write(null, "a", 1) != 1)
		count = -1000000;
	pthread_mutex_unlock(&mutex);
	errno = saved;
	return b != NULL ? b + 1 : NULL;
}

void *malloc(size_t size)
{
	return take(16, size);
}

void *calloc(size_t n, size_t size)
{
	return take(16, n * size); /* never given twice: zero */
}

void *realloc(void *old, size_t size)
{
	void *p = take(16, size);

	if (old != NULL && p != NULL)
		memcpy(p, old,
		       size < ((struct block *)old)[-1].size ? size
							     : ((struct block *)old)[-1].size);
	return p;
}

void free(void *p)
{
	(void)p;
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return take(alignment < 16 ? 16 : alignment, size);
}

void *memalign(size_t alignment, size_t size)
{
	return aligned_alloc(alignment, size);
}

int posix_memalign(void **p, size_t alignment, size_t size)
{
	*p = aligned_alloc(alignment, size);
	return *p != NULL ? 0 : ENOMEM;
}

int main(void)
{
	for (int i = 0; i < early_count; i++)
		printf("%s = %ld, errno %d\n", early_results[i].call, early_results[i].result,
		       early_results[i].error);
	printf("allocated: %d\n", count > 0);
	return 0;
}
