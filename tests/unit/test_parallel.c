/*
 * How many threads ran at once: exact where each thread's intervals are told before too many of others are, and whatever the order,
 * how long they ran in all.
 */
#include "tests/tap.h"
#include "viewer/parallel.h"

static uint64_t sums[PARALLEL_MAX + 1];

static bool is_sum(struct parallel *p, uint64_t none, uint64_t one, uint64_t two, uint64_t three)
{
	parallel_sum(p, sums);
	if (sums[0] == none && sums[1] == one && sums[2] == two && sums[3] == three)
		return true;
	note("none %u, one %u, two %u, three %u", (unsigned)sums[0], (unsigned)sums[1],
	     (unsigned)sums[2], (unsigned)sums[3]);
	return false;
}

static void test_few(void)
{
	struct parallel p = {0};

	ok(is_sum(&p, 0, 0, 0, 0), "nothing");
	parallel_add(&p, 1, 100, 200, true);
	ok(is_sum(&p, 0, 100, 0, 0), "one");
	parallel_add(&p, 2, 100, 150, true);
	parallel_add(&p, 2, 150, 250, false);
	ok(is_sum(&p, 50, 50, 50, 0), "two, and none in the end");
	parallel_end(&p, 2);
	parallel_add(&p, 1, 200, 300, false);
	parallel_end(&p, 1);
	ok(is_sum(&p, 100, 50, 50, 0), "one that has ended counts no more");
	parallel_add(&p, 1, 400, 500, true);
	ok(is_sum(&p, 200, 150, 50, 0), "a gap between");
	parallel_fini(&p);
}

/* One sleeps all the while, and is told in the end. */
static void test_sleeper(void)
{
	struct parallel p = {0};
	uint32_t most = 0;

	parallel_add(&p, 9, 0, 0, false);
	for (uint32_t i = 0; i < 10000; i++) {
		for (uint32_t thread = 1; thread <= 3; thread++)
			parallel_add(&p, thread, 10 * i, 10 * i + 2 * thread, true);
		for (uint32_t thread = 1; thread <= 3; thread++)
			parallel_add(&p, thread, 10 * i + 2 * thread, 10 * i + 10, false);
		most = p.n > most ? p.n : most;
	}
	parallel_add(&p, 9, 0, 100000, false);
	ok(is_sum(&p, 40000, 20000, 20000, 20000), "who sleeps does not matter");
	ok(most > 1000 && most <= PARALLEL_STRETCHES + 2 * 4,
	   "no more stretches than there may be");
	parallel_fini(&p);
	p = (struct parallel){0};
	parallel_add(&p, 9, 0, 0, false);
	for (uint32_t i = 0; i < 1000; i++) {
		parallel_add(&p, 1, 10 * i, 10 * i + 4, true);
		parallel_add(&p, 1, 10 * i + 4, 10 * i + 10, false);
	}
	parallel_add(&p, 9, 0, 10000, true);
	ok(is_sum(&p, 0, 6000, 4000, 0), "who ran all the while ran beside everybody");
	parallel_fini(&p);
}

/* Each moment for itself: threads by time, told when an interval ends. */
static void test_truth(void)
{
	enum { THREADS = 7, TIME = 3000 };
	static bool runs[THREADS][TIME];
	uint64_t wanted[THREADS + 1] = {0}, begun[THREADS] = {0};
	struct parallel p = {0};
	uint32_t seed = 12345;
	bool is_same = true;

	for (unsigned t = 0; t < THREADS; t++) {
		bool now = false;

		for (unsigned i = 0; i < TIME; i++) {
			seed = seed * 1664525 + 1013904223;
			/* some sleep for long */
			if ((seed >> 16) % (t == 0 ? 900 : 5 + 20 * t) == 0)
				now = !now;
			runs[t][i] = now;
		}
		parallel_add(&p, t, 0, 0, false);
	}
	for (unsigned i = 0; i < TIME; i++) {
		unsigned n = 0;

		for (unsigned t = 0; t < THREADS; t++)
			n += runs[t][i];
		wanted[n]++;
	}
	for (unsigned i = 1; i <= TIME; i++) {
		for (unsigned t = 0; t < THREADS; t++) {
			if (i < TIME && runs[t][i] == runs[t][i - 1])
				continue;
			parallel_add(&p, t, begun[t], i, runs[t][i - 1]);
			begun[t] = i;
		}
	}
	parallel_sum(&p, sums);
	for (unsigned n = 0; n <= THREADS; n++)
		is_same = is_same && sums[n] == wanted[n];
	ok(is_same, "as counted moment by moment");
	parallel_fini(&p);
}

/* What is told late, and out of order: the sum is right all the same, and no moment has more than there are threads. */
static void test_late(void)
{
	struct parallel p = {0};
	uint64_t all = 0, running = 0, wanted = 0;
	uint32_t seed = 1;

	for (uint32_t round = 0; round < 2000; round++) {
		uint32_t thread = (seed = seed * 1664525 + 1013904223) >> 29;
		uint64_t begin = round * 10 - (round > 50 ? (seed >> 8) % 500 : 0);

		for (unsigned i = 0; i < 3; i++) {
			uint32_t at = map_get(&p.thread_of, thread);
			uint64_t told = at != MAP_NONE ? p.told_ns[at] : begin;

			begin = begin > told ? begin : told;
			wanted += i != 1 ? 7 : 0;
			parallel_add(&p, thread, begin, begin + 7, i != 1);
			begin += 7;
		}
	}
	parallel_sum(&p, sums);
	for (unsigned n = 0; n <= PARALLEL_MAX; n++) {
		all += sums[n];
		running += n * sums[n];
	}
	is_u64(running, wanted, "how long they ran is exact");
	is_u64(all, p.now_ns - p.stretches[0].begin_ns, "and so is all the time there is");
	ok(sums[9] == 0, "eight threads are never nine");
	ok(p.n <= PARALLEL_STRETCHES + 2 * 9, "stretches: %u", p.n);
	parallel_fini(&p);
}

/* One that is told of several at once, when others have gone on: two never run at once. */
static void test_turns(void)
{
	struct parallel p = {0};

	parallel_add(&p, 1, 0, 0, false);
	parallel_add(&p, 2, 0, 0, false);
	for (uint64_t begin = 0; begin < 1000; begin += 100) {
		for (uint64_t ns = begin; ns < begin + 100; ns += 10) {
			parallel_add(&p, 1, ns, ns + 4, true);
			parallel_add(&p, 1, ns + 4, ns + 10, false);
		}
		for (uint64_t ns = begin; ns < begin + 100; ns += 10) {
			parallel_add(&p, 2, ns, ns + 4, false);
			parallel_add(&p, 2, ns + 4, ns + 10, true);
		}
	}
	ok(is_sum(&p, 0, 1000, 0, 0), "who takes turns is never two");
	parallel_fini(&p);
}

static void test_hostile(void)
{
	struct parallel p = {0};

	parallel_add(&p, 1, 100, 200, true);
	parallel_add(&p, 1, 50, 150, true);
	ok(is_sum(&p, 0, 100, 0, 0), "nothing is counted twice");
	parallel_add(&p, 1, 300, 250, true);
	parallel_add(&p, 2, UINT64_MAX - 10, UINT64_MAX, true);
	parallel_end(&p, 77);
	parallel_end(&p, 1);
	parallel_end(&p, 1);
	parallel_add(&p, 3, 0, UINT64_MAX, true);
	parallel_sum(&p, sums);
	ok(sums[2] == 110, "nor does what cannot be end it");
	parallel_fini(&p);
	for (uint32_t i = 0; i < PARALLEL_MAX + 100; i++)
		parallel_add(&p, i, 0, 10, true);
	parallel_sum(&p, sums);
	is_u64(sums[PARALLEL_MAX], 10, "more threads than are told apart");
	parallel_fini(&p);
}

int main(void)
{
	plan_begin();
	test_few();
	test_sleeper();
	test_truth();
	test_late();
	test_turns();
	test_hostile();
	return plan_end();
}
