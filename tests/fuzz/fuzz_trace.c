/*
 * A file in which anything may stand is refused with a sentence, or read to its end within bounds: walked, verified, put into the
 * order of time, printed in every form, told as a story, exported, and repaired, cut and symbolized, after which it is whole.
 * Built with -fsanitize=fuzzer; see `make fuzz`.
 *
 * Checksums would keep nearly everything from what is behind them, so they are made right first: of every header that begins
 * where one may, and of every payload that a header tells of. The first byte says whether.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/checksum.h"
#include "viewer/across.h"
#include "viewer/blocked.h"
#include "viewer/critical.h"
#include "viewer/cut.h"
#include "viewer/diff.h"
#include "viewer/export.h"
#include "viewer/lock_chains.h"
#include "viewer/lock_order.h"
#include "viewer/locks.h"
#include "viewer/moment.h"
#include "viewer/print.h"
#include "viewer/regions.h"
#include "viewer/repair.h"
#include "viewer/story.h"
#include "viewer/symbolize.h"
#include "viewer/task_lines.h"
#include "viewer/tasks.h"
#include "viewer/warnings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool is_right)
{
	if (!is_right)
		abort();
}

static void seal_header(uint8_t *at, uint32_t size, size_t crc_offset)
{
	uint32_t crc;

	if (size < crc_offset + sizeof(crc))
		return;
	crc = checksum_crc32c(0, at, crc_offset);
	crc = checksum_crc32c(crc, at + crc_offset + sizeof(crc), size - crc_offset - sizeof(crc));
	memcpy(at + crc_offset, &crc, sizeof(crc));
}

static void seal_frame(uint8_t *at, size_t left)
{
	uint32_t n, sum;

	if (left < 15)
		return;
	at[6] = (uint8_t)(checksum_xxh32(at + 4, 2) >> 8);
	memcpy(&n, at + 7, sizeof(n));
	n &= INT32_MAX;
	if (n > left - 15)
		return;
	sum = checksum_xxh32(at + 11, n);
	memcpy(at + 11 + n, &sum, sizeof(sum));
}

static void seal(uint8_t *bytes, size_t size)
{
	static const uint8_t magic[] = {0x5c, 0x2a, 0x4d, 0x18};

	for (size_t i = 0; i + 16 <= size; i++) {
		uint32_t n;

		if (memcmp(bytes + i, magic, sizeof(magic)) != 0)
			continue;
		memcpy(&n, bytes + i + 4, sizeof(n));
		if (n > size - i - 8)
			continue;
		if (memcmp(bytes + i + 8, "CPROFTRC", 8) == 0)
			seal_header(bytes + i + 8, n, 60);
		else if (memcmp(bytes + i + 8, "CPROFEND", 8) == 0)
			seal_header(bytes + i + 8, n, 28);
		else if (memcmp(bytes + i + 8, "CPB1", 4) == 0) {
			seal_header(bytes + i + 8, n, 92);
			seal_frame(bytes + i + 8 + n, size - i - 8 - n);
		}
	}
}

struct opened {
	struct reader *reader;
	struct streams streams;
	struct tables tables;
	struct verify verify;
};

static bool open_bytes(struct opened *o, const uint8_t *bytes, size_t size)
{
	struct why why = {""};

	memset(o, 0, sizeof(*o));
	if (reader_open_bytes(&o->reader, "fuzz", bytes, size, &why) < 0) {
		check(why.text[0] != '\0');
		return false;
	}
	check(streams_init(&o->streams, o->reader) == 0);
	tables_init(&o->tables);
	return true;
}

static void close_bytes(struct opened *o)
{
	tables_fini(&o->tables);
	streams_fini(&o->streams);
	reader_close(o->reader);
}

static void print_all(const uint8_t *bytes, size_t size, uint8_t choice)
{
	static struct out out;
	struct print print = {.out = &out,
			      .format = (enum print_format)(choice % 3),
			      .is_raw = choice & 8,
			      .with_stacks = choice & 16};
	struct why why = {""};
	struct merge *merge;
	struct merged m;
	struct opened o;
	uint64_t last = 0, n = 0;

	if (!open_bytes(&o, bytes, size))
		return;
	check(tables_load(&o.tables, o.reader, &why) == 0);
	check(merge_create(&merge, o.reader, &o.streams, &o.tables) == 0);
	out_init(&out, open("/dev/null", O_WRONLY | O_CLOEXEC), choice & 32);
	print.tables = &o.tables;
	print_begin(&print);
	while (merge_next(merge, &m, NULL, &why) > 0) {
		check(m.event->ns >= last);
		last = m.event->ns;
		if (n++ < 2000)
			print_event(&print, &m);
	}
	check(n == merge_counts(merge).events);
	print_end(&print);
	out_flush(&out);
	close(out.fd);
	merge_destroy(merge);
	close_bytes(&o);
}

/* Intervals of each thread follow one another, and add up to its life. */
#define TOLD 64
struct told {
	uint64_t thread[TOLD], at[TOLD], sum[TOLD];
	unsigned n;
};

static unsigned find_told(struct told *told, uint32_t thread)
{
	for (unsigned i = 0; i < told->n; i++)
		if (told->thread[i] == thread)
			return i;
	if (told->n == TOLD)
		return TOLD;
	told->thread[told->n] = thread;
	return told->n++;
}

static int on_interval(void *context, const struct interval *i)
{
	struct told *told = context;
	unsigned at = find_told(told, i->thread);

	check(i->begin_ns < i->end_ns && i->state < TRACE_STATES && i->certainty <= STORY_UNKNOWN);
	if (at == TOLD)
		return 0;
	check(told->at[at] == 0 || told->at[at] == i->begin_ns);
	told->at[at] = i->end_ns;
	told->sum[at] += i->end_ns - i->begin_ns;
	return 0;
}

static int on_life(void *context, const struct story_life *l)
{
	struct told *told = context;
	unsigned at = find_told(told, l->thread);

	check(at == TOLD || told->sum[at] == l->end_ns - l->begin_ns);
	return 0;
}

static int on_call(void *context, const struct story_call *c)
{
	(void)context;
	check(c->begin_ns <= c->end_ns);
	return 0;
}

static int on_wait(void *context, const struct story_wait *w)
{
	(void)context;
	check(w->begin_ns <= w->end_ns);
	return 0;
}

static int on_hold(void *context, const struct story_hold *h)
{
	(void)context;
	check(h->begin_ns <= h->end_ns);
	return 0;
}

static int on_edge(void *context, const struct story_edge *e)
{
	(void)context;
	check(e->from_ns <= e->to_ns && e->kind < STORY_EDGES);
	return 0;
}

static void tell(const uint8_t *bytes, size_t size)
{
	struct told told = {0};
	const struct story_listener listener = {.context = &told,
						.interval = on_interval,
						.life = on_life,
						.call = on_call,
						.wait = on_wait,
						.hold = on_hold,
						.edge = on_edge};
	struct story_counts counts;
	struct why why = {""};
	struct opened o;
	int r;

	if (!open_bytes(&o, bytes, size))
		return;
	check(tables_load(&o.tables, o.reader, &why) == 0);
	r = story_tell(o.reader, &o.streams, &o.tables, 0, UINT64_MAX, &listener, &counts, NULL,
		       &why);
	check(r == 0 || why.text[0] != '\0');
	close_bytes(&o);
}

static void listen(struct opened *o, const struct story_listener *listener)
{
	struct story_counts counts;
	struct why why = {""};
	int r = story_tell(o->reader, &o->streams, &o->tables, 0, UINT64_MAX, listener, &counts,
			   NULL, &why);

	check(r == 0 || why.text[0] != '\0');
}

/* Those who add up who waited for whom; what they have found adds up. */
static void add_up_waits(const uint8_t *bytes, size_t size, uint8_t choice)
{
	struct opened o;
	struct why why = {""};
	struct locks locks = {
		.by = (enum locks_by)(choice % 3), .to_ns = UINT64_MAX, .with_idle = true};
	struct lock_order order = {0};
	struct lock_chains chains = {.to_ns = UINT64_MAX, .tables = &o.tables};
	struct across across = {
		.to_ns = UINT64_MAX, .with_calls = true, .with_waits = true, .tables = &o.tables};
	struct blocked blocked = {
		.to_ns = UINT64_MAX, .tables = &o.tables, .by_holder = choice & 8};
	struct moment moment = {0};
	struct blocked_tree tree;
	struct story_listener listener;
	uint64_t sum = 0;

	if (!open_bytes(&o, bytes, size))
		return;
	check(tables_load(&o.tables, o.reader, &why) == 0);
	listener = locks_listener(&locks);
	listen(&o, &listener);
	locks_finish(&locks, UINT64_MAX);
	locks_fini(&locks);
	listener = lock_order_listener(&order);
	listen(&o, &listener);
	check(lock_order_finish(&order) == 0);
	lock_order_fini(&order);
	listener = lock_chains_listener(&chains);
	listen(&o, &listener);
	for (uint32_t i = 0; i < chains.nodes_n; i++)
		for (uint32_t k = i, n = 0; k != LOCK_CHAIN_NONE; k = chains.nodes[k].next)
			check(k < chains.nodes_n && n++ < LOCK_CHAIN_STEPS + 1);
	lock_chains_fini(&chains);
	listener = across_listener(&across);
	listen(&o, &listener);
	across_fini(&across);
	memset(blocked.kinds, 1, sizeof(blocked.kinds));
	listener = blocked_listener(&blocked);
	listen(&o, &listener);
	check(blocked_make_tree(&blocked, &tree) == 0);
	for (uint32_t i = 0; i < tree.n; i++)
		sum += tree.nodes[i].own_ns;
	check(sum == blocked.sum_ns && sum == tree.nodes[0].sum_ns);
	blocked_tree_fini(&tree);
	blocked_fini(&blocked);
	moment.at_ns = o.reader->blocks_n > 0 ? o.reader->blocks[0].last_ns : 0;
	listener = moment_listener(&moment);
	listen(&o, &listener);
	for (uint32_t i = 0; i < moment.threads_n; i++)
		moment_step(&moment, moment.threads[i]->life.thread);
	moment_fini(&moment);
	close_bytes(&o);
}

/* The summary: whatever is in a trace, how many ran at once adds up to what all ran, and each call is counted once. */
static void sum_up(const uint8_t *bytes, size_t size, uint8_t choice)
{
	struct summary *s = calloc(1, sizeof(*s));
	struct summary_parallel *p = malloc(sizeof(*p));
	struct warning *warnings = malloc(WARNINGS_MAX * sizeof(*warnings));
	struct diff_side *sides = calloc(2, sizeof(*sides));
	struct story_counts counts = {0};
	struct story_listener listener;
	struct diff_pair *pairs;
	struct why why = {""};
	uint64_t n = 0;
	uint32_t pairs_n;
	struct opened o;

	check(s != NULL && p != NULL && warnings != NULL && sides != NULL);
	if (open_bytes(&o, bytes, size)) {
		check(tables_load(&o.tables, o.reader, &why) == 0);
		s->tables = &o.tables;
		s->to_ns = UINT64_MAX;
		s->calls.by = (enum calls_by)(choice % CALLS_ERROR);
		listener = summary_listener(s);
		listen(&o, &listener);
		check(summary_end(s, UINT64_MAX) == 0);
		summary_parallel(s, p);
		check(s->threads != NULL || p->ns[PARALLEL_MAX] > 0 ||
		      p->running_ns == s->state_ns[TRACE_RUNNING]);
		for (uint32_t i = 0; i < s->calls.tally.n; i++) {
			name_clear(&warnings[0].text);
			calls_name(&s->calls, s->calls.tally.rows[i], &warnings[0].text);
			n += s->calls.tally.rows[i]->took.n;
		}
		check(n + s->calls.left_out == s->calls.n);
		check(warnings_find(s, &counts, 1, warnings) <= WARNINGS_MAX);
		for (unsigned i = 0; i < 2; i++) {
			sides[i].tables = &o.tables;
			sides[i].to_ns = UINT64_MAX;
			listener = diff_listener(&sides[i]);
			listen(&o, &listener);
			check(diff_end(&sides[i], UINT64_MAX) == 0);
		}
		check(diff_pairs(&sides[0], &sides[1], &pairs, &pairs_n) == 0);
		for (uint32_t i = 0; i < pairs_n; i++)
			check(pairs[i].rows[0] != NULL && pairs[i].rows[1] != NULL &&
			      pairs[i].rows[0]->took.sum == pairs[i].rows[1]->took.sum);
		free(pairs);
		diff_fini(&sides[0]);
		diff_fini(&sides[1]);
		summary_fini(s);
		close_bytes(&o);
	}
	free(s);
	free(p);
	free(warnings);
	free(sides);
}

/* A new trace of @size bytes in @fd, of whatever it was made: it has no damage. */
static void check_whole(int fd, uint64_t size, uint64_t events)
{
	struct why why = {""};
	uint8_t *bytes = malloc(size);
	struct opened o;

	check(bytes != NULL && pread(fd, bytes, size, 0) == (ssize_t)size);
	close(fd);
	check(open_bytes(&o, bytes, size));
	check(verify_trace(&o.verify, o.reader, &o.streams, &o.tables, NULL, &why) == 0);
	check(!verify_is_damaged(&o.verify, o.reader, &o.streams));
	check(o.verify.blocks_bad == 0 &&
	      (events == UINT64_MAX || o.verify.events + o.verify.unreadable == events));
	close_bytes(&o);
	free(bytes);
}

static void verify_and_repair(const uint8_t *bytes, size_t size)
{
	int fd = memfd_create("repaired", MFD_CLOEXEC), named = memfd_create("named", MFD_CLOEXEC);
	struct why why = {""};
	struct repair done;
	struct symbolize symbolized;
	struct tables none;
	struct resolver *x;
	struct opened o;

	if (!open_bytes(&o, bytes, size)) {
		close(fd);
		close(named);
		return;
	}
	check(verify_trace(&o.verify, o.reader, &o.streams, &o.tables, NULL, &why) == 0);
	check(repair_write(&done, o.reader, &o.streams, &o.tables, &o.verify, fd, NULL, &why) == 0);
	check_whole(fd, done.bytes, UINT64_MAX);
	/* whose modules are none, so that no file is opened */
	tables_init(&none);
	check(resolver_create(&x, &none, 0) == 0);
	check(symbolize_write(&symbolized, o.reader, &o.streams, &o.tables, &o.verify, x, named,
			      NULL, &why) == 0);
	check_whole(named, symbolized.bytes, UINT64_MAX);
	resolver_destroy(x);
	tables_fini(&none);
	close_bytes(&o);
}

static void cut_out(const uint8_t *bytes, size_t size, uint8_t choice)
{
	int fd = memfd_create("cut", MFD_CLOEXEC);
	struct cut_wanted wanted = {.to_ns = UINT64_MAX, .note = "fuzz"};
	struct why why = {""};
	struct opened o;
	struct cut done;
	uint64_t first = UINT64_MAX, last = 0;

	if (!open_bytes(&o, bytes, size)) {
		close(fd);
		return;
	}
	check(tables_load(&o.tables, o.reader, &why) == 0);
	for (size_t i = 0; i < o.reader->blocks_n; i++) {
		const struct reader_block *b = &o.reader->blocks[i];

		first = b->first_ns < first ? b->first_ns : first;
		last = b->last_ns > last ? b->last_ns : last;
	}
	if (choice & 1 && last > first)
		wanted.from_ns = first + (last - first) / 3;
	if (choice & 2 && last > first)
		wanted.to_ns = last - (last - first) / 3;
	for (unsigned type = 0; choice & 4 && type < 256; type += 3)
		wanted.dropped[type] = true;
	if (choice & 64)
		select_threads(&wanted.threads, "1,2,main,wo.*", &o.tables, &why);
	check(cut_write(&done, o.reader, &o.streams, &o.tables, &wanted, fd, NULL, &why) == 0);
	check_whole(fd, done.bytes, done.events);
	select_threads_fini(&wanted.threads);
	close_bytes(&o);
}

static int tell_to(struct opened *o, const struct story_listener *listener,
		   struct story_counts *counts)
{
	struct why why = {""};

	return story_tell(o->reader, &o->streams, &o->tables, 0, UINT64_MAX, listener, counts, NULL,
			  &why);
}

static int throw_away(void *context, const void *bytes, size_t size)
{
	(void)bytes;
	*(uint64_t *)context += size;
	return 0;
}

/* For another viewer, in one of the forms: each is whole. */
static void export_one(const uint8_t *bytes, size_t size, uint8_t choice)
{
	static struct out out;
	struct export x = {.to_ns = UINT64_MAX};
	struct story_listener listener;
	struct story_counts counts;
	struct select_threads threads = {0};
	struct why why = {""};
	struct opened o;
	uint64_t written = 0;
	unsigned n = 0;
	int r;

	if (!open_bytes(&o, bytes, size))
		return;
	check(tables_load(&o.tables, o.reader, &why) == 0);
	while (export_nth(n) != NULL)
		n++;
	out_init_sink(&out, throw_away, &written);
	x.format = export_nth(choice % n);
	x.out = &out;
	x.reader = o.reader;
	x.tables = &o.tables;
	x.threads = &threads;
	x.begun_ns = o.reader->header.begun_monotonic_ns;
	if (choice & 64 && o.reader->blocks_n > 0)
		x.from_ns = x.to_ns = o.reader->blocks[0].last_ns;
	listener = export_listener(&x);
	check(export_begin(&x) == 0);
	r = tell_to(&o, &listener, &counts);
	check(x.error == 0 && out.error == 0);
	if (r == 0)
		check(export_end(&x, &counts) == 0);
	check(out_flush(&out) == 0);
	export_fini(&x);
	select_threads_fini(&threads);
	close_bytes(&o);
}

/* Tasks, regions and critical paths add up, whatever they are made of. */
struct analyses {
	struct tasks tasks;
	struct regions regions;
	struct task_lines lines;
	struct critical path;
};

static void check_tasks(const struct tasks *t)
{
	for (uint32_t i = 0; i < t->slowest_n; i++) {
		const struct task *task = &t->slowest[i];

		check(task->begin_ns <= task->end_ns);
		check(task_work_ns(task->state_ns) - task->overlap_ns + task->gap_ns ==
		      task->end_ns - task->begin_ns);
	}
}

static void check_regions(const struct regions *r)
{
	for (uint32_t i = 0; i < r->slowest_n; i++) {
		const struct region *region = &r->slowest[i];

		check(region->begin_ns <= region->end_ns);
		check(region->self_ns <= region->end_ns - region->begin_ns);
		check(task_work_ns(region->state_ns) == region->end_ns - region->begin_ns);
	}
}

static void check_path(const struct critical *c)
{
	uint64_t at = c->from_ns;

	for (uint32_t i = 0; i < c->segments_n; i++) {
		check(c->segments[i].begin_ns == at && c->segments[i].end_ns > at);
		at = c->segments[i].end_ns;
	}
	check(at == c->to_ns || c->from_ns >= c->to_ns);
}

static void add_up(const uint8_t *bytes, size_t size, uint8_t choice)
{
	struct analyses a = {
		.tasks = {.to_ns = UINT64_MAX, .slowest_max = 100},
		.regions = {.to_ns = UINT64_MAX, .slowest_max = 100},
		.lines = {.id = choice},
		.path = {.to_ns = UINT64_MAX, .limit = 10000},
	};
	struct story_listener listener = tasks_listener(&a.tasks);
	struct story_counts counts;
	struct opened o;
	struct why why = {""};

	if (!open_bytes(&o, bytes, size))
		return;
	check(tables_load(&o.tables, o.reader, &why) == 0);
	if (tell_to(&o, &listener, &counts) == 0) {
		check(tasks_end(&a.tasks, counts.end_ns) == 0);
		check_tasks(&a.tasks);
	}
	listener = regions_listener(&a.regions);
	if (tell_to(&o, &listener, &counts) == 0) {
		check(regions_end(&a.regions, counts.end_ns) == 0);
		check_regions(&a.regions);
	}
	listener = task_lines_listener(&a.lines);
	if (tell_to(&o, &listener, &counts) == 0)
		check(task_lines_end(&a.lines, counts.end_ns) == 0);
	listener = critical_listener(&a.path);
	if (tell_to(&o, &listener, &counts) == 0) {
		a.path.from_ns = counts.begin_ns;
		a.path.to_ns = counts.end_ns;
		check(critical_walk(&a.path, choice % 4) == 0);
		check_path(&a.path);
	}
	tasks_fini(&a.tasks);
	regions_fini(&a.regions);
	task_lines_fini(&a.lines);
	critical_fini(&a.path);
	close_bytes(&o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *bytes;

	if (size == 0)
		return 0;
	bytes = malloc(size);
	check(bytes != NULL);
	memcpy(bytes, data + 1, size - 1);
	if (data[0] & 128)
		seal(bytes, size - 1);
	print_all(bytes, size - 1, data[0]);
	tell(bytes, size - 1);
	add_up(bytes, size - 1, data[0]);
	add_up_waits(bytes, size - 1, data[0]);
	sum_up(bytes, size - 1, data[0]);
	verify_and_repair(bytes, size - 1);
	cut_out(bytes, size - 1, data[0]);
	export_one(bytes, size - 1, data[0]);
	free(bytes);
	return 0;
}
