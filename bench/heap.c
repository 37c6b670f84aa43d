/*
 * heap: allocates, for whoever stands in front of malloc.
 *
 *     heap pairs small|mixed THREADS PAIRS   CPU ns of a pair of malloc() and free()
 *     heap sizes MEGABYTES SEED [FILE]       allocates that much, frees a random half, and says what the truth is
 *
 * small: 32 bytes, freed at once. mixed: 8192 blocks live, a random one replaced at a time, from 16 to 4095 bytes, as many of
 * each size as of its double. sizes: the same from 16 bytes to 64 KiB; FILE gets what jemalloc's or tcmalloc's own sampling
 * says when that is the allocator. "text" is where this program's own code lies. What this program needs for itself comes from mmap().
 */
#include <dlfcn.h>
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define SLOTS       8192
#define WARM_UP     65536 /* each block replaced eight times */
#define MAX_THREADS 8
#define SLICES      32
#define EVERY_BYTES 524288.0

struct worker {
	pthread_t thread;
	uint64_t chance;
	double ns[SLICES];
	void *slot[SLOTS];
};

static int is_mixed;
static long pairs;
static pthread_barrier_t begin;
static void *volatile keep; /* a pair that nobody looks at is a pair that the compiler leaves out */

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void small_pairs(long count)
{
	for (long i = 0; i < count; i++) {
		void *p = malloc(32);

		keep = p;
		free(p);
	}
}

static void mixed_pairs(struct worker *w, long count)
{
	for (long i = 0; i < count; i++) {
		uint64_t x = next(&w->chance);
		unsigned slot = x % SLOTS, power = 4 + (x >> 20 & 7);
		size_t size = ((size_t)1 << power) + ((x >> 30) & (((size_t)1 << power) - 1));

		free(w->slot[slot]);
		w->slot[slot] = malloc(size);
		*(volatile char *)w->slot[slot] = 1;
	}
}

static void some_pairs(struct worker *w, long count)
{
	if (is_mixed)
		mixed_pairs(w, count);
	else
		small_pairs(count);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	some_pairs(w, pairs < WARM_UP ? pairs : WARM_UP);
	pthread_barrier_wait(&begin);
	for (int i = 0; i < SLICES; i++) {
		double begun = now(CLOCK_THREAD_CPUTIME_ID);

		some_pairs(w, pairs / SLICES);
		w->ns[i] = (now(CLOCK_THREAD_CPUTIME_ID) - begun) / (double)(pairs / SLICES);
	}
	for (int i = 0; i < SLOTS; i++)
		free(w->slot[i]);
	return NULL;
}

static void *pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("heap: mmap");
		exit(1);
	}
	return p;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/*
 * A slice of a thread is slower when somebody else has had the core's caches, or its other half, and never faster: what a
 * quarter of them stayed below is told, mean of the threads.
 */
static int time_pairs(const char *pattern, int threads)
{
	struct worker *w;
	double ns = 0;

	if (threads < 1 || threads > MAX_THREADS)
		return 2;
	is_mixed = strcmp(pattern, "mixed") == 0;
	w = pages((size_t)threads * sizeof(*w));
	pthread_barrier_init(&begin, NULL, (unsigned)threads);
	for (int i = 0; i < threads; i++) {
		w[i].chance = 88172645463325252ULL + 7919ULL * (uint64_t)i;
		pthread_create(&w[i].thread, NULL, work, &w[i]);
	}
	for (int i = 0; i < threads; i++) {
		pthread_join(w[i].thread, NULL);
		qsort(w[i].ns, SLICES, sizeof(w[i].ns[0]), compare);
		ns += w[i].ns[SLICES / 4];
	}
	printf("ns %.3f\n", ns / threads);
	return 0;
}

/* What the allocator's own sampling says, into a file; nobody may be linked for that, or it would be the allocator. */
static void dump(const char *path)
{
	int (*mallctl)(const char *, void *, size_t *, void *, size_t);
	void (*of_tcmalloc)(const char *);

	*(void **)&mallctl = dlsym(RTLD_DEFAULT, "mallctl");
	*(void **)&of_tcmalloc = dlsym(RTLD_DEFAULT, "heap_of_tcmalloc");
	if (mallctl != NULL)
		mallctl("prof.dump", NULL, NULL, &path, sizeof(path));
	else if (of_tcmalloc != NULL)
		of_tcmalloc(path);
}

extern char __executable_start, etext;

/* Of all blocks, or of those that are left. @variance is that of the sum of what samples stand for, in theory. */
struct truth {
	double bytes, usable, variance;
};

static void count(struct truth *t, size_t size, size_t usable)
{
	double chance = 1 - exp(-(double)size / EVERY_BYTES);

	t->bytes += (double)size;
	t->usable += (double)usable;
	t->variance += (double)size * (double)size * (1 - chance) / chance;
}

/*
 * Half of the blocks go right after they came: what is allocated in all need not fit into memory. Callers have to be
 * told by the stack, and all come from here: the profile is one line.
 */
static int know_sizes(double bytes, uint64_t chance, const char *path)
{
	struct truth all = {0}, live = {0};

	chance = chance * 0x9e3779b97f4a7c15ULL | 1;
	for (int i = 0; i < 16; i++)
		next(&chance);
	while (all.bytes < bytes) {
		double part = (double)(next(&chance) >> 11) * 0x1p-53;
		size_t size = (size_t)exp2(4 + 12 * part), usable;
		void *p = malloc(size);

		keep = p;
		usable = malloc_usable_size(p);
		count(&all, size, usable);
		if (next(&chance) & 64)
			free(p);
		else
			count(&live, size, usable);
	}
	if (path != NULL)
		dump(path);
	printf("text %lu %lu\n", (unsigned long)&__executable_start, (unsigned long)&etext);
	printf("allocated %.0f %.0f %.9g\n", all.bytes, all.usable, all.variance);
	printf("live %.0f %.0f %.9g\n", live.bytes, live.usable, live.variance);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "pairs") == 0) {
		pairs = atol(argv[4]);
		return time_pairs(argv[2], atoi(argv[3]));
	}
	if (argc >= 4 && strcmp(argv[1], "sizes") == 0)
		return know_sizes(atof(argv[2]) * 1048576, strtoull(argv[3], NULL, 10),
				  argc > 4 ? argv[4] : NULL);
	fputs("usage: heap pairs small|mixed THREADS PAIRS, heap sizes MEGABYTES SEED [FILE]\n",
	      stderr);
	return 2;
}
