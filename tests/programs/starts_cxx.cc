/* starts_cxx: the same with the C++ library's threads. Prints {"function": threads, …}. */
#include <cstdio>
#include <future>
#include <thread>
#include <vector>

#include "tests/programs/host.h"

KEEP static int start_objects(int n)
{
	std::vector<std::thread> threads;

	for (int i = 0; i < n; i++)
		threads.emplace_back([] {});
	for (auto &t : threads)
		t.join();
	return n;
}

KEEP static int start_async(int n)
{
	int sum = 0;

	for (int i = 0; i < n; i++)
		sum += std::async(std::launch::async, [] { return 1; }).get();
	return sum;
}

int main()
{
	int objects = start_objects(5), async = start_async(3);

	std::printf("{\"start_objects\": %d, \"start_async\": %d}\n", objects, async);
}
