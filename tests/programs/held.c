/*
 * held: keeps profiles of its own, and says what is in them. Linked with the library, or not (CPROF_WEAK).
 *
 *     held WHAT [DIRECTORY]
 */
#include <cprof/cprof.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/host.h"

#define THREADS 8
#define ROUNDS  20000
#define KEPT    500 /* of each thread */

static const char *directory;
static int failures;

static void expect(int64_t got, int64_t want, const char *what)
{
	if (got == want)
		return;
	failures++;
	fprintf(stderr, "%s: got %lld, wanted %lld\n", what, (long long)got, (long long)want);
}

static const void *number(uintptr_t n)
{
	return (const void *)n;
}

KEEP static int open_one(struct cprof_profile *p, const void *value, int skip)
{
	int r = cprof_profile_add(p, value, skip);

	__asm__ volatile("" ::: "memory");
	return r;
}

KEEP static int open_two(struct cprof_profile *p, const void *value, int skip)
{
	int r = open_one(p, value, skip);

	__asm__ volatile("" ::: "memory");
	return r;
}

KEEP static int accept_one(struct cprof_profile *p, const void *value)
{
	int r = cprof_profile_add(p, value, 0);

	__asm__ volatile("" ::: "memory");
	return r;
}

static void write_to(const char *profile, const char *name, int debug)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	expect(cprof_write(profile, fd, debug), 0, name);
	close(fd);
}

static struct cprof_profile *make(const char *name)
{
	struct cprof_profile *p = cprof_profile_new(name);

	if (p == NULL)
		perror(name);
	failures += p == NULL;
	return p;
}

static void refused(const char *name, int error)
{
	errno = 0;
	expect(cprof_profile_new(name) == NULL, 1, name != NULL ? name : "NULL");
	expect(errno, error, name != NULL ? name : "NULL");
}

/* Names, numbers and errors; five at open_one(), of which three by open_two(), and one at accept_one(). */
static void calls(void)
{
	static const char *const ours[] = {
		"cpu",     "wall",    "heap",      "allocs",  "block",        "mutex",
		"threads", "trace",   "goroutine", "profile", "all",          "delta_heap",
		"symbol",  "cmdline", "fgprof",    "index",   "threadcreate", "status"};
	static const char *const bad[] = {
		"",    ".x",       "-x",  "a/b",
		"a b", "\xc3\xa4", "a\n", "1234567890123456789012345678901234567890123456789"};
	struct cprof_profile *p, *other;
	char name[16];
	int x;

	refused(NULL, EINVAL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused(bad[i], EINVAL);
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		refused(ours[i], EEXIST);
	expect(cprof_profile_find("handles") == NULL, 1, "not there yet");
	errno = 77;
	p = make("handles");
	expect(errno, 77, "errno stays");
	expect(cprof_profile_add(p, number(7), 0) + cprof_profile_remove(p, number(7)), 0,
	       "add and remove");
	expect(errno, 77, "errno stays, here too");
	refused("handles", EEXIST);
	expect(cprof_profile_find("handles") == p, 1, "find");
	expect(cprof_profile_find(NULL) == NULL, 1, "find NULL");
	other = make("123456789012345678901234567890123456789.45_78-Az");
	expect(cprof_profile_add(NULL, &x, 0), -EINVAL, "add to NULL");
	expect(cprof_profile_add((struct cprof_profile *)((char *)p + 1), &x, 0), -EINVAL,
	       "add to what is none");
	expect(cprof_profile_add((struct cprof_profile *)&x, &x, 0), -EINVAL,
	       "add to another thing");
	expect(cprof_profile_remove(NULL, &x), -EINVAL, "remove from NULL");
	expect(cprof_profile_count(NULL), -EINVAL, "count NULL");
	expect(cprof_profile_add(p, &x, -1), -EINVAL, "skip -1");
	expect(cprof_profile_count(p), 0, "none yet");

	expect(open_one(p, NULL, 0), 0, "NULL is a value");
	expect(open_one(p, number(1), 0), 0, "1 is a value");
	expect(open_one(p, number(1), 0), -EEXIST, "added twice");
	expect(open_one(other, number(1), 0), 0, "in another profile it is another");
	for (uintptr_t i = 2; i < 5; i++)
		expect(open_two(p, number(i), 0), 0, "two");
	expect(open_two(p, number(UINTPTR_MAX), 1), 0, "skip 1");
	expect(open_two(p, number(99), 1000), 0, "skip all");
	expect(accept_one(p, &x), 0, "accept");
	expect(accept_one(p, &p), 0, "accept");
	expect(cprof_profile_remove(p, &p), 0, "remove");
	expect(cprof_profile_remove(p, &p), -ENOENT, "remove again");
	expect(cprof_profile_remove(other, &x), -ENOENT, "of another profile");
	expect(cprof_profile_count(p), 8, "count");
	expect(cprof_profile_count(other), 1, "count of the other");
	for (int i = 2; i < 32; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		make(name);
	}
	refused("one_too_many", ENOSPC);
	if (directory != NULL) {
		write_to("handles", "handles.txt", 1);
		write_to("handles", "handles2.txt", 2);
		write_to("handles", "handles.pb.gz", 0);
		write_to("p31", "empty.txt", 1);
		expect(cprof_write("nothing", 1, 0), -ENOENT, "write nothing");
		expect(cprof_write("", 1, 0), -ENOENT, "write the family");
	}
}

static struct cprof_profile *shared;
static _Atomic int64_t twice, once;

/* All add the same values, and each its own, and take most of them away again. */
KEEP static void churn(uintptr_t own)
{
	for (uintptr_t i = 0; i < ROUNDS; i++) {
		int r = accept_one(shared, number(i / 8 + 1));

		atomic_fetch_add(r == -EEXIST ? &twice : &once, 1);
		if (r == 0 && i % 2 != 0)
			expect(cprof_profile_remove(shared, number(i / 8 + 1)), 0, "what it added");
		expect(open_one(shared, number(own + i), 0), 0, "its own");
		if (i >= KEPT)
			expect(cprof_profile_remove(shared, number(own + i - KEPT)), 0,
			       "its own goes");
	}
}

static void *churn_thread(void *arg)
{
	churn((uintptr_t)arg << 40);
	return NULL;
}

/* What is left is known, whoever was first: THREADS * KEPT at open_one(), and those of accept_one() that the table has. */
static void storm(void)
{
	pthread_t id[THREADS];
	int64_t left;

	shared = make("storm");
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&id[i], NULL, churn_thread, (void *)(i + 1));
	for (int i = 0; i < THREADS; i++)
		pthread_join(id[i], NULL);
	expect(once + twice, THREADS * ROUNDS, "each call said one or the other");
	left = cprof_profile_count(shared) - THREADS * KEPT;
	for (uintptr_t i = 0; i < ROUNDS; i++)
		left -= cprof_profile_remove(shared, number(i / 8 + 1)) == 0;
	expect(left, 0, "those that all had");
	expect(cprof_profile_count(shared), THREADS * KEPT, "what is left");
	if (directory != NULL)
		write_to("storm", "storm.txt", 1);
}

static void *restless(void *arg)
{
	while (!atomic_load_explicit((_Atomic bool *)arg, memory_order_relaxed)) {
		for (uintptr_t i = 1; i < 200; i++)
			accept_one(shared, number(i << 32));
		for (uintptr_t i = 1; i < 200; i++)
			cprof_profile_remove(shared, number(i << 32));
	}
	return NULL;
}

/* In a child: what the parent had, to be taken away and added to. */
static void go_on(struct cprof_profile *p, int kept)
{
	int64_t before = cprof_profile_count(p);

	for (uintptr_t i = 0; i < 10; i++)
		expect(cprof_profile_remove(p, number(i)), 0, "the parent's");
	expect(cprof_profile_remove(p, number(0)), -ENOENT, "the parent's, again");
	for (int i = 0; i < kept; i++)
		expect(accept_one(p, number(1000 + (uintptr_t)i)), 0, "its own");
	expect(cprof_profile_count(p), before - 10 + kept, "count in the child");
}

/* 20 in the parent, which a thread disturbs; in each child 10 of them and as many of its own. */
static void family(void)
{
	struct cprof_profile *p = make("handles");
	_Atomic bool is_over = false;
	pthread_t id;
	int status;

	for (uintptr_t i = 0; i < 20; i++)
		open_one(p, number(i), 0);
	shared = make("other");
	pthread_create(&id, NULL, restless, &is_over);
	for (int i = 1; i <= 4; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			if (i < 4) /* the last does nothing */
				go_on(p, i);
			if (i == 3) {
				pid = fork();
				if (pid == 0)
					expect(accept_one(p, number(5000)), 0, "in a grandchild");
				else
					waitpid(pid, &status, 0);
			}
			exit(failures != 0);
		}
		waitpid(pid, &status, 0);
		expect(status, 0, "child");
	}
	is_over = true;
	pthread_join(id, NULL);
	expect(cprof_profile_count(p), 20, "count in the parent");
}

static void killed(void)
{
	struct cprof_profile *p = make("handles");

	for (uintptr_t i = 0; i < 7; i++)
		open_one(p, number(i), 0);
	cprof_profile_remove(p, number(3));
	raise(SIGKILL);
}

/* More than there is room for: memory=1m has 1024 places. */
static void full(void)
{
	struct cprof_profile *p = make("handles");
	int64_t added = 0;
	int r;

	for (uintptr_t i = 0; i < 3000; i++) {
		r = accept_one(p, number(i << 4));
		added += r == 0;
		if (r != 0)
			expect(r, -ENOSPC, "full");
	}
	expect(cprof_profile_count(p), added, "count");
	printf("{\"added\": %lld}\n", (long long)added);
	for (uintptr_t i = 0; i < 3000; i++)
		added -= cprof_profile_remove(p, number(i << 4)) == 0;
	expect(added, 0, "all go");
	/* what is gone leaves room */
	for (uintptr_t i = 0; i < 10000; i++) {
		expect(accept_one(p, number(i << 4)), 0, "room again");
		expect(cprof_profile_remove(p, number(i << 4)), 0, "and gone");
	}
	expect(accept_one(p, &r), 0, "one is left");
}

static void labelled(void)
{
	struct cprof_profile *p = make("handles");
	cprof_labels before = cprof_labels_set("tenant", "acme", (char *)NULL);

	open_one(p, number(1), 0);
	open_one(p, number(2), 0);
	cprof_labels_restore(before);
	open_one(p, number(3), 0);
}

/* Until its standard input ends. */
static void waits(void)
{
	struct cprof_profile *p = make("handles");
	char byte;

	for (uintptr_t i = 0; i < 5; i++)
		open_one(p, number(i), 0);
	printf("ready\n");
	fflush(stdout);
	while (read(0, &byte, 1) > 0) {
		open_two(p, &byte, 0);
		printf("added\n");
		fflush(stdout);
	}
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{"calls", calls}, {"storm", storm}, {"family", family},     {"killed", killed},
	{"full", full},   {"waits", waits}, {"labelled", labelled},
};

int main(int argc, char **argv)
{
	directory = argc > 2 ? argv[2] : NULL;
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		if (argc > 1 && strcmp(argv[1], tests[i].name) == 0)
			tests[i].run();
	return failures != 0;
}
