/*
 * heap: what the programs share that count their own allocations.
 *
 * A program lists its functions in SITES(X), and includes this. Each allocates by one entry point, so that each has stacks of its
 * own; made() and gone() keep what it allocated, and what of that is gone. Nothing here allocates. print_truth() prints
 *
 *     {"function": [alloc_objects, alloc_space, inuse_objects, inuse_space], …}
 *
 * For C11 and C++17, hence the builtins instead of _Atomic.
 */
#ifndef HEAP_H
#define HEAP_H

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <unistd.h>

#include "tests/programs/host.h"

#ifdef __cplusplus
#define EXTERN_C extern "C"
#else
#define EXTERN_C
#endif
/* Under the name that it has in the source, in C++ too. */
#define SITE EXTERN_C KEEP

/* So that these can be built where the header does not have them yet; not there without libcprof.so. */
EXTERN_C void cprof_alloc(const void *p, size_t size) __attribute__((weak));
EXTERN_C void cprof_free(const void *p) __attribute__((weak));

enum site {
#define X(name) SITE_##name,
	SITES(X)
#undef X
		SITE_COUNT
};

struct block {
	char *p;
	size_t size;
	size_t alignment; /* 0: any */
	enum site site;
	int kind; /* how it may be given back; the program's own */
};

static struct {
	const char *name;
	uint64_t made, made_bytes, gone, gone_bytes;
} sites[] = {
#define X(name) {#name, 0, 0, 0, 0},
	SITES(X)
#undef X
};

static int wrongs;
/* Set for an allocator that does not keep all that C and C++ promise: that part is left out. */
static int is_loose;

__attribute__((format(printf, 1, 2), unused)) static void say(const char *format, ...)
{
	char line[400];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (write(1, line, (size_t)n) != n)
		wrongs++;
}

/* On standard error, and in the status. */
__attribute__((unused)) static void wrong(const char *what, const char *where)
{
	char line[200];
	int n = snprintf(line, sizeof(line), "%s: %s\n", where, what);

	__atomic_fetch_add(&wrongs, 1, __ATOMIC_RELAXED);
	if (write(2, line, (size_t)n) != n)
		wrongs++;
}

__attribute__((unused)) static void count_made(enum site site, uint64_t n, uint64_t bytes)
{
	__atomic_fetch_add(&sites[site].made, n, __ATOMIC_RELAXED);
	__atomic_fetch_add(&sites[site].made_bytes, bytes, __ATOMIC_RELAXED);
}

__attribute__((unused)) static void count_gone(enum site site, uint64_t n, uint64_t bytes)
{
	__atomic_fetch_add(&sites[site].gone, n, __ATOMIC_RELAXED);
	__atomic_fetch_add(&sites[site].gone_bytes, bytes, __ATOMIC_RELAXED);
}

/* A pattern in the first and the last bytes: somebody else's bookkeeping would show. */
static void mark(const struct block *b)
{
	size_t n = b->size < 16 ? b->size : 16;

	memset(b->p, (int)(b->size & 0x7f) + 1, n);
	memset(b->p + b->size - n, (int)(b->size & 0x7f) + 1, n);
}

__attribute__((unused)) static int is_marked(const struct block *b, size_t size)
{
	for (size_t i = 0; i < size && i < 16; i++)
		if (b->p[i] != (char)((b->size & 0x7f) + 1))
			return 0;
	return 1;
}

/* @p has come from the function @site. What did not come is not counted. */
__attribute__((noinline, unused)) static void made(struct block *b, enum site site, void *p,
						   size_t size)
{
	b->p = (char *)p;
	b->size = size;
	b->site = site;
	if (p == NULL)
		return;
	count_made(site, 1, size);
	if (b->alignment != 0 && !is_loose && (uintptr_t)p % b->alignment != 0)
		wrong("is not aligned", sites[site].name);
	mark(b);
}

__attribute__((noinline, unused)) static void gone(struct block *b)
{
	count_gone(b->site, 1, b->size);
	b->p = NULL;
}

/* In one piece, past any buffer. */
__attribute__((unused)) static void print_truth(void)
{
	static char text[1 << 15];
	size_t at = 0;

	for (int i = 0; i < SITE_COUNT; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at,
				       "%s\"%s\": [%llu, %llu, %lld, %lld]", i == 0 ? "{" : ", ",
				       sites[i].name, (unsigned long long)sites[i].made,
				       (unsigned long long)sites[i].made_bytes,
				       (long long)(sites[i].made - sites[i].gone),
				       (long long)(sites[i].made_bytes - sites[i].gone_bytes));
	at += (size_t)snprintf(text + at, sizeof(text) - at, "}\n");
	if (write(1, text, at) != (ssize_t)at)
		wrongs++;
}

__attribute__((unused)) static uint32_t dice(uint64_t *state, uint32_t sides)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)((*state >> 33) % sides);
}

/* Most are small; some are so large that they are mapped one by one, and move by mremap(). */
__attribute__((unused)) static size_t some_size(uint64_t *state)
{
	uint32_t what = dice(state, 100);

	if (what < 60)
		return 1 + dice(state, 512);
	if (what < 95)
		return 1 + dice(state, 20000);
	return 1 + dice(state, 500000);
}

/*
 * Threads hand blocks around: each makes a round of them, and then, when all are done, another thread has them.
 */
#define HEAP_THREADS 8
#define HEAP_ROUNDS  40
#define HEAP_BLOCKS  64

struct passing {
	void (*make)(uint64_t *state, struct block *b);
	void (*end)(uint64_t *state, struct block *b);
};

static struct block boxes[HEAP_THREADS][HEAP_BLOCKS];
static pthread_barrier_t all_there;
static const struct passing *passing;

__attribute__((unused)) static void *pass_main(void *number)
{
	int self = (int)(intptr_t)number;
	uint64_t state = (uint64_t)self + 1;

	for (int round = 0; round < HEAP_ROUNDS; round++) {
		struct block *others =
			boxes[(self + 1 + round % (HEAP_THREADS - 1)) % HEAP_THREADS];

		for (int i = 0; i < HEAP_BLOCKS; i++) {
			memset(&boxes[self][i], 0, sizeof(struct block));
			passing->make(&state, &boxes[self][i]);
		}
		pthread_barrier_wait(&all_there);
		/* what stays stays for good: nobody has its address any more */
		for (int i = 0; i < HEAP_BLOCKS; i++)
			if (others[i].p != NULL && dice(&state, 8) != 0)
				passing->end(&state, &others[i]);
		pthread_barrier_wait(&all_there);
	}
	return NULL;
}

__attribute__((unused)) static void pass_around(const struct passing *how)
{
	pthread_t ids[HEAP_THREADS];

	passing = how;
	pthread_barrier_init(&all_there, NULL, HEAP_THREADS);
	for (int i = 0; i < HEAP_THREADS; i++)
		pthread_create(&ids[i], NULL, pass_main, (void *)(intptr_t)i);
	for (int i = 0; i < HEAP_THREADS; i++)
		pthread_join(ids[i], NULL);
}

#endif
