/*
 * Records of switches: rings made by hand, what becomes of them in a block, and this process's own.
 */
#include <errno.h>
#include <grp.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "tests/tap.h"
#include "tracer/encode.h"
#include "tracer/sched_block.h"
#include "tracer/sched_private.h"
#include "tracer/schedstat.h"

/* ---- numbers ---- */

static void test_numbers(void)
{
	static const uint64_t edges[] = {0,      1,          0x7f,      0x80,      0x3fff,
					 0x4000, UINT32_MAX, INT64_MAX, UINT64_MAX};
	uint8_t bytes[ENCODE_MAX + 2];
	unsigned wrong = 0;

	for (unsigned bit = 0; bit < 64; bit++)
		for (unsigned i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
			uint64_t value = edges[i] ^ UINT64_C(1) << bit, u = 0;
			int64_t s = 0;
			const uint8_t *end = encode_u(bytes, value);

			wrong += end - bytes > ENCODE_MAX;
			wrong += decode_u(bytes, end, &u) != end || u != value;
			wrong += decode_u(bytes, end - 1, &u) != NULL;
			end = encode_s(bytes, (int64_t)value);
			wrong += decode_s(bytes, end, &s) != end || s != (int64_t)value;
		}
	is_u64(wrong, 0, "numbers come back, and one that is cut is none");
	ok(encode_s(bytes, -1) == bytes + 1 && bytes[0] == 1, "-1 is 1, folded");
	memset(bytes, 0xff, sizeof(bytes));
	uint64_t u;
	ok(decode_u(bytes, bytes + sizeof(bytes), &u) == NULL, "more than 64 bits are none");
}

/* ---- a ring by hand ---- */

#define PAGE 4096u
#define RING 4096u

static struct {
	struct perf_event_mmap_page page;
	char rest[PAGE - sizeof(struct perf_event_mmap_page)];
	unsigned char data[RING];
} map;

static struct {
	struct sched s;
	struct sched_ring ring;
} made;

static struct sched_event got[256];
static unsigned got_count;

static void keep(void *user, const struct sched_event *event)
{
	(void)user;
	if (got_count < sizeof(got) / sizeof(got[0]))
		got[got_count] = *event;
	got_count++;
}

static void make_ring(uint64_t begin)
{
	memset(&map, 0, sizeof(map));
	memset(&made, 0, sizeof(made));
	made.s.page_bytes = PAGE;
	made.s.ring_bytes = RING;
	made.s.rings_count = 1;
	made.s.rings = &made.ring;
	made.s.wait_file = -1;
	made.ring = (struct sched_ring){.map = &map, .file = -1, .cpu = 3};
	map.page.data_head = map.page.data_tail = begin;
	got_count = 0;
}

static void put(const void *from, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		map.data[(map.page.data_head + i) % RING] = ((const unsigned char *)from)[i];
	map.page.data_head += bytes;
}

struct tail {
	uint32_t pid, tid;
	uint64_t time;
};

static void put_switch(uint16_t misc, uint32_t tid, uint64_t time)
{
	struct {
		struct perf_event_header h;
		struct tail tail;
	} r = {{PERF_RECORD_SWITCH, misc, sizeof(r)}, {100, tid, time}};

	put(&r, sizeof(r));
}

static void put_lost(uint64_t lost, uint64_t time)
{
	struct {
		struct perf_event_header h;
		uint64_t id, lost;
		struct tail tail;
	} r = {{PERF_RECORD_LOST, 0, sizeof(r)}, 1, lost, {100, 101, time}};

	put(&r, sizeof(r));
}

static void put_task(uint32_t type, uint32_t tid, uint64_t time)
{
	struct {
		struct perf_event_header h;
		uint32_t pid, parent_pid, tid, parent_tid;
		uint64_t time;
		struct tail tail;
	} r = {{type, 0, sizeof(r)}, 100, 50, tid, 51, time, {100, 101, time}};

	put(&r, sizeof(r));
}

static void put_comm(uint16_t misc, const char *name, uint64_t time)
{
	struct {
		struct perf_event_header h;
		uint32_t pid, tid;
		char name[16];
		struct tail tail;
	} r = {{PERF_RECORD_COMM, misc, sizeof(r)}, 100, 101, "", {100, 101, time}};

	strncpy(r.name, name, sizeof(r.name) - 1);
	put(&r, sizeof(r));
}

/* A name of up to 7 letters takes 8 bytes. */
static void put_short_comm(const char *name, uint64_t time)
{
	struct {
		struct perf_event_header h;
		uint32_t pid, tid;
		char name[8];
		struct tail tail;
	} r = {{PERF_RECORD_COMM, 0, sizeof(r)}, 100, 101, "", {100, 101, time}};

	strncpy(r.name, name, sizeof(r.name) - 1);
	put(&r, sizeof(r));
}

#define OUT     PERF_RECORD_MISC_SWITCH_OUT
#define PREEMPT (PERF_RECORD_MISC_SWITCH_OUT | 1 << 14)

static void drain(void)
{
	sched_drain(&made.s, keep, NULL);
}

static void test_kinds(void)
{
	make_ring(0);
	put_switch(0, 101, 1000);
	put_switch(OUT, 101, 1010);
	put_switch(0, 102, 1020);
	put_switch(PREEMPT, 102, 1030);
	put_task(PERF_RECORD_FORK, 103, 1040);
	put_comm(0, "a name", 1050);
	put_short_comm("short", 1055);
	put_comm(PERF_RECORD_MISC_COMM_EXEC, "fifteen letters", 1060);
	put_task(PERF_RECORD_EXIT, 101, 1070);
	drain();
	is_u64(got_count, 10, "nine records are ten events: who calls exec runs");
	ok(got[0].kind == SCHED_IN && got[0].tid == 101 && got[0].pid == 100 && got[0].cpu == 3 &&
		   got[0].time_ns == 1000,
	   "in: whose, where and when");
	ok(got[1].kind == SCHED_OUT && got[1].reason == TRACE_OUT_BLOCKED, "out: blocked");
	ok(got[3].kind == SCHED_OUT && got[3].reason == TRACE_OUT_PREEMPTED, "out: preempted");
	ok(got[4].kind == SCHED_BORN && got[4].tid == 103 && got[4].parent_pid == 50 &&
		   got[4].parent_tid == 51,
	   "born: who, and by whom");
	ok(got[5].kind == SCHED_NAMED && !got[5].is_exec, "named");
	is_str(got[5].name, "a name", "how");
	is_str(got[6].name, "short", "how, shortly");
	ok(got[7].kind == SCHED_IN && got[7].tid == 101 && got[7].time_ns == 1060,
	   "who calls exec unseen runs");
	ok(got[8].kind == SCHED_NAMED && got[8].is_exec, "exec");
	is_str(got[8].name, "fifteen letters", "what");
	ok(got[9].kind == SCHED_ENDED && got[9].tid == 101, "ended");
	is_u64(map.page.data_tail, map.page.data_head, "all of it is given back to the kernel");
	drain();
	is_u64(got_count, 10, "once");
}

static void test_around(void)
{
	unsigned wrong = 0;
	uint64_t now = 1;

	/* each place of a ring's end in a record */
	for (uint64_t begin = RING - 64; begin < RING + 8; begin += 8) {
		make_ring(begin + (UINT64_C(1) << 40));
		for (int i = 0; i < 40; i++, now += 10) {
			put_switch(i % 2 ? OUT : 0, 101, now);
			if (i % 16 == 15)
				put_comm(0, "around the end", now);
		}
		drain();
		wrong += got_count != 42;
		for (unsigned i = 0; i < got_count; i++)
			wrong += got[i].tid != 101 || (got[i].kind == SCHED_NAMED &&
						       strcmp(got[i].name, "around the end"));
	}
	is_u64(wrong, 0, "records that lie around the ring's end");
}

static void test_lost(void)
{
	make_ring(0);
	put_switch(0, 101, 1000);
	put_lost(17, 2000);
	put_switch(0, 101, 2000);
	drain();
	is_u64(got_count, 3, "a hole is an event");
	ok(got[1].kind == SCHED_LOST && got[1].lost == 17 && got[1].since_ns == 1000 &&
		   got[1].time_ns == 2000,
	   "how many, from when to when");
	ok(got[2].kind == SCHED_IN, "what comes behind it is no double");
	put_lost(3, 3000);
	drain();
	ok(got_count == 4 && got[3].lost == 3, "each hole its own");
}

static void test_double(void)
{
	make_ring(0);
	for (int i = 0; i < 10; i++) {
		put_switch(0, 101, 1000 + (uint64_t)i * 20);
		put_switch(0, 101, 1001 + (uint64_t)i * 20);
		put_switch(OUT, 101, 1010 + (uint64_t)i * 20);
		put_switch(OUT, 101, 1011 + (uint64_t)i * 20);
	}
	made.s.can_double = true;
	drain();
	is_u64(got_count, 20, "a thread that is watched twice is told once");
}

static void test_damage(void)
{
	struct perf_event_header h = {PERF_RECORD_SWITCH, 0, 0};
	uint64_t seed = 1;

	make_ring(0);
	put_switch(0, 101, 1000);
	put(&h, sizeof(h));
	drain();
	ok(got_count == 1 && map.page.data_tail == map.page.data_head,
	   "a record of no length ends a drain");
	make_ring(0);
	h.size = 4000;
	put(&h, sizeof(h));
	drain();
	ok(got_count == 0 && map.page.data_tail == map.page.data_head,
	   "one that is longer than all there is, too");
	make_ring(0);
	h = (struct perf_event_header){PERF_RECORD_FORK, 0, 24};
	put(&h, sizeof(h));
	put("sixteen letters.", 16);
	h = (struct perf_event_header){99, 0, 16};
	put(&h, sizeof(h));
	put("eight...", 8);
	put_switch(OUT, 101, 1000);
	drain();
	ok(got_count == 1 && got[0].kind == SCHED_OUT, "short and unknown ones are passed over");
	for (int round = 0; round < 20000; round++) {
		make_ring(seed >> 20);
		for (unsigned i = 0; i < RING; i++) {
			seed = seed * 6364136223846793005 + 1442695040888963407;
			map.data[i] =
				(unsigned char)(i % 8 < 6 && seed >> 63 ? seed >> 60 : seed >> 40);
		}
		map.page.data_head += seed >> 52;
		drain();
	}
	ok(true, "noise");
}

static void test_clock_steps_back(void)
{
	make_ring(0);
	put_switch(0, 101, 1000);
	put_switch(OUT, 101, 990);
	drain();
	ok(got_count == 2 && got[1].time_ns == 1000, "times of a processor never fall");
}

/* ---- a block ---- */

struct decoded {
	unsigned type;
	uint64_t time_ns, arguments[4];
};

static unsigned decode(const struct sched_block *b, const struct trace_block_header *h,
		       struct decoded *to)
{
	const uint8_t *at = b->bytes, *end = b->bytes + b->used;
	uint64_t ticks = 0, difference = 0;
	unsigned n = 0;

	while (at != NULL && at < end) {
		struct decoded *d = &to[n++];
		int count;

		d->type = *at++;
		count = d->type == TRACE_SCHED_OUT_EVENT ? 2 : d->type == TRACE_LOST_EVENT ? 4 : 1;
		at = decode_u(at, end, &difference);
		for (int i = 0; at != NULL && i < count; i++)
			at = decode_u(at, end, &d->arguments[i]);
		ticks += difference;
		d->time_ns = h->first_ns +
			     (h->span == 0 ? 0 : ticks * (h->last_ns - h->first_ns) / h->span);
	}
	return at == end ? n : 0;
}

static void test_block(void)
{
	struct sched_event in = {.time_ns = UINT64_C(5000000000), .kind = SCHED_IN, .tid = 101};
	struct sched_event out = {.kind = SCHED_OUT, .tid = 101, .reason = TRACE_OUT_PREEMPTED};
	struct sched_event ended = {.kind = SCHED_ENDED, .tid = 101}, named = {.kind = SCHED_NAMED};
	struct sched_event lost = {.kind = SCHED_LOST, .lost = 9};
	uint8_t bytes[4096];
	struct decoded d[8];
	struct trace_block_header h;
	struct sched_block b;
	unsigned added = 0;

	sched_block_begin(&b, bytes, sizeof(bytes));
	sched_block_describe(&b, 3, 0, &h);
	ok(h.events == 0 && h.span == 0 && h.raw_bytes == 0, "an empty block");
	out.time_ns = in.time_ns + 700;
	lost.time_ns = in.time_ns + 2000;
	lost.since_ns = out.time_ns;
	ended.time_ns = named.time_ns = in.time_ns + 1000000;
	ok(sched_block_add(&b, &in, 7) == 0 && sched_block_add(&b, &out, 300) == 0 &&
		   sched_block_add(&b, &named, 7) == 0 && sched_block_add(&b, &lost, 0) == 0 &&
		   sched_block_add(&b, &ended, 7) == 0,
	   "events are added");
	sched_block_describe(&b, 3, 12, &h);
	ok(h.kind == TRACE_BLOCK_EVENTS && h.flags == TRACE_BLOCK_SWITCHES && h.thread == 3 &&
		   h.sequence == 12 && memcmp(h.magic, TRACE_BLOCK_MAGIC, 4) == 0 &&
		   h.raw_bytes == b.used,
	   "its header");
	is_u64(h.events, 4, "a name is none of them");
	is_u64(decode(&b, &h, d), 4, "they can be read");
	ok(d[0].type == TRACE_SCHED_IN_EVENT && d[0].time_ns == in.time_ns &&
		   d[0].arguments[0] == 7,
	   "in");
	ok(d[1].type == TRACE_SCHED_OUT_EVENT && d[1].time_ns == out.time_ns &&
		   d[1].arguments[0] == 300 && d[1].arguments[1] == TRACE_OUT_PREEMPTED,
	   "out");
	ok(d[2].type == TRACE_LOST_EVENT && d[2].time_ns == lost.time_ns &&
		   d[2].arguments[0] == 9 && d[2].arguments[1] == out.time_ns &&
		   d[2].arguments[2] == lost.time_ns && d[2].arguments[3] == TRACE_LOST_KERNEL,
	   "lost");
	ok(d[3].type == TRACE_SCHED_OUT_EVENT && d[3].time_ns == ended.time_ns &&
		   d[3].arguments[1] == TRACE_OUT_ENDED,
	   "ended");

	sched_block_begin(&b, bytes, 100);
	while (sched_block_add(&b, &in, UINT32_MAX) == 0)
		added++;
	ok(sched_block_add(&b, &in, 1) == -ENOSPC && b.used <= 100 && added > 5,
	   "a full one takes no more");
}

/* ---- this process ---- */

static unsigned count_in, count_blocked, count_preempted, count_ended, count_born, count_foreign,
	count_lost;

static void tally(void *user, const struct sched_event *e)
{
	(void)user;
	if (e->pid != (uint32_t)getpid() && e->kind != SCHED_LOST && e->kind != SCHED_BORN)
		count_foreign++;
	count_in += e->kind == SCHED_IN;
	count_blocked += e->kind == SCHED_OUT && e->reason == TRACE_OUT_BLOCKED;
	count_preempted += e->kind == SCHED_OUT && e->reason == TRACE_OUT_PREEMPTED;
	count_ended += e->kind == SCHED_ENDED;
	count_born += e->kind == SCHED_BORN && e->pid == (uint32_t)getpid();
	count_lost += e->kind == SCHED_LOST;
}

static void doze(long ns)
{
	struct timespec t = {0, ns};

	nanosleep(&t, NULL);
}

#define DOZES 200

static _Atomic int dozing;

static void *doze_often(void *unused)
{
	(void)unused;
	while (dozing == 0)
		doze(100000);
	for (int i = 0; i < DOZES; i++)
		doze(1000);
	return NULL;
}

static void test_self(void)
{
	struct rusage before, after;
	struct why why = {""};
	pthread_t early, late;
	struct sched *s;
	long switches;
	pid_t child;
	int r;

	pthread_create(&early, NULL, doze_often, NULL);
	r = sched_open(0, SCHED_THREADS, 0, &s, &why);
	if (r < 0) {
		skip("switches of this process: %s", why.text);
		dozing = 1;
		pthread_join(early, NULL);
		return;
	}
	sched_shortcomings(s, &why);
	note("%u rings of %u KiB %s", sched_rings(s), sched_ring_bytes(s) >> 10, why.text);
	getrusage(RUSAGE_SELF, &before);
	dozing = 1;
	pthread_create(&late, NULL, doze_often, NULL);
	for (int i = 0; i < DOZES; i++)
		doze(1000);
	pthread_join(early, NULL);
	pthread_join(late, NULL);
	child = fork();
	if (child == 0) {
		sched_forked(s);
		for (int i = 0; i < DOZES; i++)
			doze(1000);
		_exit(0);
	}
	waitpid(child, &r, 0);
	getrusage(RUSAGE_SELF, &after);
	sched_drain_last(s, tally, NULL);
	switches = after.ru_nvcsw - before.ru_nvcsw;
	note("in %u blocked %u preempted %u ended %u born %u; the kernel counted %ld", count_in,
	     count_blocked, count_preempted, count_ended, count_born, switches);
	ok(r == 0, "a child of fork gives up its copy");
	ok(labs(switches - (long)count_blocked) <= 12,
	   "waits of three threads, one of which was there before, one came later");
	ok(count_blocked >= 3 * DOZES * 9 / 10, "nearly all slept, as they should");
	is_u64(count_ended, 2, "two threads ended");
	is_u64(count_born, 1, "one was made");
	is_u64(count_lost, 0, "nothing is lost");
	is_u64(count_foreign, 0, "nothing is the child's");
	sched_close(s);
}

static void test_refusals(void)
{
	struct why why = {""};
	struct sched *s = NULL;
	int r, pid = fork();

	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
	r = sched_open(pid, 0, 0, &s, &why);
	ok(r == -ESRCH && s == NULL && strstr(why.text, "is gone") != NULL,
	   "a process that is gone: %s", why.text);
	r = sched_open(1, 0, 0, &s, &why);
	if (r == 0) {
		skip("this user may watch process 1");
		sched_close(s);
	} else {
		ok(r == -EACCES || r == -EPERM, "somebody else's process: %s", why.text);
	}
	sched_close(NULL);
}

/* ---- sums ---- */

static void test_schedstat(void)
{
	struct sched_times last = {0}, first, since;
	struct rusage before, after;
	struct why why = {""};
	volatile unsigned spin = 0;
	uint64_t begin;
	int r;

	if (sched_delta_check(&why) < 0) {
		skip("sums: %s", why.text);
		return;
	}
	is_u64(sched_delta(0, getpid(), &last, &first), 1, "a thread that runs has run");
	getrusage(RUSAGE_THREAD, &before);
	begin = clock_read(CLOCK_THREAD_CPUTIME_ID);
	for (int i = 0; i < 50; i++)
		doze(1000);
	while (clock_read(CLOCK_THREAD_CPUTIME_ID) - begin < 30000000)
		spin++;
	sched_yield();
	doze(1000);
	r = sched_delta(getpid(), getpid(), &last, &since);
	getrusage(RUSAGE_THREAD, &after);
	/* a doze may be over before it has begun: as many as the kernel counts, and some */
	ok(r == 1 && since.voluntary > 0 &&
		   labs(after.ru_nvcsw - before.ru_nvcsw - (long)since.voluntary) <= 2,
	   "voluntary: %" PRIu64 ", the kernel counts %ld", since.voluntary,
	   after.ru_nvcsw - before.ru_nvcsw);
	ok(labs(after.ru_nivcsw - before.ru_nivcsw - (long)since.involuntary) <= 5,
	   "involuntary: %" PRIu64, since.involuntary);
	ok(since.ran_ns > 25000000, "ran for %" PRIu64 " us", since.ran_ns / 1000);
	ok(last.ran_ns == first.ran_ns + since.ran_ns && last.slices == first.slices + since.slices,
	   "sums add up");

	int child = fork();

	if (child == 0) {
		pause();
		_exit(0);
	}
	doze(20000000);
	memset(&last, 0, sizeof(last));
	r = sched_delta(child, child, &last, &since);
	ok(r == 1 && since.slices >= 1, "another process");
	for (int i = 0; i < 50 && (r = sched_delta(child, child, &last, &since)) == 1; i++)
		doze(20000000);
	is_u64(r, 0, "who sleeps has not run");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	is_u64(-sched_delta(child, child, &last, &since), ESRCH, "who is gone is gone");
}

/* The kernel shows its switches to those without rights: as one of them. */
static void be_nobody(void)
{
	if (geteuid() != 0)
		return;
	if (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
	    setresuid(65534, 65534, 65534) < 0)
		note("root, and no way to be nobody: what others may is not known");
	prctl(PR_SET_DUMPABLE, 1);
}

int main(void)
{
	plan_begin();
	be_nobody();
	test_numbers();
	test_kinds();
	test_around();
	test_lost();
	test_double();
	test_damage();
	test_clock_steps_back();
	test_block();
	test_self();
	test_refusals();
	test_schedstat();
	return plan_end();
}
