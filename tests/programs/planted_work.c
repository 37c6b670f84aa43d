/* planted: requests, files, and what no trace has. */
#include <fcntl.h>
#include <linux/futex.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/programs/planted.h"

/* ---- task: 30 requests, and one that comes while the journal is written ---- */

#define REQUESTS   30
#define UNLUCKY    17
#define FLUSH_MS   77
#define PAGE_BYTES 4096

pthread_mutex_t g_journal = PTHREAD_MUTEX_INITIALIZER;
static sem_t request_is_there, request_is_done, flush_may, flush_holds;
static struct request {
	cprof_task task;
	int64_t begun, ended, waited;
} requests[REQUESTS];
static struct measured flush_writes, flush_fsyncs;
static int64_t flush_held;
static int next_request, line_of_append, line_of_flush;

KEEP static void parse_request(void)
{
	cprof_region_begin("parse");
	burn_ms(1);
	cprof_region_end();
}

KEEP static void append_journal(struct request *r)
{
	int64_t begun = now_ns();

	cprof_region_begin("journal");
	LOCK_HERE(&g_journal, &line_of_append);
	r->waited = now_ns() - begun;
	host_spin();
	pthread_mutex_unlock(&g_journal);
	cprof_region_end();
}

KEEP static void send_reply(void)
{
	cprof_region_begin("reply");
	sleep_ms(2);
	cprof_region_end();
}

static void server_main(struct actor *self)
{
	(void)self;
	for (int i = 0; i < REQUESTS; i++) {
		struct request *r;
		cprof_task before;

		sem_wait(&request_is_there);
		r = &requests[next_request];
		before = cprof_task_switch(r->task);
		parse_request();
		append_journal(r);
		send_reply();
		cprof_task_switch(before);
		cprof_task_end(r->task);
		r->ended = now_ns();
		sem_post(&request_is_done);
	}
}

KEEP static void flush_journal(int fd)
{
	static const char page[PAGE_BYTES];
	int64_t begun;

	LOCK_HERE(&g_journal, &line_of_flush);
	begun = now_ns();
	sem_post(&flush_holds);
	do {
		MEASURE(&flush_writes, pwrite(fd, page, sizeof(page), 0));
		MEASURE(&flush_fsyncs, fsync(fd));
	} while (now_ns() < begun + FLUSH_MS * MS);
	flush_held = now_ns() - begun;
	pthread_mutex_unlock(&g_journal);
	NO_TAIL_CALL;
}

static void journal_main(struct actor *self)
{
	int fd = open("planted.journal", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	(void)self;
	if (fd < 0)
		planted_fail("planted.journal");
	sem_wait(&flush_may);
	flush_journal(fd);
	close(fd);
	unlink("planted.journal");
}

KEEP static void accept_request(struct request *r)
{
	r->begun = now_ns();
	r->task = cprof_task_begin("request", 0);
	sem_post(&request_is_there);
	sem_wait(&request_is_done);
}

void plant_task(void)
{
	struct actor a[] = {{.name = "server", .what = server_main},
			    {.name = "journal", .what = journal_main}};

	sem_init(&request_is_there, 0, 0);
	sem_init(&request_is_done, 0, 0);
	sem_init(&flush_may, 0, 0);
	sem_init(&flush_holds, 0, 0);
	for (int i = 0; i < 2; i++)
		actor_start(&a[i]);
	for (int i = 0; i < REQUESTS; i++) {
		if (i == UNLUCKY) {
			sem_post(&flush_may);
			sem_wait(&flush_holds);
		}
		next_request = i;
		accept_request(&requests[i]);
		sleep_ms(20);
	}
	for (int i = 0; i < 2; i++)
		actor_join(&a[i]);
	printf("{");
	actors_print(a, 2, ", ");
	printf("\"type\": \"request\", \"slowest\": %d, \"lock\": \"g_journal\", \"waiter\": "
	       "{\"thread\": \"server\", \"function\": \"append_journal\", \"line\": %d}, "
	       "\"holder\": {\"thread\": \"journal\", \"function\": \"flush_journal\", \"line\": "
	       "%d, \"held\": %lld}, \"file\": \"planted.journal\", \"calls\": {",
	       UNLUCKY, line_of_append, line_of_flush, (long long)flush_held);
	measured_print("pwrite64", &flush_writes, ", ");
	measured_print("fsync", &flush_fsyncs, "}, \"requests\": [");
	for (int i = 0; i < REQUESTS; i++)
		printf("%s{\"task\": %llu, \"from\": %lld, \"until\": %lld, \"waited\": %lld}",
		       i > 0 ? ", " : "", (unsigned long long)requests[i].task,
		       (long long)requests[i].begun, (long long)requests[i].ended,
		       (long long)requests[i].waited);
	printf("]}\n");
}

/* ---- calls: reads of a pipe that is slow, and of a file that is not ---- */

#define LINES 60
#define READS 2000
#define SYNCS 40

static struct measured fifo_reads, data_reads, log_writes, log_fsyncs, missing_opens;

KEEP static void read_feed(int fd)
{
	char line[64];
	ssize_t n;

	do {
		int64_t begun = now_ns();

		n = read(fd, line, sizeof(line));
		measured_add(&fifo_reads, now_ns() - begun);
	} while (n > 0);
}

KEEP static void read_data(int fd)
{
	char bytes[512];

	for (int i = 0; i < READS; i++)
		MEASURE(&data_reads, pread(fd, bytes, sizeof(bytes), 0));
}

KEEP static void sync_log(int fd)
{
	for (int i = 0; i < SYNCS; i++) {
		MEASURE(&log_writes, write(fd, "line\n", 5));
		MEASURE(&log_fsyncs, fsync(fd));
	}
}

/* A line now and then; once it takes long. */
static void feeder_main(struct actor *self)
{
	char line[64] = "a line of the feed\n";
	int fd = open("planted.feed", O_WRONLY | O_CLOEXEC);

	(void)self;
	for (int i = 0; i < LINES; i++) {
		sleep_ms(i == LINES / 2 ? 150 : 10);
		if (fd < 0 || write(fd, line, sizeof(line)) != (ssize_t)sizeof(line))
			planted_fail("planted.feed");
	}
	close(fd);
}

static int open_new(const char *name, int flags)
{
	int fd = open(name, flags | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		planted_fail(name);
	return fd;
}

static void reader_main(struct actor *self)
{
	int feed = open("planted.feed", O_RDONLY | O_CLOEXEC);
	int data = open_new("planted.data", O_RDWR), log = open_new("planted.log", O_WRONLY);

	(void)self;
	if (feed < 0 || ftruncate(data, PAGE_BYTES) != 0)
		planted_fail("planted.feed");
	read_feed(feed);
	read_data(data);
	sync_log(log);
	for (int i = 0; i < 100; i++) {
		int64_t begun = now_ns();

		if (open("planted.missing", O_RDONLY | O_CLOEXEC) >= 0)
			planted_fail("planted.missing");
		measured_add(&missing_opens, now_ns() - begun);
	}
	close(feed);
	close(data);
	close(log);
}

void plant_calls(void)
{
	struct actor a[] = {{.name = "feeder", .what = feeder_main},
			    {.name = "reader", .what = reader_main}};

	unlink("planted.feed");
	if (mkfifo("planted.feed", 0600) != 0)
		planted_fail("planted.feed");
	for (int i = 0; i < 2; i++)
		actor_start(&a[i]);
	for (int i = 0; i < 2; i++)
		actor_join(&a[i]);
	unlink("planted.feed");
	unlink("planted.data");
	unlink("planted.log");
	printf("{");
	actors_print(a, 2, ", ");
	printf("\"thread\": \"reader\", \"function\": \"read_feed\", \"file\": \"planted.feed\", "
	       "\"files\": {\"planted.feed\": {");
	measured_print("read", &fifo_reads, "}, \"planted.data\": {");
	measured_print("pread64", &data_reads, "}, \"planted.log\": {");
	measured_print("write", &log_writes, ", ");
	measured_print("fsync", &log_fsyncs, "}}, \"failed\": {");
	measured_print("openat", &missing_opens, "}}\n");
}

/* ---- lost: more than there is room for, and a lock that nobody looks at ---- */

#define FLOODERS 4
#define POSTS    150000

static sem_t flood[FLOODERS];
static _Atomic uint32_t hidden_word;
static int64_t hidden_from, hidden_until;

/*
 * Instructions that are made while the program runs, as by a compiler of another language: in no file, so nobody has looked for
 * calls in them.
 */
static long (*futex_made)(_Atomic uint32_t *word, long operation, long value, const void *timeout);

static void make_futex(void)
{
#ifdef __x86_64__
	static const unsigned char code[] = {
		0xb8, SYS_futex, 0,    0, 0, /* mov $SYS_futex, %eax */
		0x49, 0x89,      0xca,       /* mov %rcx, %r10 */
		0x0f, 0x05,                  /* syscall */
		0xc3,                        /* ret */
	};
#else
	static const uint32_t code[] = {
		0xd2800008 | SYS_futex << 5, /* mov x8, #SYS_futex */
		0xd4000001,                  /* svc #0 */
		0xd65f03c0,                  /* ret */
	};
#endif
	char *at = mmap(NULL, sizeof(code), PROT_READ | PROT_WRITE | PROT_EXEC,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		planted_fail("mmap");
	memcpy(at, code, sizeof(code));
	__builtin___clear_cache(at, at + sizeof(code));
	memcpy(&futex_made, &at, sizeof(at));
}

KEEP static void lock_unseen(void)
{
	hidden_from = now_ns();
	while (atomic_load_explicit(&hidden_word, memory_order_acquire) != 0)
		futex_made(&hidden_word, FUTEX_WAIT_PRIVATE, 1, NULL);
	hidden_until = now_ns();
}

static void hidden_main(struct actor *self)
{
	(void)self;
	lock_unseen();
}

KEEP static void flood_main(struct actor *self)
{
	for (int i = 0; i < POSTS; i++)
		sem_post(&flood[self->number]);
	NO_TAIL_CALL;
}

void plant_lost(int is_stopped)
{
	struct actor a[FLOODERS + 1] = {{.name = "flood-0", .number = 0},
					{.name = "flood-1", .number = 1},
					{.name = "flood-2", .number = 2},
					{.name = "flood-3", .number = 3},
					{.name = "hidden", .what = hidden_main}};
	struct actor *hidden = &a[FLOODERS];

	make_futex();
	hidden_word = 1;
	actor_start(hidden);
	actor_asleep(hidden, (void *)&hidden_word, sizeof(hidden_word));
	sleep_ms(300);
	atomic_store_explicit(&hidden_word, 0, memory_order_release);
	futex_made(&hidden_word, FUTEX_WAKE_PRIVATE, 1, NULL);
	actor_join(hidden);
	if (is_stopped)
		kill(getppid(), SIGSTOP);
	for (int i = 0; i < FLOODERS; i++) {
		sem_init(&flood[i], 0, 0);
		a[i].what = flood_main;
		actor_start(&a[i]);
	}
	for (int i = 0; i < FLOODERS; i++)
		actor_join(&a[i]);
	if (is_stopped)
		kill(getppid(), SIGCONT);
	printf("{");
	actors_print(a, FLOODERS + 1, ", ");
	printf("\"posts\": %d, \"hidden\": {\"thread\": \"hidden\", \"function\": \"lock_unseen\", "
	       "\"from\": %lld, \"until\": %lld}}\n",
	       FLOODERS * POSTS, (long long)hidden_from, (long long)hidden_until);
}
