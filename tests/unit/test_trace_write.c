/*
 * Traces out of traces: a cut one has what was asked for and nothing else, at the same times, and what each thread was doing at its
 * beginning; a symbolized one has names, and the same events byte for byte. Both are whole, whatever they were made of.
 */
#define TRACE_MAKE_LZ4

#include <errno.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output/symbols_elf.h"
#include "tests/tap.h"
#include "tests/unit/trace_sample.h"
#include "viewer/cut.h"
#include "viewer/merge.h"
#include "viewer/names.h"
#include "viewer/symbolize.h"
#include "viewer/verify.h"

struct opened {
	struct reader *reader;
	struct streams streams;
	struct tables tables;
	struct verify verify;
	int error;
};

static void open_bytes(struct opened *o, const void *bytes, size_t size)
{
	struct why why = {""};

	memset(o, 0, sizeof(*o));
	tables_init(&o->tables);
	o->error = reader_open_bytes(&o->reader, "test", bytes, size, &why);
	if (o->error == 0)
		o->error = streams_init(&o->streams, o->reader);
	if (o->error == 0)
		o->error = verify_trace(&o->verify, o->reader, &o->streams, &o->tables, NULL, &why);
}

static void close_bytes(struct opened *o)
{
	tables_fini(&o->tables);
	streams_fini(&o->streams);
	reader_close(o->reader);
}

/* Events by time, with what does not depend on the block they are in. */
struct seen {
	uint64_t ns, arguments[TRACE_ARGUMENTS_MAX];
	uint32_t thread;
	uint8_t type, n;
};

#define SEEN_MAX 4096
struct list {
	struct seen events[SEEN_MAX];
	size_t n;
};

static void list_events(struct list *list, struct opened *o)
{
	struct merge *merge = NULL;
	struct merged m;
	struct why why;

	list->n = 0;
	if (merge_create(&merge, o->reader, &o->streams, &o->tables) < 0)
		return;
	while (merge_next(merge, &m, NULL, &why) > 0 && list->n < SEEN_MAX) {
		const struct event_type *type = &o->tables.schema.types[m.event->type];
		struct seen *seen = &list->events[list->n++];

		memset(seen, 0, sizeof(*seen));
		seen->ns = m.event->ns;
		seen->thread = m.thread;
		seen->type = m.event->type;
		seen->n = m.event->n;
		for (unsigned i = 0; i < m.event->n; i++)
			seen->arguments[i] = type->kinds[i] == ARGUMENT_TICKS
						     ? ticks_to_ns(&m.ticks, m.event->arguments[i])
						     : m.event->arguments[i];
	}
	merge_destroy(merge);
}

/* What a fd has, from malloc. */
static uint8_t *read_back(int fd, uint64_t size)
{
	uint8_t *out = malloc(size + 1);

	if (pread(fd, out, size, 0) != (ssize_t)size) {
		free(out);
		out = NULL;
	}
	close(fd);
	return out;
}

struct asked {
	uint64_t from_ns, to_ns;
	const char *threads, *drop;
};

static const struct asked all = {0, UINT64_MAX, NULL, NULL};

/* The trace that is cut out of @bytes, from malloc; NULL when they are none. */
static uint8_t *cut_of(const void *bytes, size_t size, const struct asked *asked, size_t *ret_size)
{
	struct cut_wanted wanted = {
		.from_ns = asked->from_ns, .to_ns = asked->to_ns, .note = "as asked for"};
	int fd = memfd_create("cut", MFD_CLOEXEC), r;
	struct opened o;
	struct cut done;
	struct why why = {""};

	open_bytes(&o, bytes, size);
	r = o.error;
	if (r == 0 && asked->drop != NULL)
		r = select_types(asked->drop, &o.tables.schema, wanted.dropped, &why);
	if (r == 0 && asked->threads != NULL)
		r = select_threads(&wanted.threads, asked->threads, &o.tables, &why);
	if (r == 0)
		r = cut_write(&done, o.reader, &o.streams, &o.tables, &wanted, fd, NULL, &why);
	select_threads_fini(&wanted.threads);
	close_bytes(&o);
	if (r < 0) {
		close(fd);
		return NULL;
	}
	*ret_size = done.bytes;
	return read_back(fd, done.bytes);
}

static bool is_status(uint8_t type)
{
	return type >= 11 && type <= 13;
}

static bool is_book(uint8_t type)
{
	return is_status(type) || type == 112 || type == 113;
}

/*
 * Are the events of @new those of @old that are asked for, in their order? What the new one begins with is added: at its first
 * moment, what threads and processors do.
 */
static bool is_selection(struct list *new, struct opened *old_trace, struct list *old,
			 const struct asked *asked, size_t *ret_added)
{
	struct select_threads threads = {0};
	bool dropped[256] = {false};
	struct why why;
	size_t at = 0, missing = 0;
	bool is_same = true;

	*ret_added = 0;
	if (asked->drop != NULL)
		select_types(asked->drop, &old_trace->tables.schema, dropped, &why);
	if (asked->threads != NULL)
		select_threads(&threads, asked->threads, &old_trace->tables, &why);
	for (size_t i = 0; i < old->n && is_same; i++) {
		const struct seen *e = &old->events[i];
		bool is_process = e->type == 112 || e->type == 113;

		if (e->ns < asked->from_ns || e->ns > asked->to_ns ||
		    (dropped[e->type] && !is_book(e->type)) ||
		    (!select_has_thread(&threads, e->thread) && !is_process))
			continue;
		if (!select_has_thread(&threads, e->thread)) {
			/* kept for the process, not for another thread */
			while (at < new->n && memcmp(&new->events[at], e, sizeof(*e)) != 0 &&
			       new->events[at].ns == asked->from_ns) {
				at++;
				++*ret_added;
			}
			at += at < new->n &&memcmp(&new->events[at], e, sizeof(*e)) == 0;
			continue;
		}
		while (at < new->n && memcmp(&new->events[at], e, sizeof(*e)) != 0 &&
		       new->events[at].ns == asked->from_ns &&
		       (is_status(new->events[at].type) || new->events[at].type == 112 ||
			new->events[at].type == 65)) {
			at++;
			++*ret_added;
		}
		is_same = at < new->n &&memcmp(&new->events[at], e, sizeof(*e)) == 0;
		if (!is_same) {
			note("event %zu of the old one, type %u of thread %u at %" PRIu64
			     ", is not at %zu: type %u of thread %u at %" PRIu64,
			     i, e->type, e->thread, e->ns - MADE_BEGUN, at,
			     at < new->n ? new->events[at].type : 0,
			     at < new->n ? new->events[at].thread : 0,
			     at < new->n ? new->events[at].ns - MADE_BEGUN : 0);
			missing++;
		}
		at++;
	}
	while (at < new->n &&new->events[at].ns == asked->from_ns) {
		at++;
		++*ret_added;
	}
	select_threads_fini(&threads);
	if (is_same && at != new->n)
		note("%zu events more, type %u", new->n - at, new->events[at].type);
	return is_same && at == new->n;
}

static struct list old_list, new_list;

/* Cuts a trace and compares. */
static bool is_cut_right(const struct made *m, const struct asked *asked, size_t *ret_added)
{
	struct opened old, new;
	size_t size = 0;
	uint8_t *bytes = cut_of(m->file.at, m->file.n, asked, &size);
	bool is_right;

	if (bytes == NULL)
		return false;
	open_bytes(&old, m->file.at, m->file.n);
	open_bytes(&new, bytes, size);
	list_events(&old_list, &old);
	list_events(&new_list, &new);
	is_right = new.error == 0 && !verify_is_damaged(&new.verify, new.reader, &new.streams) &&
		   new.verify.blocks_bad == 0 &&
		   new.verify.events ==
			   new_list.n &&is_selection(&new_list, &old, &old_list, asked, ret_added);
	for (unsigned i = 0; i < NEEDS; i++)
		is_right = is_right && new.verify.needs_missing[i] == 0;
	if (!is_right)
		note("from %" PRId64 " to %" PRId64 ", %s, without %s: error %d, damages %zu (%s)",
		     (int64_t)(asked->from_ns - MADE_BEGUN), (int64_t)(asked->to_ns - MADE_BEGUN),
		     asked->threads != NULL ? asked->threads : "all threads",
		     asked->drop != NULL ? asked->drop : "nothing", new.error,
		     new.reader != NULL ? new.reader->damages_n : 0,
		     new.reader != NULL &&new.reader->damages_kept > 0 ? new.reader->damages[0].what
								       : "");
	close_bytes(&old);
	close_bytes(&new);
	free(bytes);
	return is_right;
}

static void test_all(void)
{
	struct made m = {.is_packed = true};
	struct opened new, old;
	size_t size = 0, added, same = 0;
	uint8_t *bytes;

	make_sample(&m);
	ok(is_cut_right(&m, &all, &added) && added == 0, "all of a trace is all of it");
	bytes = cut_of(m.file.at, m.file.n, &all, &size);
	open_bytes(&new, bytes, size);
	open_bytes(&old, m.file.at, m.file.n);
	/* in ns a tick of 0.3 ns is another number: blocks that are wanted as they are stay so */
	for (size_t i = 0; i < new.reader->blocks_n; i++) {
		const struct reader_block *a = &new.reader->blocks[i], *b;

		for (size_t k = 0; k < old.reader->blocks_n; k++) {
			b = &old.reader->blocks[k];
			same += a->kind == MADE_EVENTS && b->kind == MADE_EVENTS &&
				a->thread == b->thread && a->sequence == b->sequence &&
				a->flags == b->flags && a->span == b->span &&
				a->stored_bytes == b->stored_bytes &&
				memcmp(bytes + a->offset + a->header_bytes,
				       m.file.at + b->offset + b->header_bytes,
				       a->stored_bytes) == 0;
		}
	}
	/* one has an event that is corrected: it is written with the time that it has */
	is_u64(same, 6, "blocks are copied");
	is_str(tables_metadata(&new.tables, "cut"), "as asked for", "it says that it is a cut");
	ok(memcmp(new.reader->header.uuid, old.reader->header.uuid, 16) != 0,
	   "it is another trace");
	ok(new.reader->header.begun_monotonic_ns == MADE_BEGUN &&new.reader->trailer.end_reason ==
			   2 &&
		   new.reader->trailer.end_value == 7,
	   "with the same beginning, and the same end");
	is_u64(new.verify.lost, 12, "what was lost");
	close_bytes(&new);
	close_bytes(&old);
	free(bytes);
	made_free(&m);
}

static void test_ranges(void)
{
	static const int64_t around[] = {-1, 0, 1};
	struct made m = {0};
	struct opened o;
	uint64_t times[SEEN_MAX];
	size_t times_n = 0, wrong = 0, tried = 0, added;

	make_sample(&m);
	open_bytes(&o, m.file.at, m.file.n);
	list_events(&old_list, &o);
	for (size_t i = 0; i < old_list.n; i++)
		for (unsigned k = 0; k < 3; k++)
			times[times_n++] = old_list.events[i].ns + (uint64_t)around[k];
	close_bytes(&o);
	for (size_t i = 0; i < times_n; i++) {
		struct asked asked = all;

		asked.from_ns = times[i];
		wrong += !is_cut_right(&m, &asked, &added);
		asked = all;
		asked.to_ns = times[i];
		wrong += !is_cut_right(&m, &asked, &added);
		for (size_t k = i; k < times_n; k += 11) {
			asked.from_ns = times[i];
			asked.to_ns = times[k];
			wrong += asked.to_ns >= asked.from_ns && !is_cut_right(&m, &asked, &added);
			tried++;
		}
	}
	ok(tried > 500, "%zu ranges of time", tried);
	is_u64(wrong, 0, "each has the events that are in it, at their times");
	ok(is_cut_right(&m, &(struct asked){UINT64_MAX - 1, UINT64_MAX, NULL, NULL}, &added) &&
		   is_cut_right(&m, &(struct asked){0, 1, NULL, NULL}, &added) && added == 0,
	   "and there may be none");
	made_free(&m);
}

static void test_selection(void)
{
	static const char *const threads[] = {NULL,        "4711",    "worker-.*",
					      "main,4713", "process", "nobody"};
	static const char *const drops[] = {
		NULL, "lock.*", "sched.*,sample.*", "thread.*,status.*", "clock.sync,lost", "*"};
	struct made m = {.is_packed = true};
	size_t wrong = 0, added;

	make_sample(&m);
	for (unsigned i = 0; i < 6; i++) {
		for (unsigned k = 0; k < 6; k++) {
			struct asked asked = {0, UINT64_MAX, threads[i], drops[k]};

			wrong += !is_cut_right(&m, &asked, &added);
			asked.from_ns = MADE_BEGUN + 165000;
			asked.to_ns = MADE_BEGUN + 3000000500;
			wrong += !is_cut_right(&m, &asked, &added);
		}
	}
	is_u64(wrong, 0, "threads, and types that are dropped");
	{
		struct asked asked = {0, UINT64_MAX, NULL, "sched.*"};
		size_t size = 0;
		uint8_t *bytes = cut_of(m.file.at, m.file.n, &asked, &size);
		struct opened new;

		open_bytes(&new, bytes, size);
		is_u64(new.reader->header.flags, m.flags & ~8u,
		       "switches that are dropped were not seen");
		close_bytes(&new);
		free(bytes);
	}
	made_free(&m);
}

#define MS UINT64_C(1000000)

/* A thread that is in the middle of much, and another that is gone. */
static void make_busy(struct made *m)
{
	made_begin(m);
	for (uint32_t i = 1; i < 10; i++)
		made_string(m, i, "text");
	made_end_block(m, (struct made_block){.kind = MADE_STRINGS});
	for (uint32_t i = 1; i < 8; i++)
		made_record(m, 8, U(i), U(1), U(0), U(0x1000 + i), U(0), U(0), U(0), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_OBJECTS, .needs = {10}});
	made_record(m, 6, U(1), U(11), U(1), U(0), U(1), U(0));
	made_record(m, 6, U(2), U(12), U(1), U(0), U(2), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_THREADS, .needs = {10}});
	/* the process */
	made_event(m, 112, 0, 4, U(100), U(200), U(300), U(400));
	made_end_block(m, (struct made_block){.kind = MADE_EVENTS,
					      .flags = 4,
					      .thread = MADE_ALL,
					      .first_ns = MADE_BEGUN,
					      .last_ns = MADE_BEGUN});
	/* from 0 on, in ticks of 2 ns */
	made_event(m, 11, 0, 7, U(1), U(0), U(0), U(0), U(0), U(1), U(1));
	made_event(m, 12, 0, 3, U(1), U(2), U(50)); /* since 100 ns before */
	made_event(m, 13, 0, 1, U(3));
	made_event(m, 33, 1 * MS / 2, 4, U(2), U(1), U(5), U(10)); /* 1 ms: takes 2 */
	made_event(m, 99, 1 * MS / 2, 3, U(4), U(0), U(0));        /* 2 ms: a region */
	made_event(m, 98, 0, 1, U(77));
	made_event(m, 33, 1 * MS / 2, 4, U(3), U(1), U(6), U(10)); /* 3 ms: takes 3 */
	made_event(m, 40, 1 * MS / 2, 4, U(4), U(3), U(0), U(0));  /* 4 ms: waits, lets 3 go */
	made_event(m, 41, 4 * MS / 2, 3, U(4), U(0), U(1));        /* 8 ms: has it again */
	made_event(m, 37, 1 * MS / 2, 3, U(1), U(2), U(99));       /* 9 ms: lets 1 go */
	made_event(m, 16, 1 * MS / 2, 5, U(232), U(0), U(0), U(0), U(0)); /* 10 ms: epoll_wait */
	made_event(m, 17, 10 * MS / 2, 3, U(232), U(0), U(0));            /* 20 ms */
	made_end_block(m, (struct made_block){.kind = MADE_EVENTS,
					      .thread = 1,
					      .first_ns = MADE_BEGUN,
					      .last_ns = MADE_BEGUN + 20 * MS,
					      .span = 10 * MS,
					      .tick_fs = 2000000,
					      .has_summary = true,
					      .summary = {[8] = 3, [10] = 6},
					      .needs = {10, 0, 8}});
	made_event(m, 11, 0, 7, U(1), U(0), U(0), U(0), U(0), U(0), U(0));
	made_event(m, 4, 5 * MS, 1, U(1));
	made_end_block(m, (struct made_block){.kind = MADE_EVENTS,
					      .flags = 1,
					      .thread = 2,
					      .first_ns = MADE_BEGUN,
					      .last_ns = MADE_BEGUN + 5 * MS,
					      .span = 5 * MS,
					      .tick_fs = 1000000});
	/* a processor: from 0.5 ms on */
	for (uint32_t i = 0; i < 2; i++) {
		made_event(m, 65, 0, 1, U(1));
		made_event(m, 64, MS / 4, 2, U(1), U(1));
		made_event(m, 65, MS / 4, 1, U(1));
		made_end_block(m, (struct made_block){.kind = MADE_EVENTS,
						      .flags = 8,
						      .thread = 3,
						      .sequence = i,
						      .first_ns = MADE_BEGUN + MS / 2 + i * 18 * MS,
						      .last_ns = MADE_BEGUN + MS + i * 18 * MS,
						      .span = MS / 2});
	}
	made_end(m, 2, 0);
}

/* "11(1 0 …) 12(…)": what the new trace has at its first moment. */
static const char *begins_with(const struct made *m, uint64_t from_ns)
{
	static char text[1000];
	struct asked asked = {MADE_BEGUN + from_ns, UINT64_MAX, NULL, NULL};
	struct opened new;
	size_t size = 0, n = 0;
	uint8_t *bytes = cut_of(m->file.at, m->file.n, &asked, &size);

	open_bytes(&new, bytes, size);
	list_events(&new_list, &new);
	text[0] = '\0';
	for (size_t i = 0; i < new_list.n; i++) {
		const struct seen *e = &new_list.events[i];

		if (e->ns != asked.from_ns)
			continue;
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%u(", n > 0 ? " " : "",
				      e->type);
		for (unsigned a = 0; a < e->n; a++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%" PRIu64,
					      a > 0 ? " " : "", e->arguments[a]);
		n += (size_t)snprintf(text + n, sizeof(text) - n, ")");
	}
	close_bytes(&new);
	free(bytes);
	return text;
}

/* The types that a cut trace begins with, as another version has them. */
static void make_other(struct made *m, const char *const arguments[4], const unsigned n[4])
{
	static const uint8_t types[4] = {11, 12, 112, 65};
	static const char *const names[4] = {"thread.status", "status.held", "clock.sync",
					     "sched.in"};

	made_begin(m);
	for (uint32_t i = 0; i < 4; i++) {
		made_string(m, 1 + 2 * i, names[i]);
		made_string(m, 2 + 2 * i, arguments[i]);
	}
	made_end_block(m, (struct made_block){.kind = MADE_STRINGS});
	for (uint32_t i = 0; i < 4; i++)
		made_record(m, 5, U(types[i]), U(1 + 2 * i), U(2 + 2 * i), U(0), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_SCHEMA, .needs = {9}});
	made_event(m, 112, 0, n[2], U(100), U(200), U(300), U(400), U(500));
	made_end_block(m, (struct made_block){.kind = MADE_EVENTS,
					      .flags = 4,
					      .thread = MADE_ALL,
					      .first_ns = MADE_BEGUN,
					      .last_ns = MADE_BEGUN});
	made_event(m, 11, 0, n[0], U(1), U(0), U(0), U(0), U(0), U(1), U(0), U(8));
	made_event(m, 12, 0, n[1], U(0), U(1), U(0), U(8));
	made_event(m, 4, 5 * MS, 1, U(1));
	made_end_block(m, (struct made_block){.kind = MADE_EVENTS,
					      .thread = 1,
					      .first_ns = MADE_BEGUN,
					      .last_ns = MADE_BEGUN + 5 * MS,
					      .span = 5 * MS,
					      .tick_fs = 1000000,
					      .needs = {9}});
	made_event(m, 65, 0, n[3], U(1), U(7));
	made_event(m, 65, 5 * MS, n[3], U(1), U(7));
	made_end_block(m, (struct made_block){.kind = MADE_EVENTS,
					      .flags = 8,
					      .thread = 0,
					      .first_ns = MADE_BEGUN,
					      .last_ns = MADE_BEGUN + 5 * MS,
					      .span = 5 * MS});
	made_end(m, 2, 0);
}

static void test_other_versions(void)
{
	static const char *const newer[4] = {
		"state:u what:u object:obj task:task since:ticks held:u regions:u mood:str",
		"object:obj mode:mode since:ticks mood:str",
		"monotonic:u realtime:u boottime:u tsc:u tai:u", "thread:thr prio:u"};
	static const char *const older[4] = {
		"state:u what:u object:obj task:task since:ticks held:u", "object:obj",
		"monotonic:u realtime:u", "thread:thr"};
	struct made m = {0};
	size_t added = 0;

	make_other(&m, newer, (const unsigned[]){8, 4, 5, 2});
	is_str(begins_with(&m, MS),
	       "11(1 0 0 0 1000000 1 0 0) 12(0 1 1000000 0) "
	       "112(100 200 300 400 0) 65(1 0)",
	       "what it begins with has the arguments that a newer trace gives it");
	ok(is_cut_right(&m, &(struct asked){MADE_BEGUN + MS, UINT64_MAX, NULL, NULL}, &added),
	   "and all of it can be read");
	made_free(&m);
	m = (struct made){0};
	make_other(&m, older, (const unsigned[]){6, 1, 2, 1});
	is_str(begins_with(&m, MS), "11(1 0 0 0 1000000 1) 12(0) 112(100 200) 65(1)",
	       "or those that an older one does");
	ok(is_cut_right(&m, &(struct asked){MADE_BEGUN + MS, UINT64_MAX, NULL, NULL}, &added),
	   "which can be read, too");
	made_free(&m);
}

static void test_beginning(void)
{
	struct made m = {0};
	struct asked asked = {MADE_BEGUN + 2 * MS + 1, MADE_BEGUN + 9 * MS, NULL, NULL};
	struct reader_summary summary = {0};
	struct opened new;
	size_t size = 0, added;
	uint8_t *bytes;

	make_busy(&m);
	is_str(begins_with(&m, 2500000),
	       "11(1 0 0 77 500000 2 2) 12(1 2 2500100) 12(2 1 1500000) 13(3) 13(4) "
	       "11(1 0 0 0 2500000 0 0) 112(100 200 300 400) 65(1)",
	       "what threads do in the middle: locks, regions, a task");
	is_str(begins_with(&m, 6 * MS),
	       "11(4 40 4 77 2000000 2 2) 12(1 2 6000100) 12(2 1 5000000) 13(3) 13(4) "
	       "112(100 200 300 400) 65(1)",
	       "in a wait, without the mutex; who is gone does nothing");
	is_str(begins_with(&m, 9 * MS + 5),
	       "11(1 0 0 77 5 2 2) 12(2 1 8000005) 12(3 1 1000005) 13(3) 13(4) "
	       "112(100 200 300 400) 65(1)",
	       "the mutex is held again, what was let go is not");
	is_str(begins_with(&m, 15 * MS),
	       "11(6 233 0 77 5000000 2 2) 12(2 1 14000000) 12(3 1 7000000) 13(3) 13(4) "
	       "112(100 200 300 400) 65(1)",
	       "in a system call");
	ok(is_cut_right(&m, &asked, &added), "and the rest is as it was");
	ok(is_cut_right(&m, &all, &added), "all of it, too");
	bytes = cut_of(m.file.at, m.file.n, &asked, &size);
	open_bytes(&new, bytes, size);
	for (size_t i = 0; i < new.reader->blocks_n; i++) {
		struct reader_block *b = &new.reader->blocks[i];

		if (b->kind != MADE_EVENTS || b->thread != 1 || b->events != 4)
			continue;
		is_u64(b->sequence, 1, "its block is the second: the status is the first");
		ok(b->first_ns == MADE_BEGUN + 3 * MS && b->last_ns == MADE_BEGUN + 9 * MS &&
			   b->span == 6 * MS && b->tick_fs == 2000000,
		   "from its first event to its last");
		is_u64(reader_summary(new.reader, b, &summary), 0, "its summary");
	}
	is_u64(summary.state_ns[TRACE_RUNNING], 3 * MS - 1, "it ran");
	is_u64(summary.state_ns[TRACE_WAIT], 4 * MS, "it waited");
	is_u64(summary.classes[TRACE_CLASS_SYNC], 4, "its events are of this class");
	is_u64(new.reader->trailer.end_reason, 6,
	       "it ends as a snapshot does: the process went on");
	close_bytes(&new);
	free(bytes);
	made_free(&m);
}

/* A stream with holes, and a block that is damaged. */
static void test_holes(void)
{
	struct made m = {0};
	struct opened new;
	size_t size = 0;
	uint8_t *bytes;
	struct asked asked = {MADE_BEGUN + 150, UINT64_MAX, NULL, NULL};

	made_begin(&m);
	for (uint32_t i = 0; i < 8; i++) {
		if (i == 3 || i == 5)
			continue;
		made_event(&m, 67, 0, 1, U(i));
		made_end_block(&m, (struct made_block){.kind = MADE_EVENTS,
						       .thread = 1,
						       .sequence = i,
						       .first_ns = MADE_BEGUN + 100 * i,
						       .last_ns = MADE_BEGUN + 100 * i,
						       .lost_before = i == 4 ? 9 : 0});
	}
	made_end(&m, 1, 0);
	bytes = cut_of(m.file.at, m.file.n, &asked, &size);
	open_bytes(&new, bytes, size);
	ok(!verify_is_damaged(&new.verify, new.reader, &new.streams) && new.streams.holes_n == 2 &&
		   new.streams.holes_unknown == 0,
	   "what is missing in the old trace is missing in the new one, which says so");
	is_u64(new.verify.lost, 9, "and what was lost");
	close_bytes(&new);
	free(bytes);
	m.file.at[m.blocks[5] - 5] ^= 1; /* the payload of the last but one */
	bytes = cut_of(m.file.at, m.file.n, &asked, &size);
	open_bytes(&new, bytes, size);
	ok(new.error == 0 && !verify_is_damaged(&new.verify, new.reader, &new.streams),
	   "of a damaged one, too");
	is_u64(new.verify.lost, 10, "its events count as lost");
	close_bytes(&new);
	free(bytes);
	made_free(&m);
}

/* More than a block has room for, when it is written in ns. */
static void test_large(void)
{
	struct made m = {0};
	struct asked asked = {MADE_BEGUN + 1, UINT64_MAX, NULL, NULL};
	size_t size = 0;
	uint32_t n = 250000;
	struct opened new;
	uint8_t *bytes;

	made_begin(&m);
	for (uint32_t i = 0; i < n; i++)
		made_event(&m, 67, 1, 1, U(1));
	made_end_block(&m, (struct made_block){.kind = MADE_EVENTS,
					       .thread = 1,
					       .first_ns = MADE_BEGUN,
					       .last_ns = MADE_BEGUN + n * U(40000),
					       .span = n,
					       .tick_fs = UINT32_MAX});
	made_end(&m, 1, 0);
	bytes = cut_of(m.file.at, m.file.n, &asked, &size);
	open_bytes(&new, bytes, size);
	ok(new.error == 0 && !verify_is_damaged(&new.verify, new.reader, &new.streams),
	   "a block that becomes too long is two");
	is_u64(new.verify.events, n, "with all events");
	ok(new.reader->blocks_n > 4, "it does");
	close_bytes(&new);
	free(bytes);
	made_free(&m);
	/* numbers that come to their end */
	m = (struct made){0};
	made_begin(&m);
	for (uint32_t i = 0; i < 4; i++) {
		made_event(&m, 67, 0, 1, U(1));
		made_event(&m, 67, 1, 1, U(1));
		made_end_block(&m, (struct made_block){.kind = MADE_EVENTS,
						       .thread = 1,
						       .sequence = i == 0 ? 5 : UINT32_MAX - 3 + i,
						       .first_ns = MADE_BEGUN + 100 * i,
						       .last_ns = MADE_BEGUN + 100 * i + 1,
						       .span = 1});
	}
	made_end(&m, 1, 0);
	bytes = cut_of(m.file.at, m.file.n, &asked, &size);
	open_bytes(&new, bytes, size);
	ok(new.error == 0 && !verify_is_damaged(&new.verify, new.reader, &new.streams) &&
		   new.verify.blocks_bad == 0 && new.verify.events == 8,
	   "no number of a block comes twice");
	close_bytes(&new);
	free(bytes);
	made_free(&m);
}

/* Symbols */

static char own_path[4096], own_build_id[200];
static uint64_t own_bias;

__attribute__((noinline)) static int known_place(int x)
{
	__asm__ volatile("" : "+r"(x));
	return x + 1;
}

static int note_bias(struct dl_phdr_info *info, size_t size, void *data)
{
	own_bias = info->dlpi_addr;
	return 1;
}

static void know_self(void)
{
	ssize_t n = readlink("/proc/self/exe", own_path, sizeof(own_path) - 1);
	struct elf elf = {0};

	own_path[n > 0 ? n : 0] = '\0';
	dl_iterate_phdr(note_bias, NULL);
	if (elf_open(&elf, own_path, NULL) < 0)
		return;
	for (size_t i = 0; i < elf.build_id_size && i < 64; i++)
		snprintf(own_build_id + 2 * i, 3, "%02x", elf.build_id[i]);
	elf_fini(&elf);
}

#define PLACE ((uint64_t)(uintptr_t)known_place + 1)

/* A trace of this program: a stack, an object and a thread that know a place in it. */
static void make_own(struct made *m, const char *path, const char *build_id, bool has_symbols)
{
	const uint64_t frames[] = {FRAME(1, PLACE), FRAME(2, 0x7f0000001234), FRAME(0xffff, 0)};
	static const char *const texts[] = {"main", "old_name", "old.c", "/no/such/file", "abcd"};

	made_begin(m);
	for (uint32_t i = 0; i < 5; i++)
		made_string(m, i + 1, texts[i]);
	made_string(m, 6, path);
	made_string(m, 7, build_id);
	made_end_block(m, (struct made_block){.kind = MADE_STRINGS});
	made_record(m, 8, U(1), own_bias, own_bias + (1 << 24), U(0), own_bias, U(6), U(7), U(0));
	made_record(m, 8, U(2), U(0x7f0000000000), U(0x7f0000100000), U(0), U(0x7f0000000000), U(4),
		    U(5), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_MODULES, .needs = {8}});
	made_stack(m, 1, 3, frames);
	made_end_block(m, (struct made_block){.kind = MADE_STACKS, .needs = {8, 0, 0, 3}});
	if (has_symbols) {
		made_record(m, 5, FRAME(1, PLACE), U(1), U(2), U(3), U(5));
		made_record(m, 5, FRAME(2, 0x7f0000001234), U(1), U(2), U(3), U(5));
		made_end_block(m, (struct made_block){.kind = MADE_SYMBOLS, .needs = {8, 0, 0, 3}});
	}
	made_record(m, 8, U(1), U(1), U(0), U(0x1000), U(0), U(0), FRAME(1, PLACE + 1), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_OBJECTS, .needs = {8, 0, 0, 3}});
	made_event(m, 1, 0, 3, U(2), PLACE - 1, U(1));
	made_event(m, 55, 0, 1, U(1));
	made_end_block(m, (struct made_block){.kind = MADE_EVENTS,
					      .thread = 1,
					      .first_ns = MADE_BEGUN,
					      .last_ns = MADE_BEGUN,
					      .needs = {8, 2, 2}});
	made_end(m, 1, 0);
}

static void count_problem(void *context, const char *why)
{
	++*(unsigned *)context;
	note("%s", why);
}

/* The trace with symbols, from malloc; NULL when there is none to begin with. */
static uint8_t *symbolized(const void *bytes, size_t size, size_t *ret_size, struct symbolize *done,
			   unsigned *ret_problems)
{
	int fd = memfd_create("symbolized", MFD_CLOEXEC), r;
	struct resolver *x = NULL;
	struct opened o;
	struct why why = {""};

	*ret_problems = 0;
	open_bytes(&o, bytes, size);
	r = o.error;
	if (r == 0)
		r = resolver_create(&x, &o.tables, o.reader->header.begun_realtime_ns);
	if (r == 0)
		r = symbolize_write(done, o.reader, &o.streams, &o.tables, &o.verify, x, fd, NULL,
				    &why);
	if (r == 0)
		resolver_problems(x, count_problem, ret_problems);
	resolver_destroy(x);
	close_bytes(&o);
	if (r < 0) {
		close(fd);
		return NULL;
	}
	*ret_size = done->bytes;
	return read_back(fd, done->bytes);
}

static const char *frame_name(const struct tables *t, uint64_t frame)
{
	static struct name name;

	name_clear(&name);
	name_frame(&name, t, frame, 0);
	name.text[name.n < sizeof(name.text) ? name.n : sizeof(name.text) - 1] = '\0';
	return name.text;
}

static const char *object_name(const struct tables *t, uint64_t id)
{
	static struct name name;

	name_clear(&name);
	name_object(&name, t, id);
	name.text[name.n < sizeof(name.text) ? name.n : sizeof(name.text) - 1] = '\0';
	return name.text;
}

static const char *function_name(const struct tables *t, uint64_t address)
{
	static struct name name;

	name_clear(&name);
	name_function(&name, t, address);
	name.text[name.n < sizeof(name.text) ? name.n : sizeof(name.text) - 1] = '\0';
	return name.text;
}

static void test_symbolize(void)
{
	struct made m = {0};
	struct symbolize done, again;
	struct opened o;
	size_t size = 0, size_again = 0;
	unsigned problems;
	uint8_t *bytes, *twice;

	make_own(&m, own_path, own_build_id, false);
	bytes = symbolized(m.file.at, m.file.n, &size, &done, &problems);
	ok(bytes != NULL, "a trace is symbolized");
	is_u64(done.frames, 4, "frames of stacks, of objects and where threads begin");
	is_u64(done.named, 3, "those of a file that is there have names");
	is_u64(problems, 1, "and of the other it says so");
	open_bytes(&o, bytes, size);
	ok(!verify_is_damaged(&o.verify, o.reader, &o.streams) && o.verify.blocks_bad == 0 &&
		   o.streams.holes_n == 0,
	   "it is whole");
	ok(strncmp(frame_name(&o.tables, FRAME(1, PLACE)), "known_place test_trace_write.c:", 31) ==
		   0,
	   "a frame: %s", frame_name(&o.tables, FRAME(1, PLACE)));
	ok(strncmp(object_name(&o.tables, 1), "known_place test_trace_write.c:", 31) == 0,
	   "the place that made an object: %s", object_name(&o.tables, 1));
	is_str(function_name(&o.tables, PLACE - 1), "known_place", "where a thread begins");
	is_str(frame_name(&o.tables, FRAME(2, 0x7f0000001234)), "file+0x1234",
	       "a file that is not there");
	ok(memmem(bytes, size, m.file.at + m.blocks[4], m.blocks[5] - m.blocks[4]) != NULL,
	   "the block of events is the same, byte for byte");
	close_bytes(&o);
	twice = symbolized(bytes, size, &size_again, &again, &problems);
	ok(twice != NULL && size_again == size && memcmp(twice, bytes, size) == 0,
	   "a second time changes nothing");
	free(twice);
	free(bytes);
	made_free(&m);
}

static void test_replaced(void)
{
	struct made m = {0};
	struct symbolize done;
	struct opened o;
	size_t size = 0;
	unsigned problems;
	uint8_t *bytes;

	make_own(&m, own_path, own_build_id, true);
	bytes = symbolized(m.file.at, m.file.n, &size, &done, &problems);
	open_bytes(&o, bytes, size);
	ok(!verify_is_damaged(&o.verify, o.reader, &o.streams) && o.streams.holes_n == 0,
	   "symbols that were there leave no hole");
	ok(strncmp(frame_name(&o.tables, FRAME(1, PLACE)), "known_place ", 12) == 0,
	   "they are replaced");
	is_str(frame_name(&o.tables, FRAME(2, 0x7f0000001234)), "old_name old.c:5",
	       "or kept, where the file is not there");
	is_u64(done.kept, 1, "and counted");
	close_bytes(&o);
	free(bytes);
	made_free(&m);
}

/* On demand, and what is refused. */
static void test_resolver(void)
{
	char fifo[64], directory[] = "/tmp/trace-write-XXXXXX", other[sizeof(own_build_id)];
	const char *const refused[][2] = {
		{own_path, other},
		{own_path, ""},
		{own_path, "xyz"},
		{fifo, own_build_id},
		{"/dev/zero", own_build_id},
		{"/dev/tty", ""},
		{"/proc/self/mem", ""},
		{directory, ""},
		{"relative", ""},
		{"", own_build_id},
		{"[vdso]", ""},
		{"[vdso]", own_build_id},
	};
	struct made m = {0};
	struct resolver *x;
	struct opened o;

	memcpy(other, own_build_id, sizeof(other));
	other[0] = other[0] == '0' ? '1' : '0';
	if (mkdtemp(directory) == NULL)
		return;
	snprintf(fifo, sizeof(fifo), "%s/fifo", directory);
	mkfifo(fifo, 0600);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		unsigned problems = 0;

		make_own(&m, refused[i][0], refused[i][1], false);
		open_bytes(&o, m.file.at, m.file.n);
		if (resolver_create(&x, &o.tables, UINT64_MAX) < 0)
			break;
		o.tables.resolver = x;
		ok(strstr(frame_name(&o.tables, FRAME(1, PLACE)), "known_place") == NULL,
		   "\"%s\" with build id \"%s\" has no names: %s", refused[i][0], refused[i][1],
		   frame_name(&o.tables, FRAME(1, PLACE)));
		resolver_problems(x, count_problem, &problems);
		is_u64(problems, 1, "which it says");
		resolver_destroy(x);
		close_bytes(&o);
		made_free(&m);
	}
	unlink(fifo);
	rmdir(directory);
	make_own(&m, own_path, own_build_id, false);
	open_bytes(&o, m.file.at, m.file.n);
	is_str(frame_name(&o.tables, FRAME(2, 0x7f0000001234)), "file+0x1234", "nobody is asked");
	if (resolver_create(&x, &o.tables, 0) == 0) {
		o.tables.resolver = x;
		ok(strncmp(frame_name(&o.tables, FRAME(1, PLACE)),
			   "known_place test_trace_write.c:", 31) == 0,
		   "on demand: %s", frame_name(&o.tables, FRAME(1, PLACE)));
		is_str(frame_name(&o.tables, FRAME(1, PLACE)),
		       frame_name(&o.tables, FRAME(1, PLACE)), "and again");
		resolver_destroy(x);
	}
	close_bytes(&o);
	made_free(&m);
}

/* Whatever there is of a trace, both make a whole one of it. */
static bool are_whole(const void *bytes, size_t size, const struct asked *asked)
{
	struct symbolize done;
	size_t new_size = 0;
	unsigned problems;
	struct opened o;
	bool is_whole = true;
	uint8_t *made[2] = {cut_of(bytes, size, asked, &new_size), NULL};

	for (unsigned i = 0; i < 2; i++) {
		if (i == 1)
			made[1] = symbolized(bytes, size, &new_size, &done, &problems);
		if (made[i] == NULL)
			continue;
		open_bytes(&o, made[i], new_size);
		if (o.error != 0 || o.verify.blocks_bad != 0 ||
		    verify_is_damaged(&o.verify, o.reader, &o.streams)) {
			note("%s of %zu: error %d, %" PRIu64
			     " bad blocks, %zu damages (%s), %" PRIu64 " holes, "
			     "trailer %d, listed %" PRIu64,
			     i == 0 ? "cut" : "symbolized", size, o.error, o.verify.blocks_bad,
			     o.reader->damages_n,
			     o.reader->damages_kept > 0 ? o.reader->damages[0].what : "",
			     o.streams.holes_unknown, o.reader->has_trailer,
			     o.verify.listed_missing);
			is_whole = false;
		}
		close_bytes(&o);
		free(made[i]);
	}
	return is_whole;
}

static void test_damaged(void)
{
	struct made m = {.is_packed = true};
	struct asked asked = {MADE_BEGUN + 165000, MADE_BEGUN + 3000000500, "main,worker.*",
			      "sample.*"};
	size_t wrong = 0;

	make_sample(&m);
	for (size_t size = 0; size < m.file.n; size += 3) {
		uint8_t *cut = malloc(size + 1);

		memcpy(cut, m.file.at, size);
		wrong += !are_whole(cut, size, size % 2 == 0 ? &asked : &all);
		free(cut);
	}
	is_u64(wrong, 0, "cut off anywhere, what is made of it is whole");
	for (size_t at = 0; at < m.file.n; at += 2) {
		m.file.at[at] ^= 0x81;
		wrong += !are_whole(m.file.at, m.file.n, at % 4 == 0 ? &asked : &all);
		m.file.at[at] ^= 0x81;
	}
	is_u64(wrong, 0, "and with any byte another");
	made_free(&m);
}

/* A table whose last record is broken, though its checksum is right; its schema has names of the records before that. */
static void test_broken_table(void)
{
	const struct asked asked = {MADE_BEGUN + 1, UINT64_MAX, NULL, NULL};
	struct made m = {0};

	made_begin(&m);
	made_string(&m, 1, "sched.out");
	made_string(&m, 2, "thread:thr state:u why:u");
	made_u(&m.payload, 3);
	made_u(&m.payload, 1000);
	m.records++;
	made_end_block(&m, (struct made_block){.kind = MADE_STRINGS});
	made_record(&m, 5, U(64), U(1), U(2), U(0), U(0));
	made_end_block(&m, (struct made_block){.kind = MADE_SCHEMA, .needs = {4}});
	for (uint32_t i = 0; i < 4; i++)
		made_event(&m, 64, 1, 3, U(1), U(1), U(0));
	made_end_block(&m, (struct made_block){.kind = MADE_EVENTS,
					       .flags = 8,
					       .first_ns = MADE_BEGUN,
					       .last_ns = MADE_BEGUN + 4,
					       .span = 4});
	made_end(&m, 2, 0);
	ok(are_whole(m.file.at, m.file.n, &asked) && are_whole(m.file.at, m.file.n, &all),
	   "nothing of a broken table is taken, so that what is left out of a trace was not in it");
	made_free(&m);
}

int main(void)
{
	plan_begin();
	test_all();
	test_ranges();
	test_selection();
	test_beginning();
	test_other_versions();
	test_holes();
	test_large();
	know_self();
	if (own_build_id[0] != '\0' && known_place(1) == 2) {
		test_symbolize();
		test_replaced();
		test_resolver();
	}
	test_broken_table();
	test_damaged();
	return plan_end();
}
