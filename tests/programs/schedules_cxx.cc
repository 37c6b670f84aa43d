/*
 * schedules_cxx: schedules.c's plans with what C++ has for them.
 *
 *     schedules_cxx NAME       pingpong shared timed jthread
 *
 * Prints what a trace has to say, as words and numbers, by its own clock.
 */
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

static constexpr int rounds = 50;
static std::mutex one;
static std::timed_mutex two;
static std::shared_mutex book;
static std::condition_variable ready;
static int turn;

template <typename Call> static void measured(const char *name, Call call)
{
	auto begun = steady_clock::now();

	call();
	nanoseconds took = steady_clock::now() - begun;
	std::printf("%s %lld\n", name, static_cast<long long>(took.count()));
}

static void pingpong()
{
	std::vector<std::thread> threads;

	for (int n = 0; n < 2; n++)
		threads.emplace_back([n] {
			for (int i = 0; i < rounds; i++) {
				std::unique_lock lock(one);

				ready.wait(lock, [n] { return turn == n; });
				turn = !turn;
				ready.notify_all();
			}
		});
	for (auto &t : threads)
		t.join();
}

static void shared()
{
	std::atomic<int> arrived = 0;
	std::vector<std::thread> threads;

	for (int n = 0; n < 3; n++)
		threads.emplace_back([&] {
			std::shared_lock lock(book);

			arrived++;
			std::this_thread::sleep_for(milliseconds(20));
		});
	while (arrived != 3)
		std::this_thread::sleep_for(nanoseconds(100000));
	measured("writer_ns", [] { book.lock(); });
	book.unlock();
	for (auto &t : threads)
		t.join();
}

static void timed()
{
	std::unique_lock lock(two);

	std::thread([] {
		measured("mutex_ns", [] {
			if (two.try_lock_for(milliseconds(20)))
				std::abort();
		});
		std::unique_lock mine(one);
		measured("cond_ns",
			 [&] { ready.wait_for(mine, milliseconds(15), [] { return false; }); });
	}).join();
}

static void with_jthread()
{
#ifdef __cpp_lib_jthread
	std::condition_variable_any asked;
	std::jthread stopped([&](std::stop_token stop) {
		std::unique_lock lock(one);

		asked.wait(lock, stop, [] { return false; });
	});

	std::this_thread::sleep_for(milliseconds(20));
	/* its destructor asks it to stop, and joins it */
#else
	std::puts("no_jthread 1");
#endif
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (std::strcmp(what, "pingpong") == 0)
		pingpong();
	else if (std::strcmp(what, "shared") == 0)
		shared();
	else if (std::strcmp(what, "timed") == 0)
		timed();
	else if (std::strcmp(what, "jthread") == 0)
		with_jthread();
	else
		return 2;
	return 0;
}
