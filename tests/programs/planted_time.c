/* planted: who runs, who should, and how much longer all of it takes. */
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "tests/programs/planted.h"

/* ---- wake: a thread is woken while the processor that it may use has other things to do ---- */

#define BELLS 10

static sem_t g_bell, is_answered;
static _Atomic int bells_are_over;
static int cpus[2], line_of_ring, line_of_answer;
static struct bell {
	int64_t posting, posted, answered;
} bells[BELLS];

static void stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

KEEP static void keep_busy(struct actor *self)
{
	stay_on(cpus[self->number]);
	while (!atomic_load_explicit(&bells_are_over, memory_order_relaxed))
		host_spin();
	self->waited = waited_ns();
	NO_TAIL_CALL;
}

KEEP static void ring_bell(struct bell *b)
{
	b->posting = now_ns();
	line_of_ring = __LINE__ + 1;
	sem_post(&g_bell);
	b->posted = now_ns();
}

KEEP static void answer_bell(struct bell *b)
{
	line_of_answer = __LINE__ + 1;
	sem_wait(&g_bell);
	b->answered = now_ns();
}

/* It never takes the processor from anybody who has it. */
static void butler_main(struct actor *self)
{
	struct sched_param none = {0};

	(void)self;
	stay_on(cpus[0]);
	sched_setscheduler(0, SCHED_IDLE, &none);
	for (int i = 0; i < BELLS; i++) {
		answer_bell(&bells[i]);
		sem_post(&is_answered);
	}
}

static void caller_main(struct actor *self)
{
	struct actor *butler = self - 1;

	stay_on(cpus[1]);
	for (int i = 0; i < BELLS; i++) {
		actor_asleep(butler, &g_bell, sizeof(g_bell));
		sleep_ms(50);
		ring_bell(&bells[i]);
		sem_wait(&is_answered);
	}
}

/* The first two that this process may use; twice the same where there is only one. */
static void find_cpus(void)
{
	cpu_set_t set;
	int n = 0;

	sched_getaffinity(0, sizeof(set), &set);
	for (int cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++)
		if (CPU_ISSET(cpu, &set))
			cpus[n++] = cpu;
	if (n == 1)
		cpus[1] = cpus[0];
}

void plant_wake(void)
{
	struct actor a[] = {{.name = "busy-0", .what = keep_busy, .number = 0},
			    {.name = "busy-1", .what = keep_busy, .number = 1},
			    {.name = "butler", .what = butler_main},
			    {.name = "caller", .what = caller_main}};

	find_cpus();
	sem_init(&g_bell, 0, 0);
	sem_init(&is_answered, 0, 0);
	for (size_t i = 0; i < LENGTH(a); i++)
		actor_start(&a[i]);
	actor_join(&a[3]);
	actor_join(&a[2]);
	atomic_store_explicit(&bells_are_over, 1, memory_order_relaxed);
	for (int i = 0; i < 2; i++)
		actor_join(&a[i]);
	printf("{");
	actors_print(a, LENGTH(a), ", ");
	printf("\"waker\": {\"thread\": \"caller\", \"function\": \"ring_bell\", \"line\": %d}, "
	       "\"woken\": {\"thread\": \"butler\", \"function\": \"answer_bell\", \"line\": %d}, "
	       "\"object\": \"g_bell\", \"wakes\": [",
	       line_of_ring, line_of_answer);
	for (int i = 0; i < BELLS; i++)
		printf("%s{\"posting\": %lld, \"posted\": %lld, \"answered\": %lld}",
		       i > 0 ? ", " : "", (long long)bells[i].posting, (long long)bells[i].posted,
		       (long long)bells[i].answered);
	printf("]}\n");
}

/* ---- parallel: four work, then one does what nobody else can help with ---- */

#define PARTS  4
#define ROUNDS 8

static pthread_barrier_t g_round;
static struct serial {
	int64_t from, until, cpu_ns;
} serials[ROUNDS];
static int line_of_merge;

KEEP static void compute_part(void)
{
	burn_ms(25);
	NO_TAIL_CALL;
}

KEEP static void merge_parts(struct serial *s)
{
	int64_t cpu = thread_ns();

	s->from = now_ns();
	line_of_merge = __LINE__ + 1;
	burn_ms(40);
	s->cpu_ns = thread_ns() - cpu;
	s->until = now_ns();
}

static void part_main(struct actor *self)
{
	for (int i = 0; i < ROUNDS; i++) {
		compute_part();
		pthread_barrier_wait(&g_round);
		if (self->number == 0)
			merge_parts(&serials[i]);
		pthread_barrier_wait(&g_round);
	}
}

void plant_parallel(void)
{
	struct actor a[PARTS] = {
		{.name = "part-0"}, {.name = "part-1"}, {.name = "part-2"}, {.name = "part-3"}};
	int64_t begun, ended, serial_ns = 0;

	pthread_barrier_init(&g_round, NULL, PARTS);
	begun = now_ns();
	for (int i = 0; i < PARTS; i++) {
		a[i].what = part_main;
		a[i].number = i;
		actor_start(&a[i]);
	}
	for (int i = 0; i < PARTS; i++)
		actor_join(&a[i]);
	ended = now_ns();
	printf("{");
	actors_print(a, PARTS, ", ");
	printf("\"thread\": \"part-0\", \"function\": \"merge_parts\", \"line\": %d, \"from\": "
	       "%lld, \"until\": %lld, \"serial\": [",
	       line_of_merge, (long long)begun, (long long)ended);
	for (int i = 0; i < ROUNDS; i++) {
		serial_ns += serials[i].until - serials[i].from;
		printf("%s[%lld, %lld]", i > 0 ? ", " : "", (long long)serials[i].from,
		       (long long)serials[i].until);
	}
	printf("], \"serial_cpu\": [");
	for (int i = 0; i < ROUNDS; i++)
		printf("%s%lld", i > 0 ? ", " : "", (long long)serials[i].cpu_ns);
	printf("], \"serial_ns\": %lld}\n", (long long)serial_ns);
}

/* ---- diff: the same program twice, and what one of them does more ---- */

#define LOOKUPS 100

pthread_mutex_t g_table = PTHREAD_MUTEX_INITIALIZER;
static struct measured lookups, table_holds, diff_writes, diff_fsyncs;

KEEP static void lookup_entry(int is_slow)
{
	struct timespec pause = {0, (is_slow ? 6 : 2) * MS};
	int64_t begun;

	pthread_mutex_lock(&g_table);
	begun = now_ns();
	nanosleep(&pause, NULL);
	measured_add(&table_holds, now_ns() - begun);
	pthread_mutex_unlock(&g_table);
	NO_TAIL_CALL;
}

KEEP static void store_entry(int fd, int is_slow)
{
	MEASURE(&diff_writes, write(fd, "entry\n", 6));
	if (is_slow)
		MEASURE(&diff_fsyncs, fsync(fd));
}

void plant_diff(int is_slow)
{
	int fd = open("planted.table", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		planted_fail("planted.table");
	for (int i = 0; i < LOOKUPS; i++) {
		cprof_task task = cprof_task_begin("lookup", 0), before = cprof_task_switch(task);
		int64_t begun = now_ns();

		lookup_entry(is_slow);
		store_entry(fd, is_slow);
		measured_add(&lookups, now_ns() - begun);
		cprof_task_switch(before);
		cprof_task_end(task);
	}
	close(fd);
	unlink("planted.table");
	printf("{\"variant\": \"%s\", \"file\": \"planted.table\", \"lock\": \"g_table\", "
	       "\"tasks\": {",
	       is_slow ? "slow" : "fast");
	measured_print("lookup", &lookups, "}, \"holds\": {");
	measured_print("g_table", &table_holds, "}, \"calls\": {");
	measured_print("write", &diff_writes, ", ");
	measured_print("fsync", &diff_fsyncs, "}}\n");
}
