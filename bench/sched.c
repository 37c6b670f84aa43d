/*
 * sched: what it costs to have switches recorded.
 *
 *     sched pingpong CPUS ROUNDS        two threads on 1 or 2 processors, a byte to and fro by two pipes
 *     sched paced SWITCHES MS           the same on one processor, so many switches a second; prints how many there were
 *     sched threads COUNT               a thread is made and joined
 *     sched watch PROGRAM [WORD...]     runs a program, watched as a launcher does, and drained into blocks
 *
 * Prints nanoseconds a round, or a thread, by the wall clock, the best of a few: what is lost to other processes is nobody's.
 * The watcher prints behind it how many switches there were and were lost, bytes of blocks, and its own nanoseconds a switch.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/now.h"
#include "tracer/sched_block.h"

#define TIMES 200 /* of a few milliseconds each: many end before another process has its turn */
#define CPUS  1024

static cpu_set_t may; /* before anything was pinned */

/* To the @number-th processor, or to the last there is. */
static void pin(int number)
{
	cpu_set_t set;

	if (number >= CPU_COUNT(&may))
		number = CPU_COUNT(&may) - 1;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &may) && number-- == 0) {
			CPU_ZERO(&set);
			CPU_SET(cpu, &set);
			sched_setaffinity(0, sizeof(set), &set);
			return;
		}
}

static int ping[2], pong[2], cpus;

static void *answer(void *unused)
{
	char c;

	(void)unused;
	pin(cpus - 1);
	while (read(ping[0], &c, 1) == 1)
		if (write(pong[1], &c, 1) != 1)
			break;
	return NULL;
}

static double to_and_fro(long rounds)
{
	double begun = now_ns();
	char c = 0;

	for (long i = 0; i < rounds; i++)
		if (write(ping[1], &c, 1) != 1 || read(pong[0], &c, 1) != 1)
			exit(1);
	return (now_ns() - begun) / (double)rounds;
}

/* A round is two switches. */
static double paced(double switches, double ms)
{
	double begun = now_ns(), now;
	long rounds = 0;

	while ((now = now_ns() - begun) < ms * 1e6)
		if ((double)rounds * 2 < now * switches / 1e9) {
			to_and_fro(1);
			rounds++;
		}
	return (double)rounds * 2 / (ms / 1e3);
}

static void *do_nothing(void *unused)
{
	return unused;
}

static double make_and_join(long count)
{
	double begun = now_ns();
	pthread_t t;

	for (long i = 0; i < count; i++)
		if (pthread_create(&t, NULL, do_nothing, NULL) != 0 || pthread_join(t, NULL) != 0)
			exit(1);
	return (now_ns() - begun) / (double)count;
}

/* ---- the watcher ---- */

static struct lane {
	struct sched_block block;
	uint8_t *bytes;
} lanes[CPUS];
static uint64_t switches, lost, block_bytes;

static void take(void *user, const struct sched_event *e)
{
	struct lane *lane = &lanes[e->cpu % CPUS];

	(void)user;
	switches += e->kind == SCHED_OUT;
	lost += e->kind == SCHED_LOST ? e->lost : 0;
	if (lane->bytes == NULL) {
		lane->bytes = malloc(1 << 16);
		if (lane->bytes == NULL)
			exit(1);
		sched_block_begin(&lane->block, lane->bytes, 1 << 16);
	}
	if (sched_block_add(&lane->block, e, e->tid & 127) == -ENOSPC) {
		block_bytes += lane->block.used;
		sched_block_begin(&lane->block, lane->bytes, 1 << 16);
		sched_block_add(&lane->block, e, e->tid & 127);
	}
}

static int watch(char **program)
{
	struct rusage usage;
	struct why why = {""};
	struct pollfd wait = {.events = POLLIN};
	struct sched *s;
	int go[2], status;
	double own;
	pid_t pid;
	char c;

	if (pipe(go) < 0)
		return 1;
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		if (read(go[0], &c, 1) == 1)
			execv(program[0], program);
		_exit(127);
	}
	if (sched_open(pid, SCHED_ON_EXEC, 0, &s, &why) < 0) {
		fprintf(stderr, "%s\n", why.text);
		return 1;
	}
	if (write(go[1], "", 1) != 1)
		return 1;
	wait.fd = sched_wait_fd(s);
	do {
		if (sched_wakes_often(s))
			poll(NULL, 0, SCHED_SLEEP_MS);
		else
			poll(&wait, 1, 100);
		sched_drain(s, take, NULL);
	} while (waitpid(pid, &status, WNOHANG) == 0);
	sched_drain_last(s, take, NULL);
	for (int i = 0; i < CPUS; i++)
		block_bytes += lanes[i].block.used;
	getrusage(RUSAGE_SELF, &usage);
	own = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e9 +
	      (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e3;
	printf("%llu %llu %llu %.1f\n", (unsigned long long)switches, (unsigned long long)lost,
	       (unsigned long long)block_bytes, own / (double)(switches ? switches : 1));
	return status != 0;
}

int main(int argc, char **argv)
{
	double best = 0;

	sched_getaffinity(0, sizeof(may), &may);
	if (argc > 2 && strcmp(argv[1], "watch") == 0)
		return watch(argv + 2);
	if (argc == 4 && (strcmp(argv[1], "pingpong") == 0 || strcmp(argv[1], "paced") == 0)) {
		bool is_paced = strcmp(argv[1], "paced") == 0;
		pthread_t other;

		cpus = is_paced ? 1 : atoi(argv[2]);
		pin(0);
		if (pipe(ping) < 0 || pipe(pong) < 0 ||
		    pthread_create(&other, NULL, answer, NULL) != 0)
			return 1;
		if (is_paced)
			best = paced(atof(argv[2]), atof(argv[3]));
		for (int i = 0; i < TIMES && !is_paced; i++) {
			double ns = to_and_fro(atol(argv[3]));

			best = best == 0 || ns < best ? ns : best;
		}
		close(ping[1]);
		pthread_join(other, NULL);
	} else if (argc == 3 && strcmp(argv[1], "threads") == 0) {
		pin(0);
		for (int i = 0; i < TIMES; i++) {
			double ns = make_and_join(atol(argv[2]));

			best = best == 0 || ns < best ? ns : best;
		}
	} else {
		fprintf(stderr,
			"usage: sched pingpong CPUS ROUNDS | paced SWITCHES MS | threads COUNT | "
			"watch PROGRAM [WORD...]\n");
		return 2;
	}
	printf("%.1f\n", best);
	return 0;
}
