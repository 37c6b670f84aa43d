/* tracer/sync: what a thread does with locks and their like, and the events that come of it, decoded here. */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/modules.h"
#include "tests/unit/segment_make.h"
#include "tracer/sync.h"

static struct segment *segment;

static void begin(void)
{
	struct segment_live *live;
	struct thread *t;
	struct why why;
	int fd;

	modules_note_start();
	if (segment_create(16 << 20, &segment, &fd, &why) < 0 || thread_init(segment) < 0 ||
	    segment_publish(segment) < 0) {
		printf("Bail out! no segment\n");
		exit(1);
	}
	close(fd);
	t = thread_reserve(segment);
	t = thread_publish(segment, t, (int)sys1(SYS_gettid, 0));
	thread_self_block = t;
	live = segment_live_page;
	live->trace_is_counter = 1;
	live->trace_shift = 0;
	live->trace_base = arch_counter();
	atomic_store(&live->trace_level, TRACE_LEVEL_LOCKS);
	sync_start(segment);
}

/* ---- events ---- */

struct event {
	unsigned type;
	uint64_t ticks, arguments[TRACE_ARGUMENTS_MAX];
};
#define EVENTS 4096
static struct event events[EVENTS];
static unsigned events_n, seen; /* all; those before the test */

static const char *text_of(unsigned type)
{
	switch (type) {
#define TEXT(number, NAME, name, class, ends, arguments) \
	case number:                                     \
		return arguments;
		TRACE_EVENTS(TEXT)
	default:
		return NULL;
	}
}

static uint64_t decode(const uint8_t **at)
{
	uint64_t n = 0;
	unsigned shift = 0;

	do
		n |= (uint64_t)(**at & 0x7f) << shift, shift += 7;
	while (*(*at)++ & 0x80);
	return n;
}

/* Those of the thread with the number, in the order of its chunks. False when they are not to be understood. */
static bool read_events(uint32_t thread)
{
	const struct segment_place *place = segment_place(segment, SEGMENT_TRACE_CHUNKS, 0);

	events_n = 0;
	for (uint32_t sequence = 0;; sequence++) {
		const struct trace_chunk *c = NULL;
		const uint8_t *at, *end;
		uint64_t ticks, word;

		for (uint32_t i = 0; i < place->count && c == NULL; i++) {
			c = (const struct trace_chunk *)(segment->base + place->offset +
							 (size_t)i * place->stride);
			if (atomic_load(&c->serial) == 0 || c->thread != thread ||
			    c->sequence != sequence)
				c = NULL;
		}
		if (c == NULL)
			return true;
		word = atomic_load(&c->word);
		at = c->bytes;
		end = at + CHUNK_USED(word);
		ticks = c->first_ticks;
		while (at < end && events_n < EVENTS) {
			struct event *e = &events[events_n++];
			const char *text = text_of(e->type = *at++);
			unsigned n = 0;

			if (text == NULL)
				return false;
			e->ticks = ticks += decode(&at);
			for (const char *word_at = text; *word_at != '\0'; n++) {
				const char *kind = strchr(word_at, ':') + 1;
				size_t length = strcspn(kind, " ");

				e->arguments[n] = decode(&at);
				if (strncmp(kind, "str", 3) == 0 && length == 3)
					at += e->arguments[n];
				word_at = kind + length + (kind[length] == ' ');
			}
		}
		if (at != end)
			return false;
	}
}

/* What came since the last call. */
static unsigned look(void)
{
	unsigned before = seen;

	ok(read_events(trace_here.index), "events can be read");
	seen = events_n;
	return before;
}

static const struct event *nth(unsigned from, unsigned n)
{
	static const struct event none;

	return from + n < events_n ? &events[from + n] : &none;
}

#define IS(from, n, NAME, ...)                                                                     \
	do {                                                                                       \
		const struct event *is_e = nth(from, n);                                           \
		const uint64_t is_want[] = {__VA_ARGS__};                                          \
		bool is_same = is_e->type == TRACE_##NAME##_EVENT;                                 \
		for (unsigned is_i = 0; is_i < sizeof(is_want) / sizeof(*is_want); is_i++)         \
			is_same &= is_want[is_i] == ANY || is_e->arguments[is_i] == is_want[is_i]; \
		ok(is_same, #NAME);                                                                \
		if (!is_same)                                                                      \
			note("type %u: %llu %llu %llu %llu %llu", is_e->type,                      \
			     (unsigned long long)is_e->arguments[0],                               \
			     (unsigned long long)is_e->arguments[1],                               \
			     (unsigned long long)is_e->arguments[2],                               \
			     (unsigned long long)is_e->arguments[3],                               \
			     (unsigned long long)is_e->arguments[4]);                              \
	} while (0)
#define ANY UINT64_MAX

/* ---- as the wrappers do it ---- */

static void take(const void *lock)
{
	sync_taken(lock, TRACE_OBJECT_MUTEX, SYNC_EXCLUSIVE);
}

static void give_as(const void *lock, enum trace_object_kind kind, enum sync_mode mode)
{
	struct sync_release r;

	if (sync_pairs_near(lock) || sync_pairs(lock))
		return;
	sync_releases(&r, lock, kind, mode, 0);
	sync_released(&r, 0);
}

static void give(const void *lock)
{
	give_as(lock, TRACE_OBJECT_MUTEX, SYNC_EXCLUSIVE);
}

__attribute__((noinline)) static int waits(unsigned code, const void *object, uintptr_t first,
					   uintptr_t second, int result, void (*meanwhile)(void))
{
	struct wait w = {.thread = NULL};

	w.with[0] = first;
	w.with[1] = second;
	wait_begin(&w, code, WAIT_HERE(waits), object);
	if (meanwhile != NULL)
		meanwhile();
	w.result = result;
	wait_end(&w);
	return result;
}

static pthread_mutex_t locks[16];

static uint32_t number_of(const void *lock)
{
	return trace_object(segment, lock, TRACE_OBJECT_MUTEX);
}

static struct trace_object *object_of(const void *lock)
{
	return trace_object_at(segment, number_of(lock));
}

/* Nothing that takes as long as a hold worth a stamp. */
static void make_quick(const void *lock)
{
	for (int i = 0; i < 4; i++) {
		take(lock);
		give(lock);
	}
}

static void spend(uint64_t ns)
{
	uint64_t until = clock_monotonic() + ns;

	while (clock_monotonic() < until)
		;
}

static void test_pairs(void)
{
	unsigned from, pairs = 0;
	uint64_t before;

	errno = 77;
	make_quick(&locks[0]);
	look();
	before = events[events_n - 1].ticks;
	for (int i = 0; i < 100; i++) {
		take(&locks[0]);
		give(&locks[0]);
	}
	from = look();
	is_u64(events_n - from, 100, "a hundred pairs are as many events");
	for (unsigned i = 0; i < 100; i++) {
		pairs += nth(from, i)->type == TRACE_LOCK_PAIR_EVENT &&
			 nth(from, i)->arguments[0] == number_of(&locks[0]);
		ok(nth(from, i)->ticks >= before || i > 3, "in the order of time");
		before = nth(from, i)->ticks;
	}
	ok(pairs > 90, "nearly all without a second stamp: %u", pairs);
	is_u64(errno, 77, "errno is kept");
	is_u64(atomic_load(&trace_here.thread->held[0].object), 0, "nothing is held");

	make_quick(&locks[0]);
	take(&locks[0]);
	is_u64(atomic_load(&trace_here.thread->held[0].object), number_of(&locks[0]),
	       "what is held can be seen");
	is_u64(trace_here.thread->held[0].mode, SYNC_EXCLUSIVE, "and how");
	look();
	sync_signals(&locks[9], false, 0);
	give(&locks[0]);
	from = look();
	IS(from, 0, COND_SIGNAL, number_of(&locks[9]), 0, 1, 0);
	IS(from, 1, LOCK_HELD, number_of(&locks[0]), SYNC_EXCLUSIVE, ANY);
	ok(nth(from, 1)->arguments[2] > 0, "with an event in between: how long");

	for (int i = 0; i < 3; i++) {
		spend(20000);
		take(&locks[1]);
		spend(20000);
		give(&locks[1]);
	}
	from = look();
	for (unsigned i = 0; i < 3; i++)
		IS(from, i, LOCK_HELD, number_of(&locks[1]), SYNC_EXCLUSIVE, ANY);
	ok(nth(from, 2)->arguments[2] > sync_settings.stack_ticks, "long ones have their length");

	sync_taken(&locks[2], TRACE_OBJECT_RWLOCK, SYNC_SHARED);
	give_as(&locks[2], TRACE_OBJECT_RWLOCK, SYNC_SHARED);
	for (int i = 0; i < 4; i++) {
		sync_taken(&locks[2], TRACE_OBJECT_RWLOCK, SYNC_SHARED);
		give_as(&locks[2], TRACE_OBJECT_RWLOCK, SYNC_SHARED);
	}
	look();
	is_u64(events[events_n - 1].type, TRACE_LOCK_PAIR_SHARED_EVENT, "a pair of a reader");
	is_u64(object_of(&locks[2])->kind, TRACE_OBJECT_RWLOCK, "of such a lock");
}

static void test_many(void)
{
	unsigned from, n = TRACE_HELD_MAX + 2;

	look();
	for (unsigned i = 0; i < n; i++)
		take(&locks[i]);
	is_u64(atomic_load(&trace_here.thread->held_n), TRACE_HELD_MAX,
	       "as many as there is room for");
	is_u64(atomic_load(&trace_here.thread->held_more), 2, "the others are counted");
	for (unsigned i = n; i-- > 0;)
		give(&locks[i]);
	from = look();
	is_u64(events_n - from, n, "each is released");
	IS(from, 0, LOCK_RELEASED, number_of(&locks[n - 1]), SYNC_EXCLUSIVE, ANY, 0, 0);
	for (unsigned i = 0; i < TRACE_HELD_MAX; i++)
		is_u64(atomic_load(&trace_here.thread->held[i].object), 0, "place %u is free", i);

	make_quick(&locks[0]);
	make_quick(&locks[1]);
	look();
	take(&locks[0]); /* the outer one goes first */
	take(&locks[1]);
	give(&locks[0]);
	give(&locks[1]);
	from = look();
	is_u64(events_n - from, 2, "not like brackets");
	IS(from, 1, LOCK_HELD, number_of(&locks[1]), SYNC_EXCLUSIVE, ANY);

	give(&locks[15]);
	from = look();
	IS(from, 0, LOCK_RELEASED, number_of(&locks[15]), SYNC_EXCLUSIVE, 1, 0, 0, 0);
}

static void rival(void)
{
	take(&locks[15]);
	give(&locks[15]); /* one waits: this thread, for the test */
}

static void test_waits(void)
{
	uint32_t number = number_of(&locks[3]);
	unsigned from;

	look();
	waits(WAIT_LOCK, &locks[3], SYNC_EXCLUSIVE, 0, 0, NULL);
	is_u64(atomic_load(&object_of(&locks[3])->waiters), 0, "nobody waits any more");
	give(&locks[3]);
	from = look();
	IS(from, 0, LOCK_WAIT, number, SYNC_EXCLUSIVE, 0, ANY);
	ok(nth(from, 0)->arguments[3] != 0, "with a stack");
	IS(from, 1, LOCK_ACQUIRED, number, SYNC_EXCLUSIVE, 2, ANY);
	is_u64(nth(from, 1)->arguments[3], nth(from, 1)->ticks - nth(from, 0)->ticks, "how long");
	IS(from, 2, LOCK_RELEASED, number, SYNC_EXCLUSIVE, 3, ANY, 0, 0);

	waits(WAIT_LOCK, &locks[3], SYNC_EXCLUSIVE, (uintptr_t)thread_self_block->tid, ETIMEDOUT,
	      NULL);
	from = look();
	IS(from, 0, LOCK_WAIT, number, SYNC_EXCLUSIVE, trace_here.index, ANY);
	IS(from, 1, LOCK_FAILED, number, SYNC_EXCLUSIVE, ETIMEDOUT);

	number = number_of(&locks[15]);
	take(&locks[15]);
	look();
	give(&locks[15]);
	waits(WAIT_LOCK, &locks[15], SYNC_EXCLUSIVE, 0, 0, rival);
	give(&locks[15]);
	from = look();
	IS(from, 2, LOCK_RELEASED, number, SYNC_EXCLUSIVE, 2, ANY, 1, ANY);
	IS(from, 3, LOCK_ACQUIRED, number, SYNC_EXCLUSIVE, 3, ANY);
	IS(from, 4, LOCK_RELEASED, number, SYNC_EXCLUSIVE, 4, ANY, 0, 0);

	for (int i = 0; i < 8; i++) {
		waits(WAIT_LOCK, &locks[3], SYNC_EXCLUSIVE, 0, 0, NULL);
		give(&locks[3]);
	}
	from = look();
	is_u64(nth(from, 7 * 3)->arguments[3], 0, "waits that are short again and again: no stack");

	is_u64(sync_refused(&locks[4], TRACE_OBJECT_MUTEX, SYNC_EXCLUSIVE, EBUSY), EBUSY, "a try");
	sync_refused(&locks[4], TRACE_OBJECT_MUTEX, SYNC_EXCLUSIVE, EBUSY);
	sync_got(&locks[4], TRACE_OBJECT_MUTEX, SYNC_EXCLUSIVE);
	give(&locks[4]);
	from = look();
	is_u64(events_n - from, 2, "a second try in vain says nothing");
	IS(from, 0, LOCK_FAILED, number_of(&locks[4]), SYNC_EXCLUSIVE, EBUSY);
}

static void test_left(void)
{
	uint32_t number = number_of(&locks[3]);
	struct wait w = {.thread = NULL};
	unsigned from;

	look();
	w.with[0] = SYNC_EXCLUSIVE;
	wait_begin(&w, WAIT_LOCK, WAIT_HERE(test_left), &locks[3]);
	is_u64(atomic_load(&object_of(&locks[3])->waiters), 1, "one waits");
	wait_leave();
	is_u64(atomic_load(&object_of(&locks[3])->waiters), 0, "it has left");
	from = look();
	IS(from, 1, LOCK_FAILED, number, 0, ECANCELED);
	wait_end(&w); /* it had not, after all */
	is_u64(atomic_load(&object_of(&locks[3])->waiters), 0, "it does not count twice");
	give(&locks[3]);
	look();
}

static void test_others(void)
{
	uint32_t number;
	unsigned from;

	take(&locks[0]);
	look();
	waits(WAIT_COND, &locks[5], (uintptr_t)&locks[0], true, ETIMEDOUT, NULL);
	is_u64(atomic_load(&trace_here.thread->held[0].object), number_of(&locks[0]),
	       "the mutex is held again");
	give(&locks[0]);
	from = look();
	IS(from, 0, LOCK_HELD, number_of(&locks[0]), SYNC_EXCLUSIVE, ANY);
	IS(from, 1, COND_WAIT, number_of(&locks[5]), number_of(&locks[0]), 1, ANY);
	IS(from, 2, COND_END, number_of(&locks[5]), ETIMEDOUT, 1);

	sync_posts(&locks[6], 0);
	sync_got_token(&locks[6]);
	waits(WAIT_SEM, &locks[6], 0, 0, EINTR, NULL);
	from = look();
	number = trace_object(segment, &locks[6], TRACE_OBJECT_SEM);
	IS(from, 0, SEM_POST, number, 1, 0);
	IS(from, 1, SEM_END, number, 0, 2);
	IS(from, 2, SEM_WAIT, number, ANY);
	IS(from, 3, SEM_END, number, EINTR, 0);

	for (int i = 0; i < 4; i++) /* of three threads, one of which has come before */
		waits(WAIT_BARRIER, &locks[7], 3, i == 0, i == 1 ? -1 : 0, NULL);
	from = look();
	number = trace_object(segment, &locks[7], TRACE_OBJECT_BARRIER);
	IS(from, 0, BARRIER_WAIT, number, 2, ANY);
	IS(from, 1, BARRIER_END, number, 0, 1);
	IS(from, 3, BARRIER_END, number, 1, 1);
	IS(from, 4, BARRIER_WAIT, number, 4, ANY);
	IS(from, 5, BARRIER_END, number, 0, 2);

	waits(WAIT_ONCE, &locks[8], true, 0, 0, NULL);
	sync_thread_is(0x7f0000001000, 5);
	is_u64(sync_thread(0x7f0000001000), 5, "a thread by its address");
	is_u64(sync_thread(0x7f0000002000), 0, "and one that nobody knows");
	waits(WAIT_JOIN, NULL, sync_thread(0x7f0000001000), 0, 0, NULL);
	sync_joined(6);
	sync_detaches(7);
	from = look();
	IS(from, 0, ONCE_BEGIN, ANY, ANY);
	IS(from, 1, ONCE_END, ANY, 1);
	IS(from, 2, JOIN_BEGIN, 5, ANY);
	IS(from, 3, JOIN_END, 0);
	IS(from, 4, JOIN_BEGIN, 6, 0);
	IS(from, 6, THREAD_DETACH, 7);

	waits(WAIT_FUTEX, &locks[10], FUTEX_WAIT, 3, EAGAIN, NULL);
	sync_woke(sync_stamp(), &locks[10], FUTEX_WAKE, 1, 0, 0);
	errno = EINVAL;
	sync_woke(sync_stamp(), &locks[10], FUTEX_WAKE, 1, -1, 0);
	is_u64(errno, EINVAL, "errno is kept");
	from = look();
	IS(from, 0, FUTEX_WAIT, ANY, FUTEX_WAIT, 3, ANY);
	IS(from, 1, FUTEX_END, ANY, EAGAIN);
	IS(from, 2, FUTEX_WAKE, ANY, FUTEX_WAKE, 1, 0, 0);
	IS(from, 3, FUTEX_WAKE, ANY, FUTEX_WAKE, 1, trace_zigzag(-EINVAL), 0);
}

static void test_objects(void)
{
	uint32_t number = number_of(&locks[11]), again;
	unsigned from;

	make_quick(&locks[11]);
	take(&locks[11]);
	look();
	sync_gone(&locks[11]);
	sync_gone(&locks[11]);
	from = look();
	is_u64(events_n - from, 1, "it goes once");
	IS(from, 0, OBJECT_DESTROY, number);
	is_u64(atomic_load(&trace_here.thread->held[0].object), 0, "and is not held any more");
	sync_made(&locks[11], 0x401000);
	take(&locks[11]);
	give(&locks[11]);
	again = number_of(&locks[11]);
	ok(again != number, "made again: another one");
	is_u64(trace_object_at(segment, again)->site, 0x401000, "known by where it was made");
	is_u64(trace_object_at(segment, again)->generation, 1, "the second at its address");
	look();
}

static void test_off(void)
{
	struct segment_live *live = segment_live_page;
	unsigned from;
	int status;
	pid_t pid;

	make_quick(&locks[0]);
	look();
	sync_pause();
	make_quick(&locks[0]);
	waits(WAIT_LOCK, &locks[3], SYNC_EXCLUSIVE, 0, 0, NULL);
	sync_posts(&locks[6], 0);
	sync_resume();
	from = look();
	is_u64(events_n - from, 0, "cprof's own work is not recorded");
	make_quick(&locks[0]);
	from = look();
	is_u64(events_n - from, 4, "what comes after it is");

	make_quick(&locks[0]);
	take(&locks[0]);
	look();
	pid = (pid_t)sys1(SYS_fork, 0); /* a child that nobody is told of */
	if (pid == 0) {
		give(&locks[0]);
		make_quick(&locks[0]);
		sync_posts(&locks[6], 0);
		_exit(0);
	}
	ok(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0, "a child");
	from = look();
	is_u64(events_n - from, 0, "writes nothing into its parent's trace");
	give(&locks[0]);
	from = look();
	is_u64(events_n - from, 1, "which goes on");

	take(&locks[0]);
	take(&locks[1]);
	look();
	sync_stop();
	atomic_store(&live->trace_level, 0);
	give(&locks[1]);
	make_quick(&locks[0]);
	atomic_store(&live->trace_level, TRACE_LEVEL_LOCKS);
	sync_start(segment);
	give(&locks[0]); /* taken in another trace */
	from = look();
	is_u64(events_n - from, 1, "what was held when the trace began anew");
	IS(from, 0, LOCK_RELEASED, number_of(&locks[0]), SYNC_EXCLUSIVE, ANY, 0, 0, 0);
	is_u64(atomic_load(&trace_here.thread->held[1].object), 0, "is not known");
}

#define TURNS 20000
static uint64_t orders_sum;
static pthread_mutex_t inside = PTHREAD_MUTEX_INITIALIZER;

static void contend(unsigned number, void *user)
{
	struct thread *t = thread_reserve(segment);

	(void)number;
	(void)user;
	thread_self_block = thread_publish(segment, t, (int)sys1(SYS_gettid, 0));
	for (int i = 0; i < TURNS; i++) {
		if (pthread_mutex_trylock(&inside) == 0) {
			take(&inside);
		} else {
			struct wait w = {.thread = NULL};

			w.with[0] = SYNC_EXCLUSIVE;
			wait_begin(&w, WAIT_LOCK, WAIT_HERE(contend), &inside);
			pthread_mutex_lock(&inside);
			w.result = 0;
			wait_end(&w);
		}
		orders_sum++;
		{
			struct sync_release r = {.event = 0};
			bool is_pair = sync_pairs_near(&inside) || sync_pairs(&inside);

			if (!is_pair)
				sync_releases(&r, &inside, TRACE_OBJECT_MUTEX, SYNC_EXCLUSIVE, 0);
			pthread_mutex_unlock(&inside);
			if (!is_pair)
				sync_released(&r, 0);
		}
	}
	trace_close(true);
}

static void test_contended(void)
{
	uint64_t all = 0, acquired = 0, released = 0, last = 0, waits_n = 0;
	bool *there;

	on_threads(4, contend, NULL);
	is_u64(atomic_load(&object_of(&inside)->waiters), 0, "nobody is left");
	last = atomic_load(&object_of(&inside)->order);
	there = calloc(last + 2, 1);
	for (uint32_t thread = 1; thread <= atomic_load(&segment->header->trace_threads);
	     thread++) {
		if (thread == trace_here.index)
			continue;
		ok(read_events(thread) || events_n == EVENTS, "thread %u", thread);
		for (unsigned i = 0; i < events_n; i++) {
			const struct event *e = &events[i];

			if (e->type == TRACE_LOCK_WAIT_EVENT)
				waits_n++;
			if (e->type == TRACE_LOCK_ACQUIRED_EVENT ||
			    e->type == TRACE_LOCK_RELEASED_EVENT) {
				acquired += e->type == TRACE_LOCK_ACQUIRED_EVENT;
				released += e->type == TRACE_LOCK_RELEASED_EVENT;
				all += e->arguments[2] == 0 || e->arguments[2] > last ||
				       there[e->arguments[2]];
				if (e->arguments[2] <= last)
					there[e->arguments[2]] = true;
			}
		}
	}
	is_u64(all, 0, "no order twice");
	ok(waits_n >= acquired && released >= acquired / 2,
	   "%llu waits, %llu acquired, %llu released", (unsigned long long)waits_n,
	   (unsigned long long)acquired, (unsigned long long)released);
	free(there);
}

int main(void)
{
	plan_begin();
	begin();
	test_pairs();
	test_many();
	test_waits();
	test_left();
	test_others();
	test_objects();
	test_off();
	test_contended();
	return plan_end();
}
