/*
 * schedules: threads that take turns in a known order, for a trace of what they do to each other.
 *
 *     schedules NAME       pingpong queue philosophers convoy barrier join timed rwlock sem once onces cond nested held
 *                          handler left pipe late inversion gated deadlock
 *
 * Objects are static, so that they have names, but for those of "nested". Prints what a trace has to say, as words and numbers, by its own clock.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 50

pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER, two = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t forks[5] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
			    PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
			    PTHREAD_MUTEX_INITIALIZER};
pthread_cond_t ready = PTHREAD_COND_INITIALIZER, space = PTHREAD_COND_INITIALIZER;
pthread_rwlock_t book = PTHREAD_RWLOCK_INITIALIZER;
pthread_barrier_t gate, pair;
pthread_once_t first = PTHREAD_ONCE_INIT;
sem_t tokens, turns[2];
pthread_spinlock_t spin;
static int turn, queued;
static _Atomic int arrived;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void pass(int ms)
{
	struct timespec t = {0, ms * 1000000};

	while (nanosleep(&t, &t) != 0 && errno == EINTR)
		;
}

static pthread_t start(void *(*run)(void *), intptr_t n)
{
	pthread_t id;

	if (pthread_create(&id, NULL, run, (void *)n) != 0)
		abort();
	return id;
}

static void on_threads(int n, void *(*run)(void *))
{
	pthread_t ids[16];

	for (int i = 0; i < n; i++)
		ids[i] = start(run, i);
	for (int i = 0; i < n; i++)
		pthread_join(ids[i], NULL);
}

/* Two threads hand a turn to each other. */
static void *pingpong_main(void *n)
{
	for (int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&one);
		while (turn != (int)(intptr_t)n)
			pthread_cond_wait(&ready, &one);
		turn = !turn;
		pthread_cond_broadcast(&ready);
		pthread_mutex_unlock(&one);
	}
	return NULL;
}

static void *consumer_main(void *n)
{
	for (int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&one);
		while (queued == 0)
			pthread_cond_wait(&ready, &one);
		queued--;
		pthread_cond_signal(&space);
		pthread_mutex_unlock(&one);
	}
	return n;
}

static void *producer_main(void *n)
{
	for (int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&one);
		while (queued == 4)
			pthread_cond_wait(&space, &one);
		queued++;
		pthread_cond_signal(&ready);
		pthread_mutex_unlock(&one);
	}
	return n;
}

static void *queue_main(void *n)
{
	return n == NULL ? consumer_main(n) : producer_main(n);
}

static void *philosopher_main(void *n)
{
	int i = (int)(intptr_t)n, low = i < 4 ? i : 0, high = i < 4 ? i + 1 : 4;

	for (int k = 0; k < ROUNDS / 5; k++) {
		pthread_mutex_lock(&forks[low]);
		pthread_mutex_lock(&forks[high]);
		usleep(200);
		pthread_mutex_unlock(&forks[high]);
		pthread_mutex_unlock(&forks[low]);
	}
	return NULL;
}

/* All want it while one has it, and each keeps it a while. */
static void *convoy_main(void *n)
{
	pthread_mutex_lock(&one);
	pass(5);
	pthread_mutex_unlock(&one);
	return n;
}

static void convoy(void)
{
	pthread_t ids[4];

	pthread_mutex_lock(&one);
	for (int i = 0; i < 4; i++)
		ids[i] = start(convoy_main, i);
	pass(40);
	pthread_mutex_unlock(&one);
	for (int i = 0; i < 4; i++)
		pthread_join(ids[i], NULL);
}

static void *barrier_main(void *n)
{
	for (int i = 0; i < ROUNDS; i++) {
		if ((intptr_t)n == i % 4)
			usleep(500);
		pthread_barrier_wait(&gate);
	}
	return n;
}

static void *sleeper_main(void *n)
{
	pass((int)(intptr_t)n);
	return NULL;
}

static void join(void)
{
	pthread_t late = start(sleeper_main, 30), early = start(sleeper_main, 1), gone;

	pthread_join(late, NULL);
	pthread_join(early, NULL);
	gone = start(sleeper_main, 1);
	pthread_detach(gone);
	pass(10);
}

static struct timespec in_ms(clockid_t clock, int ms)
{
	struct timespec t;

	clock_gettime(clock, &t);
	t.tv_nsec += ms * 1000000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

static void *timed_main(void *n)
{
	struct timespec t = in_ms(CLOCK_REALTIME, 20);
	uint64_t begun = now_ns();

	if (pthread_mutex_timedlock(&one, &t) != ETIMEDOUT)
		abort();
	printf("mutex_ns %llu\n", (unsigned long long)(now_ns() - begun));
	pthread_mutex_lock(&two);
	t = in_ms(CLOCK_REALTIME, 15);
	begun = now_ns();
	if (pthread_cond_timedwait(&ready, &two, &t) != ETIMEDOUT)
		abort();
	printf("cond_ns %llu\n", (unsigned long long)(now_ns() - begun));
	pthread_mutex_unlock(&two);
	t = in_ms(CLOCK_REALTIME, 10);
	begun = now_ns();
	if (sem_timedwait(&tokens, &t) != -1 || errno != ETIMEDOUT)
		abort();
	printf("sem_ns %llu\n", (unsigned long long)(now_ns() - begun));
	if (pthread_mutex_trylock(&one) != EBUSY || pthread_mutex_trylock(&one) != EBUSY)
		abort();
	return n;
}

static void timed(void)
{
	pthread_mutex_lock(&one);
	on_threads(1, timed_main);
	pthread_mutex_unlock(&one);
}

static void *reader_main(void *n)
{
	pthread_rwlock_rdlock(&book);
	arrived++;
	pass(20);
	pthread_rwlock_unlock(&book);
	return n;
}

static void rwlock(void)
{
	pthread_t ids[3];

	for (int i = 0; i < 3; i++)
		ids[i] = start(reader_main, i);
	while (arrived != 3)
		usleep(100);
	pthread_rwlock_wrlock(&book); /* until all three are done */
	pass(5);
	pthread_rwlock_unlock(&book);
	for (int i = 0; i < 3; i++)
		pthread_join(ids[i], NULL);
	for (int i = 0; i < ROUNDS; i++) {
		pthread_rwlock_rdlock(&book);
		pthread_rwlock_unlock(&book);
	}
}

static void *sem_main(void *n)
{
	int me = (int)(intptr_t)n;

	for (int i = 0; i < ROUNDS; i++) {
		while (sem_wait(&turns[me]) != 0)
			;
		sem_post(&turns[!me]);
	}
	return NULL;
}

static void sem(void)
{
	sem_post(&turns[0]);
	on_threads(2, sem_main);
	for (int i = 0; i < 3; i++)
		sem_post(&tokens);
	for (int i = 0; i < 3; i++)
		sem_wait(&tokens);
	if (sem_trywait(&tokens) == 0)
		abort();
}

static void run_once(void)
{
	while (arrived != 3)
		usleep(1000);
	pass(20);
}

static void *once_main(void *n)
{
	arrived++;
	pthread_once(&first, run_once);
	pthread_once(&first, run_once);
	return n;
}

/* Threads that come at the same time, again and again. */
static pthread_once_t often[ROUNDS * 4];

static void nothing(void)
{
}

static void *onces_main(void *n)
{
	for (int i = 0; i < ROUNDS * 4; i++) {
		pthread_barrier_wait(&gate);
		pthread_once(&often[i], nothing);
	}
	return n;
}

/* What is in what, and more than there is room for; and a lock that is taken over and over. */
static void nested(void)
{
	pthread_mutex_t *many = calloc(12, sizeof(*many));
	static pthread_mutex_t again;
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&again, &attr);
	for (int i = 0; i < 12; i++)
		pthread_mutex_init(&many[i], NULL);
	for (int i = 0; i < 12; i++)
		pthread_mutex_lock(&many[i]);
	for (int i = 12; i-- > 0;)
		pthread_mutex_unlock(&many[i]);
	for (int i = 0; i < 3; i++)
		pthread_mutex_lock(&again);
	for (int i = 0; i < 3; i++)
		pthread_mutex_unlock(&again);
	for (int i = 0; i < 20; i++) { /* long ones */
		pthread_mutex_lock(&one);
		usleep(1000);
		pthread_mutex_unlock(&one);
	}
	pthread_mutex_lock(&one); /* one that is let go of before the other */
	pthread_mutex_lock(&two);
	pthread_mutex_unlock(&one);
	pthread_mutex_unlock(&two);
	pthread_spin_lock(&spin);
	pthread_spin_unlock(&spin);
	for (int i = 0; i < 12; i++)
		pthread_mutex_destroy(&many[i]);
	free(many);
}

/* Longer than a generation: one holds a lock, one runs what another waits for, and something happens. */
static void run_long(void)
{
	arrived++;
	while (arrived != 3)
		usleep(1000);
}

static void *long_main(void *n)
{
	pthread_once(&first, run_long);
	return n;
}

static void held(void)
{
	uint64_t until = now_ns() + UINT64_C(2600000000);
	pthread_t threads[2];

	pthread_mutex_lock(&one);
	threads[0] = start(long_main, 0);
	while (arrived != 1)
		usleep(1000);
	threads[1] = start(long_main, 1);
	while (now_ns() < until) {
		sem_post(&tokens);
		sem_wait(&tokens);
		usleep(20000);
	}
	arrived = 3;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	pthread_mutex_unlock(&one);
}

static void on_signal(int sig)
{
	(void)sig;
	sem_post(&tokens);
}

/* Posts from handlers that interrupt anything. */
static void handler(void)
{
	struct itimerspec every = {{0, 200000}, {0, 200000}};
	uint64_t until = now_ns() + 300000000;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	unsigned long pairs = 0, got = 0;
	timer_t timer;

	signal(SIGUSR1, on_signal);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0)
		abort();
	timer_settime(timer, 0, &every, NULL);
	while (now_ns() < until) {
		for (int i = 0; i < 100; i++) {
			pthread_mutex_lock(&one);
			pthread_mutex_unlock(&one);
			pairs++;
		}
		while (sem_trywait(&tokens) == 0)
			got++;
	}
	timer_delete(timer);
	while (sem_trywait(&tokens) == 0)
		got++;
	printf("pairs %lu\ntokens %lu\n", pairs, got);
}

/* A byte goes to and fro; what each thread made is said. */
static int ends[2][2];

static void *pipe_main(void *n)
{
	int me = (int)(intptr_t)n;
	char byte;

	for (int i = 0; i < ROUNDS; i++)
		if (read(ends[me][0], &byte, 1) != 1 || write(ends[!me][1], &byte, 1) != 1)
			abort();
	return NULL;
}

static void pipe_rounds(void)
{
	if (pipe(ends[0]) != 0 || pipe(ends[1]) != 0 || write(ends[0][1], "x", 1) != 1)
		abort();
	on_threads(2, pipe_main);
	printf("first_end %d\nlast_end %d\n", ends[0][0], ends[1][1]);
}

/* A destructor of a thread's data that works to the very end, with a lock that the thread took long before. */
static pthread_key_t key;

static void last_words(void *round)
{
	if ((intptr_t)round < PTHREAD_DESTRUCTOR_ITERATIONS) {
		pthread_setspecific(key, (void *)((intptr_t)round + 1));
		return;
	}
	syscall(SYS_getppid);
	pthread_mutex_unlock(&one);
	pthread_mutex_lock(&two);
	pthread_mutex_unlock(&two);
}

static void *late_main(void *n)
{
	for (int i = 0; i < 3; i++) { /* until it is known to be a short one */
		pthread_mutex_lock(&one);
		pthread_mutex_unlock(&one);
	}
	pthread_mutex_lock(&one);
	pthread_setspecific(key, (void *)1);
	return n;
}

static void late(void)
{
	if (pthread_key_create(&key, last_words) != 0)
		abort();
	for (int i = 0; i < ROUNDS; i++)
		on_threads(1, late_main);
}

static sigjmp_buf back;

static void on_alarm(int sig)
{
	(void)sig;
	siglongjmp(back, 1);
}

static void *holder_main(void *n)
{
	pthread_mutex_lock(&one);
	arrived = 1;
	pass(60);
	pthread_mutex_unlock(&one);
	return n;
}

/* A wait that is left by a handler, and one whose thread is cancelled. */
static void *cancelled_main(void *n)
{
	sem_wait(&tokens);
	return n;
}

static void left(void)
{
	pthread_t id = start(holder_main, 0);
	struct itimerspec in = {{0, 0}, {0, 20000000}};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	timer_t timer;

	while (arrived != 1)
		usleep(100);
	signal(SIGALRM, on_alarm);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0)
		abort();
	if (sigsetjmp(back, 1) == 0) {
		timer_settime(timer, 0, &in, NULL);
		pthread_mutex_lock(&one);
		abort();
	}
	for (int i = 0; i < 100; i++) {
		pthread_mutex_lock(&two);
		pthread_mutex_unlock(&two);
	}
	pthread_join(id, NULL);
	id = start(cancelled_main, 0);
	pass(10);
	pthread_cancel(id);
	pthread_join(id, NULL);
}

/* Two locks in one order, and in the other; with a third one around them when @n is more than 1. */
static void *ordered_main(void *n)
{
	intptr_t how = (intptr_t)n;
	pthread_mutex_t *outer = how % 2 == 0 ? &one : &two, *inner = how % 2 == 0 ? &two : &one;

	for (int i = 0; i < ROUNDS; i++) {
		if (how > 1)
			pthread_mutex_lock(&forks[0]);
		pthread_mutex_lock(outer);
		pthread_mutex_lock(inner);
		pthread_mutex_unlock(inner);
		pthread_mutex_unlock(outer);
		if (how > 1)
			pthread_mutex_unlock(&forks[0]);
	}
	return NULL;
}

/* One after the other, so that nothing comes of it. */
static void ordered(intptr_t how)
{
	pthread_join(start(ordered_main, how), NULL);
	pthread_join(start(ordered_main, how + 1), NULL);
}

static _Atomic int stuck[2];

static void *stuck_main(void *n)
{
	int i = (int)(intptr_t)n;

	pthread_mutex_lock(i == 0 ? &one : &two);
	pthread_barrier_wait(&pair);
	stuck[i] = (int)syscall(SYS_gettid);
	pthread_mutex_lock(i == 0 ? &two : &one);
	return n;
}

/* Does the kernel say that the thread sleeps? */
static int is_asleep(int tid)
{
	char path[64], text[512];
	FILE *file;
	size_t n;
	const char *end;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	file = fopen(path, "r");
	if (file == NULL)
		abort();
	n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = '\0';
	end = strrchr(text, ')');
	return end != NULL && strncmp(end, ") S", 3) == 0;
}

/* The process ends with two threads in it that wait for each other. */
static void deadlock(void)
{
	int seen = 0;

	pthread_barrier_init(&pair, NULL, 2);
	start(stuck_main, 0);
	start(stuck_main, 1);
	while (seen < 20) {
		pass(1);
		if (stuck[0] == 0 || stuck[1] == 0)
			continue;
		seen = is_asleep(stuck[0]) && is_asleep(stuck[1]) ? seen + 1 : 0;
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	pthread_barrier_init(&gate, NULL, 4);
	sem_init(&tokens, 0, 0);
	sem_init(&turns[0], 0, 0);
	sem_init(&turns[1], 0, 0);
	pthread_spin_init(&spin, 0);
	if (strcmp(what, "pingpong") == 0)
		on_threads(2, pingpong_main);
	else if (strcmp(what, "queue") == 0)
		on_threads(2, queue_main);
	else if (strcmp(what, "philosophers") == 0)
		on_threads(5, philosopher_main);
	else if (strcmp(what, "convoy") == 0)
		convoy();
	else if (strcmp(what, "barrier") == 0)
		on_threads(4, barrier_main);
	else if (strcmp(what, "join") == 0)
		join();
	else if (strcmp(what, "timed") == 0)
		timed();
	else if (strcmp(what, "rwlock") == 0)
		rwlock();
	else if (strcmp(what, "sem") == 0)
		sem();
	else if (strcmp(what, "once") == 0)
		on_threads(3, once_main);
	else if (strcmp(what, "onces") == 0)
		on_threads(4, onces_main);
	else if (strcmp(what, "nested") == 0)
		nested();
	else if (strcmp(what, "held") == 0)
		held();
	else if (strcmp(what, "handler") == 0)
		handler();
	else if (strcmp(what, "left") == 0)
		left();
	else if (strcmp(what, "pipe") == 0)
		pipe_rounds();
	else if (strcmp(what, "late") == 0)
		late();
	else if (strcmp(what, "inversion") == 0)
		ordered(0);
	else if (strcmp(what, "gated") == 0)
		ordered(2);
	else if (strcmp(what, "deadlock") == 0)
		deadlock();
	else
		return 2;
	return 0;
}
