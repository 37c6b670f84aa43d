/* planted: who waits for whom, and what is done while a lock is held. */
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>

#include "tests/programs/planted.h"

/* ---- why: a thread waits for a lock, whose holder waits for a pipe ---- */

pthread_mutex_t g_ledger = PTHREAD_MUTEX_INITIALIZER;
static sem_t ledger_is_held;
static int answer[2];
static struct waited {
	int64_t from, until;
	int line;
} why_waiter, why_holder;

KEEP static void await_answer(void)
{
	char c;

	why_holder.from = now_ns();
	if (read(answer[0], &c, 1) != 1)
		planted_fail("read");
	why_holder.until = now_ns();
}

KEEP static void audit_ledger(struct actor *self)
{
	(void)self;
	LOCK_HERE(&g_ledger, &why_holder.line);
	sem_post(&ledger_is_held);
	await_answer();
	pthread_mutex_unlock(&g_ledger);
	NO_TAIL_CALL;
}

KEEP static void book_payment(struct actor *self)
{
	(void)self;
	why_waiter.from = now_ns();
	LOCK_HERE(&g_ledger, &why_waiter.line);
	why_waiter.until = now_ns();
	pthread_mutex_unlock(&g_ledger);
	NO_TAIL_CALL;
}

void plant_why(void)
{
	struct actor a[] = {{.name = "auditor", .what = audit_ledger},
			    {.name = "booker", .what = book_payment}};
	int64_t begun = now_ns(), at = begun + 1000 * MS;

	if (pipe(answer) != 0)
		planted_fail("pipe");
	sem_init(&ledger_is_held, 0, 0);
	actor_start(&a[0]);
	sem_wait(&ledger_is_held);
	actor_start(&a[1]);
	actor_asleep(&a[1], &g_ledger, sizeof(g_ledger));
	while (now_ns() < at + 400 * MS)
		sleep_ms(50);
	if (write(answer[1], "", 1) != 1)
		planted_fail("write");
	for (int i = 0; i < 2; i++)
		actor_join(&a[i]);
	printf("{\"at\": %lld, ", (long long)at);
	actors_print(a, 2, ", ");
	printf("\"waiter\": {\"thread\": \"booker\", \"lock\": \"g_ledger\", \"function\": "
	       "\"book_payment\", \"line\": %d, \"from\": %lld, \"until\": %lld}, "
	       "\"holder\": {\"thread\": \"auditor\", \"call\": \"read\", \"function\": "
	       "\"await_answer\", \"lock_function\": \"audit_ledger\", \"lock_line\": %d, "
	       "\"from\": "
	       "%lld, \"until\": %lld}}\n",
	       why_waiter.line, (long long)why_waiter.from, (long long)why_waiter.until,
	       why_holder.line, (long long)why_holder.from, (long long)why_holder.until);
}

/* ---- lock: three wait for the one that cleans up ---- */

#define ROUNDS  20
#define WORKERS 3

pthread_mutex_t g_cache = PTHREAD_MUTEX_INITIALIZER, g_stats = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t cache_is_held;
static sem_t stats_is_held;
static struct actor evictor, workers[WORKERS];
static struct measured cache_waits[WORKERS], stats_waits, cache_holds;
static int line_of_get, line_of_evict, line_of_stats;

KEEP static void cache_get(int number)
{
	int64_t begun = now_ns();

	LOCK_HERE(&g_cache, &line_of_get);
	measured_add(&cache_waits[number], now_ns() - begun);
	host_spin();
	pthread_mutex_unlock(&g_cache);
	NO_TAIL_CALL;
}

KEEP static void evict_all(void)
{
	int64_t begun;

	LOCK_HERE(&g_cache, &line_of_evict);
	begun = now_ns();
	pthread_barrier_wait(&cache_is_held);
	for (int i = 0; i < WORKERS; i++)
		actor_asleep(&workers[i], &g_cache, sizeof(g_cache));
	burn_ms(15);
	measured_add(&cache_holds, now_ns() - begun);
	pthread_mutex_unlock(&g_cache);
	NO_TAIL_CALL;
}

KEEP static void stats_add(void)
{
	int64_t begun = now_ns();

	LOCK_HERE(&g_stats, &line_of_stats);
	measured_add(&stats_waits, now_ns() - begun);
	pthread_mutex_unlock(&g_stats);
	NO_TAIL_CALL;
}

/* The first of the workers lets the second wait for it a little. */
KEEP static void stats_sum(void)
{
	pthread_mutex_lock(&g_stats);
	sem_post(&stats_is_held);
	actor_asleep(&workers[1], &g_stats, sizeof(g_stats));
	pthread_mutex_unlock(&g_stats);
	NO_TAIL_CALL;
}

static void work_main(struct actor *self)
{
	for (int i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(&cache_is_held);
		cache_get(self->number);
		if (self->number == 0)
			stats_sum();
		if (self->number == 1) {
			sem_wait(&stats_is_held);
			stats_add();
		}
		pthread_barrier_wait(&cache_is_held);
	}
}

static void evictor_main(struct actor *self)
{
	(void)self;
	for (int i = 0; i < ROUNDS; i++) {
		evict_all();
		pthread_barrier_wait(&cache_is_held);
	}
}

void plant_lock(void)
{
	static const char *const names[WORKERS] = {"worker-0", "worker-1", "worker-2"};
	struct measured all = {0, 0, 0};
	struct actor a[WORKERS + 1];

	pthread_barrier_init(&cache_is_held, NULL, WORKERS + 1);
	sem_init(&stats_is_held, 0, 0);
	for (int i = 0; i < WORKERS; i++) {
		workers[i] = (struct actor){.name = names[i], .what = work_main, .number = i};
		actor_start(&workers[i]);
	}
	evictor = (struct actor){.name = "evictor", .what = evictor_main};
	actor_start(&evictor);
	actor_join(&evictor);
	for (int i = 0; i < WORKERS; i++) {
		actor_join(&workers[i]);
		all.count += cache_waits[i].count;
		all.ns += cache_waits[i].ns;
		all.max = cache_waits[i].max > all.max ? cache_waits[i].max : all.max;
		a[i] = workers[i];
	}
	a[WORKERS] = evictor;
	printf("{");
	actors_print(a, WORKERS + 1, ", ");
	printf("\"holder\": {\"thread\": \"evictor\", \"function\": \"evict_all\", \"line\": %d}, "
	       "\"waiters\": {\"function\": \"cache_get\", \"line\": %d}, \"locks\": {",
	       line_of_evict, line_of_get);
	measured_print("g_cache", &all, ", ");
	measured_print("g_stats", &stats_waits, "}, \"holds\": {");
	measured_print("g_cache", &cache_holds, "}}\n");
}

/* ---- heldio: a lock that is held while a file is written, and one that is not ---- */

#define COMMITS 30

pthread_mutex_t g_store = PTHREAD_MUTEX_INITIALIZER, g_index = PTHREAD_MUTEX_INITIALIZER;
static struct measured held_store, held_index, calls_write, calls_fsync, calls_sleep;
static int line_of_store;

KEEP static void store_commit(int fd)
{
	struct timespec pause = {0, 5 * MS};
	int64_t begun;

	LOCK_HERE(&g_store, &line_of_store);
	begun = now_ns();
	MEASURE(&calls_write, write(fd, "committed\n", 10));
	MEASURE(&calls_fsync, fsync(fd));
	MEASURE(&calls_sleep, nanosleep(&pause, NULL));
	measured_add(&held_store, now_ns() - begun);
	pthread_mutex_unlock(&g_store);
	NO_TAIL_CALL;
}

KEEP static void index_add(void)
{
	int64_t begun;

	pthread_mutex_lock(&g_index);
	begun = now_ns();
	burn_ms(3);
	measured_add(&held_index, now_ns() - begun);
	pthread_mutex_unlock(&g_index);
	NO_TAIL_CALL;
}

static void commit_main(struct actor *self)
{
	int fd = open("planted.store", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	(void)self;
	if (fd < 0)
		planted_fail("planted.store");
	for (int i = 0; i < COMMITS; i++) {
		store_commit(fd);
		index_add();
	}
	close(fd);
	unlink("planted.store");
}

void plant_heldio(void)
{
	struct actor a = {.name = "committer", .what = commit_main};

	actor_start(&a);
	actor_join(&a);
	printf("{");
	actors_print(&a, 1, ", ");
	printf("\"lock\": \"g_store\", \"clean\": \"g_index\", \"function\": \"store_commit\", "
	       "\"line\": %d, \"file\": \"planted.store\", \"holds\": {",
	       line_of_store);
	measured_print("g_store", &held_store, ", ");
	measured_print("g_index", &held_index, "}, \"calls\": {");
	measured_print("write", &calls_write, ", ");
	measured_print("fsync", &calls_fsync, ", ");
	measured_print("nanosleep", &calls_sleep, "}}\n");
}

/* ---- order, deadlock: A and B, B and A; and the same under a lock that makes it harmless ---- */

pthread_mutex_t g_first = PTHREAD_MUTEX_INITIALIZER, g_second = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t g_third = PTHREAD_MUTEX_INITIALIZER, g_fourth = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t g_gate = PTHREAD_MUTEX_INITIALIZER;
static sem_t backward_may;
static pthread_barrier_t both_hold;
static int is_deadly, line_forward[2], line_backward[2];
static int64_t deadly_since[2];

KEEP static void take_forward(void)
{
	LOCK_HERE(&g_first, &line_forward[0]);
	if (is_deadly) {
		pthread_barrier_wait(&both_hold);
		deadly_since[0] = now_ns();
	}
	LOCK_HERE(&g_second, &line_forward[1]);
	host_spin();
	pthread_mutex_unlock(&g_second);
	pthread_mutex_unlock(&g_first);
	NO_TAIL_CALL;
}

KEEP static void take_backward(void)
{
	LOCK_HERE(&g_second, &line_backward[0]);
	if (is_deadly) {
		pthread_barrier_wait(&both_hold);
		deadly_since[1] = now_ns();
	}
	LOCK_HERE(&g_first, &line_backward[1]);
	host_spin();
	pthread_mutex_unlock(&g_first);
	pthread_mutex_unlock(&g_second);
	NO_TAIL_CALL;
}

KEEP static void gated(pthread_mutex_t *one, pthread_mutex_t *other)
{
	pthread_mutex_lock(&g_gate);
	pthread_mutex_lock(one);
	pthread_mutex_lock(other);
	host_spin();
	pthread_mutex_unlock(other);
	pthread_mutex_unlock(one);
	pthread_mutex_unlock(&g_gate);
	NO_TAIL_CALL;
}

static void forward_main(struct actor *self)
{
	(void)self;
	for (int i = 0; i < 20; i++) {
		take_forward();
		gated(&g_third, &g_fourth);
	}
	sem_post(&backward_may);
	sleep_ms(300); /* both are there at the same time */
}

static void backward_main(struct actor *self)
{
	(void)self;
	if (!is_deadly)
		sem_wait(&backward_may);
	for (int i = 0; i < 20; i++) {
		take_backward();
		gated(&g_fourth, &g_third);
	}
}

static void print_order(const struct actor *a)
{
	printf("{");
	actors_print(a, 2, ", ");
	printf("\"cycle\": [\"g_first\", \"g_second\"], \"gated\": [\"g_third\", \"g_fourth\"], "
	       "\"gate\": \"g_gate\", \"forward\": {\"function\": \"take_forward\", \"lines\": "
	       "[%d, %d], \"since\": %lld}, \"backward\": {\"function\": \"take_backward\", "
	       "\"lines\": [%d, %d], \"since\": %lld}}\n",
	       line_forward[0], line_forward[1], (long long)deadly_since[0], line_backward[0],
	       line_backward[1], (long long)deadly_since[1]);
	fflush(stdout);
}

void plant_order(void)
{
	struct actor a[] = {{.name = "forward", .what = forward_main},
			    {.name = "backward", .what = backward_main}};

	sem_init(&backward_may, 0, 0);
	for (int i = 0; i < 2; i++)
		actor_start(&a[i]);
	for (int i = 0; i < 2; i++)
		actor_join(&a[i]);
	print_order(a);
}

void plant_deadlock(void)
{
	struct actor a[] = {{.name = "forward", .what = forward_main},
			    {.name = "backward", .what = backward_main}};

	is_deadly = 1;
	pthread_barrier_init(&both_hold, NULL, 2);
	sem_init(&backward_may, 0, 0);
	for (int i = 0; i < 2; i++)
		actor_start(&a[i]);
	actor_asleep(&a[0], &g_second, sizeof(g_second));
	actor_asleep(&a[1], &g_first, sizeof(g_first));
	sleep_ms(1000);
	print_order(a);
	kill(getpid(), SIGKILL);
}
