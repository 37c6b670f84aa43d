/* core/thread: records are handed out once and reused, the guard keeps a thread from entering twice. */
#include <errno.h>

#include "core/thread.h"
#include "core/walk.h"
#include "tests/unit/segment_make.h"

#define THREADS 8
#define ROUNDS  3000

static void test_records(void)
{
	struct segment s = segment_make(SEGMENT_MIN_BYTES);
	uint32_t room = segment_count(&s, SEGMENT_THREADS, 0), n = 1;
	struct thread *a, *b, *c;

	ok(thread_init(&s) == 0, "blocks for %u threads", room);
	a = thread_reserve(&s);
	ok(a != NULL && a->index != 0 && thread_find(&s, 100) == NULL,
	   "reserved, and nobody's yet");
	is_u64((uintptr_t)thread_publish(&s, a, 100), (uintptr_t)a, "published");
	ok(thread_find(&s, 100) == a && a->tid == 100 && a->scratch != NULL, "found");
	b = thread_publish(&s, thread_reserve(&s), 101);
	c = thread_publish(&s, thread_reserve(&s), 100);
	ok(c == a && b != a, "the same thread again has the record it has");
	thread_release(&s, a);
	ok(thread_find(&s, 100) == NULL && thread_find(&s, 101) == b, "released");
	c = thread_reserve(&s);
	is_u64(c->index, a->index, "a record is used again");
	while (thread_reserve(&s) != NULL)
		n++;
	ok(n + 2 == room - 1 || n + 1 == room - 1, "%u records, index 0 is none", n);
	is_u64(s.header->lost[LOST_THREADS], 1, "a thread without a record is counted");
	ok(thread_at(&s, 0) == NULL && thread_at(&s, room) == NULL &&
		   thread_at(&s, UINT32_MAX) == NULL,
	   "indexes that no thread has");
	segment_unmake(&s);
}

/* Who has set its own number, and was found by somebody else before it could say so. */
static void test_found_before(void)
{
	struct segment s = segment_make(4 << 20);
	struct thread *known, *own;

	thread_init(&s);
	known = thread_publish(&s, thread_reserve(&s), 100);
	own = thread_reserve(&s);
	own->tid = 100;
	thread_self_block = own;
	ok(thread_publish(&s, own, 100) == known, "one record for a thread");
	ok(thread_self_block == known, "which is its own from then on");
	ok(thread_find(&s, 100) == known, "and is found");
	thread_self_block = NULL;
	segment_unmake(&s);
}

static void test_guard(void)
{
	struct segment s = segment_make(SEGMENT_MIN_BYTES);
	struct thread *t;

	thread_init(&s);
	t = thread_publish(&s, thread_reserve(&s), 7);
	is_u64((uint64_t)thread_wait_outside(&s, NULL, 0), 0, "nobody is inside");
	ok(thread_enter(&s, t), "in");
	ok(!thread_enter(&s, t), "and not again");
	is_u64((uint64_t)-thread_wait_outside(&s, NULL, 1000000), ETIMEDOUT,
	       "whoever waits gives up");
	is_u64((uint64_t)thread_wait_outside(&s, t, 1000000), 0, "but for itself");
	is_u64((uint64_t)-thread_wait_generation(&s, 0, 1000000), ETIMEDOUT,
	       "inside of generation 0");
	is_u64((uint64_t)thread_wait_generation(&s, 1, 1000000), 0, "and not of generation 1");
	thread_leave(t);
	is_u64((uint64_t)thread_wait_outside(&s, NULL, 0), 0, "out");
	ok(thread_enter(&s, t), "in again");
	segment_unmake(&s);
}

struct race {
	struct segment *s;
	_Atomic uint32_t owners[4096], twice, none, is_over;
	struct thread *looked_at;
};

static void come_and_go(unsigned number, void *user)
{
	struct race *race = user;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct thread *t = thread_reserve(race->s);

		if (t == NULL) {
			atomic_fetch_add(&race->none, 1);
			continue;
		}
		if (atomic_fetch_add(&race->owners[t->index], 1) != 0)
			atomic_fetch_add(&race->twice, 1);
		t = thread_publish(race->s, t, (int)(1 + number * ROUNDS + i));
		if (!thread_enter(race->s, t))
			atomic_fetch_add(&race->twice, 1);
		thread_leave(t);
		atomic_fetch_sub(&race->owners[t->index], 1);
		thread_release(race->s, t);
	}
}

/* Two find the same thread at the same time: it gets one record. */
static void find_the_same(unsigned number, void *user)
{
	struct race *race = user;

	for (unsigned i = 0; i < 200; i++) {
		struct thread *t = thread_reserve(race->s);

		if (t != NULL)
			thread_publish(race->s, t, (int)(1 + i % 50));
	}
}

/* One goes and another comes, while somebody still looks at the first. */
static void look_on(unsigned number, void *user)
{
	struct race *race = user;
	struct thread *volatile *is_there = &race->looked_at;

	if (number == 0) {
		for (unsigned i = 0; i < 100 * ROUNDS; i++) {
			struct thread *t = thread_publish(race->s, thread_reserve(race->s), 1);

			*is_there = t;
			thread_release(race->s, t);
		}
		atomic_store(&race->is_over, 1);
		return;
	}
	while (!atomic_load(&race->is_over)) {
		const volatile struct thread *t = *is_there;

		if (t != NULL && (t->record == NULL || t->scratch == NULL || t->rules == NULL))
			atomic_fetch_add(&race->none, 1);
	}
}

static void count_one(struct thread *t, void *user)
{
	++*(unsigned *)user;
}

static void test_threads(void)
{
	static struct race race;
	struct segment s = segment_make(4 << 20);
	unsigned n = 0;

	thread_init(&s);
	race.s = &s;
	on_threads(THREADS, come_and_go, &race);
	is_u64(race.twice, 0, "no record has two owners");
	is_u64(race.none, 0, "and there is one for everybody");
	on_threads(THREADS, find_the_same, &race);
	thread_each(&s, count_one, &n);
	is_u64(n, 50, "a thread that several find has one record");
	on_threads(2, look_on, &race);
	is_u64(race.none, 0, "who looks at one that goes is led nowhere");
	segment_unmake(&s);
}

int main(void)
{
	plan_begin();
	test_records();
	test_found_before();
	test_guard();
	test_threads();
	return plan_end();
}
