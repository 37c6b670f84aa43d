/*
 * errands: tasks that go through three threads by queues of the program's own, and what each of them took by the program's own
 * clock: when it was begun and ended, as two moments each that the call lies between.
 *
 *     errands N
 */
#define CPROF_WEAK
#include <cprof/cprof.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/programs/host.h"

#define ERRANDS_MAX 1000

struct errand {
	cprof_task task;
	int64_t begun[2], ended[2]; /* before and after the call */
	int64_t looked[4];          /* around the beginning and the end of the region "look up" */
};

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t wanted;
	struct errand *items[ERRANDS_MAX];
	int put, taken;
};

static struct errand errands[ERRANDS_MAX];
static struct queue to_worker = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, {NULL}, 0, 0};
static struct queue to_last = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, {NULL}, 0, 0};
static pthread_mutex_t cache = PTHREAD_MUTEX_INITIALIZER;
static int errands_n;

static int64_t now(void)
{
	return host_clock(CLOCK_MONOTONIC);
}

static void put(struct queue *q, struct errand *errand)
{
	pthread_mutex_lock(&q->lock);
	q->items[q->put++] = errand;
	pthread_cond_signal(&q->wanted);
	pthread_mutex_unlock(&q->lock);
}

static struct errand *take(struct queue *q)
{
	struct errand *errand;

	pthread_mutex_lock(&q->lock);
	while (q->taken == q->put)
		pthread_cond_wait(&q->wanted, &q->lock);
	errand = q->items[q->taken++];
	pthread_mutex_unlock(&q->lock);
	return errand;
}

static void *work(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "worker");
	for (int i = 0; i < errands_n; i++) {
		struct errand *errand = take(&to_worker);
		cprof_task part;

		cprof_task_switch(errand->task);
		cprof_region_begin("serve");
		errand->looked[0] = now();
		cprof_region_begin("look up");
		errand->looked[1] = now();
		pthread_mutex_lock(&cache);
		host_spin();
		pthread_mutex_unlock(&cache);
		errand->looked[2] = now();
		cprof_region_end();
		errand->looked[3] = now();
		part = cprof_task_begin("part", CPROF_TASK_CURRENT);
		cprof_task_switch(part);
		cprof_log("errands", "number %d", i);
		host_spin();
		cprof_task_switch(errand->task);
		cprof_task_end(part);
		cprof_region_end();
		/* the next one works for it, too, perhaps before this one is done with it */
		put(&to_last, errand);
		cprof_task_switch(0);
	}
	return NULL;
}

static void *finish(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "last");
	for (int i = 0; i < errands_n; i++) {
		struct errand *errand = take(&to_last);

		cprof_task_switch(errand->task);
		pthread_mutex_lock(&cache);
		host_spin();
		pthread_mutex_unlock(&cache);
		cprof_task_switch(0);
		errand->ended[0] = now();
		cprof_task_end(errand->task);
		errand->ended[1] = now();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[2];

	errands_n = argc > 1 ? atoi(argv[1]) : 10;
	if (errands_n < 1 || errands_n > ERRANDS_MAX)
		return 2;
	pthread_setname_np(pthread_self(), "first");
	pthread_create(&threads[0], NULL, work, NULL);
	pthread_create(&threads[1], NULL, finish, NULL);
	for (int i = 0; i < errands_n; i++) {
		errands[i].begun[0] = now();
		errands[i].task = cprof_task_begin("errand", 0);
		errands[i].begun[1] = now();
		put(&to_worker, &errands[i]);
	}
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	printf("{\"errands\": [");
	for (int i = 0; i < errands_n; i++) {
		const struct errand *e = &errands[i];

		printf("%s[%llu, %lld, %lld, %lld, %lld", i > 0 ? ", " : "",
		       (unsigned long long)e->task, (long long)e->begun[0], (long long)e->begun[1],
		       (long long)e->ended[0], (long long)e->ended[1]);
		for (int k = 0; k < 4; k++)
			printf(", %lld", (long long)e->looked[k]);
		printf("]");
	}
	printf("]}\n");
	return 0;
}
