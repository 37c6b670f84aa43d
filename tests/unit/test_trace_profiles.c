/*
 * Profiles out of a trace: what is told by hand adds up, by stack and label, to the nanosecond; and as profile.proto.
 */
#include <stdlib.h>
#include <sys/syscall.h>

#include "output/pprof.h"
#include "tests/tap.h"
#include "tests/unit/trace_sample.h"
#include "viewer/profiles.h"
#include "viewer/proto.h"
#include "viewer/spool.h"

struct opened {
	struct reader *reader;
	struct tables tables;
	struct made made;
};

static void open_sample(struct opened *o)
{
	struct why why;

	*o = (struct opened){0};
	make_sample(&o->made);
	tables_init(&o->tables);
	if (reader_open_bytes(&o->reader, "test", o->made.file.at, o->made.file.n, &why) < 0 ||
	    tables_load(&o->tables, o->reader, &why) < 0)
		abort();
}

static void close_sample(struct opened *o)
{
	tables_fini(&o->tables);
	reader_close(o->reader);
	made_free(&o->made);
}

static struct opened o;
static struct profiles p;
static struct story_listener listener;

static void begin(enum profiles_kind kind, unsigned labels, struct profiles_options more)
{
	more.kind = kind;
	more.labels = labels;
	more.to_ns = more.to_ns != 0 ? more.to_ns : UINT64_MAX;
	profiles_init(&p, &more, &o.tables);
	listener = profiles_listener(&p);
}

static void end(uint64_t rows, uint64_t count, uint64_t ns, const char *about)
{
	is_u64((uint64_t)profiles_finish(&p), 0, "%s", about);
	ok(p.rows_n == rows && p.count == count && p.ns == ns,
	   "%s: %" PRIu32 " rows, %" PRIu64 ", %" PRIu64 " ns", about, p.rows_n, p.count, p.ns);
	profiles_fini(&p);
}

static void wait(uint32_t thread, uint8_t type, uint64_t begin_ns, uint64_t end_ns, uint32_t stack,
		 bool is_idle)
{
	struct story_wait w = {.begin_ns = begin_ns,
			       .end_ns = end_ns,
			       .thread = thread,
			       .type = type,
			       .object = 1,
			       .other = 2,
			       .stack = stack,
			       .is_idle = is_idle};

	if (listener.wait != NULL && listener.wait(listener.context, &w) != 0)
		abort();
}

static void waits(void)
{
	wait(3, TRACE_LOCK_WAIT_EVENT, 100, 110, 1, false);
	wait(3, TRACE_LOCK_WAIT_EVENT, 200, 220, 1, false);
	wait(2, TRACE_LOCK_WAIT_EVENT, 300, 340, 1, false);
	wait(2, TRACE_COND_WAIT_EVENT, 400, 480, 2, true);
	wait(1, TRACE_COND_WAIT_EVENT, 500, 660, 2, false);
}

static void test_waits(void)
{
	begin(PROFILES_SYNC, 0, (struct profiles_options){0});
	waits();
	is_u64(p.idle_count, 1, "one is idle");
	is_u64(p.idle_ns, 80, "for so long");
	end(2, 4, 230, "sync");
	begin(PROFILES_SYNC, PROFILES_THREAD, (struct profiles_options){.include_idle = true});
	waits();
	end(4, 5, 310, "with idle ones, by thread");
	begin(PROFILES_LOCK, PROFILES_LABELS_USUAL, (struct profiles_options){0});
	waits();
	end(2, 3, 70, "lock");
	begin(PROFILES_COND, 0, (struct profiles_options){0});
	waits();
	end(1, 1, 160, "cond");
	begin(PROFILES_SYNC, 0, (struct profiles_options){.from_ns = 210, .to_ns = 320});
	waits();
	end(1, 2, 30, "as far as they lie in what was asked for");
}

static void edge(uint32_t to, uint64_t begun_ns, uint32_t from, uint32_t stack)
{
	struct story_edge e = {.kind = EDGE_RELEASE,
			       .from = from,
			       .to = to,
			       .begun_ns = begun_ns,
			       .object = 1,
			       .stack = stack};

	if (listener.edge(listener.context, &e) != 0)
		abort();
}

static void test_holders(void)
{
	begin(PROFILES_LOCK, PROFILES_HOLDER, (struct profiles_options){.by_holder = true});
	wait(3, TRACE_LOCK_WAIT_EVENT, 100, 110, 1, false);
	edge(3, 100, 2, 2);
	wait(3, TRACE_LOCK_WAIT_EVENT, 200, 220, 1, false);
	edge(3, 200, 2, 2);
	wait(2, TRACE_LOCK_WAIT_EVENT, 300, 340, 1, false);
	edge(2, 299, 1, 2); /* of another wait */
	wait(2, TRACE_LOCK_WAIT_EVENT, 400, 480, 1, false);
	edge(2, 400, 1, 2);
	is_u64(p.rows[0].ns, 30, "what thread 2 made others wait");
	is_u64(p.rows[0].holder, 2, "is its own");
	is_u64(p.rows[1].what, PROFILES_NOBODY, "of one wait nobody knows who ended it");
	end(3, 4, 150, "by holder: nothing is lost");
}

static void test_calls(void)
{
	const struct story_call calls[] = {
		{.begin_ns = 10, .end_ns = 20, .thread = 1, .number = SYS_read, .file = 1},
		{.begin_ns = 30, .end_ns = 50, .thread = 1, .number = SYS_read, .file = 1},
		{.begin_ns = 60,
		 .end_ns = 100,
		 .thread = 2,
		 .number = SYS_nanosleep,
		 .is_idle = true},
		{.begin_ns = 110, .end_ns = 190, .thread = 2, .number = SYS_openat, .path = 11},
	};

	for (unsigned kind = 0; kind < 2; kind++) {
		begin(kind == 0 ? PROFILES_SYSCALL : PROFILES_SLEEP, PROFILES_PATH,
		      (struct profiles_options){0});
		for (unsigned i = 0; i < 4; i++)
			if (listener.call(listener.context, &calls[i]) != 0)
				abort();
		if (kind == 0)
			end(2, 3, 110, "syscall: by call, where there is no stack");
		else
			end(1, 1, 40, "sleep");
	}
}

static void test_intervals(void)
{
	static const struct {
		enum profiles_kind kind;
		uint64_t rows, count, ns;
	} wanted[] = {{PROFILES_SCHED, 1, 1, 4},
		      {PROFILES_IDLE, 1, 1, 64},
		      {PROFILES_OFFCPU, 5, 5, 4 + 8 + 16 + 32 + 64},
		      {PROFILES_ALL, 8, 8, 255}};

	for (unsigned i = 0; i < 4; i++) {
		begin(wanted[i].kind, PROFILES_WHAT, (struct profiles_options){0});
		for (uint8_t state = 0; state < TRACE_STATES; state++) {
			struct interval each = {.begin_ns = 1000,
						.end_ns = 1000 + (UINT64_C(1) << state),
						.thread = 1,
						.state = state,
						.stack = 1};

			if (listener.interval(listener.context, &each) != 0)
				abort();
		}
		end(wanted[i].rows, wanted[i].count, wanted[i].ns,
		    profiles_kind_name(wanted[i].kind));
	}
}

static void test_tasks(void)
{
	struct event e = {
		.ns = 1, .type = TRACE_TASK_BEGIN_EVENT, .n = 4, .arguments = {77, 0, 15, 0}};
	struct merged m = {.event = &e, .thread = 1};
	struct story_wait w = {
		.end_ns = 5, .thread = 1, .type = TRACE_LOCK_WAIT_EVENT, .stack = 1, .task = 77};

	begin(PROFILES_LOCK, PROFILES_TASK, (struct profiles_options){0});
	listener.event(listener.context, &m);
	listener.wait(listener.context, &w);
	w.task = 78;
	listener.wait(listener.context, &w);
	is_u64(p.rows[0].task_type, 15, "the type of a task");
	end(2, 2, 10, "by type of task");
}

/* Through the file and back. */
static void test_write(void)
{
	struct story_counts counts = {.begin_ns = MADE_BEGUN, .end_ns = MADE_BEGUN + 1000};
	struct profile written, read;
	struct frames *frames;
	struct why why = {""};
	uint8_t *bytes = NULL;
	size_t size = 0;
	int64_t ns = 0, n = 0;

	begin(PROFILES_SYNC, PROFILES_LABELS_USUAL, (struct profiles_options){0});
	waits();
	wait(2, TRACE_LOCK_WAIT_EVENT, 700, 701, 0, false);
	wait(2, TRACE_LOCK_WAIT_EVENT, 800, 802, 3, false);
	if (frames_create(&frames, &o.tables) < 0 || profile_init(&written) < 0)
		abort();
	is_u64((uint64_t)profiles_write(&p, frames, o.reader, &counts, &written), 0, "a profile");
	is_u64((uint64_t)pprof_encode_gzip(&written, &bytes, &size), 0, "packed");
	ok(pprof_decode(bytes, size, &read, &why) == 0, "and read: %s", why.text);
	for (uint32_t i = 0; i < read.samples_n; i++) {
		n += read.samples[i].values[0];
		ns += read.samples[i].values[1];
	}
	is_u64((uint64_t)n, p.count, "all of it");
	is_u64((uint64_t)ns, p.ns, "to the nanosecond");
	is_str(read.mappings[0].file, "/usr/bin/server", "the program");
	is_str(read.mappings[0].build_id, "0123abcd", "its build id");
	is_str(read.functions[0].name, "inlined", "the symbols of the trace");
	is_u64(read.locations[0].lines_n, 2, "with inlined calls");
	is_u64(read.locations[0].address, 0x401234, "and addresses");
	is_u64((uint64_t)read.time_ns, MADE_REAL, "when");
	is_u64((uint64_t)read.duration_ns, 1000, "for how long");
	is_str(read.period_type.type, "trace", "the period is that of Go's");
	profile_fini(&read);
	profile_fini(&written);
	frames_destroy(frames);
	free(bytes);
	profiles_fini(&p);
}

static void test_proto(void)
{
	struct proto b = {0};
	size_t outer, inner;
	char large[300];

	outer = proto_begin(&b, 1);
	proto_u64(&b, 16, 300);
	inner = proto_begin(&b, 2);
	proto_text(&b, 3, "a\xff", 2);
	proto_end(&b, inner);
	proto_end(&b, outer);
	ok(b.n == 14 && memcmp(b.at,
			       "\x0a\x0c\x80\x01\xac\x02\x12\x06\x1a\x04"
			       "a\xef\xbf\xbd",
			       14) == 0,
	   "a message in a message, and a text that is no UTF-8 (%zu bytes)", b.n);
	proto_clear(&b);
	memset(large, 'x', sizeof(large));
	outer = proto_begin(&b, 1);
	proto_bytes(&b, 2, large, sizeof(large));
	proto_end(&b, outer);
	ok(b.n == 306 && memcmp(b.at, "\x0a\xaf\x02\x12\xac\x02xx", 8) == 0,
	   "a length of two bytes (%zu bytes)", b.n);
	proto_fini(&b);
}

static void test_spool(void)
{
	struct spool s = {.fd = -1};
	struct spool_list lists[3] = {{0}};
	uint8_t chunk[SPOOL_CHUNK];
	const uint8_t *at;
	struct why why = {""};
	unsigned wrong = 0;
	int n;

	for (uint32_t i = 0; i < 30000; i++)
		if (spool_put(&s, &lists[i % 2], &i, sizeof(i), &why) < 0)
			abort();
	for (uint32_t k = 0; k < 3; k++) {
		uint64_t place = 0;
		uint32_t next = k;

		if (spool_seal(&s, &lists[k], &why) < 0)
			abort();
		while ((n = spool_next(&s, &lists[k], &place, chunk, &at, &why)) > 0) {
			for (int i = 0; i < n; i += 4) {
				wrong += memcmp(at + i, &next, 4) != 0;
				next += 2;
			}
		}
		wrong += n < 0 || next != (k < 2 ? 30000 + k : k);
		spool_list_fini(&lists[k]);
	}
	is_u64(wrong, 0, "lists that grow at once come back one by one");
	spool_fini(&s);
}

int main(void)
{
	plan_begin();
	open_sample(&o);
	test_waits();
	test_holders();
	test_calls();
	test_intervals();
	test_tasks();
	test_write();
	close_sample(&o);
	test_proto();
	test_spool();
	return plan_end();
}
