/*
 * System calls added up: by number, file, path, peer, thread, stack and error; the longest of them; and what is idle.
 */
#include <errno.h>
#include <sys/syscall.h>

#include "tests/tap.h"
#include "tests/unit/tables_make.h"
#include "viewer/calls.h"
#include "viewer/same_file.h"

static struct made_tables made;

static const char *name_of(const struct calls *c, const struct tally_row *row)
{
	static struct name name;

	name_clear(&name);
	calls_name(c, row, &name);
	name.text[name.n] = '\0';
	return name.text;
}

static const struct tally_row *row_named(const struct calls *c, const char *wanted)
{
	static const struct tally_row none;

	for (uint32_t i = 0; i < c->tally.n; i++)
		if (strcmp(name_of(c, c->tally.rows[i]), wanted) == 0)
			return c->tally.rows[i];
	note("no row %s", wanted);
	return &none;
}

/* Something of everything. */
static const struct story_call calls[] = {
	{.begin_ns = 1000,
	 .end_ns = 1100,
	 .thread = 1,
	 .number = SYS_read,
	 .result = 40,
	 .file = FILE_LOG,
	 .stack = 1},
	{.begin_ns = 1100,
	 .end_ns = 1300,
	 .thread = 1,
	 .number = SYS_read,
	 .result = 2,
	 .file = FILE_LOG_AGAIN,
	 .stack = 1},
	{.begin_ns = 1300,
	 .end_ns = 1310,
	 .thread = 2,
	 .number = SYS_read,
	 .result = -EAGAIN,
	 .file = FILE_TCP},
	{.begin_ns = 1310,
	 .end_ns = 1320,
	 .thread = 2,
	 .number = SYS_sendto,
	 .result = 100,
	 .file = FILE_TCP_AGAIN},
	{.begin_ns = 1320,
	 .end_ns = 1330,
	 .thread = 2,
	 .number = SYS_recvfrom,
	 .result = 7,
	 .file = FILE_UNIX},
	{.begin_ns = 1330,
	 .end_ns = 1350,
	 .thread = 2,
	 .number = SYS_openat,
	 .result = 9,
	 .path = NAME_DATA},
	{.begin_ns = 1350,
	 .end_ns = 1360,
	 .thread = 2,
	 .number = SYS_write,
	 .result = 8,
	 .file = FILE_EVENT},
	{.begin_ns = 1000,
	 .end_ns = 6000,
	 .thread = 3,
	 .number = SYS_poll,
	 .result = 1,
	 .is_idle = true},
	{.begin_ns = 1400,
	 .end_ns = 1900,
	 .thread = 2,
	 .number = SYS_read,
	 .file = FILE_PIPE,
	 .is_open = true},
	{.begin_ns = 1900,
	 .end_ns = 1901,
	 .thread = 2,
	 .number = SYS_lseek,
	 .result = -ESPIPE,
	 .file = FILE_PIPE},
};
#define N (sizeof(calls) / sizeof(calls[0]))

static struct calls add_all(enum calls_by by)
{
	struct calls c = {.tables = &made.tables, .by = by, .slower_ns = UINT64_MAX};

	for (size_t i = 0; i < N; i++)
		if (calls_call(&c, &calls[i]) != 0)
			abort();
	return c;
}

static void test_number(void)
{
	struct calls c = add_all(CALLS_NUMBER);
	const struct tally_row *row = row_named(&c, "read");

	is_u64(c.tally.n, 7, "a row of each number");
	is_u64(c.n, N, "all are counted");
	is_u64(c.idle_ns, 5000, "idle time is kept apart");
	is_u64(c.total_ns - c.idle_ns, 861, "from the rest");
	is_u64(row->took.n, 4, "read: how often");
	is_u64(row->took.sum, 810, "read: how long");
	is_u64(row->took.max, 500, "read: the longest");
	is_u64(row->errors, 1, "read: how many failed");
	is_u64(row->bytes, 42, "read: bytes, of those that did not");
	is_u64(row->open_n, 1, "read: one has no end");
	is_u64(row_named(&c, "openat")->bytes, 0, "a descriptor is no number of bytes");
	is_u64(row_named(&c, "poll")->idle_n, 1, "poll is idle");
	is_u64(row_named(&c, "poll")->bytes, 0, "and moves none");
	calls_fini(&c);
}

static void test_other_rows(void)
{
	struct calls c = add_all(CALLS_FILE);

	is_u64(row_named(&c, "/var/log/app")->took.n, 2, "by file: two descriptors of one file");
	is_str(calls_file_kind(&c, row_named(&c, "/var/log/app")), "file", "by file: its kind");
	is_str(calls_file_kind(&c, row_named(&c, "9:eventfd")), "eventfd",
	       "by file: one without a name");
	is_u64(c.left_out, 2, "by file: the others are left out");
	is_u64(row_named(&c, "pipe:[7]")->errors, 1, "by file: failures");
	calls_fini(&c);

	c = add_all(CALLS_PATH);
	is_u64(c.tally.n, 2, "by path: rows");
	is_u64(row_named(&c, "/data/x")->took.sum, 20, "by path: that it was given");
	is_u64(row_named(&c, "/var/log/app")->took.sum, 300, "by path: or of its file");
	calls_fini(&c);

	c = add_all(CALLS_PEER);
	is_u64(row_named(&c, "tcp 10.0.0.1:80")->took.n, 2, "by peer: two connections to one");
	is_u64(row_named(&c, "unix:[4711]")->took.n, 1, "by peer: one without an address");
	is_u64(c.left_out, N - 3, "by peer: sockets only");
	calls_fini(&c);

	c = add_all(CALLS_THREAD);
	is_u64(row_named(&c, "worker-1")->took.n, 7, "by thread");
	calls_fini(&c);

	c = add_all(CALLS_STACK);
	is_u64(row_named(&c, "flush log.c:12")->took.n, 2, "by stack: the program's own frame");
	is_u64(row_named(&c, "(no stack)")->took.n, N - 2, "by stack: those without one");
	calls_fini(&c);

	c = add_all(CALLS_ERROR);
	is_u64(c.tally.n, 2, "by error: rows");
	is_u64(calls_error(row_named(&c, "read")), EAGAIN, "by error: which");
	is_u64(calls_error(row_named(&c, "lseek")), ESPIPE, "by error: which, of another");
	calls_fini(&c);
}

static void test_slow(void)
{
	struct calls c = {.tables = &made.tables, .slower_ns = 10, .slow_max = 3};
	struct story_call many = {.number = SYS_read, .thread = 1};

	for (size_t i = 0; i < N; i++)
		calls_call(&c, &calls[i]);
	calls_sort_slow(&c);
	is_u64(c.slow_seen, 5, "those that took longer: all");
	is_u64(c.slow_n, 3, "those that are kept");
	ok(c.slow[0].number == SYS_poll && c.slow[1].is_open && c.slow[2].begin_ns == 1100,
	   "the longest, the longest first");
	calls_fini(&c);

	c = (struct calls){.tables = &made.tables, .slower_ns = 0, .slow_max = 100};
	for (uint64_t i = 0; i < 5000; i++) {
		many.begin_ns = 10000 * i;
		many.end_ns = many.begin_ns + 1 + i * 7919 % 5003;
		calls_call(&c, &many);
	}
	calls_sort_slow(&c);
	ok(c.slow_seen == 5000 && c.slow_n == 100, "a hundred of many");
	for (uint32_t i = 0, bad = 0; i < 100; i++) {
		uint64_t took = c.slow[i].end_ns - c.slow[i].begin_ns, longer = 0;

		for (uint64_t k = 0; k < 5000; k++)
			longer += 1 + k * 7919 % 5003 > took;
		bad += longer != i;
		if (i == 99)
			is_u64(bad, 0, "and the right ones, in their order");
	}
	calls_fini(&c);
}

/* What is outside of the range is cut off; a single call that took long did so, wherever the range ends. */
static void test_range(void)
{
	const struct story_call across = {.number = SYS_read, .begin_ns = 100, .end_ns = 1000};
	struct calls c = {.tables = &made.tables,
			  .from_ns = 900,
			  .to_ns = 2000,
			  .slower_ns = 500,
			  .slow_max = 1};

	calls_call(&c, &across);
	is_u64(c.total_ns, 100, "a call that began before: the part of it");
	is_u64(row_named(&c, "read")->took.max, 100, "in its row, too");
	is_u64(c.slow_seen, 1, "but it took longer");
	calls_fini(&c);
}

static void test_selected(void)
{
	struct select_threads threads;
	struct calls c = {.tables = &made.tables, .slower_ns = UINT64_MAX};
	struct why why = {""};

	if (select_threads(&threads, "worker-1", &made.tables, &why) < 0)
		abort();
	c.threads = &threads;
	for (size_t i = 0; i < N; i++)
		calls_call(&c, &calls[i]);
	is_u64(c.n, 7, "of the threads that are wanted");
	calls_fini(&c);
	select_threads_fini(&threads);
}

static const char *file_name(const struct same_files *s, uint32_t number)
{
	static struct name name;

	name_clear(&name);
	same_file_name(s, &made.tables, number, &name);
	name.text[name.n] = '\0';
	return name.text;
}

/* A socket that is connected elsewhere. The tables are put back. */
static void test_renamed(void)
{
	const struct table_file before = *tables_file(&made.tables, FILE_TCP);
	struct table_file now = before;
	struct same_files s = {0};
	uint32_t first = same_file(&s, &made.tables, FILE_TCP), second, third;

	is_u64(same_file(&s, &made.tables, FILE_LOG), same_file(&s, &made.tables, FILE_LOG_AGAIN),
	       "files of one name are one");
	now.name = NAME_TCP_AGAIN;
	tables_set_file(&made.tables, &now);
	second = same_file(&s, &made.tables, FILE_TCP);
	ok(first != second, "one that is called otherwise is another");
	now.name = 0;
	tables_set_file(&made.tables, &now);
	third = same_file(&s, &made.tables, FILE_TCP);
	tables_set_file(&made.tables, &before);
	ok(strstr(file_name(&s, first), "41000->") && strstr(file_name(&s, second), "41001->"),
	   "each by the name that it had: %s", file_name(&s, second));
	ok(strstr(file_name(&s, third), "41000->"),
	   "one that had none yet, by the one that it got: %s", file_name(&s, third));
	ok(same_file(&s, &made.tables, 0) == 0 && file_name(&s, 0)[0] == '\0', "none is none");
	same_files_fini(&s);
}

static void test_bounds(void)
{
	struct calls c = {.tables = &made.tables, .by = CALLS_FILE, .slower_ns = UINT64_MAX};
	struct story_call call = {.end_ns = 5, .number = SYS_read, .result = 1};
	uint64_t sum = 0;

	c.tally.rows_max = 100;
	for (uint32_t i = 0; i < 1000; i++) {
		call.file = 1000 + i;
		calls_call(&c, &call);
	}
	for (uint32_t i = 0; i < c.tally.n; i++)
		sum += c.tally.rows[i]->took.n;
	is_u64(c.tally.n, 101, "so many rows, and one of all others");
	is_u64(sum, 1000, "nothing is lost");
	is_u64(row_named(&c, "(others)")->took.n, 900, "which says what it is");
	calls_fini(&c);
	c = (struct calls){.tables = &made.tables, .slower_ns = UINT64_MAX};
	call.number = UINT32_MAX;
	call.result = INT64_MIN;
	calls_call(&c, &call);
	is_str(name_of(&c, c.tally.rows[0]), "syscall#4294967295", "a number that is none");
	ok(c.tally.rows[0]->errors == 0 && c.tally.rows[0]->bytes == 0,
	   "and a result that is none");
	calls_fini(&c);
}

static void test_merge(void)
{
	struct tally_row a = {0}, b = {0}, both = {0};

	for (uint64_t i = 0; i < 1000; i++) {
		histogram_add(i % 3 ? &a.took : &b.took, i * i);
		histogram_add(&both.took, i * i);
	}
	a.errors = 3;
	b.errors = 4;
	tally_merge(&a, &b);
	ok(memcmp(&a.took, &both.took, sizeof(a.took)) == 0 && a.errors == 7,
	   "two rows added are what one would have had");
	a.took.buckets[3] = UINT32_MAX - 1;
	b.took.buckets[3] = 5;
	tally_merge(&a, &b);
	is_u64(a.took.buckets[3], UINT32_MAX, "a bucket that is full stays so");
}

int main(void)
{
	plan_begin();
	made_tables_load(&made);
	test_number();
	test_other_rows();
	test_slow();
	test_range();
	test_selected();
	test_renamed();
	test_bounds();
	test_merge();
	made_tables_free(&made);
	return plan_end();
}
