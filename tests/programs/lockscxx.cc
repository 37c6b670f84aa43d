/*
 * lockscxx: as locks.c, the waits of C++'s library, and what it answers.
 *
 *     lockscxx [ROUNDS]
 *
 * Those of C++20 are there when it is built as that. Where the library waits by itself, with the futex system call, the profile's
 * kind is "futex", and it may wait more than once until its time has come: "at_least" is printed instead of "count".
 */
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <future>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

#if __cplusplus >= 202002L
#if __has_include(<latch>)
#include <barrier>
#include <latch>
#include <semaphore>
#define HAS_CXX20
#endif
#endif

#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

using namespace std::chrono_literals;

static int64_t now_ns()
{
	timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* A function that does one thing, under the name that C gives it. */
#define ONE(name, call)                                               \
	extern "C" __attribute__((noinline, used)) void name()        \
	{                                                             \
		call;                                                 \
		__asm__ volatile("" ::: "memory"); /* no tail call */ \
	}

std::mutex g_mutex, with_cond;
std::recursive_mutex g_recursive;
std::timed_mutex g_timed;
std::shared_mutex g_shared;
std::shared_timed_mutex g_shared_timed;
std::condition_variable g_cond;
std::condition_variable_any g_cond_any;
static std::promise<int> promise;
static std::future<int> future;
static std::thread to_join;
static std::atomic<int> in_once;
static std::once_flag *once;
static bool told;
static int tell[2];

static void ends_when_told()
{
	char c;

	while (read(tell[0], &c, 1) != 1)
		;
}

static void slow_init()
{
	in_once = 1;
	ends_when_told();
}

static void tells()
{
	if (write(tell[1], "", 1) != 1)
		abort();
}

ONE(w_mutex, g_mutex.lock())
ONE(h_mutex, g_mutex.unlock())
ONE(a_mutex, g_mutex.unlock())
ONE(w_recursive, g_recursive.lock())
ONE(h_recursive, g_recursive.unlock())
ONE(a_recursive, g_recursive.unlock())
ONE(w_timed, if (!g_timed.try_lock_for(60s)) abort())
ONE(h_timed, g_timed.unlock())
ONE(a_timed, g_timed.unlock())
ONE(w_timed_until, if (!g_timed.try_lock_until(std::chrono::system_clock::now() + 60s)) abort())
ONE(h_timed_until, g_timed.unlock())
ONE(a_timed_until, g_timed.unlock())
ONE(w_timed_in_vain, if (g_timed.try_lock_for(15ms)) abort())
ONE(h_timed_in_vain, g_timed.unlock())
ONE(w_shared, g_shared.lock_shared())
ONE(after_shared, g_shared.unlock_shared())
ONE(w_exclusive, g_shared.lock())
ONE(h_exclusive, g_shared.unlock())
ONE(a_exclusive, g_shared.unlock())
ONE(w_shared_timed, if (!g_shared_timed.try_lock_shared_for(60s)) abort())
ONE(take_shared_timed, g_shared_timed.lock())
ONE(h_shared_timed, g_shared_timed.unlock())
ONE(after_shared_timed, g_shared_timed.unlock_shared())
ONE(h_shared, g_shared.unlock())

extern "C" __attribute__((noinline, used)) void w_cond()
{
	std::unique_lock<std::mutex> lock(with_cond);

	g_cond.wait(lock, [] { return told; });
	told = false;
}

extern "C" __attribute__((noinline, used)) void w_cond_for()
{
	std::unique_lock<std::mutex> lock(with_cond);

	if (!g_cond.wait_for(lock, 60s, [] { return told; }))
		abort();
	told = false;
}

extern "C" __attribute__((noinline, used)) void w_cond_any()
{
	std::unique_lock<std::mutex> lock(with_cond);

	g_cond_any.wait(lock, [] { return told; });
	told = false;
}

static void set_told()
{
	std::lock_guard<std::mutex> lock(with_cond);

	told = true;
}

ONE(h_cond, set_told(); g_cond.notify_one())
ONE(h_cond_any, set_told(); g_cond_any.notify_all())
ONE(w_future, future.get())
ONE(h_future, promise.set_value(7))
ONE(w_join, to_join.join())
ONE(h_tells, tells())
ONE(w_once, std::call_once(*once, slow_init))

static void new_future()
{
	promise = std::promise<int>();
	future = promise.get_future();
}

static void new_thread()
{
	to_join = std::thread(ends_when_told);
}

static std::thread *first_once;

static void begin_once()
{
	delete once;
	once = new std::once_flag;
	in_once = 0;
	first_once = new std::thread([] { std::call_once(*once, slow_init); });
	while (in_once == 0)
		std::this_thread::yield();
}

static void after_once()
{
	first_once->join();
	delete first_once;
}

#ifdef HAS_CXX20
static std::latch *latch;
static std::barrier<> *barrier;
static std::counting_semaphore<8> semaphore(0);
static std::atomic<int> word;

ONE(w_latch, latch->wait())
ONE(h_latch, latch->count_down())
ONE(w_barrier, barrier->arrive_and_wait())
ONE(h_barrier, barrier->arrive_and_wait())
ONE(w_semaphore, semaphore.acquire())
ONE(h_semaphore, semaphore.release())
ONE(w_atomic, word.wait(0))
ONE(h_atomic, word = 1; word.notify_one())

static void new_latch()
{
	delete latch;
	latch = new std::latch(1);
}

static void new_barrier()
{
	delete barrier;
	barrier = new std::barrier<>(2);
}

static void new_word()
{
	word = 0;
}
#endif

static void nothing()
{
}

struct site {
	const char *name, *kind, *lock, *holder;
	void (*wait)(), (*let)(), (*before)(), (*after)();
	bool is_in_vain, may_repeat;
	int64_t ns, held_ns, begun;
	int count;
};

static site sites[] = {
	{"mutex", "mutex", "g_mutex", "h_mutex", w_mutex, h_mutex, w_mutex, a_mutex, false, false,
	 0, 0, 0, 0},
	{"recursive", "mutex", "g_recursive", "h_recursive", w_recursive, h_recursive, w_recursive,
	 a_recursive, false, false, 0, 0, 0, 0},
	{"timed", "mutex", "g_timed", "h_timed", w_timed, h_timed, w_timed, a_timed, false, false,
	 0, 0, 0, 0},
	{"timed_until", "mutex", "g_timed", "h_timed_until", w_timed_until, h_timed_until,
	 w_timed_until, a_timed_until, false, false, 0, 0, 0, 0},
	{"timed_in_vain", "mutex", "g_timed", "h_timed_in_vain", w_timed_in_vain, h_timed_in_vain,
	 w_timed, nothing, true, false, 0, 0, 0, 0},
	{"shared", "rwlock", "g_shared", "h_shared", w_shared, h_shared, w_exclusive, after_shared,
	 false, false, 0, 0, 0, 0},
	{"exclusive", "rwlock", "g_shared", "h_exclusive", w_exclusive, h_exclusive, w_exclusive,
	 a_exclusive, false, false, 0, 0, 0, 0},
	{"shared_timed", "rwlock", "g_shared_timed", "h_shared_timed", w_shared_timed,
	 h_shared_timed, take_shared_timed, after_shared_timed, false, false, 0, 0, 0, 0},
	{"cond", "cond", "g_cond", "", w_cond, h_cond, nothing, nothing, false, true, 0, 0, 0, 0},
	{"cond_for", "cond", "g_cond", "", w_cond_for, h_cond, nothing, nothing, false, true, 0, 0,
	 0, 0},
	{"cond_any", "cond", "", "", w_cond_any, h_cond_any, nothing, nothing, false, true, 0, 0, 0,
	 0},
	{"future", "futex", "", "", w_future, h_future, new_future, nothing, false, true, 0, 0, 0,
	 0},
	{"join", "join", "", "", w_join, h_tells, new_thread, nothing, false, false, 0, 0, 0, 0},
	{"once", "once", "", "", w_once, h_tells, begin_once, after_once, false, false, 0, 0, 0, 0},
#ifdef HAS_CXX20
	{"latch", "futex", "", "", w_latch, h_latch, new_latch, nothing, false, true, 0, 0, 0, 0},
	{"barrier", "futex", "", "", w_barrier, h_barrier, new_barrier, nothing, false, true, 0, 0,
	 0, 0},
	{"semaphore", "futex", "", "", w_semaphore, h_semaphore, nothing, nothing, false, true, 0,
	 0, 0, 0},
	{"atomic", "futex", "", "", w_atomic, h_atomic, new_word, nothing, false, true, 0, 0, 0, 0},
#endif
};

/* ---- the two threads ---- */

static site *current;
static int to_waiter[2], from_waiter[2], waiter_tid;

static void waiter_main()
{
	char c;

	waiter_tid = (int)syscall(SYS_gettid);
	if (write(from_waiter[1], "", 1) != 1)
		abort();
	while (read(to_waiter[0], &c, 1) == 1 && c == 1) {
		int64_t begun = now_ns();

		__atomic_store_n(&current->begun, begun, __ATOMIC_RELEASE);
		current->wait();
		current->ns += now_ns() - begun;
		current->count++;
		if (!current->is_in_vain)
			current->after();
		if (write(from_waiter[1], "", 1) != 1)
			abort();
	}
}

static bool is_in_futex(int tid)
{
	char text[200];
	int fd;
	ssize_t n;

	snprintf(text, sizeof(text), "/proc/self/task/%d/syscall", tid);
	fd = open(text, O_RDONLY);
	n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	/* where the kernel does not say, some time has to do */
	if (n <= 0)
		std::this_thread::sleep_for(20ms);
	return n <= 0 || atoi(text) == SYS_futex;
}

static void one_wait(site *s, int64_t ms)
{
	char c;

	s->begun = 0;
	s->before();
	current = s;
	if (write(to_waiter[1], "\1", 1) != 1)
		abort();
	if (!s->is_in_vain) {
		while (__atomic_load_n(&s->begun, __ATOMIC_ACQUIRE) == 0)
			std::this_thread::yield();
		while (!is_in_futex(waiter_tid))
			std::this_thread::sleep_for(300us);
		std::this_thread::sleep_for(std::chrono::milliseconds(ms));
		s->held_ns += now_ns() - s->begun;
		s->let();
	}
	if (read(from_waiter[0], &c, 1) != 1)
		abort();
	if (s->is_in_vain)
		s->let();
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 5;
	const char *comma = "";
	char c;

	if (pipe(tell) != 0 || pipe(to_waiter) != 0 || pipe(from_waiter) != 0)
		return 1;
	std::thread waiter(waiter_main);
	if (read(from_waiter[0], &c, 1) != 1)
		return 1;
	for (int i = 0; i < rounds; i++)
		for (site &s : sites)
			one_wait(&s, 10 + (i * 7 + (&s - sites)) % 11);
	if (write(to_waiter[1], "\2", 1) != 1)
		return 1;
	waiter.join();
	printf("{\"sites\": {");
	for (const site &s : sites) {
		printf("%s\"w_%s\": {\"kind\": \"%s\", \"lock\": \"%s\", \"holder\": \"%s\", "
		       "\"%s\": %d, \"ns\": %lld, "
		       "\"held_ns\": %lld, \"wrong\": 0}",
		       comma, s.name, s.kind, s.lock, s.holder, s.may_repeat ? "at_least" : "count",
		       s.count, (long long)s.ns, (long long)s.held_ns);
		comma = ", ";
	}
	printf("}}\n");
	return 0;
}
