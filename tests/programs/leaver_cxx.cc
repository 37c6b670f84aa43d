// leaver_cxx: threads that are ended in the middle of a wait, through destructors and catch (...).
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include "tests/programs/host.h"

BURNER(burn_cleanup)

namespace
{

int pipe_ends[2];
sem_t sem;
std::mutex mutex;
std::condition_variable cond;

struct tidy {
	const char *name;
	~tidy()
	{
		burn_cleanup(10 * MS);
		printf("%s: destroyed\n", name);
	}
};

void in_read()
{
	char c;

	while (read(pipe_ends[0], &c, 1) != 1)
		;
}

void in_poll()
{
	poll(nullptr, 0, -1);
}

void in_sem_wait()
{
	sem_wait(&sem);
}

void in_cond_wait()
{
	std::unique_lock<std::mutex> lock(mutex);

	cond.wait(lock, [] { return false; });
}

struct way {
	const char *name;
	void (*wait)();
} ways[] = {
	{"read", in_read}, {"poll", in_poll}, {"sem_wait", in_sem_wait}, {"cond_wait", in_cond_wait}};

void *wait_forever(void *argument)
{
	way *w = static_cast<way *>(argument);
	tidy outer = {w->name};

	try {
		tidy inner = {w->name};

		for (;;)
			w->wait();
	} catch (...) {
		burn_cleanup(10 * MS);
		printf("%s: caught\n", w->name);
		throw;
	}
	return nullptr;
}

void leave_thread(int)
{
	pthread_exit(nullptr);
}

} // namespace

int main()
{
	struct sigaction action = {};

	action.sa_handler = leave_thread;
	sigaction(SIGUSR1, &action, nullptr);
	if (pipe(pipe_ends) != 0)
		return 77;
	sem_init(&sem, 0, 0);
	for (int by_signal = 0; by_signal < 2; by_signal++)
		for (way &w : ways) {
			pthread_t id;
			void *result = nullptr;

			// out of a handler, an exception does not get through what is declared not to throw
			if (by_signal && w.wait == in_cond_wait)
				continue;
			pthread_create(&id, nullptr, wait_forever, &w);
			usleep(60000);
			if (by_signal)
				pthread_kill(id, SIGUSR1);
			else
				pthread_cancel(id);
			pthread_join(id, &result);
			printf("%s: %d\n", by_signal ? "ended" : "cancelled",
			       result == PTHREAD_CANCELED);
		}
	printf("mutex: %d\n", mutex.try_lock());
	return 0;
}
