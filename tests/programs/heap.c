/*
 * heap: allocations by every way that C has, counted.
 *
 *     heap exact [loose]      each function by an entry point of its own; eight threads, that free each other's blocks
 *     heap sites SEED         12 GB from four functions, of which a known part stays; memory is not touched
 *     heap grow MB HOW [KB]   leaks so many MB, in blocks of KB, and ends: exit, _exit, abort, kill, term; or touches all, and
 *                             goes on until it is killed: touch; or goes on until there is no more, and aborts: limit
 *
 * The last line is the truth in JSON.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>

#define SITES(X)                \
	X(by_malloc)            \
	X(by_calloc)            \
	X(by_realloc)           \
	X(by_reallocarray)      \
	X(by_aligned_alloc)     \
	X(by_posix_memalign)    \
	X(by_memalign)          \
	X(by_valloc)            \
	X(by_pvalloc)           \
	X(by_strdup)            \
	X(by_pool)              \
	X(for_free_sized)       \
	X(for_free_aligned)     \
	X(of_no_size)           \
	X(of_no_elements)       \
	X(of_no_size_aligned)   \
	X(realloc_grows)        \
	X(realloc_shrinks)      \
	X(realloc_same)         \
	X(realloc_by_one)       \
	X(reallocarray_resizes) \
	X(realloc_to_nothing)   \
	X(fail_malloc)          \
	X(fail_calloc)          \
	X(fail_realloc)         \
	X(fail_reallocarray)    \
	X(fail_aligned_alloc)   \
	X(fail_posix_memalign)  \
	X(fail_memalign)        \
	X(site_mixed)           \
	X(site_32k)             \
	X(site_1m)              \
	X(site_4m)              \
	X(grow_here)

#include "tests/programs/heap.h"

/* Of C23; there where the C library has them. */
void free_sized(void *p, size_t size) __attribute__((weak));
void free_aligned_sized(void *p, size_t alignment, size_t size) __attribute__((weak));

enum kind { ANY, SIZED, ALIGNED_SIZED, POOL };

/*
 * An allocator in a library may have only some of the functions. The C library's others give blocks that it cannot take
 * back.
 */
static int is_whole(const char *name)
{
	static const char *const allocators[] = {"libjemalloc.so.2", "libtcmalloc.so.4",
						 "libtcmalloc_minimal.so.4", "libmimalloc.so.2",
						 "libmimalloc.so.2.0"};
	Dl_info of_malloc, of_name;

	for (size_t i = 0; i < sizeof(allocators) / sizeof(*allocators); i++) {
		void *library = dlopen(allocators[i], RTLD_LAZY | RTLD_NOLOAD);

		if (library == NULL)
			continue;
		return dladdr(dlsym(library, "malloc"), &of_malloc) != 0 &&
		       dladdr(dlsym(library, name), &of_name) != 0 &&
		       of_malloc.dli_fbase == of_name.dli_fbase;
	}
	return 1;
}

static int has_memalign, has_valloc, has_pvalloc;

#define BY(name, expression)                                         \
	SITE static void name(struct block *b, size_t size)          \
	{                                                            \
		made(b, SITE_##name, expression, size);              \
		if (b->p != NULL && malloc_usable_size(b->p) < size) \
			wrong("is too small", #name);                \
	}

static void *check_zero(unsigned char *p, size_t size)
{
	for (size_t i = 0; p != NULL && i < size; i += i < 64 ? 1 : 509)
		if (p[i] != 0)
			wrong("is not zero", "by_calloc");
	return p;
}

BY(by_malloc, malloc(size))
BY(by_calloc, check_zero((unsigned char *)calloc(1, size), size))
BY(by_realloc, realloc(NULL, size))
BY(by_reallocarray, reallocarray(NULL, 1, size))
BY(by_aligned_alloc, aligned_alloc(b->alignment, size))
BY(by_memalign, memalign(b->alignment, size))
BY(by_valloc, valloc(size))
BY(by_pvalloc, pvalloc(size))
BY(for_free_sized, malloc(size))
BY(for_free_aligned, aligned_alloc(b->alignment, size))

SITE static void by_posix_memalign(struct block *b, size_t size)
{
	void *p = NULL;

	if (posix_memalign(&p, b->alignment, size) != 0)
		p = NULL;
	made(b, SITE_by_posix_memalign, p, size);
}

/* Here it is the C library that allocates. */
SITE static void by_strdup(struct block *b, size_t size)
{
	static const char text[] = "0123456789012345678901234567890123456789";

	size %= sizeof(text) - 1;
	made(b, SITE_by_strdup, strdup(text + sizeof(text) - 1 - size), size + 1);
}

/* Memory that no allocator has to do with. */
SITE static void by_pool(struct block *b, size_t size)
{
	static char *memory;
	static size_t used;
	size_t at = __atomic_fetch_add(&used, (size + 15) & ~(size_t)15, __ATOMIC_RELAXED);
	char *expected = NULL;

	if (cprof_alloc == NULL || cprof_free == NULL)
		return;
	if (__atomic_load_n(&memory, __ATOMIC_ACQUIRE) == NULL) {
		void *p = mmap(NULL, (size_t)8 << 30, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (!__atomic_compare_exchange_n(&memory, &expected, (char *)p, 0, __ATOMIC_ACQ_REL,
						 __ATOMIC_ACQUIRE))
			munmap(p, (size_t)8 << 30);
	}
	cprof_alloc(memory + at, size);
	made(b, SITE_by_pool, memory + at, size);
}

SITE static void of_no_size(struct block *b)
{
	made(b, SITE_of_no_size, malloc(b->size), 0);
}

SITE static void of_no_elements(struct block *b)
{
	made(b, SITE_of_no_elements, calloc(b->size, 8), 0);
}

SITE static void of_no_size_aligned(struct block *b)
{
	made(b, SITE_of_no_size_aligned, aligned_alloc(64, b->size), 0);
}

/* What @p, the result of realloc(), makes of @b. */
static uint64_t moved, stayed;

static void resized(struct block *b, enum site site, void *p, size_t size)
{
	struct block old = *b;

	if (p == NULL && size > 0)
		return; /* has failed */
	__atomic_fetch_add(p == old.p ? &stayed : &moved, 1, __ATOMIC_RELAXED);
	gone(b);
	if (p == NULL)
		return;
	b->p = (char *)p;
	b->size = old.size;
	b->alignment = 0;
	if (!is_marked(b, old.size < size ? old.size : size))
		wrong("has lost what was in it", sites[site].name);
	made(b, site, p, size);
	b->kind = ANY;
}

#define RESIZE(name, size_of, expression)                  \
	SITE static void name(struct block *b)             \
	{                                                  \
		size_t size = size_of;                     \
                                                           \
		resized(b, SITE_##name, expression, size); \
	}

RESIZE(realloc_grows, b->size * 3 + 100, realloc(b->p, size))
RESIZE(realloc_shrinks, b->size / 3 + 1, realloc(b->p, size))
RESIZE(realloc_same, b->size, realloc(b->p, size))
RESIZE(realloc_by_one, b->size + 1, realloc(b->p, size))
RESIZE(reallocarray_resizes, (b->size / 16 + 1) * 8, reallocarray(b->p, b->size / 16 + 1, 8))
RESIZE(realloc_to_nothing, 0, realloc(b->p, size))

static void make_one(uint64_t *state, struct block *b)
{
	size_t size = some_size(state), n;

	switch (dice(state, 17)) {
	case 0:
	case 1:
		by_malloc(b, size);
		break;
	case 2:
		by_calloc(b, size);
		break;
	case 3:
		by_realloc(b, size);
		break;
	case 4:
		by_reallocarray(b, size);
		break;
	case 5:
	case 6:
		b->alignment = (size_t)16 << dice(state, 9);
		n = (size + b->alignment - 1) & ~(b->alignment - 1); /* as C11 wants it */
		by_aligned_alloc(b, n);
		break;
	case 7:
		b->alignment = (size_t)8 << dice(state, 12);
		by_posix_memalign(b, size);
		break;
	case 8:
		b->alignment = (size_t)16 << dice(state, 12);
		if (has_memalign)
			by_memalign(b, size);
		break;
	case 9:
		b->alignment = 4096;
		if (has_valloc)
			by_valloc(b, size);
		break;
	case 10:
		b->alignment = 4096;
		if (has_pvalloc)
			by_pvalloc(b, size);
		break;
	case 11:
		by_strdup(b, size);
		break;
	case 12:
		b->kind = POOL;
		by_pool(b, size);
		break;
	case 13:
		b->kind = SIZED;
		for_free_sized(b, size);
		break;
	case 14:
		b->kind = ALIGNED_SIZED;
		b->alignment = 64;
		for_free_aligned(b, (size + 63) & ~(size_t)63);
		break;
	case 15:
		b->size = 0;
		switch (dice(state, 3)) {
		case 0:
			of_no_size(b);
			break;
		case 1:
			of_no_elements(b);
			break;
		default:
			of_no_size_aligned(b);
		}
		break;
	default:
		by_malloc(b, 1 + dice(state, 64));
	}
}

static void end_one(uint64_t *state, struct block *b)
{
	static void (*const resizers[])(struct block *) = {
		realloc_grows,  realloc_shrinks,      realloc_same,
		realloc_by_one, reallocarray_resizes, realloc_to_nothing};
	void *p;

	if (b->kind == POOL) {
		p = b->p;
		gone(b);
		cprof_free(p);
		return;
	}
	for (uint32_t n = dice(state, 4); n > 0 && b->p != NULL && b->size > 0; n--)
		resizers[dice(state, n == 1 ? 6 : 5)](b);
	if (b->p == NULL || dice(state, 10) == 0)
		return;
	p = b->p;
	gone(b);
	if (b->kind == SIZED && free_sized != NULL)
		free_sized(p, b->size);
	else if (b->kind == ALIGNED_SIZED && free_aligned_sized != NULL)
		free_aligned_sized(p, b->alignment, b->size);
	else
		free(p);
}

/* Sizes that no machine has, past what the compiler sees. */
static volatile size_t huge = (size_t)PTRDIFF_MAX - 4096, half = (size_t)1 << (sizeof(size_t) * 4);
static volatile size_t odd = 3;

static void *report(const char *what, void *p)
{
	int error = errno;

	say("%s: %s, errno %d\n", what, p == NULL ? "NULL" : "memory", error);
	errno = 77;
	return p;
}

#define FAIL(name, expression)                     \
	SITE static void name(char *old)           \
	{                                          \
		(void)old;                         \
		errno = 77;                        \
		free(report(#name, (expression))); \
	}

FAIL(fail_malloc, malloc(huge))
FAIL(fail_calloc, calloc(half, half + 1))
FAIL(fail_realloc, realloc(old, huge))
FAIL(fail_reallocarray, reallocarray(old, half, half + 1))
FAIL(fail_aligned_alloc, aligned_alloc(64, huge))
FAIL(fail_memalign, has_memalign ? memalign(1 << 20, huge) : NULL)

SITE static void fail_posix_memalign(void)
{
	void *p = &p, *before = p;
	int r;

	errno = 77;
	r = posix_memalign(&p, odd, 100);
	say("posix_memalign of 3: %d, errno %d, %s\n", r, errno, p == before ? "kept" : "changed");
	r = posix_memalign(&p, 64, huge);
	say("posix_memalign: %d, errno %d, %s\n", r, errno, p == before ? "kept" : "changed");
}

/* Calls that fail leave everything as it was; those that do not leave errno alone. */
static void fail_all(void)
{
	struct block b = {0};
	char *p;

	by_malloc(&b, 100);
	fail_malloc(NULL);
	fail_calloc(NULL);
	fail_realloc(b.p);
	fail_reallocarray(b.p);
	fail_aligned_alloc(NULL);
	fail_posix_memalign();
	fail_memalign(NULL);
	if (!is_marked(&b, 16))
		wrong("changes the block", "failing realloc");
	errno = 77;
	realloc_grows(&b);
	report("realloc", b.p);
	p = b.p;
	gone(&b);
	free(p);
	report("free", NULL);
}

static void exact(void)
{
	static const struct passing how = {make_one, end_one};

	has_memalign = is_whole("memalign");
	has_valloc = is_whole("valloc");
	has_pvalloc = is_whole("pvalloc");
	fail_all();
	pass_around(&how);
	say("realloc moves some, not others: %d\n", moved > 100 && stayed > 100);
}

/*
 * Sites of known size. The estimate for n objects of which each is sampled with probability p has a standard deviation of
 * sqrt(n * (1 - p) / p); tests/integration/heap.py has the numbers. Four threads do a quarter each.
 */
#define SITE_THREADS 4

#define MANY(name, size_of, count, every)                                  \
	SITE static void name(uint64_t *state)                             \
	{                                                                  \
		uint64_t bytes = 0, kept = 0, kept_bytes = 0;              \
                                                                           \
		for (int i = 0; i < (count); i++) {                        \
			size_t size = size_of;                             \
			char *volatile p = (char *)malloc(size);           \
                                                                           \
			if (p == NULL)                                     \
				wrong("no memory", #name);                 \
			bytes += size;                                     \
			if (every) {                                       \
				kept++;                                    \
				kept_bytes += size;                        \
			} else {                                           \
				free(p);                                   \
			}                                                  \
		}                                                          \
		count_made(SITE_##name, (count), bytes);                   \
		count_gone(SITE_##name, (count)-kept, bytes - kept_bytes); \
	}

MANY(site_mixed, 16 + dice(state, 4081), 600000, i % 64 == 0)
MANY(site_32k, 32768, 34000, i % 2 == 0)
MANY(site_1m, 1 << 20, 512, i % 4 != 0)
MANY(site_4m, 4 << 20, 64, i % 2 == 0)

static void *sites_main(void *state)
{
	site_mixed((uint64_t *)state);
	site_32k((uint64_t *)state);
	site_1m((uint64_t *)state);
	site_4m((uint64_t *)state);
	return NULL;
}

static void known_sites(uint64_t seed)
{
	uint64_t states[SITE_THREADS];
	pthread_t ids[SITE_THREADS];

	for (int i = 0; i < SITE_THREADS; i++) {
		states[i] = seed * SITE_THREADS + (uint64_t)i + 1;
		pthread_create(&ids[i], NULL, sites_main, &states[i]);
	}
	for (int i = 0; i < SITE_THREADS; i++)
		pthread_join(ids[i], NULL);
}

static void *last_grown;

SITE static void *grow_here(size_t size, int touches)
{
	char *p = (char *)malloc(size);

	if (p == NULL)
		return NULL;
	if (touches)
		memset(p, 1, size);
	else
		*p = 1;
	count_made(SITE_grow_here, 1, size);
	*(void **)p = last_grown; /* a leak that is one list, as most are */
	last_grown = p;
	return p;
}

static void grow(uint64_t bytes, const char *how, size_t size)
{
	int is_limit = strcmp(how, "limit") == 0, is_touch = strcmp(how, "touch") == 0;
	uint64_t printed = 0;

	while (is_limit || is_touch || sites[SITE_grow_here].made_bytes < bytes) {
		if (grow_here(size, is_touch) == NULL)
			break;
		/* whoever is killed has said how far he had come; nothing says how much he would have got */
		if (is_touch && sites[SITE_grow_here].made_bytes >= printed + (1 << 20)) {
			printed = sites[SITE_grow_here].made_bytes;
			print_truth();
		}
	}
	print_truth();
	if (strcmp(how, "_exit") == 0)
		_exit(7);
	if (strcmp(how, "abort") == 0 || is_limit)
		abort();
	if (strcmp(how, "kill") == 0)
		kill(getpid(), SIGKILL);
	if (strcmp(how, "term") == 0)
		raise(SIGTERM);
	exit(strcmp(how, "exit") == 0 ? 3 : 99);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	is_loose = argc > 2 && strcmp(argv[2], "loose") == 0;
	if (strcmp(what, "exact") == 0)
		exact();
	else if (strcmp(what, "sites") == 0 && argc > 2)
		known_sites(strtoull(argv[2], NULL, 10));
	else if (strcmp(what, "grow") == 0 && argc > 3)
		grow(strtoull(argv[2], NULL, 10) << 20, argv[3],
		     (argc > 4 ? strtoull(argv[4], NULL, 10) : 64) << 10);
	else
		return 2;
	print_truth();
	return wrongs != 0;
}
