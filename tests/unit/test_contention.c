/* profiles/mutex: what waiters have waited by a fake clock and by a real one, where locks were made, what is kept of a wait. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/labels.h"
#include "core/modules.h"
#include "core/random.h"
#include "core/sites.h"
#include "profiles/mutex/contention_private.h"
#include "tests/tap.h"

#define THREADS 8u

static struct segment *segment;

#define LOCKS_AT    UINT64_C(0x7f0000001000)
#define LOCKS_BYTES (UINT64_C(1) << 20)

static const void *lock_at(uintptr_t n)
{
	return (const void *)(LOCKS_AT + n * 8);
}

/* Whoever has a lock may look at it. */
static void make_locks(void)
{
	ok(mmap((void *)LOCKS_AT, LOCKS_BYTES, PROT_READ,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
		0) == (void *)LOCKS_AT,
	   "room for locks");
}

static void test_charges(void)
{
	const void *lock = lock_at(1);
	struct waiters *a, *b;
	unsigned marked, later;

	ok(!waiters_may_be(lock), "nobody has waited");
	is_u64(waiters_charge(lock, 0, 50), 0, "nothing to charge");
	a = waiters_enter(lock, 100);
	ok(waiters_may_be(lock), "somebody waits");
	b = waiters_enter(lock, 130);
	is_u64(waiters_charge(lock, waiters_mark(lock), 150), 50 + 20,
	       "a release: what both have waited");
	waiters_leave(a, 100, 150, WAITERS_GOT_IT);
	is_u64(waiters_charge(lock, waiters_mark(lock), 190), 40,
	       "the next: what the other has waited since");
	waiters_leave(b, 130, 190, WAITERS_GOT_IT);
	ok(!waiters_may_be(lock), "all is charged");
	ok(waiters_mark(lock) == 0, "who releases it now need not look");

	a = waiters_enter(lock, 1000);
	marked = waiters_mark(lock);
	ok(marked != 0, "a release begins");
	b = waiters_enter(lock, 1010);
	waiters_leave(a, 1000, 1100, WAITERS_GOT_IT);
	is_u64(waiters_charge(lock, marked, 1500), 100 + 90,
	       "who comes late finds what was waited until another had the lock");
	is_u64(waiters_charge(lock, waiters_mark(lock), 1600), 500,
	       "and what was waited after is that one's");
	waiters_leave(b, 1010, 1650, WAITERS_GOT_IT);
	is_u64(waiters_charge(lock, 0, 1700), 0,
	       "the way from a release to a waiter is no contention");
	ok(!waiters_may_be(lock), "nor does it keep releases busy");
	a = waiters_enter(lock, 2000);
	is_u64(waiters_charge(lock, waiters_mark(lock), 2010), 10 + 50, "it goes with the next");
	waiters_leave(a, 2000, 2010, WAITERS_GOT_IT);

	/* two releases, both charged late, and the second one first */
	a = waiters_enter(lock, 2100);
	b = waiters_enter(lock, 2100);
	marked = waiters_mark(lock);
	waiters_leave(a, 2100, 2200, WAITERS_GOT_IT);
	later = waiters_mark(lock);
	waiters_leave(b, 2100, 2230, WAITERS_GOT_IT);
	is_u64(waiters_charge(lock, later, 2900), 30, "each finds its own: the second");
	is_u64(waiters_charge(lock, marked, 2950), 200, "and the first");
	ok(!waiters_may_be(lock), "and nothing is left");

	/* a lock of several processes */
	a = waiters_enter(lock, 2960);
	b = waiters_enter(lock, 2970);
	waiters_leave(a, 2960, 2980, WAITERS_GOT_SHARED);
	is_u64(waiters_charge(lock, waiters_mark(lock), 2985), 5,
	       "what was waited for another process is nobody's");
	waiters_leave(b, 2970, 2987, WAITERS_GOT_SHARED);
	a = waiters_enter(lock, 2990);
	waiters_leave(a, 2990, 2995, WAITERS_GOT_SHARED);
	a = waiters_enter(lock, 2996);
	is_u64(waiters_charge(lock, waiters_mark(lock), 2997), 1 + 2,
	       "the way from a release of ours is kept");
	waiters_leave(a, 2996, 2997, WAITERS_GOT_SHARED);

	a = waiters_enter(lock, 3000);
	waiters_leave(a, 3000, 3050, WAITERS_GAVE_UP);
	ok(waiters_may_be(lock), "one that gave up");
	is_u64(waiters_charge(lock, waiters_mark(lock), 9000), 50,
	       "is charged to the next release");
	ok(!waiters_may_be(lock), "once");
	a = waiters_enter(lock, 4000);
	waiters_leave(a, 4000, 4500, WAITERS_DID_NOT);
	ok(!waiters_may_be(lock), "one that did not wait leaves nothing");
	a = waiters_enter(lock, 5000);
	marked = waiters_mark(lock);
	waiters_unmark(lock, marked);
	is_u64(waiters_charge(lock, 0, 5100), 100, "nor does a release that failed");
	waiters_leave(a, 5000, 5050, WAITERS_GOT_IT);
	ok(!waiters_may_be(lock), "clocks of two threads may cross");
	a = waiters_enter(lock, 6000);
	is_u64(waiters_charge(lock, 0, 6100), 100 - 50, "and are even in the end");
	waiters_leave(a, 6000, 6100, WAITERS_GOT_IT);

	a = waiters_enter(lock, 7000);
	waiters_leave(a, 7000, 7050, WAITERS_GAVE_UP);
	waiters_forget(lock);
	ok(!waiters_may_be(lock), "a lock that is destroyed leaves nothing");
	a = waiters_enter(lock, 8000);
	waiters_begin(8100);
	is_u64(waiters_charge(lock, waiters_mark(lock), 8130), 30,
	       "begun anew: what was waited before is nobody's");
	waiters_leave(a, 8000, 8130, WAITERS_GOT_IT);
	ok(!waiters_may_be(lock), "and who waited then leaves as usual");
}

static void test_give_back(void)
{
	const void *lock = lock_at(2);
	struct waiters *w = waiters_enter(lock, 100);

	is_u64(waiters_charge(lock, 0, 150), 50, "a charge");
	waiters_give_back(lock, 50);
	is_u64(waiters_charge(lock, waiters_mark(lock), 170), 50 + 20,
	       "of what released nothing: it is the next one's");
	waiters_leave(w, 100, 170, WAITERS_GOT_IT);
	ok(!waiters_may_be(lock), "once");
	waiters_give_back(lock, 30);
	is_u64(waiters_charge(lock, waiters_mark(lock), 999), 30,
	       "also when nobody waits any more");
	ok(!waiters_may_be(lock), "and that is all");
}

static void test_readers(void)
{
	const void *lock = lock_at(3);
	struct waiters *w = waiters_enter(lock, 100);
	unsigned a = waiters_mark(lock), b, c;

	ok(waiters_reader_leaves(lock, a), "a reader leaves: it looks how many there are");
	waiters_readers_are(lock, a, 2);
	ok(!waiters_reader_left(lock, a), "not the last");
	waiters_unmark(lock, a);
	b = waiters_mark(lock);
	ok(waiters_reader_leaves(lock, b), "later the other one");
	waiters_readers_are(lock, b, 1);
	ok(waiters_reader_left(lock, b), "which is");
	is_u64(waiters_charge(lock, b, 150), 50, "it is charged");

	a = waiters_mark(lock);
	b = waiters_mark(lock);
	ok(waiters_reader_leaves(lock, a) && waiters_reader_leaves(lock, b), "two at once");
	waiters_readers_are(lock, b, 2);
	waiters_readers_are(lock, a, 1); /* it looked when the other had gone */
	ok(!waiters_reader_left(lock, b), "who is done first has not left last");
	c = waiters_mark(lock);
	ok(waiters_reader_left(lock, a), "the other one has");
	is_u64(waiters_charge(lock, a, 190), 40, "and is charged");
	waiters_unmark(lock, b);

	b = waiters_mark(lock);
	ok(waiters_reader_leaves(lock, b), "two of three");
	waiters_readers_are(lock, b, 3);
	ok(!waiters_reader_leaves(lock, c), "need not both look");
	ok(!waiters_reader_left(lock, b) && !waiters_reader_left(lock, c), "one stays");
	waiters_unmark(lock, b);
	waiters_unmark(lock, c);
	a = waiters_mark(lock);
	waiters_reader_leaves(lock, a);
	waiters_readers_are(lock, a, 1u << 28);
	ok(!waiters_reader_left(lock, a), "more than it counts to");
	a |= waiters_mark(lock);
	waiters_charge(lock, a, 200);
	waiters_leave(w, 100, 200, WAITERS_GOT_IT);
	waiters_unmark(lock, a);
	ok(!waiters_may_be(lock), "and nothing is left");
	w = waiters_enter((const char *)lock + 4, 300);
	is_u64(waiters_charge(lock, 0, 400), 0, "a neighbour four bytes on is another lock");
	is_u64(waiters_charge((const char *)lock + 4, 0, 400), 100, "itself");
	waiters_leave(w, 300, 400, WAITERS_GOT_IT);
	lock = (const void *)UINT64_C(0xfff8123456789abc); /* of a futex() that will fail */
	w = waiters_enter(lock, 300);
	is_u64(waiters_charge(lock, 0, 400), 100, "an address that is none is one all the same");
	waiters_leave(w, 300, 400, WAITERS_GOT_IT);
	ok(!waiters_may_be(lock), "and leaves nothing either");
}

/* Readers of a lock that leave all at once, round after round. */
static struct {
	_Atomic uint64_t readers, charged, charges, here;
	_Atomic unsigned round;
} leaving;
#define LEAVING_ROUNDS 3000u

static void *leaving_work(void *none)
{
	const void *lock = lock_at(4);

	for (unsigned i = 1; i <= LEAVING_ROUNDS; i++) {
		unsigned marked;

		leaving.here++;
		while (leaving.round < i)
			sched_yield();
		marked = waiters_mark(lock);
		if (waiters_reader_leaves(lock, marked))
			waiters_readers_are(lock, marked, (uint32_t)leaving.readers);
		leaving.readers--; /* the release */
		if (waiters_reader_left(lock, marked)) {
			uint64_t ns = waiters_charge(lock, marked, 1000 * i + 100);

			leaving.charged += ns;
			leaving.charges++;
		} else {
			waiters_unmark(lock, marked);
		}
	}
	return none;
}

static void test_readers_at_once(void)
{
	const void *lock = lock_at(4);
	unsigned wrong = 0;
	pthread_t ids[4];

	for (unsigned i = 0; i < 4; i++)
		pthread_create(&ids[i], NULL, leaving_work, NULL);
	for (unsigned i = 1; i <= LEAVING_ROUNDS; i++) {
		struct waiters *w;

		while (leaving.here < 4 * i)
			sched_yield();
		/* all are done with the round before */
		wrong += leaving.charges != i - 1;
		leaving.readers = 4;
		w = waiters_enter(lock, 1000 * i);
		leaving.round = i;
		while (leaving.readers > 0)
			sched_yield();
		waiters_leave(w, 1000 * i, 1000 * i + 100, WAITERS_GOT_IT);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(ids[i], NULL);
	is_u64(wrong, 0, "four readers that leave at once: one is charged, each time");
	is_u64(leaving.charges, LEAVING_ROUNDS, "as often as somebody waited");
	is_u64(leaving.charged, LEAVING_ROUNDS * 100, "for as long");
}

static void test_room(void)
{
	uint64_t n = 0, charged = 0, room = WAITERS_SETS * WAITERS_WAYS;
	static struct waiters *all[WAITERS_SETS * WAITERS_WAYS * 2];

	for (uintptr_t i = 0; i < room * 2; i++) {
		all[i] = waiters_enter(lock_at(100 + i * 5), 100);
		n += all[i] != NULL;
	}
	ok(n > room * 8 / 10 && n <= room, "locks at once: %" PRIu64 " of %" PRIu64 " find room", n,
	   room);
	for (uintptr_t i = 0; i < room * 2; i++)
		if (all[i] != NULL)
			waiters_leave(all[i], 100, 110, WAITERS_GAVE_UP);
	n = 0;
	for (uintptr_t i = 0; i < room; i++)
		n += waiters_enter(lock_at(100000 + i * 7), 200) != NULL;
	ok(n > room * 8 / 10, "those that gave up make room: %" PRIu64, n);
	waiters_forked();
	for (uintptr_t i = 0; i < room * 3; i++)
		charged += waiters_charge(lock_at(100 + i), 0, 300);
	is_u64(charged, 0, "in a child of fork nobody waits");
}

/* ---- many threads ---- */

static struct {
	pthread_mutex_t mutex;
	_Atomic uint64_t waited, charged, contended;
} crowd;

/* As the wrappers do it, with one lock for all: real waits, and every one of them charged once. */
static void *crowd_work(void *seed)
{
	uint64_t random = random_seed((uint64_t)(uintptr_t)seed), waited = 0, charged = 0;

	for (unsigned i = 0; i < 20000; i++) {
		if (pthread_mutex_trylock(&crowd.mutex) != 0) {
			uint64_t begun = clock_monotonic(), now;
			struct waiters *w = waiters_enter(&crowd.mutex, begun);

			pthread_mutex_lock(&crowd.mutex);
			now = clock_monotonic();
			waiters_leave(w, begun, now, WAITERS_GOT_IT);
			waited += now - begun;
		}
		for (volatile unsigned k = 0; k < random_next(&random) % 64; k++)
			;
		if (random_next(&random) % 512 == 0)
			sched_yield();
		{
			unsigned marked =
				waiters_may_be(&crowd.mutex) ? waiters_mark(&crowd.mutex) : 0;
			uint64_t ns;

			pthread_mutex_unlock(&crowd.mutex);
			if (waiters_may_be(&crowd.mutex)) {
				ns = waiters_charge(&crowd.mutex, marked, clock_monotonic());
				charged += ns;
				crowd.contended += ns != 0;
			}
		}
	}
	crowd.waited += waited;
	crowd.charged += charged;
	return NULL;
}

static void test_crowd(void)
{
	pthread_t ids[THREADS];
	struct waiters *w;
	uint64_t rest, end = UINT64_C(1) << 62; /* later than all */
	unsigned marked;

	pthread_mutex_init(&crowd.mutex, NULL);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&ids[i], NULL, crowd_work, (void *)i);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(ids[i], NULL);
	/* what was kept aside comes out with one more */
	w = waiters_enter(&crowd.mutex, end);
	marked = waiters_mark(&crowd.mutex);
	rest = waiters_charge(&crowd.mutex, marked, end + NS_PER_SECOND) - NS_PER_SECOND;
	waiters_leave(w, end, end + NS_PER_SECOND, WAITERS_GOT_IT);
	note("%" PRIu64 " contended releases, %" PRIu64 " ns waited, %" PRIu64 " ns left over",
	     crowd.contended, crowd.waited, rest);
	is_u64(crowd.charged + rest, crowd.waited,
	       "%u threads: what was waited is charged, to the nanosecond", THREADS);
	ok(rest < crowd.waited / 2 + 1000000, "most of it in time");
}

/* ---- where they were made ---- */

static void test_sites(void)
{
	bool is_right = true;

	is_u64(sites_find(lock_at(1)), 0, "a lock nobody told of");
	sites_put(lock_at(1), 0x401234);
	is_u64(sites_find(lock_at(1)), 0x401234, "one that was made");
	sites_remove(lock_at(1));
	is_u64(sites_find(lock_at(1)), 0, "and destroyed");
	for (uintptr_t i = 0; i < 100000; i++)
		sites_put(lock_at(i), 0x400000 + i);
	for (uintptr_t i = 0; i < 100000; i++) {
		uintptr_t pc = sites_find(lock_at(i));

		is_right = is_right && (pc == 0 || pc == 0x400000 + i);
	}
	ok(is_right, "of too many, some are forgotten and none is taken for another");
}

/* ---- the profiles ---- */

static struct thread *know_me(void)
{
	struct thread *t = thread_reserve(segment);

	thread_self_block = thread_publish(segment, t, (int)syscall(SYS_gettid));
	return thread_self_block;
}

static void begin(uint64_t block_ns, uint64_t rate_ns, uint64_t n)
{
	struct option_set options;
	struct why why = {""};
	int fd;

	option_defaults(&options);
	options.block_ns = block_ns;
	options.block_rate_ns = rate_ns;
	options.mutex_n = n;
	options.seed = 7;
	if (segment != NULL) {
		block_profile.stop(segment);
		mutex_profile.stop(segment);
		contention_forked();
		segment_forget();
		thread_self_block = NULL;
	}
	if (segment_create(16 << 20, &segment, &fd, &why) < 0 || thread_init(segment) < 0) {
		printf("Bail out! %s\n", why.text);
		exit(1);
	}
	close(fd);
	modules_refresh(segment);
	segment_publish(segment);
	know_me();
	if (block_profile.start(segment, &options, &why) < 0 ||
	    mutex_profile.start(segment, &options, &why) < 0)
		printf("Bail out! %s\n", why.text);
}

struct sums {
	uint64_t rows, values[2];
	char kind[32], lock[32], idle[8];
};

static int sum_row(void *user, const struct table_row *row)
{
	struct sums *sums = user;
	const struct segment_label_set *set = labels_set(segment, row->labels);

	sums->rows++;
	sums->values[0] += row->values[0];
	sums->values[1] += row->values[1];
	for (uint32_t i = 0; set != NULL && i < set->count; i++) {
		const char *key = segment_text(segment, set->pairs[i][0]);
		const char *value = segment_text(segment, set->pairs[i][1]);

		if (strcmp(key, "kind") == 0)
			snprintf(sums->kind, sizeof(sums->kind), "%s", value);
		else if (strcmp(key, "lock") == 0)
			snprintf(sums->lock, sizeof(sums->lock), "%s", value);
		else if (strcmp(key, "idle") == 0)
			snprintf(sums->idle, sizeof(sums->idle), "%s", value);
	}
	return 0;
}

static struct sums sums_of(const struct profile_ops *ops)
{
	struct sums sums = {0};

	table_read(segment, ops->table, sum_row, &sums);
	return sums;
}

/* A wait that took as long as we say. */
__attribute__((noinline)) static void wait_for(unsigned code, const void *object, uint64_t ns,
					       int result)
{
	WAITING(code, NULL, object);
	if (waiting.begun_ns != 0)
		waiting.begun_ns = clock_monotonic() - ns;
	waiting.result = result;
}

static pthread_mutex_t in_data;

static void test_kept(void)
{
	struct sums sums;

	begin(10000, 0, 1);
	errno = 77;
	wait_for(WAIT_SEM, &in_data, 5000, 0);
	is_u64(sums_of(&block_profile).rows, 0, "a wait below the threshold");
	wait_for(WAIT_SEM, lock_at(1), 50000, 0);
	sums = sums_of(&block_profile);
	is_u64(sums.values[0], 1, "and one above");
	ok(sums.values[1] >= 50000 && sums.values[1] < 50000000, "with its time: %" PRIu64,
	   sums.values[1]);
	is_str(sums.kind, "sem", "what it waited for");
	is_str(sums.lock, "", "of unknown name");
	wait_for(WAIT_COND, &in_data, 50000, EINVAL);
	wait_for(WAIT_BARRIER, &in_data, 50000, PTHREAD_BARRIER_SERIAL_THREAD);
	wait_for(WAIT_SYSCALL, NULL, 50000, 0);
	wait_for(WAIT_SLEEP, NULL, 50000, 0);
	is_u64(sums_of(&block_profile).values[0], 1,
	       "what did not wait, and what is not asked for");
	wait_for(WAIT_LOCK, &in_data, 50000, 0);
	sums = sums_of(&block_profile);
	is_u64(sums.values[0], 2, "a lock");
	ok(strncmp(sums.lock, "data:0x", 7) == 0 &&
		   strtoul(sums.lock + 5, NULL, 16) == (uintptr_t)&in_data,
	   "in a file's data: %s", sums.lock);
	contention_made(lock_at(3), 0x401234);
	wait_for(WAIT_RWLOCK, lock_at(3), 50000, ETIMEDOUT);
	sums = sums_of(&block_profile);
	ok(strcmp(sums.lock, "init:0x401234") == 0 || strncmp(sums.lock, "data:", 5) == 0,
	   "or where it was made");
	contention_pause();
	wait_for(WAIT_COND, &in_data, 50000, 0);
	contention_resume();
	is_u64(sums_of(&block_profile).values[0], 3, "cprof's own waits are not the host's");
	block_profile.stop(segment);
	wait_for(WAIT_COND, &in_data, 50000, 0);
	is_u64(sums_of(&block_profile).values[0], 3, "stopped");
	is_u64(errno, 77, "errno is kept");
	is_u64(segment->header->lost[LOST_WAITS], 0, "nothing is lost");
}

static void test_stop_between(void)
{
	begin(1, 0, 1);
	{
		WAITING(WAIT_LOCK, NULL, lock_at(9));
		block_profile.stop(segment);
		mutex_profile.stop(segment);
	}
	is_u64(sums_of(&block_profile).rows, 0, "a wait that a stop cuts is not kept");
	ok(!waiters_may_be(lock_at(9)) || waiters_charge(lock_at(9), 0, clock_monotonic()) == 0,
	   "and leaves nobody behind");
	begin(1, 0, 1);
	{
		WAITING(WAIT_LOCK, NULL, lock_at(9));
		contention_forked();
	}
	is_u64(sums_of(&block_profile).rows, 0, "nor one that fork cuts");
}

static void test_left(void)
{
	struct thread *t;

	begin(1, 0, 1);
	t = thread_self_block;
	{
		struct wait left = {.thread = NULL};

		wait_begin(&left, WAIT_LOCK, (struct wait_place){0}, lock_at(11));
		is_u64(t->lock_waits_n, 1, "a wait for a lock is remembered");
		wait_leave();
		is_u64(t->lock_waits_n, 0, "and forgotten when it is left");
		waiters_charge(lock_at(11), 0, clock_monotonic());
		ok(!waiters_may_be(lock_at(11)), "with its place among the waiters");
		wait_end(&left);
		ok(!waiters_may_be(lock_at(11)), "if it goes on all the same, that is no matter");
	}
}

/* As pthread_cond_wait() does it. */
__attribute__((noinline)) static void release_in_call(struct contention_charge *charge)
{
	contention_charge(charge, &in_data, WAIT_LOCK, WAIT_HERE(NULL));
}

static void test_charged_call(void)
{
	struct contention_charge charge, inner[THREAD_LOCK_WAITS];
	struct thread *t;
	struct waiters *w;
	struct sums sums;

	begin(10000, 0, 1);
	t = thread_self_block;
	w = waiters_enter(&in_data, clock_monotonic() - 1000000);
	errno = 77;
	release_in_call(&charge);
	ok(charge.of.ns >= 1000000, "a release inside a call is charged before it");
	is_u64(t->charges_n, 1, "and remembered");
	is_u64(sums_of(&mutex_profile).rows, 0, "but not recorded yet");
	wait_leave();
	sums = sums_of(&mutex_profile);
	ok(sums.values[0] == 1 && sums.values[1] == charge.of.ns,
	   "a call that is left: it is recorded then");
	contention_charged(&charge, true);
	is_u64(sums_of(&mutex_profile).values[0], 1, "once, if it goes on all the same");
	release_in_call(&charge);
	contention_charged(&charge, true);
	is_u64(sums_of(&mutex_profile).values[0], 2, "a call that returns");
	release_in_call(&charge);
	contention_charged(&charge, false);
	is_u64(sums_of(&mutex_profile).values[0], 2, "one that fails has released nothing");
	is_u64(t->charges_n, 0, "nothing is remembered any more");
	for (unsigned i = 0; i < THREAD_LOCK_WAITS; i++)
		release_in_call(&inner[i]);
	release_in_call(&charge);
	is_u64(t->charges_n, THREAD_LOCK_WAITS, "more than can be remembered");
	contention_charged(&charge, true);
	for (unsigned i = THREAD_LOCK_WAITS; i-- > 0;)
		contention_charged(&inner[i], true);
	is_u64(sums_of(&mutex_profile).values[0], 3 + THREAD_LOCK_WAITS,
	       "are recorded when they return");
	release_in_call(&charge);
	contention_forked();
	contention_charged(&charge, true);
	is_u64(sums_of(&mutex_profile).values[0], 3 + THREAD_LOCK_WAITS,
	       "a child of fork leaves it to its parent");
	is_u64(errno, 77, "errno is kept");
	(void)w;
}

static void test_released(void)
{
	struct sums sums;
	struct waiters *w;

	begin(10000, 0, 1);
	w = waiters_enter(&in_data, clock_monotonic() - 1000000);
	contention_released(&in_data, contention_releases(&in_data), WAIT_LOCK, 0);
	sums = sums_of(&mutex_profile);
	is_u64(sums.values[0], 1, "a release that made one wait");
	ok(sums.values[1] >= 1000000 && sums.values[1] < 100000000, "for how long");
	is_str(sums.kind, "mutex", "with the same labels");
	ok(strncmp(sums.lock, "data:0x", 7) == 0, "as in block");
	contention_released(lock_at(5), 0, WAIT_LOCK, 0);
	is_u64(sums_of(&mutex_profile).values[0], 1, "one that made nobody wait");
	waiters_leave(w, 0, clock_monotonic(), WAITERS_GOT_IT);

	begin(10000, 0, 10);
	for (unsigned i = 0; i < 20000; i++) {
		w = waiters_enter(&in_data, clock_monotonic() - 1000000);
		contention_released(&in_data, contention_releases(&in_data), WAIT_LOCK, 0);
		waiters_leave(w, 0, clock_monotonic(), WAITERS_GOT_IT);
	}
	sums = sums_of(&mutex_profile);
	is_u64(sums.values[0] % 10, 0, "one in ten, ten times each");
	/* 20000 * 10 * sqrt(0.1 * 0.9 / 20000): 424 */
	ok(sums.values[0] > 20000 - 4 * 424 && sums.values[0] < 20000 + 4 * 424,
	   "all in all about so many: %" PRIu64, sums.values[0]);
}

static void test_rate(void)
{
	uint64_t values[BLOCK_COLUMNS], count = 0, ns = 0;

	begin(10000, 10000, 1);
	contention_weigh(10000, values);
	ok(values[0] == 1 && values[1] == 10000, "at the rate and above: as it is");
	for (unsigned i = 0; i < 300000; i++) {
		contention_weigh(700, values);
		count += values[0];
		ns += values[0] != 0 ? values[1] : 0;
	}
	/* one in 14.3, which counts so much more: the error of both is 0.67 % */
	ok(count > 292000 && count < 308000, "short ones: %" PRIu64 " of 300000", count);
	ok(ns > 204400000 && ns < 215600000, "for %" PRIu64 " of 210000000 ns", ns);
	contention_weigh(0, values);
	is_u64(values[0], 0, "none at all is no wait");
}

__attribute__((noinline)) static void wait_here(unsigned code, int result)
{
	wait_for(code, &in_data, 50000, result);
	__asm__ volatile("");
}

__attribute__((noinline)) static void wait_there(unsigned code, int result)
{
	wait_for(code, &in_data, 50000, result);
	__asm__ volatile("");
}

static void test_idle(void)
{
	begin(10000, 0, 1);
	wait_here(WAIT_COND, 0);
	wait_there(WAIT_COND, 0);
	is_str(sums_of(&block_profile).idle, "", "two waits say nothing yet");
	for (unsigned i = 0; i < 5; i++)
		wait_here(WAIT_LOCK, 0);
	is_str(sums_of(&block_profile).idle, "", "nor do locks");
	for (unsigned i = 0; i < 5; i++)
		wait_here(WAIT_COND, ETIMEDOUT);
	is_str(sums_of(&block_profile).idle, "", "nor does time that runs out");
	for (unsigned i = 0; i < 5; i++)
		wait_here(WAIT_COND, 0);
	is_str(sums_of(&block_profile).idle, "yes", "at one place most of the time: idle");
}

int main(void)
{
	plan_begin();
	make_locks();
	test_charges();
	test_give_back();
	test_readers();
	test_readers_at_once();
	test_room();
	test_crowd();
	test_sites();
	test_kept();
	test_stop_between();
	test_left();
	test_charged_call();
	test_released();
	test_rate();
	test_idle();
	return plan_end();
}
