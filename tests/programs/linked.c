/*
 * linked: a program that profiles itself. Also compiled as C++11, and with CPROF_WEAK without the library.
 *
 *     linked WHAT DIRECTORY
 */
#define CPROF_SHORT_NAMES
#include <cprof/cprof.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/host.h"

BURNER(burn_a)
BURNER(burn_b)
BURNER(burn_c)

static const char *directory;
static int failures;

static void expect(int got, int want, const char *what)
{
	if (got == want)
		return;
	failures++;
	fprintf(stderr, "%s: got %d, wanted %d\n", what, got, want);
}

static int open_file(const char *name)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		perror(path);
	return fd;
}

static void write_all(const char *name)
{
	int fd = open_file(name);

	expect(cprof_write("cpu", fd, 0), 0, "cprof_write");
	close(fd);
}

static volatile int go;
static int64_t thread_sums[8];

static void *thread_main(void *arg)
{
	int64_t *sum = (int64_t *)arg;

	while (!go)
		burn_b(MS); /* not counted yet */
	*sum += burn_a(100 * MS);
	return NULL;
}

/* Eight threads run before anybody asks for a profile. */
static void late(void)
{
	pthread_t id[8];
	int64_t sum = 0;

	for (int i = 0; i < 8; i++)
		pthread_create(&id[i], NULL, thread_main, &thread_sums[i]);
	burn_b(50 * MS);
	expect(cprof_start("cpu=1000"), 0, "cprof_start");
	go = 1;
	for (int i = 0; i < 8; i++) {
		pthread_join(id[i], NULL);
		sum += thread_sums[i];
	}
	write_all("late.pb.gz");
	expect(cprof_disable(CPROF_CPU), 0, "cprof_disable");
	printf("{\"burn_a\": %lld}\n", (long long)sum);
}

/* Two windows that overlap: a and b in the first, b and c in the second. */
static void windows(void)
{
	int first = open_file("first.pb.gz"), second = open_file("second.pb.gz");
	int64_t a, b, c, before, begun, ended, after;

	burn_c(50 * MS);
	before = host_clock(CLOCK_MONOTONIC);
	expect(cprof_cpu_start(first), 0, "first window");
	begun = host_clock(CLOCK_MONOTONIC);
	a = burn_a(600 * MS);
	expect(cprof_cpu_start(second), 0, "second window");
	expect(cprof_cpu_start(second), -EINVAL, "a second window on one file");
	b = burn_b(600 * MS);
	ended = host_clock(CLOCK_MONOTONIC);
	expect(cprof_cpu_stop(first), 0, "end of the first");
	after = host_clock(CLOCK_MONOTONIC);
	c = burn_c(600 * MS);
	expect(cprof_cpu_stop(second), 0, "end of the second");
	expect(cprof_cpu_stop(second), -EINVAL, "end of what has ended");
	burn_a(50 * MS);
	printf("{\"burn_a\": %lld, \"burn_b\": %lld, \"burn_c\": %lld, \"least_ns\": %lld, "
	       "\"most_ns\": %lld}\n",
	       (long long)a, (long long)b, (long long)c, (long long)(ended - begun),
	       (long long)(after - before));
}

static void *write_delta(void *seconds)
{
	int fd = open_file("delta.pb.gz");

	expect(cprof_write_delta("cpu", fd, *(double *)seconds), 0, "cprof_write_delta");
	close(fd);
	return NULL;
}

static void deltas(void)
{
	int64_t end = 0;
	pthread_t id;

	expect(cprof_start("cpu=1000"), 0, "cprof_start");
	burn_a(300 * MS);
	/* on a busy machine it may take long until the output library is open, and until 200 ms are burnt */
	for (double seconds = 2; end <= host_clock(CLOCK_MONOTONIC) && seconds <= 32;
	     seconds *= 2) {
		end = host_clock(CLOCK_MONOTONIC) + (int64_t)(seconds * 1e9);
		pthread_create(&id, NULL, write_delta, &seconds);
		usleep((useconds_t)(seconds * 250000));
		burn_b(200 * MS);
		if (host_clock(CLOCK_MONOTONIC) < end)
			end = INT64_MAX;
		pthread_join(id, NULL);
	}
	burn_c(200 * MS);
	write_all("all.pb.gz");
	expect(cprof_stop(), 0, "cprof_stop");
	printf("{\"burn_b\": 200000000}\n");
}

static void errors(void)
{
	int fd = open_file("errors.pb.gz"), full = open("/dev/full", O_WRONLY), closed = 1000;

	expect(cprof_write("cpu", fd, 0), -EAGAIN, "write before it ran");
	expect(cprof_write("nonsense", fd, 0), -ENOENT, "write of nonsense");
	expect(cprof_write(NULL, fd, 0), -ENOENT, "write of NULL");
	expect(cprof_enable(0), -EINVAL, "enable nothing");
	expect(cprof_start("trace,trace.on=x>1s"), -ENOTSUP, "start what needs a launcher");
	expect(cprof_start("cup"), -EINVAL, "a word unknown");
	expect(cprof_start("cpu=0"), -EINVAL, "a rate of 0");
	expect(cprof_start(NULL), -EINVAL, "NULL");
	expect(cprof_cpu_start(-1), -EBADF, "window on -1");
	expect(cprof_cpu_stop(fd), -EINVAL, "no window");
	expect(cprof_enable(ALL), 0, "enable all");
	expect(cprof_enable(CPU), 0, "enable what runs");
	expect(cprof_start("cpu"), -EBUSY, "start what runs");
	burn_a(50 * MS);
	expect(cprof_write("cpu", fd, 3), -EINVAL, "a debug format");
	expect(cprof_write("cpu", closed, 0), -EBADF, "write to a closed file");
	if (full >= 0)
		expect(cprof_write("cpu", full, 0), -ENOSPC, "write to a full disk");
	expect(cprof_write_delta("cpu", fd, -1), -EINVAL, "a negative time");
	expect(cprof_write("cpu", fd, 0), 0, "write at last");
	expect(cprof_disable(CPROF_ALL), 0, "disable");
	expect(cprof_disable(CPROF_ALL), 0, "disable again");
	printf("{}\n");
}

/* out=: written by cprof_stop(), and not again at exit. */
static void start_stop(int at_exit)
{
	char spec[4200];
	int64_t ns;

	snprintf(spec, sizeof(spec), "cpu=1000,out=%s/out", directory);
	expect(cprof_start(spec), 0, "cprof_start");
	ns = burn_a(300 * MS);
	if (!at_exit) {
		expect(cprof_stop(), 0, "cprof_stop");
		burn_b(100 * MS);
	}
	printf("{\"burn_a\": %lld}\n", (long long)ns);
}

/* On and off while threads work: nothing hangs, and what runs in between is counted. */
static void on_and_off(void)
{
	pthread_t id[2];

	go = 0;
	for (int i = 0; i < 2; i++)
		pthread_create(&id[i], NULL, thread_main, &thread_sums[i]);
	for (int i = 0; i < 200; i++) {
		expect(cprof_start(i % 2 ? "cpu=10000" : "cpu=1000"), 0, "cprof_start");
		usleep(2000);
		expect(cprof_disable(CPROF_CPU), 0, "cprof_disable");
	}
	go = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(id[i], NULL);
	write_all("onoff.pb.gz");
	printf("{}\n");
}

static void *labelled_thread(void *arg)
{
	*(int64_t *)arg = burn_c(200 * MS);
	return NULL;
}

static void labels(void)
{
	cprof_labels outer, inner;
	int64_t in_thread = 0;
	pthread_t id;
	pid_t child;

	burn_a(200 * MS);
	outer = cprof_labels_set("tenant", "acme", "page", "search", NULL);
	burn_a(200 * MS);
	inner = cprof_labels_set("page", "cart", NULL);
	burn_b(200 * MS);
	pthread_create(&id, NULL, labelled_thread, &in_thread);
	pthread_join(id, NULL);
	child = fork();
	if (child == 0) {
		burn_c(200 * MS);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	cprof_labels_restore(inner);
	burn_b(200 * MS);
	cprof_labels_restore(outer);
	burn_a(200 * MS);
	printf("{}\n");
}

/* The heap, every block of it. */

static void *kept[100];
static char pool_memory[64][64];

__attribute__((noinline)) static void keep_blocks(void)
{
	for (int i = 0; i < 100; i++)
		kept[i] = malloc(1000);
	__asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) static void drop_blocks(void)
{
	for (int i = 0; i < 50; i++) {
		void *volatile p = malloc(2000);

		free(p);
	}
}

/* Blocks of a pool, and one that begins where a block of malloc() does. */
__attribute__((noinline)) static void use_pool(void)
{
	for (int i = 0; i < 40; i++)
		cprof_alloc(pool_memory[i], 64);
	for (int i = 0; i < 10; i++)
		cprof_free(pool_memory[i]);
	cprof_free(pool_memory[63]); /* it never was */
	cprof_free(NULL);
	cprof_alloc(NULL, 64);
	cprof_alloc(kept[0], 500);
	__asm__ volatile("" ::: "memory");
}

static void write_named(const char *name, const char *file, int debug)
{
	int fd = open_file(file);

	expect(cprof_write(name, fd, debug), 0, file);
	close(fd);
}

static void *write_heap_delta(void *arg)
{
	int fd = open_file("heap_delta.pb.gz");

	(void)arg;
	expect(cprof_write_delta("heap", fd, 1.0), 0, "cprof_write_delta of the heap");
	close(fd);
	return NULL;
}

static void heap(void)
{
	char spec[4200];
	pthread_t id;

	cprof_alloc(pool_memory[50], 64); /* nobody counts yet */
	snprintf(spec, sizeof(spec), "heap=1,out=%s/out", directory);
	expect(cprof_start(spec), 0, "cprof_start");
	cprof_free(pool_memory[50]);
	keep_blocks();
	drop_blocks();
	use_pool();
	write_named("heap", "heap.pb.gz", 0);
	write_named("heap", "heap.txt", 1);
	write_named("allocs", "allocs.txt", 2);
	write_named("allocs", "allocs.pb.gz", 0);
	write_named("heap", "again.pb.gz", 0);
	pthread_create(&id, NULL, write_heap_delta, NULL);
	usleep(300000); /* until the window is open */
	for (int i = 0; i < 40; i++)
		free(kept[i]);
	drop_blocks();
	pthread_join(id, NULL);
	expect(cprof_disable(HEAP), 0, "cprof_disable");
	drop_blocks();
	cprof_free(kept[0]); /* ends are followed, also when nothing new is counted */
	write_named("heap", "last.pb.gz", 0);
	expect(cprof_start("heap=2"), -EBUSY, "another rate");
	expect(cprof_enable(CPROF_HEAP), -EBUSY, "the standard one");
	expect(cprof_stop(), 0, "cprof_stop");
	printf("{}\n");
}

static long status_kb(const char *name)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "r");
	long kb = -1;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, name, strlen(name)) == 0)
			kb = atol(line + strlen(name));
	if (f != NULL)
		fclose(f);
	return kb;
}

/* Everything that is mapped from here on is locked. */
static void locked(void)
{
	int started;

	expect(mlockall(MCL_CURRENT | MCL_FUTURE), 0, "mlockall");
	started = cprof_start("cpu=1000");
	burn_a(100 * MS);
	printf("{\"much_locked\": %d, \"much_shared\": %d, \"started\": %d}\n",
	       status_kb("VmLck:") > 48 << 10, status_kb("RssShmem:") > 16 << 10, started);
	cprof_stop();
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	directory = argc > 2 ? argv[2] : ".";
	if (strcmp(what, "locked") == 0)
		locked();
	else if (strcmp(what, "late") == 0)
		late();
	else if (strcmp(what, "windows") == 0)
		windows();
	else if (strcmp(what, "deltas") == 0)
		deltas();
	else if (strcmp(what, "errors") == 0)
		errors();
	else if (strcmp(what, "stop") == 0)
		start_stop(0);
	else if (strcmp(what, "exit") == 0)
		start_stop(1);
	else if (strcmp(what, "onoff") == 0)
		on_and_off();
	else if (strcmp(what, "labels") == 0)
		labels();
	else if (strcmp(what, "heap") == 0)
		heap();
	else
		return 2;
	return failures != 0;
}
