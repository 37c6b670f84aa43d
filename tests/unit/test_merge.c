/*
 * One thread or two go through a trace: what comes out is the same, and when it does: events, damage, counts, and how far the work is.
 */
#define TRACE_MAKE_LZ4

#include <errno.h>

#include "tests/tap.h"
#include "tests/unit/trace_make.h"
#include "viewer/merge.h"

#define THREADS     5
#define GENERATIONS 6
#define BLOCKS      3   /* of a thread, in a generation */
#define EVENTS      500 /* more in all than a second thread may be ahead */
#define ALL         UINT32_MAX
#define U(x)        ((uint64_t)(x))

static uint64_t seed = 1;

static uint64_t chance(uint64_t n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (seed >> 33) % n;
}

static void event(struct made *m, uint64_t delta, uint64_t *order)
{
	switch (chance(4)) {
	case 0:
		made_event(m, 35, delta, 6, U(1), U(1), ++*order, U(0), U(0), U(0));
		break;
	case 1:
		made_event(m, 33, delta, 4, U(1), U(1), ++*order, U(0));
		break;
	default:
		made_event(m, 76, delta, 2, U(1), chance(100000));
	}
}

/* Threads whose clocks do not agree about a lock that they hand on, and two processors; every block of @bad is damaged. */
static void make(struct made *m, uint32_t bad)
{
	uint64_t order = 0;
	uint32_t n = 0;

	seed = 1;
	made_begin(m);
	for (uint32_t b = 0; b < GENERATIONS * BLOCKS; b++) {
		for (uint32_t t = 1; t <= THREADS + 2; t++) {
			bool is_switches = t > THREADS;
			uint64_t at = 0, first = 100000 + UINT64_C(60000) * b + chance(3000);

			for (uint32_t i = 0; i < EVENTS; i++) {
				uint64_t delta = i == 0 ? 0 : chance(120);

				at += delta;
				if (is_switches)
					made_event(m, i % 2 ? 64 : 65, delta, i % 2 ? 2 : 1,
						   1 + chance(THREADS + 1), U(0));
				else
					event(m, delta, &order);
			}
			if (bad != 0 && n % bad == 1)
				made_event(m, 36, 0, 1, U(5000)); /* no such object */
			if (bad != 0 && n % bad == 2)
				made_event(m, 200, 0, 0); /* no such type */
			made_end_block(
				m, (struct made_block){.kind = MADE_EVENTS,
						       .flags = is_switches ? 8 : 0,
						       .thread = is_switches ? t - THREADS - 1 : t,
						       .sequence = b,
						       .generation = b / BLOCKS,
						       .first_ns = first,
						       .last_ns = first + at,
						       .span = at,
						       .needs = {100, 100, 100, 100}});
			if (bad != 0 && n % bad == 3 % bad)
				m->file.at[m->blocks[n] + 8 + 96 + 12] ^= 1;
			n++;
		}
	}
	made_end(m, 1, 0);
}

/* What was seen: a sum over all, in its order. */
struct seen {
	uint64_t sum, events, steps, damages, result;
	struct merge_counts counts;
	uint64_t stop_step; /* at which the watch says to end, once */
};

static void add(struct seen *s, uint64_t value)
{
	s->sum = (s->sum ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	s->sum ^= s->sum >> 29;
}

static bool step(void *context, uint64_t done, uint64_t total)
{
	struct seen *s = context;

	add(s, done);
	add(s, total);
	return ++s->steps == s->stop_step;
}

static void add_event(struct seen *s, const struct merged *m)
{
	add(s, m->event->ns);
	add(s, m->event->type | (uint64_t)m->event->ordinal << 8);
	add(s, m->thread | (uint64_t)m->cpu << 32);
	add(s, m->stream | m->block->offset << 32);
	add(s, m->ticks.numerator ^ m->ticks.denominator << 32);
	for (unsigned i = 0; i < m->event->n; i++)
		add(s, m->event->arguments[i]);
}

struct plan {
	const char *workers;
	uint64_t seek_ns, events_max, stop_step;
	unsigned slow; /* the reader of what comes out */
};

/* Goes through @m as @plan says. After an interruption, as far as the same watch lets it. */
static struct seen tell(const struct made *m, const struct plan *plan)
{
	struct seen s = {.stop_step = plan->stop_step};
	const struct watch watch = {step, &s};
	struct reader *reader;
	struct streams streams;
	struct tables tables;
	struct merge *merge;
	struct merged e;
	struct why why;
	int r = 1;

	setenv("CPROF_TRACE_WORKERS", plan->workers, 1);
	tables_init(&tables);
	if (reader_open_bytes(&reader, "test", m->file.at, m->file.n, &why) < 0 ||
	    streams_init(&streams, reader) < 0 || tables_load(&tables, reader, &why) < 0 ||
	    merge_create(&merge, reader, &streams, &tables) < 0)
		abort();
	if (plan->seek_ns != 0)
		merge_seek(merge, plan->seek_ns);
	while (s.events < plan->events_max) {
		r = merge_next(merge, &e, &watch, &why);
		if (r == -EINTR) {
			add(&s, EINTR);
			s.result++;
			continue;
		}
		if (r <= 0)
			break;
		add_event(&s, &e);
		/* what is known by now */
		s.counts = merge_counts(merge);
		add(&s, s.counts.corrected ^ s.counts.largest_ns << 32);
		add(&s, s.counts.unreadable);
		add(&s, reader->damages_n);
		s.events++;
		for (volatile unsigned i = 0; i < plan->slow; i++)
			;
	}
	add(&s, (uint64_t)r);
	s.counts = merge_counts(merge);
	s.damages = reader->damages_n;
	for (size_t i = 0; i < reader->damages_kept; i++) {
		add(&s, reader->damages[i].offset);
		for (const char *c = reader->damages[i].what; *c != '\0'; c++)
			add(&s, (uint8_t)*c);
	}
	merge_destroy(merge);
	tables_fini(&tables);
	streams_fini(&streams);
	reader_close(reader);
	return s;
}

static void compare(const struct made *m, struct plan plan, const char *what)
{
	struct seen one, two;

	plan.workers = "1";
	one = tell(m, &plan);
	plan.workers = "2";
	two = tell(m, &plan);
	ok(one.sum == two.sum && one.events == two.events && one.damages == two.damages &&
		   one.result == two.result &&
		   memcmp(&one.counts, &two.counts, sizeof(one.counts)) == 0,
	   "%s: %" PRIu64 " events, %" PRIu64 " damages, %" PRIu64 " corrected", what, one.events,
	   one.damages, one.counts.corrected);
}

static void test_all(void)
{
	struct made m = {.is_packed = true};
	struct seen s;

	make(&m, 0);
	s = tell(&m, &(struct plan){.workers = "2", .events_max = UINT64_MAX});
	is_u64(s.events, GENERATIONS * BLOCKS * EVENTS * (THREADS + 2), "two: all comes out");
	is_u64(s.events, s.counts.events, "and is counted");
	ok(s.counts.corrected > 100, "some of it with another's time");
	is_u64(s.steps, GENERATIONS * BLOCKS * (THREADS + 2), "the watch knows of each block");
	compare(&m, (struct plan){.events_max = UINT64_MAX}, "a whole trace");
	compare(&m, (struct plan){.events_max = UINT64_MAX, .slow = 300}, "read slowly");
	compare(&m, (struct plan){.events_max = UINT64_MAX, .seek_ns = 700000},
		"from a generation on");
	made_free(&m);
}

static void test_damage(void)
{
	struct made m = {.is_packed = true};
	struct seen s;

	make(&m, 7);
	s = tell(&m, &(struct plan){.workers = "2", .events_max = UINT64_MAX});
	ok(s.damages > 20 && s.counts.unreadable > 1000, "damage is found, and counted");
	compare(&m, (struct plan){.events_max = UINT64_MAX}, "a damaged trace");
	compare(&m, (struct plan){.events_max = UINT64_MAX, .slow = 300}, "read slowly");
	made_free(&m);
	make(&m, 1);
	compare(&m, (struct plan){.events_max = UINT64_MAX}, "each block is damaged");
	made_free(&m);
}

/* Somebody has seen enough, or interrupts, wherever. */
static void test_ends(void)
{
	static const uint64_t events[] = {0, 1, 511, 512, 513, 5000, 20000, 60000};
	struct made m = {.is_packed = true};
	char what[64];

	make(&m, 9);
	for (unsigned i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		snprintf(what, sizeof(what), "ended after %" PRIu64, events[i]);
		compare(&m, (struct plan){.events_max = events[i]}, what);
	}
	for (uint64_t n = 1; n < GENERATIONS * BLOCKS * (THREADS + 2); n += 11) {
		snprintf(what, sizeof(what), "interrupted at block %" PRIu64 ", and on", n);
		compare(&m, (struct plan){.events_max = UINT64_MAX, .stop_step = n}, what);
	}
	made_free(&m);
}

int main(void)
{
	plan_begin();
	test_all();
	test_damage();
	test_ends();
	return plan_end();
}
