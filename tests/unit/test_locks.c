/*
 * Who waits for whom: sums to the ns by lock, place and holder; orders, gates, cycles; chains; convoys; where time goes; and what a
 * moment looks like. The traces are made by hand, a tick is a ns.
 */
#define TRACE_MAKE_LZ4

#include <sys/syscall.h>

#include "tests/tap.h"
#include "tests/unit/trace_make.h"
#include "viewer/across.h"
#include "viewer/blocked.h"
#include "viewer/lock_chains.h"
#include "viewer/lock_order.h"
#include "viewer/locks.h"
#include "viewer/moment.h"
#include "viewer/names.h"

enum { /* types of events */
       START = 2,
       EXIT = 4,
       JOIN = 5,
       JOINED = 6,
       HELD_ALREADY = 12,
       CALL = 18,
       WAIT = 32,
       ACQUIRED = 33,
       FAILED = 34,
       RELEASED = 35,
       PAIR = 36,
       HELD = 37,
       PAIR_SHARED = 38,
       COND = 40,
       COND_END = 41,
       SIGNAL = 42,
};

enum { A = 1, B, C, G, R, S, Q, OBJECTS }; /* R and S are rwlocks, Q a condition */
enum { MUTEX = 1, RWLOCK = 2, CONDITION = 4 };

static uint64_t first_ns, at_ns;

/* An event at @ns, those of a thread one after the other. */
#define AT(m, ns, type, n, ...)                                          \
	do {                                                             \
		if ((m)->records == 0)                                   \
			first_ns = at_ns = (ns);                         \
		made_event((m), (type), (ns)-at_ns, (n), ##__VA_ARGS__); \
		at_ns = (ns);                                            \
	} while (0)

static void end_thread(struct made *m, uint32_t thread)
{
	made_end_block(m, (struct made_block){.kind = MADE_EVENTS,
					      .thread = thread,
					      .first_ns = first_ns,
					      .last_ns = at_ns,
					      .span = at_ns - first_ns,
					      .tick_fs = 1000000,
					      .needs = {100, 100, 100, 100}});
}

static void begin_thread(struct made *m, uint64_t ns, uint32_t thread)
{
	AT(m, ns, START, 4, U(4710 + thread), U(0), U(0), U(0));
}

#define LOCK_WAITS(m, ns, lock, holder, stack) \
	AT(m, ns, WAIT, 4, U(lock), U(1), U(holder), U(stack))
#define LOCK_GETS(m, ns, lock, order, waited) \
	AT(m, ns, ACQUIRED, 4, U(lock), U(1), U(order), U(waited))
#define LOCK_LETS(m, ns, lock, order, held, waiters, stack) \
	AT(m, ns, RELEASED, 6, U(lock), U(1), U(order), U(held), U(waiters), U(stack))
#define LOCK_HELD(m, ns, lock, held) AT(m, ns, HELD, 3, U(lock), U(1), U(held))
#define LOCK_PAIR(m, ns, lock)       AT(m, ns, PAIR, 1, U(lock))

/* Objects have one letter, stacks one frame each, "s1" … "s9". */
static void begin_trace(struct made *m)
{
	char text[4];

	*m = (struct made){0};
	made_begin(m);
	for (uint32_t i = 1; i < OBJECTS; i++) {
		snprintf(text, sizeof(text), "%c", " ABCGRSQ"[i]);
		made_string(m, i, text);
	}
	for (uint32_t i = 1; i < 10; i++) {
		snprintf(text, sizeof(text), "s%u", i);
		made_string(m, 20 + i, text);
	}
	made_end_block(m, (struct made_block){.kind = MADE_STRINGS});
	for (uint32_t i = 1; i < OBJECTS; i++)
		made_record(m, 8, U(i),
			    U(i == Q             ? CONDITION
			      : i == R || i == S ? RWLOCK
						 : MUTEX),
			    U(0), U(4096 * i), U(0), U(i), U(0), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_OBJECTS});
	for (uint32_t i = 1; i < 10; i++) {
		uint64_t frames[] = {FRAME(0xffff, 20 + i), FRAME(0xffff, 29)};

		made_stack(m, i, 2, frames);
	}
	made_end_block(m, (struct made_block){.kind = MADE_STACKS});
}

static struct tables tables;
static struct reader *reader;
static struct streams streams;

static void open_trace(struct made *m)
{
	struct why why = {""};

	made_end(m, 2, 0);
	tables_init(&tables);
	if (reader_open_bytes(&reader, "test", m->file.at, m->file.n, &why) < 0 ||
	    streams_init(&streams, reader) < 0 || tables_load(&tables, reader, &why) < 0) {
		note("%s", why.text);
		abort();
	}
}

static void close_trace(struct made *m)
{
	tables_fini(&tables);
	streams_fini(&streams);
	reader_close(reader);
	made_free(m);
}

static struct story_counts tell(const struct story_listener *listener, uint64_t from_ns,
				uint64_t to_ns)
{
	struct story_counts counts = {0};
	struct why why = {""};
	int r = story_tell(reader, &streams, &tables, from_ns, to_ns, listener, &counts, NULL,
			   &why);

	ok(r == 0, "the story is told: %s", why.text);
	return counts;
}

/* ---- sums ---- */

/*
 *     1   ├──── A ────┤                            100-500
 *     2      ├~~~~~~~~~~├─ A ─┤                    waits from 200, has it 520-600
 *     3         ├~~~~~~~~~~~~~~~~~~~├─ A ─┤        waits from 300, has it 630-700
 */
static void make_three(struct made *m)
{
	begin_trace(m);
	begin_thread(m, 50, 1);
	LOCK_LETS(m, 500, A, 1, 400, 2, 1);
	LOCK_PAIR(m, 800, A);
	AT(m, 900, EXIT, 1, U(1));
	end_thread(m, 1);
	begin_thread(m, 50, 2);
	LOCK_WAITS(m, 200, A, 1, 3);
	LOCK_GETS(m, 520, A, 2, 320);
	LOCK_LETS(m, 600, A, 3, 80, 1, 2);
	AT(m, 900, EXIT, 1, U(1));
	end_thread(m, 2);
	begin_thread(m, 50, 3);
	LOCK_WAITS(m, 300, A, 1, 4);
	LOCK_GETS(m, 630, A, 4, 330);
	LOCK_LETS(m, 700, A, 5, 70, 0, 0);
	AT(m, 900, EXIT, 1, U(1));
	end_thread(m, 3);
}

static const struct locks_row *find_row(const struct locks *l, uint32_t stack, uint32_t object)
{
	static const struct locks_row none;

	for (uint32_t i = 0; i < l->rows_n; i++)
		if (l->rows[i].stack == stack && (object == 0 || l->rows[i].object == object))
			return &l->rows[i];
	return &none;
}

static struct locks locks_of(enum locks_by by, uint64_t from_ns, uint64_t to_ns)
{
	struct locks l = {.by = by, .from_ns = from_ns, .to_ns = to_ns};
	struct story_listener listener = locks_listener(&l);
	struct story_counts counts = {0};
	struct why why = {""};

	/* the listener has the address of what is returned by value */
	listener.context = &l;
	if (story_tell(reader, &streams, &tables, from_ns, to_ns, &listener, &counts, NULL, &why) !=
	    0)
		abort();
	locks_finish(&l, counts.end_ns);
	return l;
}

static void test_sums(void)
{
	struct made m;
	struct locks l;
	const struct locks_row *row;
	uint64_t sum = 0;

	make_three(&m);
	open_trace(&m);
	l = locks_of(LOCKS_BY_LOCK, 0, UINT64_MAX);
	row = find_row(&l, 0, A);
	is_u64(l.rows_n, 1, "a row for the lock");
	is_u64(row->acquired, 4, "it was taken four times, once when nobody else wanted it");
	is_u64(row->wait.n, 2, "two waits");
	is_u64(row->wait.sum, 650, "what they waited");
	is_u64(row->wait.max, 330, "the longest");
	is_u64(durations_at(&row->wait, 0.5), 330, "half of two");
	is_u64(row->hold.n, 3, "holds whose length is known");
	is_u64(row->hold.sum, 550, "how long it was held");
	is_u64(row->handover.n, 2, "two hand-overs");
	is_u64(row->handover.sum, 50, "and what they took");
	is_u64(row->queue, 2, "two waited at once");
	is_u64(row->convoys.n, 0, "no convoy");
	locks_fini(&l);

	l = locks_of(LOCKS_BY_SITE, 0, UINT64_MAX);
	is_u64(find_row(&l, 3, A)->wait.sum, 320, "by site: the one");
	is_u64(find_row(&l, 4, A)->wait.sum, 330, "and the other");
	is_u64(find_row(&l, 4, A)->handover.sum, 30, "its hand-over");
	is_u64(l.rows_n, 2, "two sites");
	locks_fini(&l);

	l = locks_of(LOCKS_BY_HOLDER, 0, UINT64_MAX);
	is_u64(find_row(&l, 1, A)->wait.sum, 500, "by holder: both waited for the first");
	is_u64(find_row(&l, 2, A)->wait.sum, 80, "one for the second");
	for (uint32_t i = 0; i < l.rows_n; i++) {
		sum += l.rows[i].wait.sum;
		if (l.rows[i].stack == 0 && l.rows[i].thread == 0)
			is_u64(l.rows[i].wait.sum, 70, "while it was handed over");
	}
	is_u64(sum, 650, "together as much as was waited");
	locks_fini(&l);

	l = locks_of(LOCKS_BY_LOCK, 250, 550);
	is_u64(find_row(&l, 0, A)->wait.sum, 270 + 250, "of a range, what is within");
	is_u64(find_row(&l, 0, A)->hold.sum, 250 + 30, "of holds, too");
	locks_fini(&l);
	l = locks_of(LOCKS_BY_HOLDER, 250, 550);
	is_u64(find_row(&l, 1, A)->wait.sum, 250 + 200, "and by holder");
	locks_fini(&l);
	close_trace(&m);
}

/* A wait that fails, one that never ends, and readers. */
static void test_other_waits(void)
{
	struct made m;
	struct locks l;

	begin_trace(&m);
	begin_thread(&m, 50, 1);
	LOCK_WAITS(&m, 100, A, 2, 3);
	AT(&m, 180, FAILED, 3, U(A), U(1), U(110));
	LOCK_WAITS(&m, 200, A, 2, 3);
	end_thread(&m, 1);
	begin_thread(&m, 50, 2);
	AT(&m, 300, RELEASED, 6, U(R), U(2), U(1), U(200), U(1), U(5));
	AT(&m, 400, PAIR_SHARED, 1, U(R));
	LOCK_PAIR(&m, 600, B);
	end_thread(&m, 2);
	begin_thread(&m, 50, 3);
	LOCK_WAITS(&m, 150, R, 0, 6);
	LOCK_GETS(&m, 310, R, 2, 160);
	LOCK_LETS(&m, 390, R, 3, 80, 0, 0);
	end_thread(&m, 3);
	open_trace(&m);
	l = locks_of(LOCKS_BY_LOCK, 0, UINT64_MAX);
	is_u64(find_row(&l, 0, A)->failed, 1, "one wait failed");
	is_u64(find_row(&l, 0, A)->open, 1, "one has no end");
	is_u64(find_row(&l, 0, A)->wait.sum, 80 + 400, "both are waits");
	is_u64(find_row(&l, 0, A)->acquired, 0, "nobody is known to have had it");
	is_u64(find_row(&l, 0, R)->mode, 2, "readers have a row");
	is_u64(find_row(&l, 0, R)->acquired, 2, "they had it twice");
	is_u64(find_row(&l, 0, R)->wait.n, 0, "without a wait");
	for (uint32_t i = 0; i < l.rows_n; i++)
		if (l.rows[i].object == R && l.rows[i].mode != 2)
			is_u64(l.rows[i].wait.sum, 160, "and writers another");
	locks_fini(&l);
	l = locks_of(LOCKS_BY_HOLDER, 0, UINT64_MAX);
	for (uint32_t i = 0; i < l.rows_n; i++)
		if (l.rows[i].thread == 2)
			is_u64(l.rows[i].wait.sum, 480,
			       "who had it without a hold, by what is written");
	is_u64(find_row(&l, 5, R)->wait.sum, 150, "a reader who makes a writer wait");
	locks_fini(&l);
	close_trace(&m);
}

/* One waits while others have the lock more often than is kept. */
static uint64_t sums_of_many(unsigned holders, uint64_t *ret_one, uint64_t *ret_many,
			     uint64_t *ret_nobody)
{
	struct made m;
	struct locks l;
	uint64_t sum = 0, end = 1000 + 20 * 20000;

	*ret_one = *ret_many = *ret_nobody = 0;
	begin_trace(&m);
	for (unsigned thread = 0; thread < holders; thread++) {
		begin_thread(&m, 50, thread + 1);
		for (unsigned i = thread; i < 20000; i += holders)
			LOCK_LETS(&m, 1000 + 20 * i + 10, A, i + 1, 10, 1, thread + 1);
		end_thread(&m, thread + 1);
	}
	begin_thread(&m, 50, 9);
	LOCK_WAITS(&m, 500, A, 0, 9);
	LOCK_GETS(&m, end, A, 20001, end - 500);
	end_thread(&m, 9);
	open_trace(&m);
	l = locks_of(LOCKS_BY_HOLDER, 0, UINT64_MAX);
	for (uint32_t i = 0; i < l.rows_n; i++) {
		sum += l.rows[i].wait.sum;
		if (l.rows[i].thread == HOLDERS_MANY)
			*ret_many = l.rows[i].wait.sum;
		else if (l.rows[i].stack == 1)
			*ret_one = l.rows[i].wait.sum;
		else if (l.rows[i].stack == 0)
			*ret_nobody = l.rows[i].wait.sum;
	}
	locks_fini(&l);
	close_trace(&m);
	return sum;
}

static void test_many_holders(void)
{
	uint64_t one, many, nobody, all = 1000 + 20 * 20000 - 500;

	is_u64(sums_of_many(1, &one, &many, &nobody), all, "20000 holds in one wait: all of it");
	is_u64(one, 200000, "one holder has its share");
	is_u64(nobody, all - 200000, "between them nobody has it");
	is_u64(many, 0, "all is known");
	is_u64(sums_of_many(3, &one, &many, &nobody), all, "the same by turns");
	is_u64(nobody, all - 200000, "nobody's part is known");
	ok(many > 0 && one >= 10 * 500, "of who had the other, the latest is");
}

/* Hands a lock around; returns whether that is a convoy. */
static const struct locks_convoys *convoy(uint64_t hold, uint64_t gap, unsigned rounds,
					  struct locks *l)
{
	struct made m;

	begin_trace(&m);
	for (unsigned thread = 0; thread < 3; thread++) {
		begin_thread(&m, 50, thread + 1);
		for (unsigned i = thread; i < rounds; i += 3) {
			uint64_t got = 1000 + i * (hold + gap);

			LOCK_WAITS(&m, i < 3 ? 100 + thread : got - 3 * (hold + gap) + hold + 1, A,
				   0, 3);
			LOCK_GETS(&m, got, A, 2 * i + 2, 0);
			LOCK_LETS(&m, got + hold, A, 2 * i + 3, hold, i + 1 < rounds, 1);
		}
		end_thread(&m, thread + 1);
	}
	open_trace(&m);
	*l = locks_of(LOCKS_BY_LOCK, 0, UINT64_MAX);
	close_trace(&m);
	return &find_row(l, 0, A)->convoys;
}

static void test_convoys(void)
{
	struct locks l;
	const struct locks_convoys *v = convoy(10, 100, 30, &l);

	is_u64(v->n, 1, "a lock that is more on its way than in hand: a convoy");
	is_u64(v->handovers, 29, "with its hand-overs");
	is_u64(v->handover_ns, 2900, "what they took");
	is_u64(v->hold_ns, 29 * 10, "and the holds between them");
	is_u64(v->begin_ns, 100, "from the first wait");
	is_u64(v->end_ns, 1000 + 29 * 110, "to the end of the last");
	is_u64(v->sum_ns, v->end_ns - v->begin_ns, "all of that");
	locks_fini(&l);
	is_u64(convoy(100, 10, 30, &l)->n, 0, "one that is in use is none");
	locks_fini(&l);
	is_u64(convoy(10, 100, 10, &l)->n, 0, "nor is a short queue");
	locks_fini(&l);
}

/* ---- orders ---- */

static struct lock_order order_of(struct made *m)
{
	struct lock_order o = {0};
	struct story_listener listener;
	struct story_counts counts;
	struct why why = {""};

	open_trace(m);
	listener = lock_order_listener(&o);
	if (story_tell(reader, &streams, &tables, 0, UINT64_MAX, &listener, &counts, NULL, &why) !=
		    0 ||
	    lock_order_finish(&o) != 0)
		abort();
	close_trace(m);
	return o;
}

static const struct lock_order_edge *find_edge(const struct lock_order *o, uint32_t held,
					       uint32_t taken)
{
	static const struct lock_order_edge none;

	for (uint32_t i = 0; i < o->edges_n; i++)
		if (o->edges[i].held == held && o->edges[i].taken == taken)
			return &o->edges[i];
	return &none;
}

/* Takes @inner while it has @outer, from @ns on for 50 ns. */
static void nest(struct made *m, uint64_t ns, uint32_t outer, uint32_t inner)
{
	LOCK_PAIR(m, ns + 10, inner);
	LOCK_HELD(m, ns + 50, outer, 50);
}

static void test_cycles(void)
{
	struct made m;
	struct lock_order o;

	begin_trace(&m);
	begin_thread(&m, 50, 1);
	for (unsigned i = 0; i < 5; i++)
		nest(&m, 100 + 60 * i, A, B);
	LOCK_PAIR(&m, 500, B);
	end_thread(&m, 1);
	begin_thread(&m, 50, 2);
	LOCK_PAIR(&m, 900, A);
	nest(&m, 1000, B, A);
	LOCK_PAIR(&m, 1500, C);
	end_thread(&m, 2);
	o = order_of(&m);
	is_u64(o.edges_n, 2, "two orders");
	is_u64(find_edge(&o, A, B)->n, 5, "the one five times");
	is_u64(find_edge(&o, B, A)->n, 1, "the other once");
	is_u64(find_edge(&o, B, A)->first_ns, 1010, "then");
	is_u64(o.dangerous_n, 1, "a possible deadlock");
	is_u64(o.cycles[0].n, 2, "of two");
	ok(find_edge(&o, A, B)->is_in_cycle, "its edges are marked");
	is_u64(o.deadlocks_n, 0, "it did not happen");
	lock_order_fini(&o);

	/* both taken within one tick, and a begin that is rounded */
	begin_trace(&m);
	begin_thread(&m, 50, 1);
	for (unsigned i = 0; i < 9; i++) {
		LOCK_PAIR(&m, 100 + 60 * i, B);
		LOCK_HELD(&m, 150 + 60 * i, A, 50 - i % 2);
		LOCK_PAIR(&m, 155 + 60 * i, C);
	}
	end_thread(&m, 1);
	o = order_of(&m);
	is_u64(find_edge(&o, A, B)->n, 9, "taken at once, nine times");
	is_u64(o.edges_n, 1, "and what was taken before is not in it");
	lock_order_fini(&o);

	/* the same under a gate */
	begin_trace(&m);
	begin_thread(&m, 50, 1);
	nest(&m, 100, A, B);
	LOCK_HELD(&m, 200, G, 110);
	end_thread(&m, 1);
	begin_thread(&m, 50, 2);
	nest(&m, 1000, B, A);
	LOCK_HELD(&m, 1100, G, 110);
	end_thread(&m, 2);
	o = order_of(&m);
	is_u64(o.edges_n, 4, "a gate is an order, too");
	is_u64(o.dangerous_n, 0, "with a gate it is no deadlock");
	is_u64(o.cycles_n == 1 ? o.cycles[0].gate : 0, G, "and which gate it is");
	lock_order_fini(&o);

	/* once without it */
	begin_trace(&m);
	begin_thread(&m, 50, 1);
	nest(&m, 100, A, B);
	LOCK_HELD(&m, 200, G, 110);
	nest(&m, 300, A, B);
	end_thread(&m, 1);
	begin_thread(&m, 50, 2);
	nest(&m, 1000, B, A);
	LOCK_HELD(&m, 1100, G, 110);
	end_thread(&m, 2);
	o = order_of(&m);
	is_u64(o.dangerous_n, 1, "a gate that is passed by once is none");
	is_u64(find_edge(&o, A, B)->n, 2, "both were counted");
	lock_order_fini(&o);

	begin_trace(&m);
	begin_thread(&m, 50, 1);
	nest(&m, 100, A, B);
	nest(&m, 300, B, A);
	end_thread(&m, 1);
	o = order_of(&m);
	ok(o.cycles_n == 1 && o.dangerous_n == 0 && o.cycles[0].is_alone,
	   "one thread alone makes no deadlock");
	lock_order_fini(&o);

	/* philosophers */
	begin_trace(&m);
	for (unsigned i = 0; i < 3; i++) {
		begin_thread(&m, 50, i + 1);
		nest(&m, 100 * (i + 1), A + i, A + (i + 1) % 3);
		end_thread(&m, i + 1);
	}
	o = order_of(&m);
	ok(o.dangerous_n == 1 && o.cycles[0].n == 3, "three philosophers");
	lock_order_fini(&o);

	/* all are readers of the one */
	begin_trace(&m);
	begin_thread(&m, 50, 1);
	AT(&m, 110, PAIR_SHARED, 1, U(R));
	LOCK_HELD(&m, 150, A, 50);
	end_thread(&m, 1);
	begin_thread(&m, 50, 2);
	LOCK_PAIR(&m, 1010, A);
	AT(&m, 1050, HELD, 3, U(R), U(2), U(50));
	end_thread(&m, 2);
	o = order_of(&m);
	ok(o.cycles_n == 1 && o.dangerous_n == 0 && o.cycles[0].is_of_readers,
	   "who only read do not keep each other out");
	lock_order_fini(&o);

	/* the next is taken before the last is let go */
	begin_trace(&m);
	begin_thread(&m, 50, 1);
	LOCK_HELD(&m, 200, A, 100);
	LOCK_HELD(&m, 250, B, 100);
	LOCK_HELD(&m, 300, C, 90);
	end_thread(&m, 1);
	o = order_of(&m);
	ok(o.edges_n == 2 && find_edge(&o, A, B)->n == 1 && find_edge(&o, B, C)->n == 1,
	   "hand over hand");
	lock_order_fini(&o);
}

/* Many more takings than are kept: nothing is lost, and no more memory is needed. */
static void test_many_orders(void)
{
	struct made m;
	struct lock_order o;

	begin_trace(&m);
	begin_thread(&m, 50, 1);
	for (unsigned i = 0; i < 10000; i++)
		LOCK_PAIR(&m, 100 + 10 * i, i % 2 == 0 ? B : C);
	LOCK_HELD(&m, 200000, A, 199950);
	LOCK_HELD(&m, 200100, G, 200090);
	end_thread(&m, 1);
	o = order_of(&m);
	is_u64(find_edge(&o, A, B)->n, 5000, "all that was taken while a lock was held long");
	is_u64(find_edge(&o, A, C)->n, 5000, "and the other");
	is_u64(find_edge(&o, G, A)->n, 1, "in one more");
	ok(find_edge(&o, A, B)->gates_n == 1 && find_edge(&o, A, B)->gates[0].object == G,
	   "which was a gate all the time");
	lock_order_fini(&o);
}

static void make_deadlock(struct made *m)
{
	begin_trace(m);
	begin_thread(m, 50, 1);
	AT(m, 100, HELD_ALREADY, 3, U(A), U(1), U(10));
	LOCK_WAITS(m, 200, B, 2, 1);
	end_thread(m, 1);
	begin_thread(m, 50, 2);
	AT(m, 100, HELD_ALREADY, 3, U(B), U(1), U(20));
	LOCK_WAITS(m, 300, A, 1, 2);
	end_thread(m, 2);
	begin_thread(m, 50, 3);
	AT(m, 150, JOIN, 2, U(1), U(3));
	end_thread(m, 3);
	begin_thread(m, 50, 4);
	LOCK_PAIR(m, 1000, C);
	end_thread(m, 4);
}

static void test_deadlock(void)
{
	struct made m;
	struct lock_order o;

	make_deadlock(&m);
	o = order_of(&m);
	is_u64(o.dangerous_n, 1, "it could happen");
	is_u64(o.deadlocks_n, 1, "and it did");
	is_u64(o.deadlocks_n == 1 ? o.deadlocks[0].n : 0, 2,
	       "to two threads, not to who waits for one");
	ok(o.deadlocks_n == 1 && o.deadlocks[0].threads[0] == 1 && o.deadlocks[0].objects[0] == B &&
		   o.deadlocks[0].stacks[0] == 1 && o.deadlocks[0].since_ns[0] == 200,
	   "who, for what, where, since when");
	is_u64(find_edge(&o, A, B)->taken_stack, 1, "where it was tried is known");
	lock_order_fini(&o);
}

/* ---- chains ---- */

/* 1 waits for A, which 2 has, who waits for B, which 3 has, who is in fsync. */
static void make_chain(struct made *m)
{
	begin_trace(m);
	begin_thread(m, 5, 1);
	LOCK_WAITS(m, 20, A, 2, 1);
	LOCK_GETS(m, 110, A, 2, 90);
	LOCK_LETS(m, 115, A, 3, 5, 0, 0);
	AT(m, 200, EXIT, 1, U(1));
	end_thread(m, 1);
	begin_thread(m, 5, 2);
	LOCK_WAITS(m, 30, B, 3, 2);
	LOCK_GETS(m, 100, B, 2, 70);
	LOCK_LETS(m, 105, B, 3, 5, 0, 0);
	LOCK_LETS(m, 110, A, 1, 100, 1, 4);
	AT(m, 200, EXIT, 1, U(1));
	end_thread(m, 2);
	begin_thread(m, 5, 3);
	AT(m, 90, CALL, 8, U(SYS_fsync), U(50), ZIGZAG((int64_t)0), U(0), U(0), U(0), U(0), U(6));
	LOCK_LETS(m, 100, B, 1, 85, 1, 5);
	AT(m, 200, EXIT, 1, U(1));
	end_thread(m, 3);
}

static void test_chains(void)
{
	struct made m;
	struct lock_chains c = {.to_ns = UINT64_MAX, .tables = &tables};
	struct story_listener listener = lock_chains_listener(&c);
	const struct lock_chain_node *n = NULL;
	uint64_t sum = 0;

	make_chain(&m);
	open_trace(&m);
	tell(&listener, 0, UINT64_MAX);
	for (uint32_t i = 0; i < c.nodes_n; i++) {
		sum += c.nodes[i].sum_ns;
		if (c.nodes[i].n > 0 && c.nodes[i].object == A)
			n = &c.nodes[i];
	}
	is_u64(sum, 90 + 70, "all chains are all waits");
	ok(n != NULL && n->steps == 3 && n->sum_ns == 90 && n->stack == 1 && n->holder_stack == 4,
	   "the first waits for the second");
	n = n != NULL ? &c.nodes[n->next] : NULL;
	ok(n != NULL && n->kind == CHAIN_LOCK && n->object == B && n->stack == 2 &&
		   n->holder_stack == 5,
	   "who waits for the third");
	n = n != NULL ? &c.nodes[n->next] : NULL;
	ok(n != NULL && n->kind == CHAIN_CALL && n->call == SYS_fsync && n->stack == 6 &&
		   n->next == LOCK_CHAIN_NONE,
	   "who is in fsync");
	lock_chains_fini(&c);
	close_trace(&m);
}

/* Nobody is known to have had it; the wait is a chain of one. */
static void test_short_chain(void)
{
	struct made m;
	struct lock_chains c = {.to_ns = UINT64_MAX, .tables = &tables};
	struct story_listener listener = lock_chains_listener(&c);

	begin_trace(&m);
	begin_thread(&m, 5, 1);
	LOCK_WAITS(&m, 20, A, 0, 1);
	LOCK_GETS(&m, 110, A, 2, 90);
	LOCK_LETS(&m, 115, A, 3, 5, 0, 0);
	end_thread(&m, 1);
	open_trace(&m);
	tell(&listener, 0, UINT64_MAX);
	for (uint32_t i = 0; i < c.nodes_n; i++)
		if (c.nodes[i].n > 0)
			ok(c.nodes[i].sum_ns == 90 && c.nodes[i].steps == 2 &&
				   c.nodes[c.nodes[i].next].kind == CHAIN_HANDOVER,
			   "a lock that nobody is known to have had");
	lock_chains_fini(&c);
	close_trace(&m);
}

static void test_across(void)
{
	struct made m;
	struct across a = {
		.to_ns = UINT64_MAX, .with_calls = true, .with_waits = true, .tables = &tables};
	struct story_listener listener = across_listener(&a);

	make_chain(&m);
	open_trace(&m);
	tell(&listener, 0, UINT64_MAX);
	is_u64(a.rows_n, 2, "a call and a wait with a lock in hand");
	for (uint32_t i = 0; i < a.rows_n; i++) {
		if (a.rows[i].lock == B)
			ok(!a.rows[i].is_wait && a.rows[i].call == SYS_fsync &&
				   a.rows[i].sum_ns == 50 && a.rows[i].n == 1 &&
				   a.rows[i].max_stack == 6 && a.rows[i].max_thread == 3,
			   "the call");
		else
			ok(a.rows[i].lock == A && a.rows[i].is_wait && a.rows[i].object == B &&
				   a.rows[i].sum_ns == 70,
			   "the wait");
	}
	across_fini(&a);
	close_trace(&m);
}

static void test_moment(void)
{
	struct made m;
	struct moment at = {.at_ns = 50};
	struct story_listener listener = moment_listener(&at);
	struct moment_step s;

	make_chain(&m);
	open_trace(&m);
	tell(&listener, 0, UINT64_MAX);
	s = moment_step(&at, 1);
	ok(s.why == MOMENT_HELD && s.next == 2 && s.since_ns == 20 && s.hold != NULL &&
		   s.hold->begin_ns == 10 && s.hold->stack == 4,
	   "the first waits for what the second has");
	ok(s.thread->has_wake && s.thread->wake.from == 2 && s.thread->wake.from_ns == 110,
	   "who will let go of it");
	s = moment_step(&at, 2);
	ok(s.why == MOMENT_HELD && s.next == 3 && s.hold->begin_ns == 15, "that one for the third");
	s = moment_step(&at, 3);
	ok(s.why == MOMENT_CALL && s.next == 0 && s.since_ns == 40 &&
		   s.thread->call.number == SYS_fsync,
	   "who is in a call");
	moment_fini(&at);

	at = (struct moment){.at_ns = 150};
	listener = moment_listener(&at);
	tell(&listener, 0, UINT64_MAX);
	ok(moment_step(&at, 1).why == MOMENT_RUNNING, "later it runs");
	moment_fini(&at);
	at = (struct moment){.at_ns = 300};
	listener = moment_listener(&at);
	tell(&listener, 0, UINT64_MAX);
	ok(moment_step(&at, 1).why == MOMENT_GONE && moment_step(&at, 77).why == MOMENT_GONE,
	   "and then it is gone");
	moment_fini(&at);
	close_trace(&m);

	make_deadlock(&m);
	open_trace(&m);
	at = (struct moment){.at_ns = 1000};
	listener = moment_listener(&at);
	tell(&listener, 0, UINT64_MAX);
	ok(moment_step(&at, 1).next == 2 && moment_step(&at, 2).next == 1,
	   "two wait for each other");
	ok(moment_step(&at, 3).next == 1 && moment_step(&at, 3).why == MOMENT_WAKER,
	   "and one for the end of one of them");
	moment_fini(&at);
	close_trace(&m);
}

/* ---- where the time goes ---- */

static const struct blocked_node *find_node(const struct blocked_tree *tree, const char *name)
{
	static const struct blocked_node none;

	for (uint32_t i = 0; i < tree->n; i++)
		if (strcmp(tree->nodes[i].name, name) == 0)
			return &tree->nodes[i];
	return &none;
}

static void test_blocked(void)
{
	struct made m;
	struct blocked b = {.to_ns = UINT64_MAX, .tables = &tables};
	struct story_listener listener;
	struct blocked_tree tree;

	make_chain(&m);
	open_trace(&m);
	b.kinds[BLOCKED_LOCK] = b.kinds[BLOCKED_SYSCALL] = true;
	listener = blocked_listener(&b);
	tell(&listener, 0, UINT64_MAX);
	is_u64(b.sum_ns, 90 + 70 + 50, "two waits and a call");
	ok(blocked_make_tree(&b, &tree) == 0, "a tree");
	is_u64(tree.nodes[0].sum_ns, 210, "its root has all");
	is_u64(find_node(&tree, "s9")->sum_ns, 210, "the outermost frame, too");
	is_u64(find_node(&tree, "s9")->own_ns, 0, "nothing of it is its own");
	is_u64(find_node(&tree, "s1")->sum_ns, 90, "a stack");
	is_u64(find_node(&tree, "for mutex A")->own_ns, 90, "and what it waits for");
	is_u64(find_node(&tree, "for fsync")->own_ns, 50, "the call");
	is_u64(find_node(&tree, "for fsync")->n, 1, "once");
	is_u64(tree.nodes[find_node(&tree, "s9")->child].sum_ns, 90, "the largest comes first");
	blocked_tree_fini(&tree);
	blocked_fini(&b);

	b = (struct blocked){.to_ns = UINT64_MAX, .tables = &tables, .by_holder = true};
	b.kinds[BLOCKED_LOCK] = true;
	listener = blocked_listener(&b);
	tell(&listener, 0, UINT64_MAX);
	ok(blocked_make_tree(&b, &tree) == 0, "a tree of holders");
	is_u64(b.sum_ns, 160, "all waits for locks");
	is_u64(find_node(&tree, "s4")->sum_ns, 90, "who held it");
	is_u64(find_node(&tree, "s5")->sum_ns, 70, "and who made that one wait");
	blocked_tree_fini(&tree);
	blocked_fini(&b);
	close_trace(&m);
}

/* ---- durations ---- */

static void test_durations(void)
{
	struct durations d = {0};

	is_u64(durations_at(&d, 0.5), 0, "none");
	for (uint64_t i = 1; i <= 8; i++)
		durations_add(&d, 1000 * i);
	is_u64(durations_at(&d, 0.5), 5000, "a few are exact");
	ok(d.many == NULL, "and need no histogram");
	is_u64(durations_at(&d, 0.99), 8000, "the last");
	for (uint64_t i = 9; i <= 1000; i++)
		durations_add(&d, 1000 * i);
	ok(durations_at(&d, 0.5) > 470000 && durations_at(&d, 0.5) < 540000, "many nearly so");
	ok(d.n == 1000 && d.sum == 500500000 && d.max == 1000000, "sum and largest are exact");
	durations_fini(&d);
}

int main(void)
{
	plan_begin();
	test_sums();
	test_other_waits();
	test_many_holders();
	test_convoys();
	test_cycles();
	test_many_orders();
	test_deadlock();
	test_chains();
	test_short_chain();
	test_across();
	test_moment();
	test_blocked();
	test_durations();
	return plan_end();
}
