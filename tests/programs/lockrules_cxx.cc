/* lockrules_cxx: as lockrules, what C++'s library answers, which is made of the same functions. */
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <future>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <system_error>
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

#include <pthread.h>
#include <unistd.h>

using namespace std::chrono_literals;

static void say(const char *what, long r)
{
	printf("%s: %ld\n", what, r);
	fflush(stdout);
}

/* Whatever is thrown, by its message. */
template <class Function> static void say_thrown(const char *what, Function function)
{
	try {
		function();
		printf("%s: nothing thrown\n", what);
	} catch (const std::exception &e) {
		printf("%s: %s\n", what, e.what());
	}
	fflush(stdout);
}

/* Once: those that throw do not count. */
static void once()
{
	std::once_flag flag;
	std::atomic<int> runs(0), thrown(0);
	std::vector<std::thread> threads;

	for (int i = 0; i < 6; i++)
		threads.emplace_back([&] {
			try {
				std::call_once(flag, [&] {
					/* the first three throw, while others wait for them */
					int run = ++runs;

					std::this_thread::sleep_for(2ms);
					if (run <= 3)
						throw std::runtime_error("not yet");
				});
			} catch (const std::runtime_error &) {
				thrown++;
			}
		});
	for (std::thread &t : threads)
		t.join();
	say("call_once, runs", runs);
	say("call_once, thrown", thrown);
	std::call_once(flag, [&] { runs++; });
	say("call_once, again", runs);
}

static void timed()
{
	std::timed_mutex m;
	std::recursive_timed_mutex r;
	std::shared_timed_mutex s;

	m.lock();
	r.lock();
	s.lock();
	std::thread([&] {
		auto begun = std::chrono::steady_clock::now();

		say("timed_mutex try_lock", m.try_lock());
		say("timed_mutex try_lock_for", m.try_lock_for(5ms));
		say("timed_mutex in time", std::chrono::steady_clock::now() - begun >= 5ms);
		say("timed_mutex try_lock_until",
		    m.try_lock_until(std::chrono::system_clock::now() + 5ms));
		say("timed_mutex try_lock_until, past",
		    m.try_lock_until(std::chrono::steady_clock::now() - 5s));
		say("recursive_timed_mutex try_lock", r.try_lock());
		say("recursive_timed_mutex try_lock_for", r.try_lock_for(5ms));
		say("shared_timed_mutex try_lock_shared", s.try_lock_shared());
		say("shared_timed_mutex try_lock_shared_for", s.try_lock_shared_for(5ms));
		say("shared_timed_mutex try_lock_for", s.try_lock_for(5ms));
	}).join();
	say("recursive_timed_mutex mine", r.try_lock_for(5ms));
	r.unlock();
	r.unlock();
	s.unlock();
	m.unlock();
	s.lock_shared();
	std::thread([&] {
		say("shared_timed_mutex read beside", s.try_lock_shared());
		s.unlock_shared();
		say("shared_timed_mutex write beside", s.try_lock_for(5ms));
	}).join();
	s.unlock_shared();
	std::shared_mutex shared;
	shared.lock();
	say_thrown("shared_mutex, mine", [&] { shared.lock(); });
	say_thrown("shared_mutex, mine, shared", [&] { shared.lock_shared(); });
	shared.unlock();
	std::unique_lock<std::timed_mutex> lock(m);
	say_thrown("unique_lock, locked", [&] { lock.lock(); });
	lock.unlock();
	say_thrown("unique_lock, not locked", [&] { lock.unlock(); });
}

static void conditions()
{
	std::mutex m;
	std::condition_variable c;
	std::condition_variable_any any;
	std::unique_lock<std::mutex> lock(m);

	say("wait_for", c.wait_for(lock, 5ms) == std::cv_status::timeout);
	say("wait_until",
	    c.wait_until(lock, std::chrono::system_clock::now() + 5ms) == std::cv_status::timeout);
	say("wait_until, past",
	    c.wait_until(lock, std::chrono::steady_clock::now() - 1s) == std::cv_status::timeout);
	say("wait_for, any", any.wait_for(lock, 5ms) == std::cv_status::timeout);
	bool is_told = false;
	std::thread teller([&] {
		std::lock_guard<std::mutex> guard(m);

		is_told = true;
		c.notify_all();
	});
	say("wait_for, told", c.wait_for(lock, 60s, [&] { return is_told; }));
	say("owns", lock.owns_lock());
	lock.unlock();
	teller.join();
	std::thread([&] {
		std::unique_lock<std::mutex> mine(m);

		std::notify_all_at_thread_exit(c, std::move(mine));
	}).join();
	say("try_lock after a thread's exit", m.try_lock());
	m.unlock();
}

static void futures()
{
	std::promise<int> p;
	std::future<int> f = p.get_future(), broken;

	say("wait_for", f.wait_for(5ms) == std::future_status::timeout);
	std::thread t([&] { p.set_value(42); });
	say("get", f.get());
	t.join();
	say_thrown("set_value, again", [&] { p.set_value(1); });
	{
		std::promise<int> left;

		broken = left.get_future();
	}
	say_thrown("get, broken", [&] { broken.get(); });
	say("async", std::async(std::launch::async, [] { return 43; }).get());
	say_thrown("async, throws", [] {
		std::async(std::launch::async, []() -> int {
			throw std::logic_error("thrown");
		}).get();
	});
	std::thread joined([] {});
	joined.join();
	say_thrown("join, joined", [&] { joined.join(); });
}

/* Whoever is cancelled in a wait leaves its scopes by their destructors. */
struct scope {
	const char *name;
	~scope()
	{
		printf("left %s\n", name);
		fflush(stdout);
	}
};

static std::mutex cancel_mutex;
static std::condition_variable cancel_cond;
static std::atomic<int> is_waiting;

static void *waits_to_be_cancelled(void *)
{
	scope outer{"outer"};
	std::unique_lock<std::mutex> lock(cancel_mutex);
	scope inner{"inner"};

	is_waiting = 1;
	while (true)
		pthread_cond_wait(cancel_cond.native_handle(), cancel_mutex.native_handle());
	return nullptr;
}

static void cancels()
{
	pthread_t id;
	void *value = nullptr;

	pthread_create(&id, nullptr, waits_to_be_cancelled, nullptr);
	while (!is_waiting)
		std::this_thread::yield();
	/* it has the mutex until it waits */
	cancel_mutex.lock();
	cancel_mutex.unlock();
	say("cancel", pthread_cancel(id));
	pthread_join(id, &value);
	say("cancelled", value == PTHREAD_CANCELED);
	say("the mutex is free", cancel_mutex.try_lock());
	cancel_mutex.unlock();
}

#ifdef HAS_CXX20
static void twenty()
{
	std::counting_semaphore<4> s(1);
	std::latch l(2);
	std::barrier b(2);
	std::atomic<int> a(0);

	say("try_acquire", s.try_acquire());
	say("try_acquire, empty", s.try_acquire());
	say("try_acquire_for, empty", s.try_acquire_for(5ms));
	say("latch try_wait", l.try_wait());
	std::thread t([&] {
		l.arrive_and_wait();
		b.arrive_and_wait();
		a = 5;
		a.notify_all();
		s.release();
	});
	l.arrive_and_wait();
	say("latch", l.try_wait());
	b.arrive_and_wait();
	a.wait(0);
	say("atomic", a);
	s.acquire();
	say("semaphore", 0);
	t.join();
}
#endif

/* And all of it at once, counting. */
static void storm()
{
	std::mutex m;
	std::shared_mutex s;
	std::recursive_mutex r;
	std::vector<std::thread> threads;
	long plain = 0, shared = 0, recursive = 0;

	for (int i = 0; i < 4; i++)
		threads.emplace_back([&] {
			for (int j = 0; j < 5000; j++) {
				std::scoped_lock both(m, r);
				std::lock_guard<std::recursive_mutex> again(r);

				plain++;
				recursive++;
				if (j % 4) {
					std::shared_lock<std::shared_mutex> reader(s);
				} else {
					std::unique_lock<std::shared_mutex> writer(s);

					shared++;
				}
			}
		});
	for (std::thread &t : threads)
		t.join();
	say("plain", plain);
	say("shared", shared);
	say("recursive", recursive);
}

int main()
{
	alarm(25);
	once();
	timed();
	conditions();
	futures();
	cancels();
#ifdef HAS_CXX20
	twenty();
#endif
	storm();
	return 0;
}
