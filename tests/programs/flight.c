/*
 * flight: asks for snapshots of its own trace, or says what others ask for. The last line it prints says what came of it.
 *
 *     flight snapshots DIR N THREADS   while THREADS others are at work, N snapshots one after the other: DIR/0.out …
 *     flight both DIR N THREADS        by N threads at once
 *     flight fails DIR                 to where nothing can be written
 *     flight ends kill|segv            four threads at work for four seconds, a mark, and that end
 *     flight stays THREADS             at work until its input ends
 *     flight regions DIR MS            regions called "work", short and long ones, others, and what is in each other; for each
 *                                      "work" of more than MS a snapshot is waited for in DIR
 *     flight many DIR N                N regions called "work", of 3 ms
 *     flight execs DIR                 the same once, and then this program with "many DIR 2"
 *     flight forks DIR                 a child with one such region
 *     flight crowded                   eight threads at work for two seconds, and one such region
 *     flight starts DIR SPEC           starts and stops the trace by itself, and once more
 *     flight outlives                  a child that stays at work until it is killed
 */
#define CPROF_WEAK
#include <cprof/cprof.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/programs/host.h"

#define THREADS_MAX 16

static _Atomic int is_over;

static void sleep_ms(int ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000L};

	while (nanosleep(&time, &time) < 0 && errno == EINTR)
		;
}

/* Counts, from 0: what is missing in a trace can be seen. */
static void *work(void *arg)
{
	int me = *(int *)arg;
	char name[16];

	snprintf(name, sizeof(name), "flight%d", me);
	for (int64_t n = 0; !atomic_load(&is_over);) {
		for (int i = 0; i < 10; i++) {
			cprof_region_begin("turn");
			cprof_counter(name, n++);
			cprof_region_end();
		}
		sleep_ms(1);
	}
	return NULL;
}

static pthread_t workers[THREADS_MAX];
static int numbers[THREADS_MAX];

static void begin_work(int n)
{
	for (int i = 0; i < n; i++) {
		numbers[i] = i;
		pthread_create(&workers[i], NULL, work, &numbers[i]);
	}
}

static void end_work(int n)
{
	atomic_store(&is_over, 1);
	for (int i = 0; i < n; i++)
		pthread_join(workers[i], NULL);
}

static const char *directory;

static int to_file(int number)
{
	char path[4096];
	int fd, r;

	snprintf(path, sizeof(path), "%s/%d.out", directory, number);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	cprof_counter("before", number);
	r = cprof_trace_snapshot(fd);
	cprof_counter("after", number);
	close(fd);
	return r;
}

static void snapshots(int n, int threads)
{
	begin_work(threads);
	printf("{\"results\": [");
	for (int i = 0; i < n; i++) {
		sleep_ms(300);
		printf("%s%d", i > 0 ? ", " : "", to_file(i));
	}
	printf("]}\n");
	end_work(threads);
}

static pthread_barrier_t there;
static int results[THREADS_MAX];

static void *ask(void *arg)
{
	int me = (int)((int *)arg - results);

	pthread_barrier_wait(&there);
	results[me] = to_file(me);
	return NULL;
}

static void both(int n, int threads)
{
	pthread_t asking[THREADS_MAX];

	pthread_barrier_init(&there, NULL, (unsigned)n);
	begin_work(threads);
	sleep_ms(300);
	for (int i = 0; i < n; i++)
		pthread_create(&asking[i], NULL, ask, &results[i]);
	for (int i = 0; i < n; i++)
		pthread_join(asking[i], NULL);
	end_work(threads);
	printf("{\"results\": [");
	for (int i = 0; i < n; i++)
		printf("%s%d", i > 0 ? ", " : "", results[i]);
	printf("]}\n");
}

static int signals_seen;

static void see(int sig)
{
	(void)sig;
	signals_seen++;
}

static int is_pending(int sig)
{
	sigset_t set;

	sigpending(&set);
	return sigismember(&set, sig);
}

static void *read_all(void *arg)
{
	static char buffer[4096];
	long *all = arg;
	int fd = (int)all[0];
	ssize_t n;

	all[0] = 0;
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		all[0] += n;
	return NULL;
}

/* Into a pipe that somebody reads from, slowly, and that does not block who writes. */
static int to_pipe(long *ret_bytes)
{
	pthread_t reader;
	int ends[2], r;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	fcntl(ends[1], F_SETFL, O_NONBLOCK);
	*ret_bytes = ends[0];
	pthread_create(&reader, NULL, read_all, ret_bytes);
	r = cprof_trace_snapshot(ends[1]);
	close(ends[1]);
	pthread_join(reader, NULL);
	close(ends[0]);
	return r;
}

static void fails(void)
{
	int ends[2], full = open("/dev/full", O_WRONLY | O_CLOEXEC), limited, blocked;
	int of_pipe, of_full, of_limit, of_blocked, of_nothing, of_reader, of_read_only;
	struct rlimit before, limit;
	char path[4096];
	sigset_t pipes;
	long bytes = 0;

	begin_work(2);
	sleep_ms(300);
	if (pipe2(ends, O_CLOEXEC) < 0)
		exit(1);
	close(ends[0]);
	of_pipe = cprof_trace_snapshot(ends[1]); /* SIGPIPE would end us */
	of_full = cprof_trace_snapshot(full);
	of_nothing = cprof_trace_snapshot(-1);
	of_read_only = cprof_trace_snapshot(open("/dev/null", O_RDONLY | O_CLOEXEC));

	snprintf(path, sizeof(path), "%s/limited.out", directory);
	limited = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	getrlimit(RLIMIT_FSIZE, &before);
	limit = before;
	limit.rlim_cur = 1000;
	setrlimit(RLIMIT_FSIZE, &limit);
	of_limit = cprof_trace_snapshot(limited); /* so would SIGXFSZ */
	setrlimit(RLIMIT_FSIZE, &before);

	/* one of the program's own that waits stays */
	signal(SIGPIPE, see);
	sigemptyset(&pipes);
	sigaddset(&pipes, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipes, NULL);
	raise(SIGPIPE);
	of_blocked = cprof_trace_snapshot(ends[1]);
	blocked = is_pending(SIGPIPE);
	pthread_sigmask(SIG_UNBLOCK, &pipes, NULL);
	of_reader = to_pipe(&bytes);
	end_work(2);
	printf("{\"pipe\": %d, \"full\": %d, \"nothing\": %d, \"read_only\": %d, \"limit\": %d, "
	       "\"blocked\": %d, \"pending\": %d, \"seen\": %d, \"reader\": %d, \"bytes\": %ld}\n",
	       of_pipe, of_full, of_nothing, of_read_only, of_limit, of_blocked, blocked,
	       signals_seen, of_reader, bytes);
}

static void ends(const char *way)
{
	begin_work(4);
	/* long enough that a ring of a second has let go of the first one, late as it may come to that */
	sleep_ms(4000);
	cprof_counter("last word", 7);
	if (strcmp(way, "kill") == 0)
		kill(getpid(), SIGKILL);
	*(volatile int *)0 = 1;
}

static void stays(int threads)
{
	char c;

	begin_work(threads);
	sleep_ms(100);
	printf("{\"pid\": %d}\n", (int)getpid());
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	end_work(threads);
}

/* Snapshots that are there already: the next one bears the next number. */
static int seen;

static void await_snapshot(void)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/trace.%d.out", directory, ++seen);
	for (int i = 0; i < 2000 && access(path, F_OK) != 0; i++)
		sleep_ms(10);
}

/* Prints how long it was at least, as seen from inside, and at most. Returns the first. */
static int64_t region(const char *name, int ms, int depth)
{
	int64_t before = host_clock(CLOCK_MONOTONIC), begun, ended;

	cprof_region_begin(name);
	begun = host_clock(CLOCK_MONOTONIC);
	if (depth > 0)
		region(name, ms, depth - 1);
	else
		sleep_ms(ms);
	ended = host_clock(CLOCK_MONOTONIC);
	cprof_region_end();
	printf("[\"%s\", %ld, %ld], ", name, (long)(ended - begun),
	       (long)(host_clock(CLOCK_MONOTONIC) - before));
	return ended - begun;
}

static void regions(int limit_ms)
{
	printf("{\"regions\": [");
	for (int i = 0; i < 40; i++)
		if (region("work", i % 10 == 9 ? limit_ms + 50 : 2, 0) > limit_ms * MS)
			await_snapshot();
	region("other", limit_ms + 50, 0);
	region("worker", limit_ms + 50, 0);
	region("wor", limit_ms + 50, 0);
	cprof_region_begin("other"); /* inside each other: each has its own time */
	for (int i = 0; i < 3; i++)
		if (region("work", limit_ms / 2, 0) > limit_ms * MS)
			await_snapshot();
	cprof_region_end();
	cprof_region_end();               /* of none */
	region("work", limit_ms + 50, 2); /* three at once, or nearly */
	printf("null]}\n");
}

static void many(int n)
{
	for (int i = 0; i < n; i++) {
		cprof_region_begin("work");
		sleep_ms(3);
		cprof_region_end();
		if (i < 16)
			await_snapshot();
	}
	printf("{\"seen\": %d}\n", seen);
}

static void long_region(int wants_snapshot)
{
	cprof_region_begin("work");
	sleep_ms(3);
	cprof_region_end();
	if (wants_snapshot)
		await_snapshot();
}

static void forks(void)
{
	char below[4096];
	pid_t pid = fork();

	if (pid == 0) {
		snprintf(below, sizeof(below), "%s/flight.%d", directory, (int)getpid());
		directory = below;
		long_region(1);
		_exit(seen);
	}
	waitpid(pid, NULL, 0);
	printf("{\"child\": %d}\n", (int)pid);
}

static void outlives(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		setsid();
		close(0);
		close(1);
		close(2);
		begin_work(2);
		for (;;)
			pause();
	}
	printf("{\"child\": %d}\n", (int)pid);
}

static void starts(const char *spec)
{
	char words[4096];
	int r[4];

	snprintf(words, sizeof(words), "%s,out=%s", spec, directory);
	r[0] = cprof_start(words);
	begin_work(2);
	sleep_ms(200);
	r[1] = cprof_stop();
	cprof_counter("between", 1);
	snprintf(words, sizeof(words), "%s,out=%s/again", spec, directory);
	r[2] = cprof_start(words);
	cprof_counter("again", 1);
	end_work(2);
	r[3] = cprof_stop();
	printf("{\"results\": [%d, %d, %d, %d]}\n", r[0], r[1], r[2], r[3]);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	directory = argc > 2 ? argv[2] : ".";
	if (strcmp(what, "snapshots") == 0)
		snapshots(atoi(argv[3]), atoi(argv[4]));
	else if (strcmp(what, "both") == 0)
		both(atoi(argv[3]), atoi(argv[4]));
	else if (strcmp(what, "fails") == 0)
		fails();
	else if (strcmp(what, "ends") == 0)
		ends(argv[2]);
	else if (strcmp(what, "stays") == 0)
		stays(atoi(argv[2]));
	else if (strcmp(what, "regions") == 0)
		regions(atoi(argv[3]));
	else if (strcmp(what, "many") == 0)
		many(atoi(argv[3]));
	else if (strcmp(what, "execs") == 0) {
		long_region(1);
		execl(argv[0], argv[0], "many", directory, "2", (char *)NULL);
		return 1;
	} else if (strcmp(what, "forks") == 0)
		forks();
	else if (strcmp(what, "starts") == 0)
		starts(argv[3]);
	else if (strcmp(what, "outlives") == 0)
		outlives();
	else if (strcmp(what, "crowded") == 0) {
		begin_work(8);
		sleep_ms(2000);
		long_region(0);
		end_work(8);
	} else
		return 2;
	return 0;
}
