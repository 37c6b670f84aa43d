/*
 * Slices of threads: they nest, whatever they were told of, and come in the order of time. What is told here is made up.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tap.h"
#include "viewer/lanes.h"

static char text[8192];
static size_t text_n;

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	text_n += (size_t)vsnprintf(text + text_n, sizeof(text) - text_n, format, args);
	va_end(args);
	if (text_n > sizeof(text) - 200)
		text_n = sizeof(text) - 200;
}

/* "+R5" a region opens at 5, "-W9" a wait closes; with ' a part behind the first, with ~ it goes on behind the end. */
static int on_open(void *context, uint32_t thread, const struct lane_item *item, uint64_t ns)
{
	(void)context;
	(void)thread;
	say("+%c%u%s%s ", "RWC"[item->kind], (unsigned)ns, item -> is_rest ? "'" : "",
	    item->has_edge ? "!" : "");
	return 0;
}

static int on_close(void *context, uint32_t thread, const struct lane_item *item, uint64_t ns,
		    bool has_end)
{
	(void)context;
	(void)thread;
	say("-%c%u%s ", "RWC"[item->kind], (unsigned)ns, has_end ? "" : "~");
	return 0;
}

static int on_edge(void *context, const struct story_edge *e)
{
	(void)context;
	say("e%u ", (unsigned)e->from_ns);
	return 0;
}

static struct lanes lanes;

static void begin(uint64_t from_ns, uint64_t to_ns)
{
	struct lanes_sink sink = {.open = on_open, .close = on_close, .edge = on_edge};

	lanes_init(&lanes, &sink, from_ns, to_ns);
	text_n = 0;
	text[0] = '\0';
}

static void event(uint8_t type, uint64_t ns)
{
	struct event e = {.ns = ns, .type = type};
	struct merged m = {.event = &e, .thread = 1};

	lanes_event(&lanes, &m);
}

static void region(uint64_t ns)
{
	event(TRACE_REGION_BEGIN_EVENT, ns);
}

static void region_end(uint64_t ns)
{
	event(TRACE_REGION_END_EVENT, ns);
}

static void wait(uint64_t begin_ns, uint64_t end_ns)
{
	struct story_wait w = {.begin_ns = begin_ns, .end_ns = end_ns, .thread = 1};

	lanes_wait(&lanes, &w);
}

static void call(uint64_t begin_ns, uint64_t end_ns, bool is_open)
{
	struct story_call c = {
		.begin_ns = begin_ns, .end_ns = end_ns, .thread = 1, .is_open = is_open};

	lanes_call(&lanes, &c);
}

static void edge(uint8_t kind, uint64_t from_ns, uint64_t begun_ns, uint64_t to_ns)
{
	struct story_edge e = {.kind = kind,
			       .from = 2,
			       .to = 1,
			       .from_ns = from_ns,
			       .begun_ns = begun_ns,
			       .to_ns = to_ns};

	lanes_edge(&lanes, &e);
}

/* Outside of all waits and calls. */
static void outside(uint64_t begin_ns, uint64_t end_ns)
{
	struct interval i = {.begin_ns = begin_ns, .end_ns = end_ns, .thread = 1};

	lanes_interval(&lanes, &i);
}

static void end(uint64_t ns, bool has_end)
{
	struct story_life life = {.thread = 1, .end_ns = ns, .has_end = has_end};

	lanes_life(&lanes, &life);
}

static void told(const char *wanted, const char *about)
{
	while (text_n > 0 && text[text_n - 1] == ' ')
		text[--text_n] = '\0';
	is_str(text, wanted, "%s", about);
	is_u64((uint64_t)lanes.error, 0, "and nothing failed");
	lanes_fini(&lanes);
}

static void test_nesting(void)
{
	begin(0, UINT64_MAX);
	region(5);
	call(20, 30, false);
	call(30, 35, false);
	wait(10, 40);
	outside(40, 50);
	call(50, 60, false);
	region_end(70);
	outside(60, 80);
	end(80, true);
	told("+R5 +W10 +C20 -C30 +C30 -C35 -W40 +C50 -C60 -R70", "what is in it comes behind it");

	begin(0, UINT64_MAX);
	region(5);
	region(12);
	wait(10, 40);
	outside(40, 50);
	region_end(55);
	region_end(60);
	outside(50, 70);
	end(70, true);
	told("+R5 +W10 +R12 -R40 -W40 +R40' -R55 -R60", "a region that goes on behind a wait");

	begin(0, UINT64_MAX);
	region(5);
	region_end(15);
	wait(10, 40);
	outside(40, 50);
	end(50, true);
	told("+R5 +W10 -W15 -R15 +W15' -W40", "a wait that goes on behind a region");

	begin(0, UINT64_MAX);
	call(20, 41, false);
	wait(10, 40);
	call(39, 60, false);
	outside(60, 70);
	is_u64(lanes.cut, 2, "two are cut");
	end(70, true);
	told("+W10 +C20 -C40 -W40 +C40 -C60", "clocks that disagree by a little");

	begin(0, UINT64_MAX);
	outside(0, 100);
	call(90, 95, false);
	call(90, 120, false);
	outside(120, 130);
	is_u64(lanes.dropped, 1, "one is dropped");
	end(130, true);
	told("+C100 -C120", "what is told too late");
}

static void test_ends(void)
{
	begin(0, UINT64_MAX);
	region(5);
	wait(10, 20);
	call(30, 90, true);
	end(90, false);
	told("+R5 +W10 -W20 +C30 -C90~ -R90~", "what is open when the trace ends");
	begin(0, UINT64_MAX);
	region(5);
	call(30, 90, true);
	end(90, true);
	told("+R5 +C30 -C90 -R90", "when the thread ends, it ends");
	begin(0, UINT64_MAX);
	call(10, 20, true);
	call(18, 20, false);
	outside(20, 30);
	call(30, 40, false);
	call(40, 50, true);
	call(50, 60, false);
	outside(60, 70);
	is_u64(lanes.dropped + lanes.cut, 0, "all have their place");
	end(70, true);
	told("+C10 +C18 -C20 -C20 +C30 -C40 +C40 -C50 +C50 -C60",
	     "what has no end, such as a clone, is over when the thread goes on");
	begin(0, UINT64_MAX);
	region_end(3);
	event(TRACE_THREAD_STATUS_EVENT, 4);
	event(TRACE_STATUS_REGION_EVENT, 4);
	event(TRACE_STATUS_REGION_EVENT, 4);
	region_end(9);
	event(TRACE_THREAD_STATUS_EVENT, 10);
	event(TRACE_STATUS_REGION_EVENT, 10);
	outside(4, 20);
	end(20, true);
	told("+R4 +R4 -R9 -R20", "regions that were open when the trace began, once");
	begin(100, 200);
	region(10);
	region_end(20);
	region(30);
	region(210);
	outside(100, 200);
	end(300, true);
	told("+R30 -R200", "a part of the trace: what is over before it is not there");
}

static void test_edges(void)
{
	begin(0, UINT64_MAX);
	wait(10, 20);
	edge(EDGE_RELEASE, 18, 10, 20);
	edge(EDGE_PIPE, 35, 30, 40);
	call(30, 40, false);
	outside(40, 50);
	edge(EDGE_CREATE, 45, 45, 45);
	edge(EDGE_SIGNAL, 47, 44, 48);
	outside(50, 60);
	end(60, true);
	told("+W10! -W20 +C30! -C40 e45 e47", "wakes belong to slices, if there is one");
}

static void test_many(void)
{
	begin(0, UINT64_MAX);
	for (unsigned i = 0; i < 100000; i++) {
		region(10 + 4 * i);
		region_end(12 + 4 * i);
		text_n = 0;
	}
	wait(5, 500000);
	outside(500000, 500010);
	ok(lanes.cut == 1 && lanes.dropped == 0, "what contains too much begins behind it");
	end(500010, true);
	lanes_fini(&lanes);
}

/* ---- anything ---- */

static uint64_t last_ns, depth, wrong;

static int count_open(void *context, uint32_t thread, const struct lane_item *item, uint64_t ns)
{
	(void)context;
	(void)thread;
	wrong += ns < last_ns || item->end_ns < item->begin_ns;
	last_ns = ns;
	depth++;
	return 0;
}

static int count_close(void *context, uint32_t thread, const struct lane_item *item, uint64_t ns,
		       bool has_end)
{
	(void)context;
	(void)thread;
	(void)item;
	(void)has_end;
	wrong += ns < last_ns || depth == 0;
	last_ns = ns;
	depth--;
	return 0;
}

static void test_anything(void)
{
	struct lanes_sink sink = {.open = count_open, .close = count_close, .edge = on_edge};
	uint64_t left = 0;

	srandom(1);
	for (unsigned round = 0; round < 300; round++) {
		uint64_t now = 1000;

		lanes_init(&lanes, &sink, 0, UINT64_MAX);
		last_ns = depth = 0;
		for (unsigned i = 0; i < 300; i++) {
			uint64_t length = (uint64_t)random() % 300;

			now += (uint64_t)random() % 20;
			switch (random() % 7) {
			case 0:
				region(now);
				break;
			case 1:
				region_end(now);
				break;
			case 2:
				wait(now - length, now);
				break;
			case 3:
				outside(now, now + length % 30);
				break;
			case 4:
				edge((uint8_t)(random() % STORY_EDGES), now - length,
				     now - length / 2, now);
				break;
			default:
				call(now - length, now, random() % 8 == 0);
				break;
			}
			text_n = 0;
		}
		end(now, random() % 2 != 0);
		left += depth;
		lanes_fini(&lanes);
	}
	is_u64(wrong, 0,
	       "whatever is told, times never go back, and nothing ends that has not begun");
	is_u64(left, 0, "and all of it ends");
}

int main(void)
{
	plan_begin();
	test_nesting();
	test_ends();
	test_edges();
	test_many();
	test_anything();
	return plan_end();
}
