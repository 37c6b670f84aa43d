/*
 * Threads and processes that come and go as told, for what a trace says of them. The last line it prints says how many.
 *
 *     traced churn N       N threads, eight at a time
 *     traced stay END      four threads that stay, one of them named, and an end: exit, _exit, kill, segv, main
 *     traced forks N       N children with two threads each, a few at a time; each a third of them ends by SIGKILL
 *     traced exec N        two threads, then this program with "churn N"
 *     traced names SECONDS one thread that gets another name some 100 times a ms
 *     traced raw           a thread that the C library knows nothing of
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define AT_ONCE 8

static pthread_barrier_t there;

static void *nothing(void *argument)
{
	return argument;
}

static void *stay(void *argument)
{
	if (argument != NULL)
		pthread_setname_np(pthread_self(), argument);
	pthread_barrier_wait(&there);
	for (;;)
		pause();
	return NULL;
}

static void churn(int n)
{
	pthread_t threads[AT_ONCE];

	for (int done = 0; done < n;) {
		int k = 0;

		for (; k < AT_ONCE && done < n; k++, done++)
			if (pthread_create(&threads[k], NULL, nothing, NULL) != 0)
				exit(1);
		while (k > 0)
			pthread_join(threads[--k], NULL);
	}
}

static void start_stayers(void)
{
	pthread_t thread;

	pthread_barrier_init(&there, NULL, 5);
	for (int i = 0; i < 4; i++)
		pthread_create(&thread, NULL, stay, i == 2 ? "number-two" : NULL);
	pthread_barrier_wait(&there);
}

static int end_by(const char *how)
{
	printf("{\"threads\": 4, \"pid\": %d}\n", (int)getpid());
	fflush(stdout);
	if (strcmp(how, "_exit") == 0)
		_exit(7);
	if (strcmp(how, "kill") == 0)
		kill(getpid(), SIGKILL);
	if (strcmp(how, "segv") == 0)
		raise(SIGSEGV);
	if (strcmp(how, "main") == 0)
		return 5;
	exit(6);
}

static int child(int number)
{
	churn(2);
	if (number % 3 == 0)
		kill(getpid(), SIGKILL);
	if (number % 3 == 1)
		_exit(number % 100);
	exit(number % 100);
}

static void forks(int n)
{
	for (int done = 0; done < n;) {
		int k = 0;

		for (; k < AT_ONCE && done < n; k++, done++) {
			pid_t pid = fork();

			if (pid == 0)
				child(done);
			if (pid < 0)
				exit(1);
		}
		while (k-- > 0)
			wait(NULL);
	}
}

static void names(int seconds)
{
	time_t end = time(NULL) + seconds;
	char name[16];

	for (unsigned i = 0; i % 1024 != 0 || time(NULL) < end; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		pthread_setname_np(pthread_self(), name);
		if (i % 128 == 127)
			usleep(1000);
	}
}

static int raw_thread(void *argument)
{
	(void)argument;
	syscall(SYS_exit, 0);
	return 0;
}

static void raw(void)
{
	size_t size = 1 << 16;
	char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (stack == MAP_FAILED ||
	    clone(raw_thread, stack + size,
		  CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
		  NULL) < 0)
		exit(1);
	usleep(100000);
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	int n = argc > 2 ? atoi(argv[2]) : 0;

	if (strcmp(what, "churn") == 0)
		churn(n);
	else if (strcmp(what, "forks") == 0)
		forks(n);
	else if (strcmp(what, "names") == 0)
		names(n);
	else if (strcmp(what, "raw") == 0)
		raw();
	else if (strcmp(what, "stay") == 0) {
		start_stayers();
		return end_by(argv[2]);
	} else if (strcmp(what, "exec") == 0) {
		churn(2);
		execl("/proc/self/exe", "traced-again", "churn", argv[2], (char *)NULL);
		return 1;
	} else {
		return 2;
	}
	printf("{\"n\": %d, \"pid\": %d}\n", n, (int)getpid());
	return 0;
}
