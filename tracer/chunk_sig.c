#include "tracer/chunk.h"

#include <linux/futex.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "core/stacks.h"
#include "core/syscalls.h"
#include "core/walk.h"
#include "tracer/sync.h"
#include "tracer/user.h"

__thread struct trace_here trace_here __attribute__((tls_model("initial-exec")));

static struct trace_thread *record_at(const struct segment *s, uint32_t index)
{
	return (struct trace_thread *)((uint8_t *)segment_part(s, SEGMENT_TRACE_THREADS, 0) +
				       (size_t)index * TRACE_THREAD_STRIDE);
}

static struct trace_chunk *chunk_at(const struct segment *s, uint32_t index)
{
	const struct segment_place *place = segment_place(s, SEGMENT_TRACE_CHUNKS, 0);

	return (struct trace_chunk *)(s->base + place->offset + (size_t)index * place->stride);
}

SIGSAFE void trace_wake_reader(struct segment *s)
{
	atomic_fetch_add_explicit(&s->header->trace_wake, 1, memory_order_seq_cst);
	sys3(SYS_futex, &s->header->trace_wake, FUTEX_WAKE, 1);
}

/* One that is free is the caller's; NULL when none is. Threads begin to look at places of their own. */
static struct trace_chunk *take_chunk(struct segment *s, uint32_t hint)
{
	struct segment_header *h = s->header;
	uint32_t n = segment_count(s, SEGMENT_TRACE_CHUNKS, 0), words = (n + 63) / 64, taken;

	for (uint32_t i = 0; i < words; i++) {
		uint32_t at = (hint + i) % words;
		uint64_t free = atomic_load_explicit(&h->trace_free[at], memory_order_relaxed), bit;

		while (free != 0) {
			bit = free & -free;
			/* acquire pairs: who emptied it */
			free = atomic_fetch_and_explicit(&h->trace_free[at], ~bit,
							 memory_order_acquire);
			if (!(free & bit)) /* somebody was faster */
				continue;
			taken = atomic_fetch_add_explicit(&h->trace_taken, 1,
							  memory_order_relaxed) +
				1;
			taken -= (uint32_t)atomic_load_explicit(&h->trace_given_back,
								memory_order_relaxed);
			/* it looks now and then anyway; this may be too late */
			if (taken >= n / 2)
				trace_wake_reader(s);
			at = at * 64 + (uint32_t)__builtin_ctzll(bit);
			return at < n ? chunk_at(s, at) : NULL;
		}
	}
	return NULL;
}

static bool overwrites(const struct segment *s)
{
	return atomic_load_explicit(&s->header->trace_overwrites, memory_order_relaxed) != 0;
}

/*
 * Chunks go round in the order in which they were taken, or nearly: the next that is closed is one of the oldest. Who reads it
 * sees another number when it has, and takes it for gone.
 */
static struct trace_chunk *take_oldest(struct segment *s)
{
	uint32_t n = segment_count(s, SEGMENT_TRACE_CHUNKS, 0);

	for (uint32_t i = 0; i < n; i++) {
		uint32_t hand =
			atomic_fetch_add_explicit(&s->header->trace_hand, 1, memory_order_relaxed);
		struct trace_chunk *c = chunk_at(s, hand % n);
		uint64_t serial = atomic_load_explicit(&c->serial, memory_order_relaxed);

		/* acquire pairs: trace_close() */
		if (serial != 0 &&
		    atomic_load_explicit(&c->word, memory_order_acquire) & CHUNK_CLOSED &&
		    atomic_compare_exchange_strong_explicit(
			    &c->serial, &serial, 0, memory_order_acquire, memory_order_relaxed)) {
			/* before anything that is written into it; pairs: the reader's fence */
			atomic_thread_fence(memory_order_release);
			return c;
		}
	}
	return NULL;
}

/* The calling thread, made known when nobody has told us of it; NULL when it cannot be. */
static struct thread *find_thread(struct segment *s)
{
	struct thread *self = thread_self_block;
	int tid;

	if (self == NULL) {
		tid = (int)sys1(SYS_gettid, 0);
		self = thread_find(s, tid);
		if (self == NULL)
			self = thread_reserve(s);
		if (self != NULL && self->tid == 0) {
			sys2(SYS_prctl, PR_GET_NAME, self->record->name);
			self = thread_try_publish(s, self, tid);
		}
	}
	return self != NULL && self->index < segment_count(s, SEGMENT_TRACE_THREADS, 0) ? self
											: NULL;
}

SIGSAFE struct trace_thread *trace_own(void)
{
	struct segment *s = segment_live();
	const struct thread *self;

	if (trace_here.thread == NULL && s != NULL && trace_here.index != TRACE_ENDED) {
		self = find_thread(s);
		trace_here.thread = self != NULL ? record_at(s, self->index) : NULL;
	}
	return trace_here.thread;
}

static void write_start(struct thread *t, uint64_t ticks)
{
	uint64_t arguments[4] = {(uint64_t)t->tid, arch_thread_pointer()};
	struct trace_text name = {t->record->name, (uint32_t)strlen(t->record->name), 3};
	uint32_t labels = atomic_load_explicit(&t->record->labels, memory_order_relaxed);

	sync_thread_is(arch_thread_pointer(), trace_here.index);
	arguments[2] = t->trace_parent;
	trace_write_text(TRACE_THREAD_START_EVENT, ticks, arguments, 4, &name, 1);
	if (labels != 0)
		trace_labels_at(segment_live(), ticks, labels);
}

static void write_early(struct trace_here *here)
{
	for (uint32_t i = 0; i < here->early_n; i++) {
		const struct trace_early *e = &here->early[i];

		TRACE_WRITE(TRACE_SYSCALL_EVENT, e->ticks, e->number, e->took,
			    trace_zigzag(e->result), 0, e->argument, 0, 0, 0);
	}
	here->early_n = 0;
}

static void write_lost(struct trace_thread *t, uint64_t ticks)
{
	uint64_t lost = atomic_exchange_explicit(&t->lost, 0, memory_order_relaxed);

	if (lost != 0)
		TRACE_WRITE(TRACE_LOST_EVENT, ticks, lost,
			    atomic_load_explicit(&t->lost_first, memory_order_relaxed),
			    atomic_load_explicit(&t->lost_last, memory_order_relaxed),
			    TRACE_LOST_FULL);
}

/*
 * What lies deeper on the same stack, or as deep, is gone. Stacks are told apart by the kernel's word, as a signal stack may lie
 * within the thread's own. One that is on the signal stack is not interrupted by one that is not; where that is another stack
 * of the host's making, which may go on some day, its bytes are left alone all the same.
 */
SIGSAFE uintptr_t trace_interrupted(const struct trace_here *here, uintptr_t before,
				    const uint8_t **end)
{
	const struct thread *self = thread_self_block;
	uintptr_t now = here->writer, low, high;
	stack_t signals;
	bool is_on, was_on;

	if (before == 0) {
		*end = NULL;
		return 0;
	}
	if (sys2(SYS_sigaltstack, NULL, &signals) != 0)
		return before;
	low = (uintptr_t)signals.ss_sp;
	high = low + signals.ss_size;
	is_on = now >= low && now < high;
	was_on = before >= low && before < high;
	if (is_on != was_on)
		return is_on ? before : 0;
	if (now < before)
		return before;
	if (!is_on && self != NULL) {
		low = self->stack_low;
		high = self->stack_high;
	}
	if (before >= low && now < high)
		*end = NULL;
	return 0;
}

/* An event that has no place, or is of a thread that has said its last word: its record is another's. */
static void lose(const struct trace_here *here, uint64_t ticks)
{
	struct trace_thread *record = trace_record_of(here);
	struct segment *s = segment_live();

	if (s == NULL)
		return;
	if (record != NULL)
		trace_count_lost(record, ticks);
	segment_count_lost(s, LOST_EVENTS, 1);
}

SIGSAFE uint64_t trace_give_up(struct trace_here *here, uint64_t ticks)
{
	lose(here, ticks);
	return 0;
}

/* The bytes from @begin to @end are nobody's. False when there are too many such. */
static bool note_gap(struct trace_chunk *c, uint32_t begin, uint32_t end)
{
	for (int i = 0; i < CHUNK_GAPS; i++) {
		if (atomic_load_explicit(&c->gaps[i], memory_order_relaxed) != 0)
			continue;
		/* before the word that makes it count */
		atomic_store_explicit(&c->gaps[i], begin << 16 | end, memory_order_relaxed);
		return true;
	}
	return false;
}

SIGSAFE bool trace_find_place(struct trace_here *here, uintptr_t before, const uint8_t *end,
			      uint32_t bytes, uint64_t ticks, struct trace_place *ret)
{
	for (;;) {
		struct trace_chunk *c = trace_chunk_of(here);
		uint32_t used, from;
		uint64_t word;

		if (c == NULL)
			goto turn;
		word = atomic_load_explicit(&c->word, memory_order_relaxed);
		used = from = CHUNK_USED(word);
		/* the end may be another chunk's, or passed already */
		if (end != NULL && end > c->bytes + used && end <= c->bytes + c->room)
			from = (uint32_t)(end - c->bytes);
		if (!(word & CHUNK_CLOSED) && from + bytes <= c->room &&
		    (from == used || note_gap(c, used, from))) {
			*ret = (struct trace_place){c, word, c->bytes + from};
			return true;
		}
turn:
		if (!trace_turn(here, ticks, bytes, before != 0)) {
			lose(here, ticks);
			return false;
		}
	}
}

SIGSAFE void trace_unpark(struct trace_here *here)
{
	struct trace_chunk *c = here->parked;

	here->parked = NULL;
	/* release pairs: the reader, which frees it then */
	if (c != NULL)
		atomic_fetch_or_explicit(&c->word, CHUNK_CLOSED, memory_order_release);
}

static bool has_free(const struct segment *s)
{
	uint32_t words = (segment_count(s, SEGMENT_TRACE_CHUNKS, 0) + 63) / 64;

	for (uint32_t i = 0; i < words; i++)
		if (atomic_load_explicit(&s->header->trace_free[i], memory_order_relaxed) != 0)
			return true;
	return false;
}

static bool turn(struct trace_here *here, uint64_t ticks, uint32_t bytes, bool is_nested)
{
	struct segment *s = segment_live();
	struct trace_thread *record;
	struct trace_chunk *c;
	struct thread *self;

	if (s == NULL || here->index == TRACE_ENDED)
		return false;
	if ((is_nested && here->parked != NULL) ||
	    bytes > segment_place(s, SEGMENT_TRACE_CHUNKS, 0)->stride / 2)
		return false;
	self = find_thread(s);
	if (self == NULL)
		return false;
	here->thread = record = record_at(s, self->index);
	if (is_nested) {
		here->parked = here->chunk;
		here->chunk = NULL;
	} else {
		trace_unpark(here); /* of one who has left */
		trace_close(false);
	}
	c = take_chunk(s, trace_thread_number(s, self));
	if (c == NULL && overwrites(s))
		c = take_oldest(s);
	if (c == NULL)
		return false;
	if (here->early_n > 0)
		ticks = here->early[0].ticks;
	/* what is read before the number is set is whose it was before, and nobody looks at that any more */
	c->first_ticks = ticks;
	c->thread = trace_thread_number(s, self);
	c->tid = self->tid;
	c->sequence = record->sequence++;
	c->record = self->index;
	c->room = segment_place(s, SEGMENT_TRACE_CHUNKS, 0)->stride - (uint32_t)sizeof(*c);
	atomic_store_explicit(&c->flags, 0, memory_order_relaxed);
	for (int i = 0; i < CHUNK_GAPS; i++)
		atomic_store_explicit(&c->gaps[i], 0, memory_order_relaxed);
	atomic_store_explicit(&c->word, ticks << 16, memory_order_relaxed);
	atomic_store_explicit(
		&c->serial,
		/* release pairs: the reader, which begins with this one */
		atomic_fetch_add_explicit(&s->header->trace_serial, 1, memory_order_release) + 1,
		memory_order_release); /* pairs: the reader's load */
	here->chunk = c;
	if (here->index != c->thread) {
		here->index = c->thread;
		write_start(self, ticks);
		write_early(here);
	}
	write_lost(record, ticks);
	return true;
}

/*
 * No handler comes in between: one that wrote would find nothing in order. But for one: a program that steps through itself would
 * be ended by a step with SIGTRAP blocked. What its handler has to say then is lost.
 */
SIGSAFE bool trace_turn(struct trace_here *here, uint64_t ticks, uint32_t bytes, bool is_nested)
{
	uint64_t nearly_all = ~(UINT64_C(1) << (SIGTRAP - 1)), before = 0;
	struct segment *s = segment_live();
	bool has_room;

	/* losing is cheap */
	if (s == NULL || here->index == TRACE_ENDED || here->is_turning ||
	    !walk_has_room(thread_self_block) ||
	    (here->chunk == NULL && here->thread != NULL && !has_free(s) && !overwrites(s)))
		return false;
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &nearly_all, &before, sizeof(before));
	here->is_turning = 1;
	has_room = turn(here, ticks, bytes, is_nested);
	here->is_turning = 0;
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
	return has_room;
}

/* What it held is not known to be held from here on, and the record of it is another's soon. */
static void let_record_go(struct trace_here *here)
{
	memset(here->objects, 0, sizeof(here->objects));
	memset(here->sync.locks, 0, sizeof(here->sync.locks));
	here->thread = NULL;
}

/* A handler that comes in the middle still writes into the chunk, or nowhere: behind the last one there is no other. */
SIGSAFE void trace_close(bool ends)
{
	struct trace_here *here = &trace_here;
	struct trace_chunk *c;

	if (ends) { /* its record is another's soon */
		if (here->index == 0 &&
		    trace_level() != 0) /* there never was room for its thread.start */
			for (uint32_t i = 0; i <= here->early_n; i++)
				lose(here, trace_ticks());
		here->index = TRACE_ENDED;
		atomic_signal_fence(memory_order_seq_cst);
		trace_unpark(here);
		let_record_go(here);
	}
	atomic_signal_fence(memory_order_seq_cst);
	c = here->chunk;
	here->chunk = NULL;
	if (c == NULL)
		return;
	if (ends)
		atomic_fetch_or_explicit(&c->flags, CHUNK_LAST, memory_order_relaxed);
	/* release pairs: the reader, which frees it then */
	atomic_fetch_or_explicit(&c->word, CHUNK_CLOSED, memory_order_release);
}

SIGSAFE uint32_t trace_thread_number(struct segment *s, struct thread *t)
{
	struct trace_thread *record;
	uint32_t number;

	if (t == NULL || t->index >= segment_count(s, SEGMENT_TRACE_THREADS, 0))
		return 0;
	record = record_at(s, t->index);
	number = atomic_load_explicit(&record->thread, memory_order_relaxed);
	if (number == 0) {
		uint32_t fresh = atomic_fetch_add_explicit(&s->header->trace_threads, 1,
							   memory_order_relaxed) +
				 1;

		/* the thread itself and its creator may both be the first */
		if (atomic_compare_exchange_strong_explicit(&record->thread, &number, fresh,
							    memory_order_relaxed,
							    memory_order_relaxed))
			number = fresh;
	}
	return number;
}

SIGSAFE void trace_set_number(struct segment *s, struct thread *t, uint32_t number)
{
	uint32_t none = 0;

	if (number != 0 && t->index < segment_count(s, SEGMENT_TRACE_THREADS, 0))
		atomic_compare_exchange_strong_explicit(&record_at(s, t->index)->thread, &none,
							number, memory_order_relaxed,
							memory_order_relaxed);
}

SIGSAFE void trace_begin_thread(void)
{
	struct trace_here *here = &trace_here;
	uintptr_t before = here->writer;
	const uint8_t *end = here->end;

	if (here->chunk != NULL)
		return;
	here->writer = arch_stack_pointer();
	trace_turn(here, trace_ticks(), TRACE_EVENT_MAX,
		   trace_interrupted(here, before, &end) != 0);
	here->writer = before;
}

SIGSAFE uint32_t trace_stack(uintptr_t callee)
{
	struct segment *s = segment_live();
	struct walk_host host;
	struct thread *t;
	uint32_t id;

	if (s == NULL || !walk_has_room(thread_self_block))
		return 0;
	t = thread_begin(s);
	if (t == NULL)
		return 0;
	host = walk_host(s, t, callee, 0);
	id = stacks_intern(s, SEGMENT_LASTING, host.frames, host.depth);
	walk_host_done(&host);
	thread_done(s, t);
	if (id == 0)
		segment_count_lost(s, LOST_STACKS_FULL, 1);
	return id;
}

SIGSAFE void trace_forget_thread(void)
{
	trace_here = (struct trace_here){0};
}
