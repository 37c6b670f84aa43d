/*
 * The story of a trace: intervals that follow one another and add up to a thread's life, whatever its events are; what is in them;
 * and who made whom go on. The traces are made by hand, a tick is a ns.
 */
#define TRACE_MAKE_LZ4

#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "tests/tap.h"
#include "tests/unit/story_make.h"
#include "viewer/moment.h"
#include "viewer/story.h"

/* ---- what is told, as text ---- */

static char text[1 << 16];
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

static int on_interval(void *context, const struct interval *i)
{
	(void)context;
	say("%u:%c%u-%u", i->thread, story_state_letter(i->state), (unsigned)i->begin_ns,
	    (unsigned)i->end_ns);
	if (i->call != 0)
		say("(%u)", i->call - 1);
	if (i->object != 0)
		say("[%u]", i->object);
	if (i->other != 0)
		say("<%u", i->other);
	say(" ");
	return 0;
}

static int on_call(void *context, const struct story_call *c)
{
	(void)context;
	say("call%u:%u@%u-%u=%d%s%s ", c->thread, c->number, (unsigned)c->begin_ns,
	    (unsigned)c->end_ns, (int)c->result, c->is_idle ? ",idle" : "",
	    c->is_open ? ",open" : "");
	return 0;
}

static int on_wait(void *context, const struct story_wait *w)
{
	(void)context;
	say("wait%u:%u@%u-%u[%u]%s%s%s ", w->thread, w->type, (unsigned)w->begin_ns,
	    (unsigned)w->end_ns, w->object, w->is_idle ? ",idle" : "", w->is_open ? ",open" : "",
	    w->is_again ? ",again" : "");
	return 0;
}

static int on_hold(void *context, const struct story_hold *h)
{
	(void)context;
	say("hold%u:[%u]@%u-%u,calls=%u/%u,waits=%u,off=%u%s ", h->thread, h->object,
	    (unsigned)h->begin_ns, (unsigned)h->end_ns, h->calls, (unsigned)h->calls_ns,
	    (unsigned)h->waits_ns, (unsigned)h->off_ns, h->is_open ? ",open" : "");
	return 0;
}

static int on_edge(void *context, const struct story_edge *e)
{
	(void)context;
	say("%s:%u@%u>%u@%u/%u%s ", story_edge_name(e->kind), e->from, (unsigned)e->from_ns, e->to,
	    (unsigned)e->ran_ns, (unsigned)e->to_ns, e->certainty == STORY_EXACT ? "" : "?");
	return 0;
}

static int on_life(void *context, const struct story_life *l)
{
	(void)context;
	say("life%u:%u-%u%s ", l->thread, (unsigned)l->begin_ns, (unsigned)l->end_ns,
	    l->has_end ? "" : ",open");
	return 0;
}

enum { INTERVALS = 1, CALLS = 2, WAITS = 4, HOLDS = 8, EDGES = 16, LIVES = 32 };

static struct story_counts tell_all(const struct made *m, const struct story_listener *listener,
				    uint64_t from_ns, uint64_t to_ns)
{
	struct story_counts counts = {0};
	struct reader *reader;
	struct streams streams;
	struct tables tables;
	struct why why = {""};
	int r;

	tables_init(&tables);
	if (reader_open_bytes(&reader, "test", m->file.at, m->file.n, &why) < 0 ||
	    streams_init(&streams, reader) < 0 || tables_load(&tables, reader, &why) < 0)
		abort();
	r = story_tell(reader, &streams, &tables, from_ns, to_ns, listener, &counts, NULL, &why);
	if (r != 0)
		say("failed: %d %s", r, why.text);
	tables_fini(&tables);
	streams_fini(&streams);
	reader_close(reader);
	return counts;
}

static struct story_counts tell(struct made *m, unsigned what, uint64_t from_ns, uint64_t to_ns)
{
	const struct story_listener listener = {
		.interval = what & INTERVALS ? on_interval : NULL,
		.call = what & CALLS ? on_call : NULL,
		.wait = what & WAITS ? on_wait : NULL,
		.hold = what & HOLDS ? on_hold : NULL,
		.edge = what & EDGES ? on_edge : NULL,
		.life = what & LIVES ? on_life : NULL,
	};
	struct story_counts counts;

	text_n = 0;
	text[0] = '\0';
	counts = tell_all(m, &listener, from_ns, to_ns);
	if (text_n > 0)
		text[text_n - 1] = '\0';
	return counts;
}

static void is_told(struct made *m, unsigned what, const char *wanted, const char *about)
{
	made_end(m, 2, 0);
	tell(m, what, 0, UINT64_MAX);
	is_str(text, wanted, "%s", about);
	made_free(m);
}

static void test_states(void)
{
	struct made m = {0};

	made_begin(&m);
	STARTS(&m, 1000);
	WAITS_FOR(&m, 1100, 7, 2);
	GETS(&m, 1300, 7, 2);
	CALLS_IN(&m, 1400, SYS_getppid, 20, 5);
	CALLS_IN(&m, 1500, SYS_poll, 50, 1);
	EXITS(&m, 1600);
	THREAD(&m, 1);
	is_told(&m, INTERVALS,
		"1:R1000-1100 1:L1100-1300[7]<2 1:R1300-1380 1:S1380-1400(110) 1:R1400-1450 "
		"1:Z1450-1500(7) 1:R1500-1600",
		"states, where nobody recorded switches");

	made_begin(&m);
	STARTS(&m, 1000);
	AT(&m, 1100, CALL_BEGIN, 5, U(SYS_read), U(0), U(0), U(0), U(0));
	AT(&m, 1250, CALL_END, 3, U(SYS_read), ZIGZAG(-4), U(0));
	AT(&m, 1300, CALL_BEGIN, 5, U(SYS_epoll_wait), U(0), U(0), U(0), U(0));
	THREAD(&m, 1);
	STARTS(&m, 1010);
	EXITS(&m, 1700);
	THREAD(&m, 2);
	is_told(&m, INTERVALS | CALLS | LIVES,
		"1:R1000-1100 1:S1100-1250(0) call1:0@1100-1250=-4 1:R1250-1300 2:R1010-1700 "
		"life2:1010-1700 1:Z1300-1700(232) call1:232@1300-1700=0,idle,open "
		"life1:1000-1700,open",
		"calls with a beginning, and one that has no end");

	/* those that return twice: the thread did something else from then on, which a child of vfork does not show */
	made_begin(&m);
	STARTS(&m, 1000);
	AT(&m, 1100, CALL_BEGIN, 5, U(SYS_clone3), U(0), U(0), U(0), U(0));
	CALLS_IN(&m, 1200, SYS_rt_sigprocmask, 20, 0);
	AT(&m, 1300, CALL_BEGIN, 5, U(SYS_vfork), U(0), U(0), U(0), U(0));
	AT(&m, 1310, FORK, 2, U(77), U(0));
	AT(&m, 1320, EXEC, 2, U(0), U(0));
	CALLS_IN(&m, 1400, SYS_munmap, 5, 0);
	AT(&m, 1500, CALL_BEGIN, 5, U(SYS_clone), U(0), U(0), U(0), U(0));
	AT(&m, 1500, FORK, 2, U(78), U(0));
	AT(&m, 1550, CALL_END, 3, U(SYS_clone), ZIGZAG(78), U(0));
	EXITS(&m, 1600);
	THREAD(&m, 1);
	is_told(&m, INTERVALS | CALLS,
		"1:R1000-1100 1:S1100-1180(435) call1:435@1100-1180=0,open 1:S1180-1200(14) "
		"call1:14@1180-1200=0 1:R1200-1300 1:S1300-1395(58) call1:58@1300-1395=0,open "
		"1:S1395-1400(11) call1:11@1395-1400=0 1:R1400-1500 1:S1500-1550(56) "
		"call1:56@1500-1550=78 1:R1550-1600",
		"calls that return twice");
}

static void test_switches(void)
{
	struct made m = {.flags = FLAG_SWITCHES};

	made_begin(&m);
	STARTS(&m, 1000);
	WAITS_FOR(&m, 1100, 7, 0);
	GETS(&m, 1320, 7, 2);
	CALLS_IN(&m, 1500, SYS_read, 100, 1);
	EXITS(&m, 1600);
	THREAD(&m, 1);
	STARTS(&m, 1000);
	LETS_GO(&m, 1290, 7, 1, 250, 1);
	EXITS(&m, 1650);
	THREAD(&m, 2);
	AT(&m, 1050, OUT, 2, U(1), U(1)); /* preempted */
	AT(&m, 1070, IN, 1, U(1));
	AT(&m, 1120, OUT, 2, U(1), U(2));
	AT(&m, 1310, IN, 1, U(1));
	AT(&m, 1420, OUT, 2, U(1), U(2));
	AT(&m, 1490, IN, 1, U(1));
	AT(&m, 1550, OUT, 2, U(1), U(2));
	AT(&m, 1580, IN, 1, U(1));
	SWITCHES(&m, 0);
	is_told(&m, INTERVALS | EDGES,
		"1:R1000-1050 1:r1050-1070 1:R1070-1100 1:R1100-1120[7] 1:L1120-1290[7] "
		"1:r1290-1310[7]<2 1:R1310-1320[7] release:2@1290>1@1310/1320 1:R1320-1400 "
		"1:R1400-1420(0) 1:S1420-1490(0) 1:R1490-1500(0) 1:R1500-1550 1:?1550-1580 "
		"1:R1580-1600 2:R1000-1650",
		"with switches: who is woken is runnable; what nobody saw is not known");

	/* their records begin when it waits already; and some are lost */
	m.flags = FLAG_SWITCHES;
	made_begin(&m);
	STARTS(&m, 1000);
	WAITS_FOR(&m, 2000, 7, 0);
	GETS(&m, 902000, 7, 2);
	EXITS(&m, 2000000);
	THREAD(&m, 1);
	AT(&m, 900000, IN, 1, U(1));
	AT(&m, 910000, OUT, 2, U(1), U(1));
	AT(&m, 920000, IN, 1, U(1));
	AT(&m, 1500000, IN, 1, U(1));
	AT(&m, 1510000, IN, 1, U(1)); /* a moment: nobody was off */
	SWITCHES(&m, 0);
	is_told(&m, INTERVALS,
		"1:R1000-2000 1:L2000-900000[7] 1:R900000-902000[7] 1:R902000-910000 "
		"1:r910000-920000 1:?920000-1500000 1:R1500000-1510000 1:R1510000-2000000",
		"with switches: who comes onto a processor was on none");

	/* a wait that is over before the first record of any processor */
	m.flags = FLAG_SWITCHES;
	made_begin(&m);
	STARTS(&m, 1000);
	WAITS_FOR(&m, 2000, 7, 0);
	GETS(&m, 902000, 7, 2);
	EXITS(&m, 2000000);
	THREAD(&m, 1);
	AT(&m, 1500000, OUT, 2, U(1), U(1));
	AT(&m, 1510000, IN, 1, U(1));
	SWITCHES(&m, 0);
	is_told(&m, INTERVALS,
		"1:R1000-2000 1:L2000-902000[7] 1:R902000-1500000 1:r1500000-1510000 "
		"1:R1510000-2000000",
		"with switches: before they are recorded, a wait is a wait");
}

static void test_holds(void)
{
	struct made m = {.flags = FLAG_SWITCHES};

	made_begin(&m);
	STARTS(&m, 1000);
	CALLS_IN(&m, 1100, SYS_fsync, 60, 0); /* 1040 to 1100 */
	CALLS_IN(&m, 1150, SYS_write, 10, 3);
	AT(&m, 1200, HELD, 3, U(5), U(1), U(180)); /* since 1020 */
	AT(&m, 1210, PAIR, 1, U(6));
	WAITS_FOR(&m, 1220, 7, 2);
	GETS(&m, 1300, 7, 2);
	WAITS_FOR(&m, 1310, 8, 2);
	GETS(&m, 1330, 8, 2);
	LETS_GO(&m, 1400, 7, 3, 100, 0);
	EXITS(&m, 1500);
	THREAD(&m, 1);
	AT(&m, 1160, OUT, 2, U(1), U(1));
	AT(&m, 1190, IN, 1, U(1));
	SWITCHES(&m, 0);
	is_told(&m, HOLDS,
		"hold1:[5]@1020-1200,calls=2/70,waits=0,off=30 "
		"hold1:[6]@1210-1210,calls=0/0,waits=0,off=0 "
		"hold1:[7]@1300-1400,calls=0/0,waits=20,off=0 "
		"hold1:[8]@1330-1500,calls=0/0,waits=0,off=0,open",
		"what is done while a lock is held");
}

static void test_edges(void)
{
	struct made m = {0};

	/* a condition: the waiter's event before is the mutex's release, and it holds it again behind */
	made_begin(&m);
	STARTS(&m, 1000);
	AT(&m, 1100, HELD, 3, U(1), U(1), U(10));
	AT(&m, 1100, COND, 4, U(2), U(1), U(0), U(0));
	AT(&m, 1200, COND_END, 3, U(2), U(0), U(3));
	AT(&m, 1205, HELD, 3, U(1), U(1), U(5));
	AT(&m, 1205, COND, 4, U(2), U(1), U(0), U(0));
	AT(&m, 1300, COND_END, 3, U(2), U(0), U(6));
	EXITS(&m, 1400);
	THREAD(&m, 1);
	STARTS(&m, 1000);
	AT(&m, 1050, SIGNAL, 4, U(2), U(0), U(1), U(0));
	AT(&m, 1150, SIGNAL, 4, U(2), U(0), U(2), U(0));
	AT(&m, 1250, SIGNAL, 4, U(2), U(1), U(4), U(0));
	AT(&m, 1350, SIGNAL, 4, U(2), U(1), U(7), U(0));
	EXITS(&m, 1390);
	THREAD(&m, 2);
	is_told(&m, EDGES | WAITS,
		"wait1:40@1100-1200[2] signal:2@1150>1@1200/1200 wait1:40@1205-1300[2],again "
		"signal:2@1250>1@1300/1300",
		"a condition: the last signal of a lower number");

	/* woken in vain: nothing but the next wait's release lies in between, and it was woken */
	made_begin(&m);
	STARTS(&m, 1000);
	AT(&m, 1100, COND, 4, U(2), U(1), U(0), U(0));
	AT(&m, 1200, COND_END, 3, U(2), U(0), U(3));
	AT(&m, 1210, HELD, 3, U(1), U(1), U(10)); /* took something from a queue, and worked */
	AT(&m, 1250, HELD, 3, U(1), U(1), U(5));
	AT(&m, 1250, COND, 4, U(2), U(1), U(0), U(0));
	AT(&m, 1300, COND_END, 3, U(2), U(110), U(0)); /* its time was up */
	AT(&m, 1305, HELD, 3, U(1), U(1), U(5));
	AT(&m, 1305, COND, 4, U(2), U(1), U(1), U(0));
	AT(&m, 1350, COND_END, 3, U(2), U(0), U(4));
	AT(&m, 1355, HELD, 3, U(1), U(1), U(5));
	AT(&m, 1355, COND, 4, U(2), U(1), U(1), U(0));
	AT(&m, 1400, COND_END, 3, U(2), U(110), U(0));
	EXITS(&m, 1450);
	THREAD(&m, 1);
	is_told(&m, WAITS,
		"wait1:40@1100-1200[2] wait1:40@1250-1300[2] wait1:40@1305-1350[2],idle "
		"wait1:40@1355-1400[2],idle,again",
		"who is woken for nothing waits again at once");

	/* semaphore: tokens are taken in the order of their posts, also by who did not wait */
	made_begin(&m);
	STARTS(&m, 1000);
	AT(&m, 1050, SEM_END, 3, U(3), U(0), U(3));
	AT(&m, 1100, SEM, 2, U(3), U(0));
	AT(&m, 1200, SEM_END, 3, U(3), U(0), U(5));
	AT(&m, 1300, SEM, 2, U(3), U(0));
	AT(&m, 1400, SEM_END, 3, U(3), U(110), U(0)); /* timed out */
	EXITS(&m, 1500);
	THREAD(&m, 1);
	STARTS(&m, 1000);
	AT(&m, 1020, POST, 3, U(3), U(1), U(0));
	AT(&m, 1150, POST, 3, U(3), U(4), U(0));
	EXITS(&m, 1390);
	THREAD(&m, 2);
	is_told(&m, EDGES, "post:2@1150>1@1200/1200?", "a semaphore");

	/* join, barrier, once, creation */
	made_begin(&m);
	STARTS(&m, 1000);
	AT(&m, 1010, CREATE, 3, U(2), U(0), U(0));
	AT(&m, 1100, BARRIER, 3, U(4), U(1), U(0));
	AT(&m, 1220, BARRIER_END, 3, U(4), U(0), U(1));
	AT(&m, 1230, ONCE, 2, U(9), U(0));
	AT(&m, 1300, ONCE_END, 2, U(9), U(0));
	AT(&m, 1310, JOIN, 2, U(2), U(0));
	AT(&m, 1405, JOINED, 1, U(0));
	EXITS(&m, 1500);
	THREAD(&m, 1);
	STARTS(&m, 1030);
	AT(&m, 1200, BARRIER, 3, U(4), U(2), U(0));
	AT(&m, 1210, BARRIER_END, 3, U(4), U(1), U(1));
	AT(&m, 1215, ONCE, 2, U(9), U(0));
	AT(&m, 1216, ONCE_RUN, 1, U(9));
	AT(&m, 1290, ONCE_END, 2, U(9), U(1));
	EXITS(&m, 1400);
	THREAD(&m, 2);
	is_told(&m, EDGES,
		"create:1@1010>2@1030/1030 barrier:2@1200>1@1220/1220 once:2@1290>1@1300/1300 "
		"exit:2@1400>1@1405/1405",
		"creation, barrier, once and join");

	/* a pipe: the reader may be back before the writer is */
	made_begin(&m);
	made_string(&m, 1, "pipe:[77]");
	made_end_block(&m, (struct made_block){.kind = MADE_STRINGS, .first_ns = 1, .last_ns = 1});
	STARTS(&m, 1000);
	AT(&m, 1010, FD_OPEN, 4, U(1), U(3), U(2), U(1));
	AT(&m, 1200, CALL, 8, U(SYS_read), U(150), ZIGZAG(1), U(1), U(3), U(0), U(1), U(0));
	AT(&m, 1390, CALL, 8, U(SYS_read), U(150), ZIGZAG(1), U(1), U(3), U(0), U(1), U(0));
	EXITS(&m, 1500);
	THREAD(&m, 1);
	STARTS(&m, 1000);
	AT(&m, 1011, FD_OPEN, 4, U(2), U(4), U(2), U(1));
	AT(&m, 1190, CALL, 8, U(SYS_write), U(10), ZIGZAG(1), U(2), U(4), U(0), U(1), U(0));
	AT(&m, 1400, CALL, 8, U(SYS_write), U(30), ZIGZAG(1), U(2), U(4), U(0), U(1), U(0));
	EXITS(&m, 1490);
	THREAD(&m, 2);
	is_told(&m, EDGES, "pipe:2@1180>1@1200/1200? pipe:2@1370>1@1390/1390?", "a pipe");

	/* all eventfds have one name */
	made_begin(&m);
	made_string(&m, 1, "anon_inode:[eventfd]");
	made_end_block(&m, (struct made_block){.kind = MADE_STRINGS, .first_ns = 1, .last_ns = 1});
	STARTS(&m, 1000);
	AT(&m, 1010, FD_OPEN, 4, U(1), U(3), U(4), U(1));
	AT(&m, 1012, FD_OPEN, 4, U(2), U(4), U(4), U(1));
	AT(&m, 1200, CALL, 8, U(SYS_read), U(150), ZIGZAG(8), U(1), U(3), U(0), U(8), U(0));
	AT(&m, 1400, CALL, 8, U(SYS_read), U(150), ZIGZAG(8), U(2), U(4), U(0), U(8), U(0));
	EXITS(&m, 1500);
	THREAD(&m, 1);
	STARTS(&m, 1000);
	AT(&m, 1190, CALL, 8, U(SYS_write), U(10), ZIGZAG(8), U(1), U(3), U(0), U(8), U(0));
	AT(&m, 1390, CALL, 8, U(SYS_write), U(10), ZIGZAG(8), U(1), U(3), U(0), U(8), U(0));
	EXITS(&m, 1490);
	THREAD(&m, 2);
	is_told(&m, EDGES, "pipe:2@1180>1@1200/1200?", "an eventfd, and not another one");
}

/* A call of @took ns that ends at @ns, on @file; one that has none is 0. */
#define CALLS_ON(m, ns, number, took, result, file) \
	AT(m, ns, CALL, 8, U(number), U(took), ZIGZAG(result), U(file), U(0), U(0), U(0), U(0))
#define OPENS(m, ns, file, kind, name) AT(m, ns, FD_OPEN, 4, U(file), U(file), U(kind), U(name))
enum { A_PIPE = 2, A_SOCKET = 3, AN_EVENTFD = 4, AN_EPOLL = 6 };

static void begin_named(struct made *m, const char *first, const char *second)
{
	made_begin(m);
	made_string(m, 1, first);
	made_string(m, 2, second);
	made_end_block(m, (struct made_block){.kind = MADE_STRINGS, .first_ns = 1, .last_ns = 1});
}

static void test_polls(void)
{
	struct made m = {0};

	/* the thread's next read says what was ready; a call without a file does not */
	begin_named(&m, "pipe:[77]", "anon_inode:[eventfd]");
	STARTS(&m, 1000);
	OPENS(&m, 1010, 1, A_PIPE, 1);
	OPENS(&m, 1010, 2, AN_EVENTFD, 2);
	OPENS(&m, 1010, 3, AN_EPOLL, 0);
	OPENS(&m, 1010, 4, A_SOCKET, 0);
	CALLS_ON(&m, 1200, SYS_poll, 100, 1, 0);
	CALLS_ON(&m, 1205, SYS_gettid, 1, 1, 0);
	CALLS_ON(&m, 1210, SYS_read, 5, 1, 1);
	CALLS_ON(&m, 1220, SYS_read, 5, 1, 1); /* what was written before, and is no news */
	CALLS_ON(&m, 1300, SYS_epoll_wait, 50, 2, 3);
	CALLS_ON(&m, 1310, SYS_read, 5, 8, 2);
	CALLS_ON(&m, 1400, SYS_ppoll, 50, 2, 0);
	CALLS_ON(&m, 1410, SYS_recvfrom, 5, 8, 4); /* it was this, and who sent that is not known */
	CALLS_ON(&m, 1420, SYS_read, 5, 8, 1);
	CALLS_ON(&m, 1500, SYS_select, 50, 0, 0); /* in vain */
	CALLS_ON(&m, 1510, SYS_read, 5, 8, 1);
	CALLS_ON(&m, 1550, SYS_pselect6, 30, 1, 0); /* of something else: the read has to wait */
	CALLS_ON(&m, 1600, SYS_read, 45, 8, 1);
	EXITS(&m, 1700);
	THREAD(&m, 1);
	STARTS(&m, 1000);
	CALLS_ON(&m, 1190, SYS_write, 10, 1, 1);
	CALLS_ON(&m, 1195, SYS_write, 4, 1, 1); /* nobody waits for this one any more */
	CALLS_ON(&m, 1295, SYS_write, 4, 8, 2);
	CALLS_ON(&m, 1390, SYS_write, 4, 8, 1);
	CALLS_ON(&m, 1490, SYS_write, 4, 8, 1);
	CALLS_ON(&m, 1590, SYS_write, 4, 8, 1);
	EXITS(&m, 1690);
	THREAD(&m, 2);
	is_told(&m, EDGES,
		"pipe:2@1180>1@1200/1200? pipe:2@1291>1@1300/1300? pipe:2@1586>1@1600/1600?",
		"polls: the write that made ready what is read next");

	/* two that wait for one eventfd; a writer that comes back behind them */
	begin_named(&m, "pipe:[77]", "anon_inode:[eventfd]");
	STARTS(&m, 1000);
	OPENS(&m, 1010, 2, AN_EVENTFD, 2);
	OPENS(&m, 1010, 3, AN_EPOLL, 0);
	CALLS_ON(&m, 1200, SYS_epoll_wait, 150, 1, 3);
	CALLS_ON(&m, 1210, SYS_read, 5, 8, 2);
	EXITS(&m, 1700);
	THREAD(&m, 1);
	STARTS(&m, 1000);
	CALLS_ON(&m, 1300, SYS_epoll_pwait, 150, 1, 3);
	CALLS_ON(&m, 1310, SYS_read, 5, 8, 2);
	EXITS(&m, 1700);
	THREAD(&m, 2);
	STARTS(&m, 1000);
	CALLS_ON(&m, 1180, SYS_write, 10, 8, 2);
	CALLS_ON(&m, 1320, SYS_write, 40, 8, 2);
	EXITS(&m, 1690);
	THREAD(&m, 3);
	is_told(&m, EDGES, "pipe:3@1170>1@1200/1200? pipe:3@1280>2@1300/1300?",
		"polls: each its own write");
}

static void test_connections(void)
{
	struct made m = {0};

	/* a pair, and a connection of the program with itself: what one end writes the other reads */
	for (unsigned i = 0; i < 2; i++) {
		begin_named(&m, i == 0 ? "unix:[7]->[8]" : "tcp 127.0.0.1:80->127.0.0.1:4000",
			    i == 0 ? "unix:[8]->[7]" : "tcp 127.0.0.1:4000->127.0.0.1:80");
		STARTS(&m, 1000);
		OPENS(&m, 1010, 1, A_SOCKET, 1);
		OPENS(&m, 1010, 2, A_SOCKET, 2);
		CALLS_ON(&m, 1200, SYS_recvfrom, 100, 1, 1);
		CALLS_ON(&m, 1300, SYS_epoll_wait, 50, 1, 0);
		CALLS_ON(&m, 1310, SYS_recvmsg, 2, 1, 1);
		CALLS_ON(&m, 1400, SYS_read, 50, 1, 2); /* the end that is written */
		EXITS(&m, 1700);
		THREAD(&m, 1);
		STARTS(&m, 1000);
		CALLS_ON(&m, 1190, SYS_sendto, 10, 1, 2);
		CALLS_ON(&m, 1290, SYS_sendmsg, 10, 1, 2);
		CALLS_ON(&m, 1390, SYS_writev, 10, 1, 2);
		EXITS(&m, 1690);
		THREAD(&m, 2);
		is_told(&m, EDGES, "pipe:2@1180>1@1200/1200? pipe:2@1280>1@1300/1300?",
			i == 0 ? "a pair of sockets" : "a connection");
	}

	/* who accepted has the name of all that were accepted there */
	begin_named(&m, "unix /run/x", "unix ->/run/x");
	STARTS(&m, 1000);
	OPENS(&m, 1010, 1, A_SOCKET, 1);
	OPENS(&m, 1010, 2, A_SOCKET, 2);
	CALLS_ON(&m, 1200, SYS_read, 100, 1, 1);
	CALLS_ON(&m, 1300, SYS_read, 50, 1, 2);
	EXITS(&m, 1700);
	THREAD(&m, 1);
	STARTS(&m, 1000);
	CALLS_ON(&m, 1190, SYS_write, 10, 1, 2);
	CALLS_ON(&m, 1290, SYS_write, 10, 1, 1);
	EXITS(&m, 1690);
	THREAD(&m, 2);
	is_told(&m, EDGES, "", "sockets whose other end may be one of many");
}

static void test_idle(void)
{
	struct made m = {0};
	uint64_t ns = 1000;

	made_begin(&m);
	STARTS(&m, ns);
	for (unsigned i = 0; i < 5; i++) {
		AT(&m, ns += 10, SEM, 2, U(3), U(40));
		AT(&m, ns += 90, SEM_END, 3, U(3),
		   U(i == 3   ? ETIMEDOUT
		     : i == 4 ? EINTR
			      : 0),
		   U(0));
	}
	EXITS(&m, 2000);
	THREAD(&m, 1);
	is_told(&m, WAITS,
		"wait1:44@1010-1100[3] wait1:44@1110-1200[3] wait1:44@1210-1300[3],idle "
		"wait1:44@1310-1400[3],idle wait1:44@1410-1500[3]",
		"who waits at the same place again and again waits for work, or for time to pass");

	/* nobody ended it: that was no loss when the program ended by itself, and may be why it was ended */
	for (uint32_t reason = 1; reason <= 3; reason++) {
		made_begin(&m);
		STARTS(&m, 1000);
		AT(&m, 1100, SEM, 2, U(3), U(40));
		EXITS(&m, 2000);
		THREAD(&m, 1);
		made_end(&m, reason, 0);
		tell(&m, INTERVALS | WAITS, 0, UINT64_MAX);
		is_str(text,
		       reason == TRACE_END_EXITED
			       ? "1:R1000-1100 1:Z1100-2000[3] wait1:44@1100-2000[3],idle,open"
			       : "1:R1000-1100 1:C1100-2000[3] wait1:44@1100-2000[3],open",
		       "a wait that nobody ends, until the program is %s",
		       reason == TRACE_END_EXITED   ? "over"
		       : reason == TRACE_END_SIGNAL ? "killed"
						    : "not looked at any more");
		made_free(&m);
	}
}

static void test_gaps(void)
{
	struct story_counts counts;
	struct made m = {0};

	made_begin(&m);
	STARTS(&m, 1000);
	WAITS_FOR(&m, 1100, 7, 2);
	AT(&m, 1500, GAP, 4, U(33), U(1), U(2), U(1));
	AT(&m, 1600, PAIR, 1, U(6));
	THREAD(&m, 1);
	EXITS(&m, 2000);
	end_of(&m, 1, 1, 0, 5);
	made_end(&m, 2, 0);
	counts = tell(&m, INTERVALS | LIVES, 0, UINT64_MAX);
	is_str(text, "1:R1000-1100 1:?1100-1500 1:R1500-1600 1:?1600-2000 life1:1000-2000",
	       "what is missing is not known");
	is_u64(counts.lost_events, 38, "how many events that are");
	is_u64(counts.gaps, 2, "in how many places");
	is_u64(counts.state_ns[TRACE_UNKNOWN], 800, "how long");
	is_u64(counts.uncertain_ns[STORY_UNKNOWN], 800, "and that nobody knows");
	made_free(&m);

	/* a ring's beginning: what a thread does since before */
	m = (struct made){.flags = FLAG_SWITCHES};
	made_begin(&m);
	AT(&m, 1000, STATUS, 7, U(TRACE_LOCK), U(WAIT), U(7), U(0), U(300), U(1), U(0));
	AT(&m, 1000, HELD_ALREADY, 3, U(9), U(1), U(500));
	GETS(&m, 1200, 7, 2);
	AT(&m, 1300, RELEASED, 6, U(9), U(1), U(0), U(0), U(0), U(0));
	EXITS(&m, 1400);
	THREAD(&m, 1);
	AT(&m, 1190, IN, 1, U(1));
	SWITCHES(&m, 0);
	is_told(&m, INTERVALS | WAITS | HOLDS,
		"1:L1000-1190[7] 1:R1190-1200[7] wait1:32@700-1200[7] "
		"hold1:[9]@500-1300,calls=0/0,waits=500,off=0 "
		"hold1:[7]@1200-1400,calls=0/0,waits=0,off=0,open 1:R1200-1400",
		"what began before the trace");
}

static void test_seek(void)
{
	struct story_listener listener = {.interval = on_interval, .wait = on_wait};
	struct story_counts counts;
	struct made m = {.flags = FLAG_SWITCHES};

	made_begin(&m);
	STARTS(&m, 1000);
	WAITS_FOR(&m, 1100, 7, 0);
	end_of(&m, 1, 0, 0, 0);
	STARTS(&m, 1000);
	end_of(&m, 2, 0, 0, 0);
	AT(&m, 1120, OUT, 2, U(1), U(2));
	end_of(&m, 0, 0, 8, 0);
	generation = 1;
	AT(&m, 2000, STATUS, 7, U(TRACE_LOCK), U(WAIT), U(7), U(0), U(900), U(0), U(0));
	GETS(&m, 2600, 7, 2);
	EXITS(&m, 2700);
	end_of(&m, 1, 1, 0, 0);
	AT(&m, 2000, STATUS, 7, U(TRACE_RUNNING), U(0), U(0), U(0), U(0), U(0), U(0));
	EXITS(&m, 2650);
	end_of(&m, 2, 1, 0, 0);
	AT(&m, 2590, IN, 1, U(1));
	end_of(&m, 0, 1, 8, 0);
	generation = 0;
	made_end(&m, 2, 0);
	text_n = 0;
	counts = tell_all(&m, &listener, 2500, UINT64_MAX);
	is_str(text,
	       "1:L2500-2590[7] 1:R2590-2600[7] wait1:32@1100-2600[7] 2:R2500-2650 1:R2600-2700 ",
	       "from a moment on, by all that was before");
	is_u64(counts.merge.events, 10, "which is all of the events");
	listener.may_seek = true;
	text_n = 0;
	counts = tell_all(&m, &listener, 2500, UINT64_MAX);
	is_str(text,
	       "1:L2500-2590[7] 1:R2590-2600[7] wait1:32@1100-2600[7] 2:R2500-2650 1:R2600-2700 ",
	       "and by the generation that it lies in");
	is_u64(counts.merge.events, 6, "which is some of them");
	text_n = 0;
	counts = tell_all(&m, &listener, 1500, 1600);
	is_str(text, "1:L1500-1600[7] wait1:32@1100-2600[7] 2:R1500-1600 ", "in the first one");
	made_free(&m);
}

/* Who waits for whom at @ns, by the story from @from_ns to @to_ns. */
static void tell_chain(const struct made *m, uint64_t ns, uint64_t from_ns, uint64_t to_ns)
{
	struct moment moment = {.at_ns = ns};
	struct story_listener listener = moment_listener(&moment);
	struct moment_chain chain;

	listener.may_seek = true;
	text_n = 0;
	tell_all(m, &listener, from_ns, to_ns);
	moment_follow(&moment, 1, &chain);
	for (uint32_t i = 0; i < chain.n; i++)
		say("%u:%s ", chain.steps[i].index,
		    chain.steps[i].why == MOMENT_HELD      ? "held"
		    : chain.steps[i].why == MOMENT_RUNNING ? "runs"
							   : "else");
	if (chain.cycle_at != MOMENT_NO_CYCLE)
		say("%s %u ", chain.is_deadlock ? "deadlock" : "cycle", chain.cycle_at);
	moment_fini(&moment);
}

static void test_chains(void)
{
	struct made m = {0};

	made_begin(&m);
	STARTS(&m, 1000);
	WAITS_FOR(&m, 1100, 7, 2);
	GETS(&m, 1500, 7, 2);
	EXITS(&m, 1600);
	THREAD(&m, 1);
	STARTS(&m, 1000);
	WAITS_FOR(&m, 1050, 8, 3);
	GETS(&m, 1400, 8, 2);
	LETS_GO(&m, 1410, 8, 3, 10, 0);
	LETS_GO(&m, 1450, 7, 1, 440, 1);
	EXITS(&m, 1600);
	THREAD(&m, 2);
	STARTS(&m, 1000);
	LETS_GO(&m, 1390, 8, 1, 350, 1);
	EXITS(&m, 1600);
	THREAD(&m, 3);
	made_end(&m, 2, 0);
	tell_chain(&m, 1200, 0, UINT64_MAX);
	is_str(text, "1:held 2:held 3:runs ", "a chain, by the whole story");
	tell_chain(&m, 1200, 1200, 1201);
	is_str(text, "1:held 2:held 3:runs ", "and by what is around the moment");
	tell_chain(&m, 1455, 1455, 1456);
	is_str(text, "1:else ", "a lock that is on its way");
	made_free(&m);

	/* thread 2 was said to have it when the wait began */
	m = (struct made){0};
	made_begin(&m);
	STARTS(&m, 1000);
	WAITS_FOR(&m, 1100, 7, 2);
	GETS(&m, 1500, 7, 2);
	EXITS(&m, 1600);
	THREAD(&m, 1);
	STARTS(&m, 1000);
	for (unsigned i = 0; i < 3; i++) {
		AT(&m, 1010 + i * 30, SEM, 2, U(3), U(40));
		AT(&m, 1020 + i * 30, SEM_END, 3, U(3), U(0), U(0));
	}
	AT(&m, 1200, SEM, 2, U(3), U(40));
	AT(&m, 1450, SEM_END, 3, U(3), U(0), U(0));
	EXITS(&m, 1600);
	THREAD(&m, 2);
	made_end(&m, 2, 0);
	tell_chain(&m, 1150, 0, UINT64_MAX);
	is_str(text, "1:held 2:runs ", "who had it when the wait began");
	tell_chain(&m, 1250, 0, UINT64_MAX);
	is_str(text, "1:else ", "has it no more when it has gone to wait for work");
	made_free(&m);

	for (unsigned is_broken = 0; is_broken < 2; is_broken++) {
		m = (struct made){0};
		made_begin(&m);
		STARTS(&m, 1000);
		WAITS_FOR(&m, 1010, 5, 2);
		GETS(&m, 1100, 5, 2);
		WAITS_FOR(&m, 1200, 8, 2);
		THREAD(&m, 1);
		STARTS(&m, 1000);
		WAITS_FOR(&m, 1010, 8, 3);
		GETS(&m, 1110, 8, 2);
		WAITS_FOR(&m, 1210, 5, 1);
		if (is_broken)
			AT(&m, 1400, FAILED, 3, U(5), U(1), U(110));
		THREAD(&m, 2);
		STARTS(&m, 1000);
		EXITS(&m, 1500);
		THREAD(&m, 3);
		made_end(&m, 2, 0);
		tell_chain(&m, 1300, 0, UINT64_MAX);
		is_str(text, is_broken ? "1:held 2:held cycle 0 " : "1:held 2:held deadlock 0 ",
		       "two that wait for each other");
		made_free(&m);
	}
}

/* ---- whatever the events are ---- */

struct sums {
	uint64_t at[9], begin[9], sum[9], total, wrong, lives, n;
};

static int add_interval(void *context, const struct interval *i)
{
	struct sums *sums = context;

	if (i->thread > 8 || i->begin_ns >= i->end_ns)
		sums->wrong++;
	else if (sums->at[i->thread] == 0)
		sums->begin[i->thread] = i->begin_ns;
	else
		sums->wrong += i->begin_ns != sums->at[i->thread];
	sums->at[i->thread % 9] = i->end_ns;
	sums->sum[i->thread % 9] += i->end_ns - i->begin_ns;
	sums->total += i->end_ns - i->begin_ns;
	sums->n++;
	return 0;
}

static int add_life(void *context, const struct story_life *l)
{
	struct sums *sums = context;

	sums->lives++;
	sums->wrong += sums->sum[l->thread % 9] != l->end_ns - l->begin_ns ||
		       (sums->n > 0 && sums->at[l->thread % 9] != l->end_ns);
	return 0;
}

static int count_order(void *context, const struct story_wait *w)
{
	struct sums *sums = context;

	sums->wrong += w->begin_ns > w->end_ns;
	return 0;
}

static int count_release(void *context, const struct story_edge *e)
{
	struct sums *sums = context;

	sums->n += e->kind == EDGE_RELEASE;
	sums->wrong += e->from_ns > e->to_ns;
	return 0;
}

/*
 * Locks that go from hand to hand among four threads that hold several at once, with clocks so coarse and wrong that what is later
 * often has the same stamp or a smaller one: numbers say who got which from whom.
 */
enum { ORDER_THREADS = 4, ORDER_LOCKS = 3, ORDER_STEPS = 240 };
struct order_step {
	uint64_t ns;
	unsigned lock, order;
	bool is_release;
};

static uint64_t make_order(struct made *m, unsigned locks)
{
	static struct order_step steps[ORDER_THREADS][ORDER_STEPS];
	unsigned n[ORDER_THREADS] = {0}, holder[ORDER_LOCKS] = {0}, orders[ORDER_LOCKS] = {0};
	unsigned grain = 1 + roll(30), skew = roll(20);
	uint64_t true_ns = 2000, handed = 0, ns;

	for (unsigned i = 0; i < ORDER_STEPS; i++) {
		unsigned thread = roll(ORDER_THREADS), lock = roll(locks);
		struct order_step *step = &steps[thread][n[thread]];

		if (holder[lock] != 0 && holder[lock] != thread + 1)
			continue;
		true_ns += roll(8);
		ns = (true_ns + roll(skew + 1)) / grain * grain;
		if (n[thread] > 0 && ns < step[-1].ns)
			ns = step[-1].ns;
		*step = (struct order_step){ns, 7 + lock, ++orders[lock], holder[lock] != 0};
		handed += holder[lock] == 0 && orders[lock] > 1;
		holder[lock] = step->is_release ? 0 : thread + 1;
		n[thread]++;
	}
	made_begin(m);
	for (uint32_t thread = 0; thread < ORDER_THREADS; thread++) {
		STARTS(m, 1000);
		for (unsigned i = 0; i < n[thread]; i++) {
			const struct order_step *step = &steps[thread][i];

			if (step->is_release) {
				LETS_GO(m, step->ns, step->lock, step->order, 1, 3);
			} else {
				WAITS_FOR(m, i > 0 ? step[-1].ns : 1000, step->lock, 0);
				GETS(m, step->ns, step->lock, step->order);
			}
		}
		EXITS(m, true_ns + 1000);
		THREAD(m, thread + 1);
	}
	return handed;
}

static void test_order(void)
{
	for (unsigned locks = 1; locks <= ORDER_LOCKS; locks++) {
		uint64_t wrong = 0, edges = 0, handed = 0;

		for (unsigned round = 0; round < 200; round++) {
			struct made m = {0};
			struct sums sums = {0};
			const struct story_listener listener = {.context = &sums,
								.edge = count_release};

			handed += make_order(&m, locks);
			made_end(&m, 2, 0);
			text_n = 0;
			tell_all(&m, &listener, 0, UINT64_MAX);
			wrong += sums.wrong + (text_n != 0);
			edges += sums.n;
			made_free(&m);
		}
		is_u64(wrong, 0, "%u locks, wrong stamps: none is had before it is let go of",
		       locks);
		is_u64(edges, handed, "and everybody has it from somebody");
	}
}

static void test_any(void)
{
	const struct story_listener listener = {
		.interval = add_interval, .life = add_life, .wait = count_order};
	struct story_listener with = listener;
	uint64_t wrong = 0, lives = 0, intervals = 0, cut_wrong = 0;

	for (unsigned round = 0; round < 300; round++) {
		struct made m = {.flags = round % 2 != 0 ? FLAG_SWITCHES : 0};
		struct sums all = {0}, before = {0}, after = {0};
		uint64_t middle;

		made_begin(&m);
		make_any(&m, 60, round % 4 > 1);
		made_end(&m, 2, 0);
		with.context = &all;
		text_n = 0;
		tell_all(&m, &with, 0, UINT64_MAX);
		middle = 1000 + roll(1500);
		with.life = NULL;
		with.context = &before;
		tell_all(&m, &with, 0, middle);
		with.context = &after;
		tell_all(&m, &with, middle, UINT64_MAX);
		with.life = add_life;
		wrong += all.wrong + before.wrong + after.wrong + (text_n != 0);
		lives += all.lives;
		intervals += all.n;
		cut_wrong += before.total + after.total != all.total;
		made_free(&m);
	}
	is_u64(wrong, 0,
	       "300 traces of any events: intervals without gap or overlap, that add up to lives");
	is_u64(lives, 2400, "of every thread");
	ok(intervals > 20000, "%u intervals", (unsigned)intervals);
	is_u64(cut_wrong, 0, "and the parts before and behind a moment add up to the whole");
}

int main(void)
{
	plan_begin();
	test_states();
	test_switches();
	test_holds();
	test_edges();
	test_polls();
	test_connections();
	test_idle();
	test_gaps();
	test_seek();
	test_chains();
	test_order();
	test_any();
	return plan_end();
}
