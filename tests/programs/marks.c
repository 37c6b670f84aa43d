/*
 * marks: a program that says what it does, by a plan; built without the library, and as C++ too.
 *
 *     marks WHAT [ARGUMENT]
 */
#define CPROF_WEAK
#include <cprof/cprof.h>

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/host.h"

BURNER(burn_a)
BURNER(burn_b)

static int failures;

static void expect(int is_right, const char *what)
{
	if (is_right)
		return;
	failures++;
	fprintf(stderr, "%s\n", what);
}

/* What each thread says in each of its rounds: tests/integration/trace_user.py has the same plan. */
static int rounds;
static cprof_task whole;

static void *say_all(void *arg)
{
	int me = *(int *)arg;
	char name[16], value[16];

	snprintf(name, sizeof(name), "marks%d", me);
	pthread_setname_np(pthread_self(), name);
	for (int i = 0; i < rounds; i++) {
		cprof_task task = cprof_task_begin("request", whole), before;
		cprof_labels labels;

		cprof_flow_begin((uint64_t)(me * 1000000 + i), "flow");
		before = cprof_task_switch(task);
		expect(before == 0, "a thread works for nobody at first");
		cprof_region_begin("outer");
		snprintf(value, sizeof(value), "%d", i);
		cprof_attribute("round", value);
		labels = cprof_labels_set("round", value, "thread", name, (char *)NULL);
		cprof_region_begin("inner");
		cprof_log("plan", "thread %d round %d", me, i);
		cprof_counter(name, (int64_t)-i);
		cprof_region_end();
		cprof_labels_restore(labels);
		cprof_flow_step((uint64_t)(me * 1000000 + i), "flow");
		cprof_region_end();
		expect(cprof_task_switch(before) == task, "it worked for the task");
		cprof_flow_end((uint64_t)(me * 1000000 + i), "flow");
		cprof_task_end(task);
	}
	return NULL;
}

static void say(int n)
{
	pthread_t threads[16];
	int numbers[16];

	whole = cprof_task_begin("whole", 0);
	for (int i = 0; i < n; i++) {
		numbers[i] = i;
		pthread_create(&threads[i], NULL, say_all, &numbers[i]);
	}
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	cprof_task_end(whole);
}

/* One end too many, one too few, and labels that a new thread inherits. */
static void *inherit(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "inherits");
	return NULL;
}

static void misorder(void)
{
	pthread_t thread;
	cprof_labels before;

	cprof_region_end();
	cprof_region_begin("never ended");
	cprof_region_begin("ended");
	cprof_region_end();
	before = cprof_labels_set("who", "a b", (char *)NULL);
	pthread_create(&thread, NULL, inherit, NULL);
	pthread_join(thread, NULL);
	cprof_labels_restore(before);
}

/* Forks and execs. The children's numbers are in what is printed. */
static void children(void)
{
	char *const arguments[] = {(char *)"true", NULL};
	int pids[6], status, shells;
	FILE *file;

	for (int i = 0; i < 3; i++) {
		pids[i] = (int)fork();
		if (pids[i] == 0)
			_exit(0);
		waitpid(pids[i], &status, 0);
	}
	pids[3] = (int)vfork();
	if (pids[3] == 0) {
		execv("/nowhere/true", arguments);
		execv("/bin/true", arguments);
		_exit(1);
	}
	waitpid(pids[3], &status, 0);
	expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child of vfork() ran");
	expect(posix_spawnp(&pids[4], "true", NULL, NULL, arguments, environ) == 0,
	       "one is spawned");
	waitpid(pids[4], &status, 0);
	expect(posix_spawn(NULL, "/nowhere/true", NULL, NULL, arguments, environ) == ENOENT,
	       "one is not");
	file = popen("echo $$", "r");
	expect(file != NULL && fscanf(file, "%d", &pids[5]) == 1, "a shell with a pipe");
	pclose(file);
	status = system("exit $(( $$ % 251 ))");
	expect(WIFEXITED(status), "and one without");
	shells = WEXITSTATUS(status);
	expect(execv("/nowhere/at/all", arguments) == -1 && errno == ENOENT, "no such file");
	expect(execve("/", arguments, NULL) == -1 && errno == EACCES, "no program");
	printf("{\"children\": [%d, %d, %d, %d, %d, %d], \"shell\": %d}\n", pids[0], pids[1],
	       pids[2], pids[3], pids[4], pids[5], shells);
	fflush(stdout);
	execl("/bin/true", "true", (char *)NULL);
	_exit(9);
}

static void open_library(const char *path)
{
	void *handle;

	expect(dlopen("/nowhere/libnothing.so", RTLD_NOW) == NULL, "there is no such library");
	expect(dlopen(path, RTLD_NOW | RTLD_NOLOAD) == NULL, "it is not there yet");
	handle = dlopen(path, RTLD_NOW);
	expect(handle != NULL, "the library is there");
	if (handle != NULL)
		expect(dlclose(handle) == 0, "it goes");
}

/* Signals */

static volatile sig_atomic_t plain_calls, info_calls, jumps, nested, most_nested;
static sigjmp_buf back;

static void plain(int sig)
{
	(void)sig;
	plain_calls++;
}

static void other(int sig)
{
	(void)sig;
}

static void with_info(int sig, siginfo_t *info, void *context)
{
	expect(info->si_signo == sig && info->si_value.sival_int == 42 && context != NULL,
	       "what comes with a signal");
	info_calls++;
}

static void jump(int sig)
{
	jumps++;
	siglongjmp(back, sig);
}

static void nest(int sig)
{
	nested++;
	if (nested > most_nested)
		most_nested = nested;
	if (nested < 3)
		raise(sig);
	nested--;
}

static void expect_handler(int sig, void (*handler)(int), int flags, const char *what)
{
	struct sigaction now;

	expect(sigaction(sig, NULL, &now) == 0 && now.sa_handler == handler &&
		       (now.sa_flags & ~0x04000000) == flags,
	       what);
}

static void *signals_alternate(void *arg)
{
	stack_t stack = {.ss_sp = malloc(65536), .ss_flags = 0, .ss_size = 65536};
	struct sigaction action;

	(void)arg;
	memset(&action, 0, sizeof(action));
	action.sa_handler = jump;
	action.sa_flags = SA_ONSTACK;
	sigaltstack(&stack, NULL);
	expect(sigaction(SIGUSR2, &action, NULL) == 0, "on another stack");
	for (volatile int i = 0; i < 50; i++)
		if (sigsetjmp(back, 1) == 0)
			raise(SIGUSR2);
	stack.ss_flags = SS_DISABLE;
	sigaltstack(&stack, NULL);
	return NULL;
}

static void take_signals(void)
{
	union sigval value;
	struct sigaction action, old;
	pthread_t thread;

	memset(&action, 0, sizeof(action));
	expect(signal(SIGUSR1, plain) == SIG_DFL, "nobody had it");
	expect_handler(SIGUSR1, plain, SA_RESTART, "signal(): what is read back");
	raise(SIGUSR1);
	expect(signal(SIGUSR1, other) == plain, "the handler from before");
	expect(signal(SIGUSR1, SIG_IGN) == other, "and that one");
	raise(SIGUSR1);
	expect(signal(SIGUSR1, SIG_DFL) == SIG_IGN, "no handler");

	action.sa_sigaction = with_info;
	action.sa_flags = SA_SIGINFO | SA_RESTART;
	expect(sigaction(SIGRTMIN + 3, &action, &old) == 0 && old.sa_handler == SIG_DFL,
	       "with info");
	expect(sigaction(SIGRTMIN + 3, NULL, &old) == 0 && old.sa_sigaction == with_info &&
		       (old.sa_flags & SA_SIGINFO),
	       "sigaction(): what is read back");
	value.sival_int = 42;
	for (int i = 0; i < 5; i++)
		sigqueue(getpid(), SIGRTMIN + 3, value);
	expect(info_calls == 5, "each came at once");

	action.sa_handler = plain;
	action.sa_flags = (int)SA_RESETHAND;
	expect(sigaction(SIGHUP, &action, NULL) == 0, "once");
	raise(SIGHUP);
	expect(sigaction(SIGHUP, NULL, &old) == 0 && old.sa_handler == SIG_DFL,
	       "SA_RESETHAND: nobody has it after that");

	action.sa_handler = nest;
	action.sa_flags = SA_NODEFER;
	expect(sigaction(SIGINT, &action, NULL) == 0, "nested");
	raise(SIGINT);
	expect(most_nested == 3, "SA_NODEFER: inside each other");

	pthread_create(&thread, NULL, signals_alternate, NULL);
	pthread_join(thread, NULL);
	expect(jumps == 50, "each jumped out");
	expect(sigaction(SIGKILL, &action, NULL) == -1 && errno == EINVAL, "not this one");
	expect(sigaction(1000, &action, NULL) == -1 && errno == EINVAL, "nor this");
	expect(plain_calls == 2, "each handler's calls");
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "say";
	const char *argument = argc > 2 ? argv[2] : "1";

	if (strcmp(what, "say") == 0) {
		rounds = argc > 3 ? atoi(argv[3]) : 10;
		say(atoi(argument));
	} else if (strcmp(what, "misorder") == 0) {
		misorder();
	} else if (strcmp(what, "children") == 0) {
		children();
	} else if (strcmp(what, "library") == 0) {
		open_library(argument);
	} else if (strcmp(what, "signals") == 0) {
		take_signals();
	} else if (strcmp(what, "burn") == 0) {
		pthread_setname_np(pthread_self(), "first");
		burn_a(atoi(argument) * MS);
		burn_b(atoi(argument) * MS);
	}
	printf("{\"failures\": %d, \"there\": %d}\n", failures, cprof_enable != NULL);
	return failures != 0;
}
