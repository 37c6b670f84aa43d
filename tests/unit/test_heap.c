/*
 * profiles/heap: gaps are exponential, classes narrow, the live set right at any load, rows exact whatever threads do. The
 * allocator is made up: addresses that nobody reads.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <unistd.h>

#include "core/modules.h"
#include "core/thread.h"
#include "profiles/heap/heap.h"
#include "profiles/heap/live.h"
#include "tests/unit/segment_make.h"

#define MEAN    (512u << 10)
#define THREADS 8

static struct segment *segment;

static void test_logarithm(void)
{
	uint64_t state = random_seed(1);
	double worst = 0;

	for (int i = 0; i < 1000000; i++) {
		uint64_t n = (random_next(&state) >> 11 >> i % 53) + 1;
		double right = -log((double)n / 9007199254740992.0);
		double off = fabs(sample_minus_ln(n) - right) / (right > 1e-9 ? right : 1e-9);

		worst = off > worst ? off : worst;
	}
	ok(worst < 1e-6, "logarithm: off by %.1e at most", worst);
	ok(fabs(sample_minus_ln(UINT64_C(1) << 53)) < 1e-12, "of 1");
	ok(fabs(sample_minus_ln(1) - 53 * log(2)) < 1e-9, "of the least number");
}

static void test_gaps(void)
{
	static const uint64_t means[] = {2, 100, MEAN, UINT64_C(1) << 30};

	for (size_t m = 0; m < sizeof(means) / sizeof(means[0]); m++) {
		uint64_t state = random_seed(m);
		double sum = 0, above = 0;
		int n = 1000000;

		for (int i = 0; i < n; i++) {
			double gap = (double)sample_gap(&state, means[m]);

			sum += gap;
			above += gap >= (double)means[m];
		}
		/* rounded down, the mean of the gaps is 1 / (exp(1 / mean) - 1) */
		ok(fabs(sum / n * expm1(1. / (double)means[m]) - 1) < 0.005,
		   "gaps of %" PRIu64 " bytes: their mean is %.1f", means[m], sum / n);
		ok(fabs(above / n - exp(-1)) < 0.002, "%.4f are longer than that", above / n);
	}
}

static void test_classes(void)
{
	uint32_t before = 0;
	bool is_right = true;

	for (uint64_t size = 0; size < 1 << 20; size++) {
		uint32_t class = sample_class(size);

		is_right = is_right && (class == before || class == before + 1);
		before = class;
	}
	ok(is_right, "classes follow each other");
	is_right = true;
	for (uint64_t size = 1; size < UINT64_C(1) << 58; size = size * 9 / 8 + 1)
		is_right = is_right &&
			   sample_class(size) < sample_class(size * 9 / 8 + 1) + (size < 16);
	ok(is_right, "none spans more than an eighth of its sizes");
	ok(sample_class(UINT64_MAX) < SAMPLE_CLASSES, "the greatest size has one");
}

/* Addresses as an allocator gives them, and other ones. */
static uint64_t address_of(uint64_t i, unsigned shape)
{
	switch (shape) {
	case 0:
		return 0x7f0000000010 + i * 32;
	case 1:
		return 0x7f0000000010 + i * 4096;
	case 2:
		return 0x7f0000000010 + i * (UINT64_C(1) << 20);
	default:
		return UINT64_C(1) << 63 | (0x550000000001 + i * 3);
	}
}

/* A block in each region, and twice as many regions as sets. */
static void test_live_sparse(void)
{
	struct segment s = segment_make(SEGMENT_MIN_BYTES);
	uint64_t sets = segment_count(&s, SEGMENT_LIVE, 0), what;
	bool is_right = true;

	live_expect(512 << 10);
	for (uint64_t i = 0; i < 2 * sets; i++)
		is_right = is_right &&
			   live_put(&s, 0x7f0000000010 + (i / 64 * 3 << 26) + (i % 64 << 20), i);
	ok(is_right, "two samples for each set, in stretches of 64 MiB: all find room");
	for (uint64_t i = 0; i < 2 * sets; i++)
		is_right = is_right &&
			   live_take(&s, 0x7f0000000010 + (i / 64 * 3 << 26) + (i % 64 << 20),
				     &what) &&
			   what == i;
	ok(is_right, "and are found");
	live_expect(1);
	segment_unmake(&s);
}

static void test_live(void)
{
	for (unsigned shape = 0; shape < 4; shape++) {
		struct segment s = segment_make(SEGMENT_MIN_BYTES);
		uint64_t room = (uint64_t)segment_count(&s, SEGMENT_LIVE, 0) * LIVE_WAYS, n = 0,
			 what;
		bool is_right = true;
		struct live_set *sets = segment_part(&s, SEGMENT_LIVE, 0);

		while (n < room && live_put(&s, address_of(n, shape), n * 7 + 1))
			n++;
		ok(n > room * 7 / 10, "addresses of shape %u: %" PRIu64 " of %" PRIu64 " find room",
		   shape, n, room);
		for (uint64_t i = 0; i < n; i += 3)
			is_right = is_right && live_take(&s, address_of(i, shape), &what) &&
				   what == i * 7 + 1;
		for (uint64_t i = 0; i < n; i += 3)
			is_right = is_right && !live_take(&s, address_of(i, shape), &what);
		for (uint64_t i = 0; i < n; i += 3)
			is_right = is_right && live_put(&s, address_of(i, shape), i);
		for (uint64_t i = 0; i < n; i++)
			is_right = is_right && live_take(&s, address_of(i, shape), &what) &&
				   what == (i % 3 ? i * 7 + 1 : i);
		ok(is_right, "each is found once, and again when it is put in again");
		is_right = true;
		for (uint32_t i = 0; i < segment_count(&s, SEGMENT_LIVE, 0); i++)
			is_right = is_right && sets[i].passed == 0;
		ok(is_right, "nothing is left behind");
		segment_unmake(&s);
	}
}

struct live_worker {
	struct segment *s;
	uint64_t base;
	bool is_right;
};

/* A window of its own addresses that moves on, at a load where sets overflow. */
static void *live_work(void *argument)
{
	struct live_worker *w = argument;
	uint64_t window =
		(uint64_t)segment_count(w->s, SEGMENT_LIVE, 0) * LIVE_WAYS * 7 / 10 / THREADS;
	uint64_t what;

	w->is_right = true;
	for (uint64_t i = 0; i < 300000; i++) {
		if (i >= window &&
		    (!live_take(w->s, w->base + (i - window) * 16, &what) || what != i - window))
			w->is_right = false;
		if (!live_put(w->s, w->base + i * 16, i))
			w->is_right = false;
	}
	return NULL;
}

static void test_live_threads(void)
{
	struct segment s = segment_make(SEGMENT_MIN_BYTES);
	struct live_worker workers[THREADS];
	pthread_t ids[THREADS];
	bool is_right = true;

	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct live_worker){&s, ((uint64_t)i + 1) << 32, true};
		pthread_create(&ids[i], NULL, live_work, &workers[i]);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(ids[i], NULL);
		is_right = is_right && workers[i].is_right;
	}
	ok(is_right, "%u threads at once, in a table three quarters full", THREADS);
	segment_unmake(&s);
}

static int sum_row(void *user, const struct table_row *row)
{
	uint64_t *sums = user;

	for (unsigned c = 0; c < TABLE_COLUMNS_MAX; c++)
		sums[c] += row->values[c];
	return 0;
}

static void sum_of(uint64_t sums[TABLE_COLUMNS_MAX])
{
	memset(sums, 0, TABLE_COLUMNS_MAX * sizeof(sums[0]));
	heap_profile.read(segment, &heap_profile, sum_row, sums);
}

/* A heap profile of its own for each test: the process's, begun anew. */
static void begin(uint64_t mean)
{
	struct option_set options;
	struct why why = {""};
	int fd;

	option_defaults(&options);
	options.heap_bytes = mean;
	options.seed = 42;
	if (segment != NULL) {
		heap_profile.stop(segment);
		heap_profile.forked();
		segment_forget();
		thread_self_block = NULL;
	}
	if (segment_create(64 << 20, &segment, &fd, &why) < 0 || thread_init(segment) < 0) {
		printf("Bail out! %s\n", why.text);
		exit(1);
	}
	close(fd);
	modules_refresh(segment);
	segment_publish(segment);
	if (heap_profile.start(segment, &options, &why) < 0)
		printf("Bail out! %s\n", why.text);
}

static void test_exact(void)
{
	uint64_t sums[TABLE_COLUMNS_MAX];
	struct heap_taken taken;

	begin(1);
	errno = 77;
	for (uintptr_t i = 1; i <= 1000; i++)
		heap_on_alloc((void *)(i * 64), i % 100);
	for (uintptr_t i = 1; i <= 500; i++)
		heap_on_free((void *)(i * 64));
	heap_on_free(NULL);
	heap_on_alloc(NULL, 1000);
	heap_on_free((void *)640); /* freed before: the host's bug, not ours */
	sum_of(sums);
	is_u64(sums[0], 1000, "every block");
	is_u64(sums[1], 49500, "and byte");
	is_u64(sums[2], 500, "those that live");
	is_u64(sums[3], 24750, "and theirs");

	taken = heap_on_realloc_begin((void *)(600 * 64));
	heap_on_realloc_failed(taken, (void *)(600 * 64));
	sum_of(sums);
	is_u64(sums[2], 500, "a realloc() that fails changes nothing");
	taken = heap_on_realloc_begin((void *)(600 * 64));
	heap_on_realloc_done(taken);
	heap_on_alloc((void *)(600 * 64), 7777);
	taken = heap_on_realloc_begin((void *)(601 * 64));
	heap_on_realloc_done(taken);
	heap_on_alloc((void *)16, 1);
	sum_of(sums);
	is_u64(sums[0], 1002, "one in place and one that moves");
	is_u64(sums[2], 500, "are free and new at once");
	is_u64(sums[3], 24750 - 0 - 1 + 7777 + 1, "with their new sizes");

	heap_pool_alloc((void *)(700 * 64), 50); /* where a block of the allocator begins */
	heap_on_free((void *)(700 * 64));
	sum_of(sums);
	is_u64(sums[2], 500, "a pool's block is not the allocator's");
	heap_pool_free((void *)(700 * 64));
	heap_pool_free((void *)(700 * 64));
	heap_pool_free(NULL);
	sum_of(sums);
	is_u64(sums[2], 499, "and goes by itself");
	heap_pause();
	heap_on_alloc((void *)99999936, 5);
	heap_resume();
	sum_of(sums);
	is_u64(sums[0], 1003, "what cprof allocates is not counted");
	heap_profile.stop(segment);
	heap_on_free((void *)(900 * 64));
	sum_of(sums);
	is_u64(sums[2], 498, "stopped: frees are followed");
	ok(!(heap_watches() & HEAP_SAMPLES), "and allocations not");
	is_u64(errno, 77, "errno is kept");
}

static void test_rates(void)
{
	struct option_set options;
	struct why why = {""};

	begin(MEAN);
	option_defaults(&options);
	options.heap_bytes = 1;
	is_u64((uint64_t)-heap_profile.start(segment, &options, &why), EBUSY,
	       "another rate: refused");
	ok(strstr(why.text, "once in 524288 bytes") != NULL, "with a reason: %s", why.text);
	options.heap_bytes = MEAN;
	ok(heap_profile.start(segment, &options, &why) == 0, "the same rate: goes on");
}

/* Each size of its own, so that sums are of one size. The seed makes it the same each time. */
static void test_sampled(void)
{
	static const size_t sizes[] = {16, 1000, 65536, MEAN, 4 * MEAN};
	uint64_t before[TABLE_COLUMNS_MAX], after[TABLE_COLUMNS_MAX];

	begin(MEAN);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		double taken = -expm1(-(double)sizes[i] / MEAN);
		uint64_t n = 20000 / taken < 4e6 ? (uint64_t)(20000 / taken) : 4000000;
		double spread = sqrt((double)n * taken * (1 - taken)), got;

		sum_of(before);
		for (uint64_t k = 1; k <= n; k++)
			heap_on_alloc((void *)(k * 16), sizes[i]);
		for (uint64_t k = 1; k <= n; k++)
			heap_on_free((void *)(k * 16));
		sum_of(after);
		got = (double)(after[0] - before[0]);
		ok(fabs(got - (double)n * taken) < 4 * spread + 1,
		   "blocks of %zu bytes: %.0f samples, wanted %.0f and at most %.0f off", sizes[i],
		   got, (double)n * taken, 4 * spread);
		is_u64(after[2], 0, "all are freed");
	}
}

struct crowd {
	unsigned number;
	_Atomic uintptr_t *handed; /* blocks for the next thread to free */
};
#define HANDED 4096

static void *crowd_work(void *argument)
{
	struct crowd *c = argument;
	uintptr_t base = ((uintptr_t)c->number + 1) << 40;

	for (uintptr_t i = 1; i <= 100000; i++) {
		uintptr_t p = base + i * 48;

		heap_on_alloc((void *)p, 100 + c->number);
		p = atomic_exchange(&c->handed[i * 31 % HANDED], p);
		if (p != 0)
			heap_on_free((void *)p);
	}
	return NULL;
}

static void test_crowd(void)
{
	static _Atomic uintptr_t handed[HANDED];
	struct crowd crowd[THREADS];
	uint64_t sums[TABLE_COLUMNS_MAX], left = 0;
	pthread_t ids[THREADS];

	begin(1);
	for (unsigned i = 0; i < THREADS; i++) {
		crowd[i] = (struct crowd){i, handed};
		pthread_create(&ids[i], NULL, crowd_work, &crowd[i]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(ids[i], NULL);
	for (unsigned i = 0; i < HANDED; i++)
		left += handed[i] != 0;
	sum_of(sums);
	is_u64(sums[0], THREADS * 100000, "%u threads free each other's blocks: every one counts",
	       THREADS);
	is_u64(sums[1], THREADS * 100000 * 100 + 100000 * 28, "with its bytes");
	is_u64(sums[2], left, "and is live until it is freed");
	is_u64(segment->header->lost[LOST_LIVE], 0, "all found room");
}

static void test_full(void)
{
	uint64_t sums[TABLE_COLUMNS_MAX], n = (uint64_t)1 << 20, lost;

	begin(1);
	for (uint64_t i = 1; i <= n; i++)
		heap_on_alloc((void *)(i * 16), 10);
	lost = segment->header->lost[LOST_LIVE];
	sum_of(sums);
	ok(lost > 0 && lost < n, "a million live blocks: %" PRIu64 " find no room", lost);
	is_u64(sums[0], n, "they were allocated");
	is_u64(sums[2], n - lost, "and are not said to be in use for ever");
	for (uint64_t i = 1; i <= n; i++)
		heap_on_free((void *)(i * 16));
	sum_of(sums);
	is_u64(sums[2], 0, "all are freed");
	for (uint64_t i = 1; i <= 1000; i++)
		heap_on_alloc((void *)(i * 16), 10);
	sum_of(sums);
	is_u64(sums[2], 1000, "and there is room again");
}

int main(void)
{
	plan_begin();
	test_logarithm();
	test_gaps();
	test_classes();
	test_live();
	test_live_sparse();
	test_live_threads();
	test_exact();
	test_rates();
	test_sampled();
	test_crowd();
	test_full();
	return plan_end();
}
