/*
 * signalled: counts the signals that reach it.
 *
 *     signalled [own] [ACTION…]
 *
 * It does the actions, then prints a line "ready" and, when a line comes on standard input or a second without any
 * signal has gone by after the first, JSON with the counts. "own": in a process group of its own. Actions: "stop"
 * (SIGSTOP to itself), "tstp", "group SIG" (to its whole group), "parent SIG", "ignore SIG".
 */
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/host.h"

BURNER(burn_a)

static volatile sig_atomic_t counts[65], values[65], total;

static void count(int sig, siginfo_t *info, void *context)
{
	(void)context;
	counts[sig]++;
	values[sig] = info->si_code == SI_QUEUE ? info->si_value.sival_int : 0;
	total++;
}

int main(int argc, char **argv)
{
	struct sigaction action = {0};
	struct pollfd in = {0, POLLIN, 0};
	int idle = 0, before;

	action.sa_sigaction = count;
	action.sa_flags = SA_SIGINFO | SA_RESTART;
	for (int sig = 1; sig <= SIGRTMAX; sig++)
		if (sig != SIGKILL && sig != SIGSTOP && sig != SIGTSTP && sig != SIGTTIN &&
		    sig != SIGTTOU && sig != SIGSEGV && sig != SIGPROF && sig != SIGTRAP)
			sigaction(sig, &action, NULL);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "own") == 0)
			setpgid(0, 0);
		else if (strcmp(argv[i], "stop") == 0)
			raise(SIGSTOP);
		else if (strcmp(argv[i], "tstp") == 0)
			raise(SIGTSTP);
		else if (strcmp(argv[i], "group") == 0 && i + 1 < argc)
			kill(0, atoi(argv[++i]));
		else if (strcmp(argv[i], "parent") == 0 && i + 1 < argc)
			kill(getppid(), atoi(argv[++i]));
		else if (strcmp(argv[i], "ignore") == 0 && i + 1 < argc)
			signal(atoi(argv[++i]), SIG_IGN);
	}
	burn_a(20 * MS);
	puts("ready");
	fflush(stdout);
	while (idle < 10) {
		before = total;
		if (poll(&in, 1, 100) == 1)
			break;
		/* the rest of a storm may still be on its way */
		idle = total != before ? 1 : total > 0 ? idle + 1 : 0;
	}
	printf("{");
	for (int sig = 1; sig <= SIGRTMAX; sig++)
		if (counts[sig] > 0)
			printf("\"%d\": %d, ", sig, (int)counts[sig]);
	printf("\"value\": %d}\n", (int)values[SIGRTMIN + 1]);
	return 3;
}
