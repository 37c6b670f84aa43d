/* tasks: requests that go from a queue to a few workers, each with its parts, for a trace. */
#include <cprof/cprof.h>
#include <pthread.h>
#include <stdio.h>

#define WORKERS 3
#define JOBS    30

struct job {
	cprof_task task;
	unsigned number;
};

static struct queue {
	pthread_mutex_t lock;
	pthread_cond_t change;
	struct job jobs[JOBS];
	unsigned first, count;
} queue = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, {{0, 0}}, 0, 0};

static void put(unsigned number)
{
	struct job *job = &queue.jobs[number];

	job->number = number;
	job->task = cprof_task_begin("request", 0);
	cprof_flow_begin(job->task, "queue");
	pthread_mutex_lock(&queue.lock);
	queue.count = number + 1;
	cprof_counter("waiting", (int64_t)(queue.count - queue.first));
	pthread_cond_signal(&queue.change);
	pthread_mutex_unlock(&queue.lock);
}

static struct job *get(void)
{
	struct job *job = NULL;

	pthread_mutex_lock(&queue.lock);
	while (queue.first == queue.count && queue.first < JOBS)
		pthread_cond_wait(&queue.change, &queue.lock);
	if (queue.first < JOBS) {
		job = &queue.jobs[queue.first++];
		cprof_counter("waiting", (int64_t)(queue.count - queue.first));
	}
	if (queue.first == JOBS)
		pthread_cond_broadcast(&queue.change);
	pthread_mutex_unlock(&queue.lock);
	return job;
}

static unsigned long work(const char *part, unsigned long n)
{
	volatile unsigned long x = n;

	cprof_region_begin(part);
	for (unsigned long i = 0; i < n; i++)
		x = x * 6364136223846793005ul + i;
	cprof_region_end();
	return x;
}

static void *worker(void *arg)
{
	unsigned long *sum = arg;
	struct job *job;

	while ((job = get()) != NULL) {
		cprof_task before = cprof_task_switch(job->task);

		cprof_flow_end(job->task, "queue");
		*sum += work("parse", 200000);
		cprof_log("worker", "request %u is understood", job->number);
		*sum += work("answer", 400000);
		cprof_task_switch(before);
		cprof_task_end(job->task);
	}
	return NULL;
}

int main(void)
{
	unsigned long sums[WORKERS] = {0}, sum = 0;
	pthread_t threads[WORKERS];

	for (int i = 0; i < WORKERS; i++)
		pthread_create(&threads[i], NULL, worker, &sums[i]);
	for (unsigned i = 0; i < JOBS; i++)
		put(i);
	for (int i = 0; i < WORKERS; i++) {
		pthread_join(threads[i], NULL);
		sum += sums[i];
	}
	printf("%lx\n", sum);
	return 0;
}
