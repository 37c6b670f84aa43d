/*
 * planted: for each question that a trace is to answer, a program whose answer is known.
 *
 *     planted why              what did each thread do at a time, and why did it not run?
 *     planted lock             which lock costs most, who holds it meanwhile, at which line?
 *     planted wake             who woke it, from where, and how late did it run?
 *     planted ready            and who made ready what it polled?
 *     planted task             why did this request take 80 ms?
 *     planted calls            which system call on which file costs the time?
 *     planted heldio           what is done while a lock is held?
 *     planted order            can it deadlock?
 *     planted deadlock         and did it? Ends by SIGKILL
 *     planted parallel         where does one work while three wait?
 *     planted diff slow|fast   what changed?
 *     planted lost [stop]      what is missing? With stop, whoever started it sleeps meanwhile
 *
 * Its last line is the truth. What it says of time is in ns, and a moment is one of CLOCK_MONOTONIC. Files are made in the working
 * directory.
 */
#include <sys/resource.h>

#include "tests/programs/planted.h"

void planted_fail(const char *what)
{
	perror(what);
	exit(1);
}

void sleep_ms(int64_t ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * MS};

	while (nanosleep(&t, &t) != 0)
		;
}

void burn_ms(int64_t ms)
{
	int64_t end = thread_ns() + ms * MS;

	do
		host_spin();
	while (thread_ns() < end);
}

int64_t waited_ns(void)
{
	FILE *f = fopen("/proc/thread-self/schedstat", "re");
	long long ran, waited = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%lld %lld", &ran, &waited) != 2)
		waited = 0;
	fclose(f);
	return waited;
}

void measured_add(struct measured *m, int64_t ns)
{
	m->count++;
	m->ns += ns;
	m->max = ns > m->max ? ns : m->max;
}

void measured_print(const char *name, const struct measured *m, const char *behind)
{
	printf("\"%s\": {\"count\": %lld, \"ns\": %lld, \"max\": %lld}%s", name,
	       (long long)m->count, (long long)m->ns, (long long)m->max, behind);
}

static void *actor_main(void *arg)
{
	struct actor *a = arg;

	a->begun = now_ns();
	pthread_setname_np(pthread_self(), a->name);
	__atomic_store_n(&a->tid, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
	a->what(a);
	a->ended = now_ns();
	a->cpu_ns = thread_ns();
	return NULL;
}

void actor_start(struct actor *a)
{
	if (pthread_create(&a->id, NULL, actor_main, a) != 0)
		planted_fail("pthread_create");
	while (__atomic_load_n(&a->tid, __ATOMIC_ACQUIRE) == 0)
		sleep_ms(1);
}

void actor_join(struct actor *a)
{
	pthread_join(a->id, NULL);
}

void actor_asleep(struct actor *a, const void *object, size_t size)
{
	until_asleep(a->name, getpid(), a->tid, object, size, -1);
}

void actors_print(const struct actor *a, int n, const char *behind)
{
	printf("\"threads\": [");
	for (int i = 0; i < n; i++)
		printf("%s{\"name\": \"%s\", \"tid\": %d, \"cpu_ns\": %lld, \"from\": %lld, "
		       "\"until\": %lld, \"waited\": %lld}",
		       i > 0 ? ", " : "", a[i].name, a[i].tid, (long long)a[i].cpu_ns,
		       (long long)a[i].begun, (long long)a[i].ended, (long long)a[i].waited);
	printf("]%s", behind);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*plant)(void);
	} questions[] = {
		{"why", plant_why},     {"lock", plant_lock},         {"wake", plant_wake},
		{"task", plant_task},   {"calls", plant_calls},       {"heldio", plant_heldio},
		{"order", plant_order}, {"deadlock", plant_deadlock}, {"parallel", plant_parallel},
		{"ready", plant_ready},
	};
	const char *what = argc > 1 ? argv[1] : "", *how = argc > 2 ? argv[2] : "";

	for (size_t i = 0; i < LENGTH(questions); i++) {
		if (strcmp(what, questions[i].name) == 0) {
			questions[i].plant();
			return 0;
		}
	}
	if (strcmp(what, "diff") == 0)
		plant_diff(strcmp(how, "slow") == 0);
	else if (strcmp(what, "lost") == 0)
		plant_lost(strcmp(how, "stop") == 0);
	else
		return 2;
	return 0;
}
