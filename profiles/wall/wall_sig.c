#include "profiles/wall/wall.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "core/clock.h"
#include "core/scan.h"
#include "core/table.h"

struct wall_settings wall_settings;
_Atomic uint32_t wall_is_on;

/* The helper's own. */
static struct {
	uint64_t random, last_ns, tick;
	uint64_t scanned_ns;
	bool is_dozing;
	bool has_busy,
		has_silent; /* threads that do not stay; that stay, and would not say when they go */
} sampler;

#define SCAN_NS \
	(NS_PER_SECOND / 10) /* how often threads are looked for that nobody told us about */
#define QUIET_LOOKS \
	16 /* found unmoved so often, a thread is expected to stay: most that wake by themselves do it sooner */
#define PASS_OVER 8 /* then one that does not say so is looked at every eighth tick */
#define DOZE_TICKS \
	64 /* and when all stay, the sampler sleeps so long, or as above when one would not say */
#define DOUBT_LOOKS 64 /* so often the word of a thread is checked against its clock */

/* A call that lasts uses no time. More than this, and the thread left it without a word, by longjmp() out of a handler. */
#define LEFT_NS UINT64_C(2000000)

/* What a handler uses between its last look at the clock and the thread's next sleep. */
#define SETTLE_NS UINT64_C(20000)

static uint64_t random_next(void)
{
	sampler.random ^= sampler.random << 13;
	sampler.random ^= sampler.random >> 7;
	sampler.random ^= sampler.random << 17;
	return sampler.random;
}

SIGSAFE void wall_begin(uint64_t first_ns)
{
	sampler.random = clock_monotonic() * UINT64_C(0x9e3779b97f4a7c15) | 1;
	sampler.last_ns = first_ns - wall_settings.period_ns;
	sampler.is_dozing = false;
}

SIGSAFE void wall_flush(struct segment *s, struct thread *t)
{
	struct thread_record *record = t->record;
	uint64_t row = atomic_load_explicit(&record->idle_row, memory_order_acquire);
	/* taken before it is added: who dies in between loses a little and counts nothing twice */
	uint64_t values[WALL_COLUMNS] = {
		atomic_exchange_explicit(&record->idle_looks, 0, memory_order_acq_rel),
		atomic_exchange_explicit(&record->idle_ns, 0, memory_order_acq_rel)};
	uint32_t generation = atomic_load_explicit(&record->idle_generation, memory_order_relaxed);
	const struct wall_thread *w = wall_thread_of(t);

	if (values[0] == 0 || (uint32_t)row == 0)
		return;
	if (generation == atomic_load_explicit(&s->header->generation, memory_order_acquire) &&
	    table_add(s, SEGMENT_TABLE_WALL, generation, (uint32_t)row, (uint32_t)(row >> 32),
		      values))
		return;
	table_record(s, SEGMENT_TABLE_WALL, w->frames, w->depth, (uint32_t)(row >> 32), values);
}

static uint32_t labels_of(struct segment *s, struct thread *t, struct wall_thread *w, unsigned code)
{
	uint32_t base = atomic_load_explicit(&t->record->labels, memory_order_relaxed);

	if (w->labels == 0 || base != w->labels_base || code != w->labels_code ||
	    t->names != w->labels_names) {
		w->labels = look_labels(s, t, base, code);
		w->labels_base = base;
		w->labels_code = code;
		w->labels_names = t->names;
	}
	return w->labels;
}

/* On the helper, or in @t's handler while the helper waits for its answer: @w is the caller's alone. */
SIGSAFE void wall_sink(struct segment *s, struct thread *t, const struct look *look)
{
	struct wall_thread *w = wall_thread_of(t);
	bool is_own = t == thread_self_block;
	uint64_t values[WALL_COLUMNS] = {w->looks, w->ns};
	uint32_t labels;
	struct table_row row;

	if (!atomic_load_explicit(&wall_is_on, memory_order_acquire) ||
	    wall_settings.threads == NULL)
		return;
	labels = labels_of(s, t, w, look->code);
	row = table_record(s, SEGMENT_TABLE_WALL, look->frames, look->depth, labels, values);
	w->depth = look->depth < wall_settings.depth ? look->depth : wall_settings.depth;
	memcpy(w->frames, look->frames, w->depth * sizeof(w->frames[0]));
	w->word = look->word;
	w->is_idle = row.stack != 0;
	w->is_settling = is_own;
	w->quiet = 0;
	w->looks = w->ns = 0;
	atomic_store_explicit(&t->record->idle_generation, row.generation, memory_order_relaxed);
	atomic_store_explicit(&t->record->idle_row, (uint64_t)labels << 32 | row.stack,
			      memory_order_release); /* pairs: wall_flush, and readers */
	if (is_own)
		w->cpu_ns = clock_read(CLOCK_THREAD_CPUTIME_ID);
}

/* How many looks a time stands for that was longer than between two ticks. */
static uint64_t looks_in(uint64_t ns)
{
	uint64_t period = wall_settings.period_ns;

	return ns < 3 * period / 2 ? 1 : (ns + period / 2) / period;
}

/* The thread is where it was. */
static void credit(struct thread *t, uint64_t looks, uint64_t ns)
{
	struct thread_record *record = t->record;

	if (looks == 0)
		return;
	/* with the time first: a reader that comes in between sees a look less, not time without a look */
	atomic_fetch_add_explicit(&record->idle_ns, ns, memory_order_relaxed);
	atomic_fetch_add_explicit(&record->idle_looks, looks, memory_order_relaxed);
}

/* A look that was passed over: counted as if the thread had stayed. */
static void pass_over(struct thread *t, struct wall_thread *w, uint64_t ns)
{
	w->later_looks += looks_in(ns);
	w->later_ns += ns;
	credit(t, looks_in(ns), ns);
}

/* Of the looks that were passed over, those in which the thread ran, by its clock, belong to the look that comes now. */
static void settle_passed(struct thread *t, struct wall_thread *w, uint64_t ran_ns)
{
	uint64_t ran = w->later_looks == 0 ? 0
					   : (ran_ns * w->later_looks + w->later_ns / 2) /
						     (w->later_ns > 0 ? w->later_ns : 1);

	if (ran > w->later_looks)
		ran = w->later_looks;
	if (ran > 0) {
		uint64_t ns = w->later_ns * ran / w->later_looks;

		w->looks += ran;
		w->ns += ns;
		atomic_fetch_sub_explicit(&t->record->idle_ns, ns, memory_order_relaxed);
		atomic_fetch_sub_explicit(&t->record->idle_looks, ran, memory_order_relaxed);
	}
	w->later_looks = w->later_ns = 0;
}

static const char *parse_number(const char *c, uint64_t *ret)
{
	*ret = 0;
	while (*c == ' ')
		c++;
	for (; *c >= '0' && *c <= '9'; c++)
		*ret = *ret * 10 + (uint64_t)(*c - '0');
	return c;
}

/*
 * Of a thread that runs: is it on a processor, or does it wait for one? What the kernel counted since the last time tells how
 * likely either is, and a die decides, so that both are right on average.
 */
static bool is_runnable(struct thread *t, struct wall_thread *w, uint64_t ran_ns, uint64_t ns)
{
	char text[80];
	uint64_t run, wait, ran, waited;
	bool is_first = w->run_ns == 0;

	if (helper_read_kept(t->tid, "schedstat", &w->times_file, text, sizeof(text)) <= 0)
		return false;
	parse_number(parse_number(text, &run), &wait);
	ran = run - w->run_ns;
	waited = wait - w->wait_ns;
	w->run_ns = run;
	w->wait_ns = wait;
	/* the kernel counts a wait when it is over; of what was taken for one before that, no look is due again */
	if (is_first || waited == 0) {
		w->told_ns += ran_ns == 0 ? ns : 0;
		return ran_ns == 0;
	}
	waited -= waited < w->told_ns ? waited : w->told_ns;
	w->told_ns = 0;
	if (waited == 0)
		return false;
	return random_next() % (ran + waited) < waited;
}

static void close_files(struct wall_thread *w)
{
	if (w->files_of == helper_serial) {
		helper_close_task(&w->asks_file);
		helper_close_task(&w->times_file);
	}
	w->asks_file = w->times_file = 0;
	w->files_of = helper_serial;
}

static void reset(struct wall_thread *w, const struct thread *t)
{
	close_files(w);
	memset(w, 0, sizeof(*w));
	w->tid = t->tid;
	w->files_of = helper_serial;
}

/* @ran_ns of @ns, by its clock: had it been runnable for a while, it could not have run nearly all the time. */
static void look_anew(struct segment *s, struct thread *t, struct wall_thread *w, uint64_t ran_ns,
		      uint64_t ns)
{
	unsigned running = WAIT_NOT;

	if (w->files_of != helper_serial)
		close_files(w);
	wall_flush(s, t);
	w->is_idle = false;
	if (ran_ns < ns - ns / 16 &&
	    atomic_load_explicit(&t->record->waits, memory_order_relaxed) == 0 &&
	    is_runnable(t, w, ran_ns, ns))
		running = WAIT_RUNNABLE;
	if (look_at(s, t, LOOK_WALL, running, ran_ns > ns / 4, &w->asks_file) == LOOK_GONE)
		w->looks = w->ns = 0;
}

static void note_quiet(struct wall_thread *w)
{
	if (w->is_idle && w->quiet == QUIET_LOOKS)
		close_files(w);
	if (!w->is_idle || w->quiet < QUIET_LOOKS)
		sampler.has_busy = true;
	else if (w->word == 0)
		sampler.has_silent = true;
}

/* The question of the tick before has not been answered. True: that is settled, and this tick's look is to come. */
static bool ask_again(struct segment *s, struct thread *t, struct wall_thread *w, uint64_t ns)
{
	switch (look_again(t, LOOK_WALL)) {
	case LOOK_DEAF:
		look_unanswered(s, t, LOOK_WALL);
		return true;
	case LOOK_LATE: /* it waits for a processor; one answer will stand for both looks */
		w->looks += looks_in(ns);
		w->ns += ns;
		w->told_ns += t->asked_code == WAIT_RUNNABLE ? ns : 0;
		if (look_at(s, t, LOOK_WALL, t->asked_code, true, &w->asks_file) == LOOK_GONE)
			w->looks = w->ns = 0;
		return false;
	case LOOK_ASKED: /* it is at it */
		w->kept_ns += ns;
		return false;
	default:
		return true;
	}
}

/* One thread at one tick, which counts @ns. */
static void tick_thread(struct segment *s, struct thread *t, uint64_t ns)
{
	struct wall_thread *w = wall_thread_of(t);
	uint64_t word = atomic_load_explicit(&t->record->waits, memory_order_acquire), cpu, ran;

	atomic_store_explicit(&w->doze_from_ns, 0, memory_order_relaxed); /* this tick counts it */
	if (w->tid != t->tid)
		reset(w, t);
	if (atomic_load_explicit(&t->asked, memory_order_acquire) & 1u << LOOK_WALL &&
	    !ask_again(s, t, w, ns))
		return;
	ns += w->kept_ns;
	w->kept_ns = 0;
	if (w->is_idle && word != 0 && word == w->word) {
		credit(t, looks_in(ns), ns);
		if (++w->quiet % DOUBT_LOOKS != 0)
			return;
		cpu = clock_read(clock_of_thread(t->tid));
		if (cpu > w->cpu_ns + LEFT_NS) {
			atomic_compare_exchange_strong_explicit(&t->record->waits, &word, 0,
								memory_order_relaxed,
								memory_order_relaxed);
			w->is_idle = false;
		}
		w->cpu_ns = cpu;
		return;
	}
	if (w->is_idle && word == 0 && w->word == 0 && w->quiet >= QUIET_LOOKS &&
	    ns < 2 * wall_settings.period_ns && (sampler.tick + t->index) % PASS_OVER != 0) {
		pass_over(t, w, ns);
		return;
	}
	cpu = clock_read(clock_of_thread(t->tid));
	/* it is gone; one that has hardly run may have a clock that stands at 0 */
	if (cpu == 0 && sys3(SYS_tgkill, sys1(SYS_getpid, 0), t->tid, 0) == -ESRCH) {
		settle_passed(t, w, 0);
		wall_flush(s, t);
		close_files(w);
		w->tid = 0;
		return;
	}
	/* one that ran and has not used its clock since waits for a processor: that is another state */
	if (w->is_idle && word == 0 && w->word == 0 && w->labels_code != WAIT_NOT) {
		if (cpu == w->cpu_ns || (w->is_settling && cpu - w->cpu_ns < SETTLE_NS &&
					 look_is_in(t, w->labels_code, &w->asks_file))) {
			settle_passed(t, w, 0);
			credit(t, looks_in(ns), ns);
			w->told_ns += w->labels_code == WAIT_RUNNABLE ? ns : 0;
			w->quiet++;
			w->is_settling = false;
			w->cpu_ns = cpu;
			return;
		}
	}
	w->looks = looks_in(ns);
	w->ns = ns;
	ran = cpu - w->cpu_ns;
	settle_passed(t, w, ran);
	w->cpu_ns = cpu;
	look_anew(s, t, w, ran, ns);
}

/* Stacks of the generation before may be given up at any time: what threads are owed moves into this one. */
static void follow_generation(struct segment *s, struct thread *t)
{
	struct wall_thread *w = wall_thread_of(t);
	uint32_t now = atomic_load_explicit(&s->header->generation, memory_order_acquire);
	struct table_row row;
	uint64_t idle;

	if (!w->is_idle || w->tid != t->tid ||
	    atomic_load_explicit(&t->record->idle_generation, memory_order_relaxed) == now)
		return;
	wall_flush(s, t);
	idle = atomic_load_explicit(&t->record->idle_row, memory_order_relaxed);
	row = table_record(s, SEGMENT_NO_TABLE, w->frames, w->depth, (uint32_t)(idle >> 32), NULL);
	atomic_store_explicit(&t->record->idle_generation, row.generation, memory_order_relaxed);
	atomic_store_explicit(&t->record->idle_row, (idle >> 32) << 32 | row.stack,
			      memory_order_release);
	w->is_idle = row.stack != 0;
}

SIGSAFE void wall_count_doze(struct thread *t, uint64_t until_ns)
{
	uint64_t from =
		atomic_exchange_explicit(&wall_thread_of(t)->doze_from_ns, 0, memory_order_acq_rel);

	if (from != 0 && until_ns > from)
		credit(t, looks_in(until_ns - from), until_ns - from);
}

/* A thread moved while the sampler dozed, and has said so: all were where they were until now. */
static void credit_all(struct segment *s, const struct thread *self, uint64_t now)
{
	uint32_t high = atomic_load_explicit(&s->header->threads_high, memory_order_acquire);

	for (uint32_t i = 1; i < high; i++) {
		struct thread *t = thread_at(s, i);

		if (t != NULL && t != self && t->record != NULL && wall_thread_of(t)->is_idle &&
		    atomic_load_explicit(&t->record->tid, memory_order_acquire) ==
			    wall_thread_of(t)->tid)
			wall_count_doze(t, now);
	}
}

/* When to look next. Sleeping longer is announced first, and off when somebody moved just before that. */
static uint64_t next_tick(struct segment *s, uint64_t now)
{
	uint64_t period = wall_settings.period_ns, next = now + period / 2 + random_next() % period;
	uint32_t high;

	if (sampler.has_busy)
		return next;
	atomic_store_explicit(&wait_is_dozing, 1, memory_order_seq_cst); /* pairs: wait_take_back */
	high = atomic_load_explicit(&s->header->threads_high, memory_order_acquire);
	for (uint32_t i = 1; i < high; i++) {
		struct thread *t = thread_at(s, i);

		if (t == NULL || t->record == NULL || !wall_thread_of(t)->is_idle ||
		    atomic_load_explicit(&t->record->tid, memory_order_acquire) <= 0)
			continue;
		atomic_store_explicit(&wall_thread_of(t)->doze_from_ns, now, memory_order_relaxed);
		if (atomic_load_explicit(&t->record->waits, memory_order_seq_cst) !=
		    wall_thread_of(t)->word) {
			atomic_store_explicit(&wait_is_dozing, 0, memory_order_relaxed);
			return next;
		}
	}
	sampler.is_dozing = true;
	next += (sampler.has_silent ? PASS_OVER - 1 : DOZE_TICKS - 1) * period;
	atomic_store_explicit(&s->header->wall_dozes_until_ns, next, memory_order_release);
	return next;
}

SIGSAFE uint64_t wall_tick(struct segment *s, struct thread *self, uint64_t now)
{
	/*
	 * What lies before the first belongs to it only by chance, as what lies behind the last is lost by chance: it counts a
	 * period, and what it is late.
	 */
	uint64_t ns = now - sampler.last_ns;
	uint32_t high;

	sampler.last_ns = now;
	atomic_store_explicit(&s->header->wall_looked_ns, now, memory_order_relaxed);
	if (sampler.is_dozing) {
		sampler.is_dozing = false;
		atomic_store_explicit(&s->header->wall_dozes_until_ns, 0, memory_order_relaxed);
		if (atomic_exchange_explicit(&wait_is_dozing, 0, memory_order_seq_cst) == 0) {
			credit_all(s, self, now);
			return now + random_next() % wall_settings.period_ns;
		}
	}
	if (now - sampler.scanned_ns >= SCAN_NS) {
		scan_some(s);
		sampler.scanned_ns = now;
	}
	sampler.has_busy = sampler.has_silent = false;
	high = atomic_load_explicit(&s->header->threads_high, memory_order_acquire);
	for (uint32_t i = 1; i < high; i++) {
		struct thread *t = thread_at(s, i);

		if (t == NULL || t == self || t->record == NULL ||
		    atomic_load_explicit(&t->record->tid, memory_order_acquire) <= 0 ||
		    atomic_load_explicit(&t->record->flags, memory_order_relaxed) & THREAD_IS_OURS)
			continue;
		follow_generation(s, t);
		tick_thread(s, t, ns);
		note_quiet(wall_thread_of(t));
	}
	sampler.tick++;
	return next_tick(s, now);
}
