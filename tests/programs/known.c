/*
 * known: events that a program counts by itself, for what is missing of them in its trace.
 *
 *     known FILE END [N]
 *
 * Four threads, each with a semaphore that it posts to, a mutex that it takes and lets go of, and a cheap system call. After each of
 * them it adds one to its counter in FILE, which others may map and which lives on after the program. END:
 *
 *     kill, segv     N rounds or more of each thread, then the signal, while all are at work
 *     exit           N rounds exactly
 *     stop           N rounds exactly, with the parent stopped: nobody empties what is full
 *     handler        N rounds exactly, and as many posts to a fifth semaphore from a handler that interrupts them
 *     leave          N threads one after the other, which have 100 rounds each, with the parent stopped
 */
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define THREADS 4

struct counter {
	uint64_t posts, pairs, calls;
	uint64_t sem, mutex, tid;
};

static struct place {
	sem_t sem;
	pthread_mutex_t mutex;
} places[THREADS + 1];
static volatile struct counter *counters;
static uint64_t rounds;
static bool is_endless;
static _Atomic int ready;

static void one_round(volatile struct counter *c, struct place *p)
{
	sem_post(&p->sem);
	c->posts++;
	pthread_mutex_lock(&p->mutex);
	pthread_mutex_unlock(&p->mutex);
	c->pairs++;
	syscall(SYS_getppid);
	c->calls++;
	if (c->posts % 1000 == 0)
		while (sem_trywait(&p->sem) == 0)
			;
}

static void *work(void *number)
{
	struct place *p = &places[(intptr_t)number];
	volatile struct counter *c = &counters[(intptr_t)number];

	c->sem = (uint64_t)(uintptr_t)&p->sem;
	c->mutex = (uint64_t)(uintptr_t)&p->mutex;
	c->tid = (uint64_t)syscall(SYS_gettid);
	ready++;
	for (uint64_t i = 0; i < rounds || is_endless; i++)
		one_round(c, p);
	return NULL;
}

static void on_signal(int sig)
{
	(void)sig;
	sem_post(&places[THREADS].sem);
	counters[THREADS].posts++;
}

static bool is_everybody_at(uint64_t n)
{
	for (int i = 0; i < THREADS; i++)
		if (counters[i].calls < n)
			return false;
	return true;
}

static void *leaver(void *unused)
{
	for (int i = 0; i < 100; i++)
		one_round(&counters[0], &places[0]);
	return unused;
}

int main(int argc, char **argv)
{
	const char *end = argc > 3 ? argv[2] : "";
	pthread_t ids[THREADS];
	int fd;

	if (argc < 4)
		return 2;
	fd = open(argv[1], O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, 4096) != 0)
		return 2;
	counters = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (counters == MAP_FAILED)
		return 2;
	rounds = strtoull(argv[3], NULL, 10);
	is_endless = strcmp(end, "kill") == 0 || strcmp(end, "segv") == 0;
	for (int i = 0; i <= THREADS; i++) {
		sem_init(&places[i].sem, 0, 0);
		pthread_mutex_init(&places[i].mutex, NULL);
	}
	counters[THREADS].sem = (uint64_t)(uintptr_t)&places[THREADS].sem;
	if (strcmp(end, "stop") == 0 || strcmp(end, "leave") == 0)
		kill(getppid(), SIGSTOP);
	if (strcmp(end, "leave") == 0) {
		counters[0].sem = (uint64_t)(uintptr_t)&places[0].sem;
		counters[0].mutex = (uint64_t)(uintptr_t)&places[0].mutex;
		for (uint64_t i = 0; i < rounds; i++)
			if (pthread_create(&ids[0], NULL, leaver, NULL) != 0 ||
			    pthread_join(ids[0], NULL) != 0)
				return 1;
		kill(getppid(), SIGCONT);
		return 0;
	}
	for (intptr_t i = 0; i < THREADS; i++)
		if (pthread_create(&ids[i], NULL, work, (void *)i) != 0)
			return 1;
	if (is_endless) {
		volatile int *volatile nowhere = NULL;
		struct timespec pause = {0, 1000000};

		while (!is_everybody_at(rounds))
			nanosleep(&pause, NULL);
		if (strcmp(end, "kill") == 0)
			kill(getpid(), SIGKILL);
		*nowhere = 1;
	}
	if (strcmp(end, "handler") == 0) {
		struct timespec pause = {0, 100000};

		signal(SIGUSR1, on_signal);
		while (ready != THREADS)
			nanosleep(&pause, NULL);
		/* whoever has ended takes it with him: only one that is there for sure is asked */
		for (int i = 0; i < 1000; i++) {
			if (counters[0].calls < rounds - rounds / 10)
				pthread_kill(ids[0], SIGUSR1);
			nanosleep(&pause, NULL);
		}
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(ids[i], NULL);
	if (strcmp(end, "stop") == 0)
		kill(getppid(), SIGCONT);
	return 0;
}
