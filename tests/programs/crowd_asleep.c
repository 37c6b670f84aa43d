/*
 * crowd_asleep: a great many threads that sleep, each in one of eight ways, and some that hear no signal.
 *
 *     crowd_asleep THREADS DEAF snapshots DIRECTORY   writes the profile "threads" into DIRECTORY, in all formats
 *     crowd_asleep THREADS DEAF late DIRECTORY        the same, but starts that profile when all sleep already
 *     crowd_asleep THREADS DEAF hold                  until standard input ends
 *
 * Of DEAF more threads, one in two computes and the others sleep; all of them block every signal past the C library.
 * Prints {"sleepers": [tid, …], "deaf": [tid, …]}: their names are s-INDEX and d-INDEX. When it may make no more threads,
 * there are fewer. At its end: {"interrupted": N}, the waits that ended early, and of each call of cprof_write() what it took,
 * without the time that its thread waited for a processor, and what the thread that looks ran meanwhile, and waited for a
 * processor: {"first": {"ns": N, "ran_ns": N, "waited_ns": N}, …}.
 */
#include <cprof/cprof.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/programs/host.h"

#define STACK_BYTES (64 << 10) /* a signal alone puts some KiB there */
#define THREADS_MAX 30000

static _Atomic int ready, interrupted;
static volatile int stop;
static int tids[2][THREADS_MAX];
static int pipe_fds[2];
static sem_t sem;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

#define NO_TAIL_CALL __asm__ volatile("" ::: "memory")

/* A system call that nobody sees: not in the C library's code. */
KEEP static long call_past_libc(long number, long a, long b, long c, long d)
{
	long r;
#ifdef __x86_64__
	register long r10 __asm__("r10") = d;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
#else
	r = syscall(number, a, b, c, d);
	r = r < 0 ? -errno : r;
#endif
	return r;
}

KEEP static void in_poll(void)
{
	interrupted += poll(NULL, 0, -1) < 0;
}

KEEP static void in_cond(void)
{
	pthread_mutex_lock(&mutex);
	while (!stop)
		pthread_cond_wait(&cond, &mutex);
	pthread_mutex_unlock(&mutex);
}

KEEP static void in_asm(void)
{
	struct timespec day = {86400, 0};

	interrupted += call_past_libc(SYS_nanosleep, (long)&day, 0, 0, 0) < 0;
	NO_TAIL_CALL;
}

KEEP static void in_sem(void)
{
	interrupted += sem_wait(&sem) < 0;
}

KEEP static void in_read(void)
{
	char c;

	interrupted += read(pipe_fds[0], &c, 1) < 0;
}

KEEP static void in_deaf_compute(void)
{
	while (!stop)
		host_spin();
	NO_TAIL_CALL;
}

static void *sleeper_main(void *arg)
{
	static void (*const ways[])(void) = {in_poll, in_poll, in_poll, in_poll,
					     in_cond, in_asm,  in_sem,  in_read};
	int i = (int)(intptr_t)arg;
	char name[16];

	snprintf(name, sizeof(name), "s-%d", i);
	pthread_setname_np(pthread_self(), name);
	tids[0][i] = (int)syscall(SYS_gettid);
	ready++;
	ways[i % 8]();
	NO_TAIL_CALL;
	return NULL;
}

static void *deaf_main(void *arg)
{
	int i = (int)(intptr_t)arg;
	uint64_t all = UINT64_MAX;
	char name[16];

	call_past_libc(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, 0, 8);
	snprintf(name, sizeof(name), "d-%d", i);
	pthread_setname_np(pthread_self(), name);
	tids[1][i] = (int)syscall(SYS_gettid);
	ready++;
	if (i % 2 == 0)
		in_deaf_compute();
	else
		in_asm();
	NO_TAIL_CALL;
	return NULL;
}

static int start(int n, void *(*run)(void *))
{
	pthread_attr_t attr;
	pthread_t id;
	int i;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (i = 0; i < n; i++)
		if (pthread_create(&id, &attr, run, (void *)(intptr_t)i) != 0)
			break;
	pthread_attr_destroy(&attr);
	return i;
}

static void print(int kind, const char *before, int n)
{
	printf("%s[", before);
	for (int i = 0; i < n; i++)
		printf("%s%d", i > 0 ? ", " : "", tids[kind][i]);
	printf("]");
}

/* What a thread ran, and how long it waited for a processor; zeros where the kernel does not say. */
struct given {
	int64_t ran, waited;
};

static struct given given_to(int tid)
{
	struct given given = {0, 0};
	char path[64], text[96];
	char *at = text;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", tid);
	file = fopen(path, "r");
	if (file == NULL)
		return given;
	if (fgets(text, sizeof(text), file) != NULL) {
		given.ran = strtoll(at, &at, 10);
		given.waited = strtoll(at, NULL, 10);
	}
	fclose(file);
	return given;
}

/* cprof's own thread in this process; 0 none. */
static int find_looker(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;
	int found = 0;

	while (found == 0 && tasks != NULL && (entry = readdir(tasks)) != NULL) {
		char path[300], name[16] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		file = fopen(path, "r");
		if (file == NULL)
			continue;
		if (fgets(name, sizeof(name), file) != NULL && strcmp(name, "cprof\n") == 0)
			found = atoi(entry->d_name);
		fclose(file);
	}
	if (tasks != NULL)
		closedir(tasks);
	return found;
}

static int looker;

/* The last words of the line of JSON. */
KEEP static void write_snapshot(const char *directory, const char *key, const char *name, int debug)
{
	int self = (int)syscall(SYS_gettid), fd, r;
	struct given own, looks, own_before, looks_before;
	char path[4096];
	int64_t begun;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	own_before = given_to(self);
	looks_before = given_to(looker);
	begun = host_clock(CLOCK_MONOTONIC);
	r = cprof_write("threads", fd, debug);
	begun = host_clock(CLOCK_MONOTONIC) - begun;
	own = given_to(self);
	looks = given_to(looker);
	close(fd);
	if (r < 0)
		fprintf(stderr, "cprof_write: %s\n", strerror(-r));
	printf(", \"%s\": {\"ns\": %lld, \"ran_ns\": %lld, \"waited_ns\": %lld}", key,
	       (long long)(begun - (own.waited - own_before.waited)),
	       (long long)(looks.ran - looks_before.ran),
	       (long long)(looks.waited - looks_before.waited));
}

static int start_profile(void)
{
	int r = cprof_start("threads");

	if (r < 0)
		fprintf(stderr, "cprof_start: %s\n", strerror(-r));
	return r;
}

int main(int argc, char **argv)
{
	int n, deaf, is_late;
	char c;

	if (argc < 4 || atoi(argv[1]) > THREADS_MAX || pipe(pipe_fds) != 0)
		return 2;
	sem_init(&sem, 0, 0);
	is_late = strcmp(argv[3], "late") == 0;
	if (strcmp(argv[3], "snapshots") == 0 && start_profile() < 0)
		return 1;
	n = start(atoi(argv[1]), sleeper_main);
	deaf = start(atoi(argv[2]), deaf_main);
	while (ready < n + deaf)
		usleep(1000);
	usleep(200000); /* until they sleep */
	print(0, "{\"sleepers\": ", n);
	print(1, ", \"deaf\": ", deaf);
	printf("}\n");
	fflush(stdout);
	if (is_late && start_profile() < 0)
		return 1;
	printf("{\"what\": \"end\"");
	if (argc == 5) {
		/* it may not have got to giving itself its name */
		for (int i = 0; i < 500 && (looker = find_looker()) == 0; i++)
			usleep(10000);
		write_snapshot(argv[4], "first", "first.pb.gz", 0);
		write_snapshot(argv[4], "again", "again.pb.gz", 0);
		write_snapshot(argv[4], "text", "text", 1);
		write_snapshot(argv[4], "all", "all", 2);
	} else {
		while (read(0, &c, 1) > 0)
			;
	}
	printf(", \"interrupted\": %d}\n", interrupted);
	fflush(stdout);
	_exit(0);
}
