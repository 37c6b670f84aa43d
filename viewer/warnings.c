#include "viewer/warnings.h"

#include <inttypes.h>
#include <string.h>

/* From where on it is worth a word. Percentiles of less than SLOW_CALLS calls say nothing. */
#define IO_SHARE      100 /* one in so many of the run */
#define SLOW_CALLS    20
#define SLOW_NS       UINT64_C(10000000)
#define SLOW_TIMES    100
#define SMALL_MANY    1000
#define AGAIN_MANY    100
#define POLLS_MANY    1000
#define UNKNOWN_SHARE 20 /* one in so many: 5 % */
#define FUTILE_MANY   100
#define FUTILE_SHARE  5

/* Texts of durations and the like are made in here. */
struct finder {
	const struct summary *s;
	const struct story_counts *counts;
	uint64_t run_ns;
	struct warning *list;
	unsigned n;
};

static struct warning *add(struct finder *f, const char *id, const char *next, uint64_t n)
{
	struct warning *w = &f->list[f->n++];

	w->id = id;
	w->next = next;
	w->n = n;
	name_clear(&w->text);
	return w;
}

static void add_duration(struct name *name, uint64_t ns)
{
	struct out o;

	out_init(&o, -1, false);
	out_duration(&o, ns);
	name_add(name, o.buffer, o.n);
}

static void add_count(struct name *name, uint64_t n)
{
	struct out o;

	out_init(&o, -1, false);
	out_grouped(&o, n);
	name_add(name, o.buffer, o.n);
}

static void add_share(struct name *name, uint64_t part, uint64_t all)
{
	name_format(name, "%.3g %%", all > 0 ? (double)part / (double)all * 100 : 0);
}

/* ", and 3 more" */
static void add_others(struct warning *w)
{
	if (w->n > 1)
		name_format(&w->text, "; %" PRIu64 " more", w->n - 1);
}

static bool is_waited_for(const struct summary *s, uint32_t object)
{
	for (uint32_t i = 0; i < s->locks.rows_n; i++)
		if (s->locks.rows[i].object == object && s->locks.rows[i].wait.n > 0)
			return true;
	return false;
}

/* A lock that nobody waits for may be held for as long as one likes. */
static void find_held_io(struct finder *f)
{
	const struct summary_object *worst = NULL;
	struct warning *w;
	uint64_t n = 0;

	for (uint32_t i = 0; i < f->s->by_object.n; i++) {
		const struct summary_object *o = summary_object(f->s, i);

		if (o->io_ns == 0 || o->io_ns < f->run_ns / IO_SHARE ||
		    !is_waited_for(f->s, o->object))
			continue;
		n++;
		if (worst == NULL || o->io_ns > worst->io_ns)
			worst = o;
	}
	if (worst == NULL)
		return;
	w = add(f, "CPT-LOCK-HELD-IO", "locks --held-across syscall", n);
	name_object(&w->text, f->s->tables, worst->object);
	name_format(&w->text, " was held across system calls for ");
	add_duration(&w->text, worst->io_ns);
	if (worst->io_call != 0) {
		name_format(&w->text, ", ");
		calls_number_name(&w->text, worst->io_call - 1);
		name_format(&w->text, " for ");
		add_duration(&w->text, worst->io_max_ns);
	}
	add_others(w);
}

/* Those that can be a deadlock are in front. */
static void find_order(struct finder *f)
{
	const struct lock_order *o = &f->s->lock_order;
	const struct lock_order_cycle *c = o->cycles;
	struct warning *w;

	if (o->dangerous_n == 0)
		return;
	w = add(f, "CPT-LOCK-ORDER", "locks --order", o->dangerous_n);
	for (uint32_t i = 0; i < c->n; i++) {
		name_format(&w->text, "%s", i > 0 ? ", " : "");
		name_object(&w->text, f->s->tables, o->edges[c->edges[i]].held);
	}
	name_format(&w->text, " are taken one within the other, in both orders");
	add_others(w);
}

static void find_convoy(struct finder *f)
{
	const struct locks_row *worst = NULL;
	struct warning *w;
	uint64_t n = 0;

	for (uint32_t i = 0; i < f->s->locks.rows_n; i++) {
		const struct locks_row *row = &f->s->locks.rows[i];

		if (row->convoys.n == 0)
			continue;
		n++;
		if (worst == NULL || row->convoys.sum_ns > worst->convoys.sum_ns)
			worst = row;
	}
	if (worst == NULL)
		return;
	w = add(f, "CPT-CONVOY", "locks", n);
	name_object(&w->text, f->s->tables, worst->object);
	name_format(&w->text, " went from hand to hand ");
	add_count(&w->text, worst->convoys.handovers);
	name_format(&w->text, " times in a row, ");
	add_duration(&w->text, worst->convoys.handover_ns);
	name_format(&w->text, " on the way and ");
	add_duration(&w->text, worst->convoys.hold_ns);
	name_format(&w->text, " held");
	add_others(w);
}

static void find_long_hold(struct finder *f)
{
	const struct summary_object *worst = NULL;
	struct warning *w;
	uint64_t n = 0;

	for (uint32_t i = 0; i < f->s->by_object.n; i++) {
		const struct summary_object *o = summary_object(f->s, i);

		if (o->long_n == 0)
			continue;
		n++;
		if (worst == NULL || o->long_ns > worst->long_ns)
			worst = o;
	}
	if (worst == NULL)
		return;
	w = add(f, "CPT-LONG-HOLD", "locks", n);
	name_object(&w->text, f->s->tables, worst->object);
	name_format(&w->text, " was held for ");
	add_duration(&w->text, LONG_HOLD_NS);
	name_format(&w->text, " or longer while others waited, ");
	add_count(&w->text, worst->long_n);
	name_format(&w->text, worst->long_n == 1 ? " time" : " times");
	add_others(w);
}

static void find_slow_call(struct finder *f)
{
	const struct tally_row *worst = NULL;
	uint64_t n = 0, p99, worst_p99 = 0;
	struct warning *w;

	for (uint32_t i = 0; i < f->s->prompt.n; i++) {
		const struct tally_row *row = f->s->prompt.rows[i];

		if (row->took.n < SLOW_CALLS || row->key == TALLY_OTHERS)
			continue;
		p99 = histogram_at(&row->took, 0.99);
		if (p99 <= SLOW_NS || p99 / SLOW_TIMES <= histogram_at(&row->took, 0.5))
			continue;
		n++;
		if (p99 > worst_p99) {
			worst = row;
			worst_p99 = p99;
		}
	}
	if (worst == NULL)
		return;
	w = add(f, "CPT-SLOW-CALL", "syscalls --slower 10ms", n);
	calls_number_name(&w->text, worst->key);
	name_format(&w->text, " takes ");
	add_duration(&w->text, histogram_at(&worst->took, 0.5));
	name_format(&w->text, ", but ");
	add_duration(&w->text, worst_p99);
	name_format(&w->text, " and more once in a hundred times");
	add_others(w);
}

static bool is_small(const struct summary_file *f, const struct tables *t)
{
	const struct table_file *file = tables_file(t, f->file);

	/* counters move eight bytes, and are made for it */
	if (file != NULL && file->kind != TRACE_FD_FILE && file->kind != TRACE_FD_PIPE &&
	    file->kind != TRACE_FD_SOCKET)
		return false;
	return (f->small_reads >= SMALL_MANY && f->small_reads > f->reads / 2) ||
	       (f->small_writes >= SMALL_MANY && f->small_writes > f->writes / 2);
}

static void find_small_io(struct finder *f)
{
	const struct summary_file *worst = NULL;
	struct warning *w;
	uint64_t n = 0;

	for (uint32_t i = 0; i < f->s->by_file.n; i++) {
		const struct summary_file *file = summary_file(f->s, i);

		if (!is_small(file, f->s->tables))
			continue;
		n++;
		if (worst == NULL || file->small_reads + file->small_writes >
					     worst->small_reads + worst->small_writes)
			worst = file;
	}
	if (worst == NULL)
		return;
	w = add(f, "CPT-SMALL-IO", "syscalls --by file", n);
	name_file(&w->text, f->s->tables, worst->file);
	name_format(&w->text, ": ");
	add_count(&w->text, worst->small_reads);
	name_format(&w->text, " reads and ");
	add_count(&w->text, worst->small_writes);
	name_format(&w->text, " writes of less than %d bytes", SMALL_BYTES);
	add_others(w);
}

static void find_again(struct finder *f)
{
	const struct summary_file *worst = NULL;
	struct warning *w;
	uint64_t n = 0;

	for (uint32_t i = 0; i < f->s->by_file.n; i++) {
		const struct summary_file *file = summary_file(f->s, i);

		if (file->again < AGAIN_MANY)
			continue;
		n++;
		if (worst == NULL || file->again > worst->again)
			worst = file;
	}
	if (worst == NULL)
		return;
	w = add(f, "CPT-EAGAIN", "syscalls --errors", n);
	name_file(&w->text, f->s->tables, worst->file);
	name_format(&w->text, " was tried again ");
	add_count(&w->text, worst->again);
	name_format(&w->text, " times right after EAGAIN");
	add_others(w);
}

static void find_polls(struct finder *f)
{
	struct warning *w;

	if (f->s->polls_empty < POLLS_MANY)
		return;
	w = add(f, "CPT-POLL-ZERO", "syscalls --by stack --include-idle", 1);
	add_count(&w->text, f->s->polls_empty);
	name_format(&w->text, " of ");
	add_count(&w->text, f->s->polls);
	name_format(&w->text, " polls with a timeout of zero found nothing: it polls in a loop");
}

static void find_lost(struct finder *f)
{
	struct warning *w;

	if (f->counts->lost_events == 0 && f->counts->gaps == 0)
		return;
	w = add(f, "CPT-LOST", "check", 1);
	add_count(&w->text, f->counts->lost_events);
	name_format(&w->text, " events are missing, in ");
	add_count(&w->text, f->counts->gaps);
	name_format(&w->text, f->counts->gaps == 1 ? " place" : " places");
}

static void find_unknown(struct finder *f)
{
	uint64_t all_ns = 0, unknown_ns = f->s->state_ns[TRACE_UNKNOWN];
	struct warning *w;

	for (unsigned i = 0; i < TRACE_STATES; i++)
		all_ns += f->s->state_ns[i];
	if (unknown_ns <= all_ns / UNKNOWN_SHARE)
		return;
	w = add(f, "CPT-UNKNOWN", "info", 1);
	name_format(&w->text, "of ");
	add_share(&w->text, unknown_ns, all_ns);
	name_format(&w->text, " of the threads' time nobody knows what they did");
}

static void find_futile(struct finder *f)
{
	const struct summary_object *worst = NULL;
	struct warning *w;
	uint64_t n = 0;

	for (uint32_t i = 0; i < f->s->by_object.n; i++) {
		const struct summary_object *o = summary_object(f->s, i);

		if (o->again < FUTILE_MANY || o->again < o->waits / FUTILE_SHARE)
			continue;
		n++;
		if (worst == NULL || o->again > worst->again)
			worst = o;
	}
	if (worst == NULL)
		return;
	w = add(f, "CPT-FUTILE-WAKE", "blocked", n);
	name_object(&w->text, f->s->tables, worst->object);
	name_format(&w->text, ": ");
	add_count(&w->text, worst->again);
	name_format(&w->text, " of ");
	add_count(&w->text, worst->waits);
	name_format(&w->text, " waits began again with nothing done in between");
	add_others(w);
}

unsigned warnings_find(const struct summary *s, const struct story_counts *counts, uint64_t run_ns,
		       struct warning ret[WARNINGS_MAX])
{
	static void (*const rules[])(struct finder *) = {
		find_held_io,   find_order,    find_convoy, find_long_hold,
		find_slow_call, find_small_io, find_again,  find_polls,
		find_lost,      find_unknown,  find_futile,
	};
	struct finder f = {.s = s, .counts = counts, .run_ns = run_ns, .list = ret};

	_Static_assert(sizeof(rules) / sizeof(rules[0]) == WARNINGS_MAX, "one of each rule");
	for (unsigned i = 0; i < WARNINGS_MAX; i++)
		rules[i](&f);
	return f.n;
}
