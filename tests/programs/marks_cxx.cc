/* marks_cxx: scopes. */
#define CPROF_WEAK
#include <cprof/cprof.h>

#include <cstdio>
#include <stdexcept>
#include <thread>

static void fail()
{
	cprof::region region("throws");

	throw std::runtime_error("left by an exception");
}

static void serve(cprof_task given)
{
	cprof::working working(given);
	cprof::region region("serve");
	cprof::task part("part");

	try {
		fail();
	} catch (const std::runtime_error &error) {
		cprof_log("error", "%s", error.what());
	}
}

int main()
{
	cprof::task task("whole");
	std::thread thread(serve, task.id());

	thread.join();
	std::printf("{\"task\": %llu}\n", static_cast<unsigned long long>(task.id()));
	return 0;
}
