/*
 * soak: what hurts a tracer most, all at once, for as long as it is told, and counted.
 *
 *     soak SECONDS LIBRARY LIBRARY
 *
 * A signal every 200 us, to any thread; threads that come and go, some of them cancelled in a wait; children by fork and
 * posix_spawn; two libraries that are opened and closed. Ends with status 0 and a line of how often it did what.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define POSTS   5 /* of each short thread */
#define AT_ONCE 6

extern char **environ;

/* What the trace has to have as often: by their addresses. */
static sem_t from_handlers, from_threads, never;
static pthread_mutex_t busy = PTHREAD_MUTEX_INITIALIZER, own[2][AT_ONCE];
static pthread_cond_t quiet = PTHREAD_COND_INITIALIZER;
static int nothing_comes[2];

static _Atomic int stop;
static _Atomic long signals, threads, posts, pairs, taken, calls, forks, spawns, cancelled, opened,
	unfinished, failures;
static char **libraries;

#ifndef FORKS_TOO
#define FORKS_TOO true
#endif

static _Thread_local volatile bool is_in_handler;

static void on_signal(int sig)
{
	int saved = errno;

	(void)sig;
	is_in_handler = true;
	sem_post(&from_handlers);
	signals++;
	is_in_handler = false;
	errno = saved;
}

static void *short_thread(void *lock)
{
	for (int i = 0; i < POSTS; i++) {
		sem_post(&from_threads);
		posts++;
		pthread_mutex_lock(lock);
		pthread_mutex_unlock(lock);
		pairs++;
		pthread_mutex_lock(&busy);
		taken++;
		pthread_mutex_unlock(&busy);
		syscall(SYS_getppid);
		calls++;
	}
	return NULL;
}

static void give_back(void *mutex)
{
	pthread_mutex_unlock(mutex);
}

/* The C library ends a thread that is cancelled in a wait at once, in a handler that interrupted the wait, too. */
static void look_where(void *unused)
{
	(void)unused;
	unfinished += is_in_handler;
}

#if defined(__SANITIZE_THREAD__)
#define HAS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_TSAN 1
#endif
#endif

/*
 * ThreadSanitizer's runtime keeps a signal until it is out of its own code, except in calls that wait: there it is handled where it comes.
 * But who is cancelled in one unwinds, and who joins a thread frees its memory, within the runtime again: with a lock, which the handler then
 * waits for, for ever. So there are no signals for them. Returns those that were blocked before.
 */
static sigset_t keep_signals_off(void)
{
	sigset_t before;

	sigemptyset(&before);
#ifdef HAS_TSAN
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
#endif
	return before;
}

static int join(pthread_t id, void **ret)
{
	sigset_t before = keep_signals_off();
	int r = pthread_join(id, ret);

#ifdef HAS_TSAN
	pthread_sigmask(SIG_SETMASK, &before, NULL);
#else
	(void)before;
#endif
	return r;
}

/* Waits for what does not come, in one of three ways. */
static void *waiting_thread(void *n)
{
	char byte;

	keep_signals_off();
	pthread_cleanup_push(look_where, NULL);
	switch ((intptr_t)n % 3) {
	case 0:
		while (sem_wait(&never) != 0)
			;
		break;
	case 1:
		pthread_mutex_lock(own[0]);
		pthread_cleanup_push(give_back, own[0]);
		pthread_cond_wait(&quiet, own[0]);
		pthread_cleanup_pop(1);
		break;
	default:
		while (read(nothing_comes[0], &byte, 1) < 0)
			;
		break;
	}
	pthread_cleanup_pop(0);
	return NULL;
}

static bool start(pthread_t *id, void *(*run)(void *), void *argument)
{
	bool is_there = pthread_create(id, NULL, run, argument) == 0;

	threads += is_there;
	failures += !is_there;
	return is_there;
}

static void *make_threads(void *which)
{
	while (!stop) {
		pthread_t ids[AT_ONCE];
		int n = 0;

		while (n < AT_ONCE && start(&ids[n], short_thread, &own[1][n]))
			n++;
		while (n > 0)
			failures += join(ids[--n], NULL) != 0;
	}
	return which;
}

static void *cancel_threads(void *unused)
{
	for (intptr_t i = 0; !stop; i++) {
		struct timespec pause = {0, (i % 7) * 100000};
		void *result = NULL;
		pthread_t id;

		if (!start(&id, waiting_thread, (void *)i))
			continue;
		nanosleep(&pause, NULL);
		pthread_cancel(id);
		join(id, &result);
		failures += result != PTHREAD_CANCELED;
		cancelled++;
	}
	return unused;
}

static void reap(pid_t pid, int status_wanted)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	failures += !WIFEXITED(status) || WEXITSTATUS(status) != status_wanted;
}

static void fork_one(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		for (int i = 0; i < 20; i++) {
			pthread_mutex_lock(&own[0][1]);
			pthread_mutex_unlock(&own[0][1]);
		}
		_exit(7);
	}
	failures += pid < 0;
	forks += pid > 0;
	if (pid > 0)
		reap(pid, 7);
}

static void *make_processes(void *unused)
{
	static char name[] = "true";
	char *const arguments[] = {name, NULL};
	pid_t pid;

	while (!stop) {
		if (FORKS_TOO)
			fork_one();
		if (posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ) == 0) {
			spawns++;
			reap(pid, 0);
		} else {
			failures++;
		}
	}
	return unused;
}

static void *open_libraries(void *unused)
{
	while (!stop && libraries[0] != NULL) {
		for (int i = 0; i < 2; i++) {
			void *library = dlopen(libraries[i], RTLD_NOW);

			failures += library == NULL || dlsym(library, "plugin_burn") == NULL;
			if (library != NULL)
				dlclose(library);
			opened++;
		}
	}
	return unused;
}

int main(int argc, char **argv)
{
	void *(*const kinds[])(void *) = {make_threads, cancel_threads, make_processes,
					  open_libraries};
	struct itimerspec every = {{0, 200000}, {0, 200000}}, never_more = {{0, 0}, {0, 0}};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct timespec end;
	pthread_t ids[4];
	timer_t timer;

	if (argc < 2 || pipe(nothing_comes) != 0)
		return 2;
	libraries = argv + 2;
	sem_init(&from_handlers, 0, 0);
	sem_init(&from_threads, 0, 0);
	sem_init(&never, 0, 0);
	for (int i = 0; i < 2 * AT_ONCE; i++)
		pthread_mutex_init(&own[i / AT_ONCE][i % AT_ONCE], NULL);
	sigaction(SIGUSR1, &action, NULL);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0)
		return 2;
	timer_settime(timer, 0, &every, NULL);
	for (int i = 0; i < 4; i++)
		start(&ids[i], kinds[i], NULL);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += atoi(argv[1]);
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) == EINTR)
		;
	stop = 1;
	for (int i = 0; i < 4; i++)
		join(ids[i], NULL);
	timer_settime(timer, 0, &never_more, NULL);
	usleep(10000);
	printf("{\"signals\": %ld, \"threads\": %ld, \"posts\": %ld, \"pairs\": %ld, \"taken\": "
	       "%ld, \"calls\": %ld, "
	       "\"forks\": %ld, \"spawns\": %ld, \"cancelled\": %ld, \"opened\": %ld, "
	       "\"unfinished\": %ld, \"failures\": %ld, "
	       "\"from_handlers\": %lu, \"from_threads\": %lu, \"busy\": %lu, \"own\": %lu, "
	       "\"own_bytes\": %lu}\n",
	       signals, threads, posts, pairs, taken, calls, forks, spawns, cancelled, opened,
	       unfinished, failures, (unsigned long)&from_handlers, (unsigned long)&from_threads,
	       (unsigned long)&busy, (unsigned long)own[1], (unsigned long)sizeof(own[1]));
	return failures != 0;
}
