/*
 * death: burns, says how much CPU time it used, and ends in the way that is asked for.
 *
 *     death HOW MILLISECONDS
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/host.h"

BURNER(burn_a)
BURNER(burn_thread)

static char *self;
static int64_t amount, begun;

/* The CPU time of the process, and what of it was over before main(). */
static void say(const char *what)
{
	printf("{\"what\": \"%s\", \"begun_ns\": %lld, \"process_ns\": %lld}\n", what,
	       (long long)begun, (long long)process_ns());
	fflush(stdout);
}

static void at_exit(void)
{
	burn_a(amount / 10);
	say("atexit");
}

static void *burn_in_thread(void *arg)
{
	burn_thread(amount / 2);
	(void)arg;
	return NULL;
}

static void hold(int sig)
{
	burn_a(amount / 4);
	(void)sig;
}

/* Interrupts main(), after three quarters of its time, by a handler that lets nothing through. */
static void hold_at_random(void)
{
	struct sigaction action = {.sa_handler = hold};
	struct itimerval in = {.it_value = {0, amount / 4 * 3 / 1000}};

	sigfillset(&action.sa_mask);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &in, NULL);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	char second[32], status[32];
	pthread_t id;

	begun = process_ns();
	if (argc < 3)
		return 2;
	self = argv[0];
	amount = atoll(argv[2]) * MS;
	if (strcmp(how, "thread") == 0) {
		/* the main thread ends first, the process with the other */
		if (pthread_create(&id, NULL, burn_in_thread, NULL) != 0)
			return 1;
		burn_a(amount / 2);
		pthread_join(id, NULL);
	} else if (strcmp(how, "held") == 0) {
		/* for a quarter no signal strikes, as when the machine stands still; the end comes soon after */
		hold_at_random();
		burn_a(amount);
		burn_a(4 * MS);
	} else {
		burn_a(amount);
	}
	say(how);
	if (strcmp(how, "exit") == 0)
		exit(3);
	if (strcmp(how, "return") == 0)
		return 4;
	if (strcmp(how, "thread") == 0)
		exit(5);
	if (strcmp(how, "atexit") == 0) {
		atexit(at_exit);
		exit(6);
	}
	if (strcmp(how, "_exit") == 0)
		_exit(7);
	if (strcmp(how, "exec") == 0) {
		/* the same process goes on as another image */
		snprintf(second, sizeof(second), "%s", argv[2]);
		execl(self, self, "exit", second, (char *)NULL);
		return 1;
	}
	if (strcmp(how, "execfail") == 0) {
		snprintf(status, sizeof(status), "/nonexistent/%d", (int)getpid());
		execl(status, status, (char *)NULL);
		burn_a(amount);
		say(how);
		return 8;
	}
	if (strcmp(how, "term") == 0)
		raise(SIGTERM);
	if (strcmp(how, "segv") == 0)
		*(volatile int *)(intptr_t)(argc + 5) = 1;
	if (strcmp(how, "abort") == 0)
		abort();
	if (strcmp(how, "kill") == 0 || strcmp(how, "held") == 0)
		kill(getpid(), SIGKILL);
	if (strcmp(how, "prof") == 0) { /* its default action ends the process */
		signal(SIGPROF, SIG_DFL);
		raise(SIGPROF);
	}
	if (strcmp(how, "trap") == 0)
		__asm__ volatile("int3");
	if (strcmp(how, "xcpu") == 0)
		raise(SIGXCPU);
	return 99;
}
