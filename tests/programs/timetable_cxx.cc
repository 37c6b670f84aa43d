/*
 * timetable_cxx: threads of the C++ library that compute and wait by a known plan.
 *
 *     timetable_cxx SECONDS
 *
 * "sleeper" computes 20 % and sleeps for the rest; "owner" holds a std::mutex two thirds of the time, "locker" waits for
 * it, after a std::condition_variable told it to; "reader" waits for a std::shared_mutex, "future" for a std::future,
 * until the end. The main thread joins them. Prints what timed.h says of each.
 */
#include <condition_variable>
#include <future>
#include <mutex>
#include <shared_mutex>
#include <thread>

#include "tests/programs/timed.h"

namespace {

using steady = std::chrono::steady_clock;

timed timeds[6];
timed &main_timed = timeds[5];
steady::time_point end;

BURNER(cxx_compute)

KEEP void cxx_sleep(steady::duration d)
{
	std::this_thread::sleep_for(d);
	__asm__ volatile("" ::: "memory");
}

void sleeper_main(timed &t)
{
	for (unsigned i = 0; steady::now() < end; i++) {
		auto cycle = std::chrono::milliseconds(80 + i * 27 % 80);
		auto at = steady::now() + cycle;

		PHASE(&t, "running", "cxx_compute", cxx_compute(cycle.count() * MS / 5));
		PHASE(&t, "sleep", "cxx_sleep", cxx_sleep(at - steady::now()));
	}
}

std::mutex mutex, turn_mutex;
std::condition_variable turn;
int turns;
bool is_over;

struct holder {
	std::lock_guard<std::mutex> guard{mutex};

	KEEP void hold(timed &t)
	{
		PHASE(&t, "sleep", "hold", cxx_sleep(std::chrono::milliseconds(80)));
	}
};

KEEP void tell(bool is_last)
{
	std::lock_guard<std::mutex> guard(turn_mutex);

	turns++;
	is_over = is_last;
	turn.notify_one();
}

void owner_main(timed &t)
{
	while (steady::now() < end) {
		{
			holder h;

			tell(false);
			h.hold(t);
		}
		PHASE(&t, "sleep", "cxx_sleep", cxx_sleep(std::chrono::milliseconds(40)));
	}
	tell(true);
}

KEEP bool wait_for_turn()
{
	std::unique_lock<std::mutex> guard(turn_mutex);

	turn.wait(guard, [] { return turns > 0; });
	turns--;
	return !is_over;
}

KEEP void wait_for_lock()
{
	mutex.lock();
	__asm__ volatile("" ::: "memory");
}

void locker_main(timed &t)
{
	for (bool goes_on = true; goes_on;) {
		PHASE(&t, "cond", "wait_for_turn", goes_on = wait_for_turn());
		if (goes_on) {
			PHASE(&t, "lock", "wait_for_lock", wait_for_lock());
			mutex.unlock();
		}
	}
}

std::shared_mutex shared;
std::promise<int> promise;

KEEP void wait_to_read()
{
	std::shared_lock<std::shared_mutex> guard(shared);
}

void reader_main(timed &t)
{
	PHASE(&t, "lock", "wait_to_read", wait_to_read());
}

KEEP int wait_for_future()
{
	int value = promise.get_future().get();

	__asm__ volatile("" ::: "memory");
	return value;
}

void future_main(timed &t)
{
	PHASE(&t, "futex", "wait_for_future", host_sink = (uint64_t)wait_for_future());
}

KEEP void join(std::thread &thread)
{
	thread.join();
	__asm__ volatile("" ::: "memory");
}

struct row {
	const char *name;
	void (*main)(timed &t);
} const rows[] = {
	{"sleeper", sleeper_main}, {"owner", owner_main},   {"locker", locker_main},
	{"reader", reader_main},   {"future", future_main},
};

}

int main(int argc, char **argv)
{
	std::thread threads[5];
	int is_right = 1;

	end = steady::now() + std::chrono::milliseconds((int)(1000 * atof(argc > 1 ? argv[1] : "1")));
	main_timed.name = "main";
	timed_begin(&main_timed);
	shared.lock();
	for (int i = 0; i < 5; i++)
		threads[i] = std::thread([i] {
			timeds[i].name = rows[i].name;
			timed_begin(&timeds[i]);
			rows[i].main(timeds[i]);
			timed_end(&timeds[i]);
		});
	PHASE(&main_timed, "join", "join", join(threads[0]));
	shared.unlock();
	promise.set_value(0);
	for (int i = 1; i < 5; i++)
		PHASE(&main_timed, "join", "join", join(threads[i]));
	printf("{\"threads\": {");
	for (int i = 0; i < 6; i++)
		is_right &= timed_print(&timeds[i], i > 0 ? ", " : "");
	printf("}, \"is_right\": %s}\n", is_right ? "true" : "false");
	return is_right ? 0 : 3;
}
