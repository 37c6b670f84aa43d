/* What lies beneath states, and who had a lock when, by columns, of a story told by hand. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/tap.h"
#include "viewer/along.h"
#include "viewer/beneath.h"

static const uint32_t threads[] = {4, 9};

static void tell_call(const struct story_listener *l, uint32_t thread, uint64_t begin, uint64_t end,
		      uint32_t number, int64_t result)
{
	const struct story_call call = {.begin_ns = begin,
					.end_ns = end,
					.thread = thread,
					.number = number,
					.result = result};

	if (l->call(l->context, &call) != 0)
		abort();
}

static void tell_event(const struct story_listener *l, uint32_t thread, uint8_t type, uint64_t ns,
		       uint64_t name)
{
	const struct event event = {.ns = ns, .type = type, .n = 2, .arguments = {name, name + 1}};
	const struct merged m = {.event = &event, .thread = thread};

	if (l->event(l->context, &m) != 0)
		abort();
}

static bool is_item(const struct beneath *b, uint32_t i, uint32_t thread, unsigned lane,
		    uint64_t begin, uint64_t end, uint64_t count)
{
	const struct beneath_item *item = &b->items[i];

	return i < b->items_n && item->thread == thread && item->lane == lane &&
	       item->begin_ns == begin && item->end_ns == end && item->count == count;
}

static void test_beneath(void)
{
	struct beneath b = {.threads = threads,
			    .threads_n = 2,
			    .ask = {.from_ns = 1000, .to_ns = 2000, .columns = 10}};
	struct story_listener l;

	ok(beneath_begin(&b, &l) == 0 && l.may_seek, "it begins");
	tell_call(&l, 4, 500, 900, 1, 0);  /* before */
	tell_call(&l, 4, 900, 1000, 1, 0); /* up to it */
	tell_call(&l, 5, 1100, 1200, 1, 0);
	tell_call(&l, 4, 950, 1010, 1, -2);
	tell_call(&l, 9, 1010, 1020, 1, 0);
	tell_call(&l, 4, 1110, 1120, 1, 0);
	tell_call(&l, 4, 1130, 1140, 1, -1);
	tell_call(&l, 4, 1150, 1199, 2, 0);
	tell_call(&l, 4, 1199, 1450, 2, 0); /* longer than a column */
	tell_call(&l, 4, 1460, 1470, 2, 0);
	tell_call(&l, 4, 2000, 2100, 2, 0); /* behind */
	tell_event(&l, 4, TRACE_REGION_BEGIN_EVENT, 1100, 7);
	tell_event(&l, 4, TRACE_REGION_BEGIN_EVENT, 1200, 8);
	tell_event(&l, 4, TRACE_LOG_EVENT, 1250, 3);
	tell_event(&l, 4, TRACE_REGION_END_EVENT, 1300, 8);
	tell_event(&l, 4, TRACE_LOG_EVENT, 2000, 3);
	tell_event(&l, 4, TRACE_LOG_EVENT, 2001, 3);
	ok(beneath_end(&b, 2500) == 0, "it ends");
	ok(is_item(&b, 0, 0, 0, 1100, 2500, 1) && b.items[0].is_open && b.items[0].name == 7,
	   "a region that does not end");
	ok(is_item(&b, 1, 0, 1, 1200, 1300, 1) && !b.items[1].is_open, "one within it");
	ok(is_item(&b, 2, 0, BENEATH_CALLS, 950, 1010, 1) && b.items[2].errors == 1,
	   "a call that began before, whole");
	ok(is_item(&b, 3, 0, BENEATH_CALLS, 1110, 1199, 3) && b.items[3].errors == 1 &&
		   b.items[3].is_mixed,
	   "those of a column are one");
	ok(is_item(&b, 4, 0, BENEATH_CALLS, 1199, 1450, 1) && !b.items[4].is_mixed,
	   "what is longer is itself");
	ok(is_item(&b, 5, 0, BENEATH_CALLS, 1460, 1470, 1), "and so is what comes behind it");
	ok(is_item(&b, 6, 0, BENEATH_MARKS, 1250, 1250, 1) &&
		   is_item(&b, 7, 0, BENEATH_MARKS, 2000, 2000, 1),
	   "messages, up to the end");
	ok(is_item(&b, 8, 1, BENEATH_CALLS, 1010, 1020, 1), "another thread has its own");
	ok(b.items_n == 9, "nothing else");
	beneath_fini(&b);
}

static void test_tasks(void)
{
	struct beneath b = {.threads = threads,
			    .threads_n = 2,
			    .ask = {.from_ns = 0, .to_ns = 1000, .columns = 10}};
	static const struct {
		uint64_t begin, end, task;
	} did[] = {{0, 10, 3},    {10, 250, 3},  {250, 300, 0}, {300, 310, 3}, {310, 320, 4},
		   {320, 350, 4}, {400, 500, 5}, {500, 600, 6}, {700, 800, 6}};
	struct story_listener l;

	if (beneath_begin(&b, &l) != 0)
		abort();
	for (size_t i = 0; i < sizeof(did) / sizeof(did[0]); i++) {
		const struct interval interval = {.begin_ns = did[i].begin,
						  .end_ns = did[i].end,
						  .thread = 9,
						  .task = did[i].task};

		l.interval(l.context, &interval);
	}
	beneath_end(&b, 1000);
	ok(is_item(&b, 0, 1, BENEATH_TASKS, 0, 250, 1) && b.items[0].task == 3,
	   "what was done for one task is one stretch");
	ok(is_item(&b, 1, 1, BENEATH_TASKS, 300, 350, 3) && b.items[1].is_mixed,
	   "several in a column are one");
	ok(is_item(&b, 2, 1, BENEATH_TASKS, 400, 500, 1) &&
		   is_item(&b, 3, 1, BENEATH_TASKS, 500, 600, 1) &&
		   is_item(&b, 4, 1, BENEATH_TASKS, 700, 800, 1),
	   "others are themselves");
	ok(b.items_n == 5, "nothing else");
	beneath_fini(&b);
}

/* However much there is: a bound. */
static void test_bound(void)
{
	static struct beneath b;
	struct story_listener l;

	b = (struct beneath){.threads = threads,
			     .threads_n = 2,
			     .ask = {.from_ns = 0, .to_ns = UINT64_C(1) << 40, .columns = 1000}};
	if (beneath_begin(&b, &l) != 0)
		abort();
	for (uint64_t i = 0; i < 2000000; i++)
		tell_call(&l, 4, i << 16, (i << 16) + 100, 1, 0);
	for (uint64_t i = 0; i < 2 * BENEATH_ITEMS_MAX; i++) /* each over a border */
		tell_call(&l, 9, i << 8, (i << 8) + (UINT64_C(1) << 31), 1, 0);
	beneath_end(&b, 0);
	ok(b.items_n == BENEATH_ITEMS_MAX && b.left_out > 0, "no more than its bound, and told");
	ok(b.items[0].count > 1000, "short ones take no room");
	beneath_fini(&b);
}

static void test_along(void)
{
	struct along a = {.kind = ALONG_LOCK,
			  .id = 5,
			  .ask = {.from_ns = 1000, .to_ns = 2000, .columns = 10}};
	struct story_hold holds[] = {
		{.begin_ns = 900, .end_ns = 1150, .thread = 1, .object = 5, .stack = 3},
		{.begin_ns = 1160, .end_ns = 1170, .thread = 1, .object = 5, .stack = 3},
		{.begin_ns = 1175, .end_ns = 1180, .thread = 2, .object = 5, .stack = 3},
		{.begin_ns = 1170, .end_ns = 1180, .thread = 2, .object = 6},
		{.begin_ns = 2000, .end_ns = 2100, .thread = 2, .object = 5}};
	struct story_wait waits[] = {{.begin_ns = 1050, .end_ns = 1250, .object = 5},
				     {.begin_ns = 0, .end_ns = 5000, .object = 5},
				     {.begin_ns = 1050, .end_ns = 1250, .object = 6}};
	struct story_listener l;

	if (along_begin(&a, &l) != 0)
		abort();
	for (size_t i = 0; i < sizeof(holds) / sizeof(holds[0]); i++)
		l.hold(l.context, &holds[i]);
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
		l.wait(l.context, &waits[i]);
	along_end(&a);
	ok(a.uses_n == 2, "of this lock, in this time");
	ok(a.uses[0].begin_ns == 900 && a.uses[0].end_ns == 1150 && a.uses[0].count == 1 &&
		   !a.uses[0].is_mixed,
	   "whole");
	ok(a.uses[1].begin_ns == 1160 && a.uses[1].end_ns == 1180 && a.uses[1].count == 2 &&
		   a.uses[1].is_mixed,
	   "those of a column are one");
	ok(a.waiting_ns[0] == 150 && a.waiting_ns[1] == 200 && a.waiting_ns[2] == 150 &&
		   a.waiting_ns[3] == 100 && a.waiting_ns[9] == 100,
	   "all that was waited, by column");
	along_fini(&a);
}

int main(void)
{
	plan_begin();
	test_beneath();
	test_tasks();
	test_bound();
	test_along();
	return plan_end();
}
