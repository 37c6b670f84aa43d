/* crowd_cxx: threads whose work is done by the destructor of a thread_local, and by one that throws. */
#include <cstdio>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/programs/host.h"

static int64_t sums[8];

BURNER(burn_a)

struct burner {
	int which = -1;
	~burner()
	{
		if (which >= 0)
			sums[which] += burn_a(100 * MS);
	}
};

static thread_local burner at_end;

namespace {
template <typename T> struct shop {
	KEEP void work(T which)
	{
		at_end.which = which;
		try {
			sums[which] += burn_a(100 * MS);
			throw std::runtime_error("on purpose");
		} catch (const std::exception &) {
			sums[which] += burn_a(50 * MS);
		}
	}
};
}

int main()
{
	std::vector<std::thread> threads;
	int64_t sum = 0;

	for (int i = 0; i < 4; i++)
		threads.emplace_back([i] { shop<int>().work(i); });
	for (auto &t : threads)
		t.join();
	for (int64_t s : sums)
		sum += s;
	std::printf("{\"burn_a\": %lld, \"process_ns\": %lld}\n", (long long)sum, (long long)process_ns());
}
