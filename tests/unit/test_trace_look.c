/* Who made a thread go on, and whom it made go on, of traces made by hand. A tick is a ns. */
#define TRACE_MAKE_LZ4

#include <stdio.h>
#include <stdlib.h>

#include "tests/tap.h"
#include "tests/unit/story_make.h"
#include "viewer/look.h"

#define MS UINT64_C(1000000)

struct asked {
	struct made made;
	struct reader *reader;
	struct streams streams;
	struct tables tables;
	struct look look;
};

static void begin(struct asked *a)
{
	struct why why = {""};

	tables_init(&a->tables);
	if (reader_open_bytes(&a->reader, "test", a->made.file.at, a->made.file.n, &why) < 0 ||
	    streams_init(&a->streams, a->reader) < 0 ||
	    tables_load(&a->tables, a->reader, &why) < 0)
		abort();
	a->look = (struct look){.reader = a->reader, .streams = &a->streams, .tables = &a->tables};
}

static void end(struct asked *a)
{
	tables_fini(&a->tables);
	streams_fini(&a->streams);
	reader_close(a->reader);
	made_free(&a->made);
}

/* Thread 1 waits from 2000 on for what thread 2 lets go of at 10000, and runs @late_ns behind that. */
static void make(struct made *m, uint64_t late_ns)
{
	*m = (struct made){.flags = FLAG_SWITCHES};
	made_begin(m);
	STARTS(m, 1000);
	WAITS_FOR(m, 2000, 7, 2);
	GETS(m, 10010 + late_ns, 7, 3);
	LETS_GO(m, 20000 + late_ns, 7, 4, 10, 0);
	EXITS(m, 30000 + late_ns);
	THREAD(m, 1);
	STARTS(m, 1000);
	AT(m, 1500, HELD, 3, U(7), U(1), U(10));
	LETS_GO(m, 10000, 7, 2, 8500, 1);
	EXITS(m, 30000 + late_ns);
	THREAD(m, 2);
	AT(m, 2010, OUT, 2, U(1), U(0));
	AT(m, 10000 + late_ns, IN, 1, U(1));
	SWITCHES(m, 0);
	made_end(m, 1, 0);
}

static bool ask(const struct look *l, uint32_t thread, uint64_t begin_ns, uint64_t end_ns,
		struct look_around *ret)
{
	const struct interval i = {.thread = thread, .begin_ns = begin_ns, .end_ns = end_ns};
	struct why why = {""};

	return look_around(l, &i, true, true, ret, &why) == 0;
}

static void test_cause(void)
{
	static const uint64_t late[] = {5, 900000, 2 * MS, 50 * MS};
	struct asked a;
	struct look_around around;

	for (size_t i = 0; i < sizeof(late) / sizeof(late[0]); i++) {
		memset(&a, 0, sizeof(a));
		make(&a.made, late[i]);
		begin(&a);
		ok(ask(&a.look, 1, 2000, 10000, &around) && around.has_cause &&
			   around.cause.kind == EDGE_RELEASE && around.cause.from == 2 &&
			   around.cause.from_ns == 10000,
		   "who let go, though the other runs %llu ns later", (unsigned long long)late[i]);
		ok(ask(&a.look, 2, 2000, 10000, &around) && !around.has_cause,
		   "nobody, of who did not wait");
		ok(ask(&a.look, 1, 1000, 2000, &around) && !around.has_cause,
		   "nobody, before the wait");
		ok(ask(&a.look, 2, 1500, 10000, &around) && around.has_effect &&
			   around.effect.to == 1 && around.effect.begun_ns == 2000,
		   "whom it made go on");
		end(&a);
	}
}

int main(void)
{
	plan_begin();
	test_cause();
	return plan_end();
}
