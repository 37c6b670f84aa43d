/*
 * sigstorm: what hurts a sampler most, all at once, for as long as it is told.
 *
 *     sigstorm SECONDS [LIBRARY LIBRARY]
 *
 * Threads come and go, two libraries are opened and closed, processes are forked, signals of the host's own fly, and
 * everybody works. Ends with status 0 and a line of counts.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/host.h"

static _Atomic int stop;
static _Atomic long threads, opened, forks, signals, failures;
static char **libraries;

static void on_signal(int sig)
{
	(void)sig;
	signals++;
}

KEEP static int recurse(int n)
{
	int r;

	if (n == 0) {
		host_spin();
		return 1;
	}
	r = recurse(n - 1) + 1;
	__asm__ volatile("" ::: "memory");
	return r;
}

static void *short_thread(void *arg)
{
	recurse((int)(intptr_t)arg % 60);
	threads++;
	return NULL;
}

static void *make_threads(void *arg)
{
	(void)arg;
	for (int i = 0; !stop; i++) {
		pthread_t id[8];
		int n = 0;

		for (; n < 8; n++)
			if (pthread_create(&id[n], NULL, short_thread, (void *)(intptr_t)(i + n)) !=
			    0)
				break;
		failures += n == 0;
		for (int j = 0; j < n; j++) {
			pthread_kill(id[j], SIGUSR1);
			pthread_join(id[j], NULL);
		}
	}
	return NULL;
}

static void *open_libraries(void *arg)
{
	(void)arg;
	while (!stop && libraries[0] != NULL) {
		for (int i = 0; i < 2; i++) {
			void *library = dlopen(libraries[i], RTLD_NOW), *symbol;
			int64_t (*burn)(int64_t);

			symbol = library != NULL ? dlsym(library, "plugin_burn") : NULL;
			failures += symbol == NULL;
			if (symbol == NULL)
				continue;
			memcpy(&burn, &symbol, sizeof(burn));
			burn(MS / 10);
			dlclose(library);
			opened++;
		}
	}
	return NULL;
}

static void *make_processes(void *arg)
{
	(void)arg;
	while (!stop) {
		int status = 0;
		pid_t pid = fork();

		if (pid == 0) {
			recurse(20);
			_exit(7);
		}
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		failures += pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 7;
		forks++;
	}
	return NULL;
}

static void *burn_deep(void *arg)
{
	for (int i = 0; !stop; i++)
		recurse((int)(intptr_t)arg + i % 300);
	return NULL;
}

int main(int argc, char **argv)
{
	void *(*const kinds[])(void *) = {make_threads, make_threads, open_libraries,
					  make_processes, burn_deep};
	pthread_t id[5];

	if (argc < 2)
		return 2;
	libraries = argv + 2;
	signal(SIGUSR1, on_signal);
	for (int i = 0; i < 5; i++)
		if (pthread_create(&id[i], NULL, kinds[i], NULL) != 0)
			return 1;
	for (double left = atof(argv[1]); left > 0; left -= 0.01)
		usleep(10000);
	stop = 1;
	for (int i = 0; i < 5; i++)
		pthread_join(id[i], NULL);
	printf("{\"threads\": %ld, \"opened\": %ld, \"forks\": %ld, \"signals\": %ld, "
	       "\"failures\": %ld}\n",
	       threads, opened, forks, signals, failures);
	return failures != 0;
}
