#include "profiles/threads/threads.h"

#include <sys/syscall.h>
#include <time.h>

#include "core/clock.h"
#include "core/scan.h"

#define ANSWER_NS (NS_PER_SECOND / 10) /* for each thread */
#define WHOLE_NS              \
	(NS_PER_SECOND / 10 * \
	 8) /* for all: the rest of the second is for those that did not answer */
#define PAUSE_NS UINT64_C(200000)

static uint64_t serial; /* of the snapshot under way; the helper's */

/* On the helper or in @t's handler. */
SIGSAFE void threads_sink(struct segment *s, struct thread *t, const struct look *look)
{
	struct thread_record *record = t->record;
	uint32_t base = atomic_load_explicit(&record->labels, memory_order_relaxed);
	struct table_row row =
		table_record(s, SEGMENT_NO_TABLE, look->frames, look->depth, base, NULL);

	atomic_store_explicit(&record->snapshot_tid, t->tid, memory_order_relaxed);
	atomic_store_explicit(&record->snapshot_generation, row.generation, memory_order_relaxed);
	atomic_store_explicit(&record->snapshot_row, (uint64_t)base << 32 | row.stack,
			      memory_order_relaxed);
	atomic_store_explicit(&record->snapshot_since_ns, look->since_ns, memory_order_relaxed);
	atomic_store_explicit(&record->snapshot_state, look->code, memory_order_relaxed);
	atomic_store_explicit(&record->snapshot_channel, look->channel, memory_order_relaxed);
	atomic_store_explicit(&record->snapshot_serial, serial,
			      memory_order_release); /* pairs: readers of the number */
}

static struct thread *other(struct segment *s, uint32_t index, const struct thread *self)
{
	struct thread *t = thread_at(s, index);

	if (t == NULL || t == self || t->record == NULL ||
	    atomic_load_explicit(&t->record->tid, memory_order_acquire) <= 0 ||
	    atomic_load_explicit(&t->record->flags, memory_order_relaxed) & THREAD_IS_OURS)
		return NULL;
	return t;
}

static bool is_asked(const struct thread *t)
{
	return atomic_load_explicit(&t->asked, memory_order_acquire) & 1u << LOOK_THREADS;
}

/* How many have not answered yet. */
static uint32_t count_asked(struct segment *s, const struct thread *self, uint32_t high)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i < high; i++) {
		struct thread *t = other(s, i, self);

		n += t != NULL && is_asked(t);
	}
	return n;
}

/* Until all have answered, or none has for a while: as long as answers come in, there are more to come. */
static void await_answers(struct segment *s, const struct thread *self, uint32_t high,
			  uint32_t left, uint64_t whole)
{
	struct timespec pause = clock_to_timespec(PAUSE_NS);
	uint64_t until = clock_monotonic() + ANSWER_NS;
	uint32_t before;

	while (left > 0 && clock_monotonic() < until && clock_monotonic() < whole) {
		sys2(SYS_nanosleep, &pause, NULL);
		before = left;
		left = count_asked(s, self, high);
		if (left < before)
			until = clock_monotonic() + ANSWER_NS;
	}
}

/* @t has not answered. Whether there is an answer to come. */
static bool ask_again(struct segment *s, struct thread *t, bool is_last)
{
	switch (look_again(t, LOOK_THREADS)) {
	case LOOK_LATE:
		if (!is_last)
			return look_at(s, t, LOOK_THREADS, t->asked_code, false, NULL) ==
			       LOOK_ASKED;
		/* fall through */
	case LOOK_DEAF:
		look_unanswered(s, t, LOOK_THREADS);
		return false;
	case LOOK_ASKED: /* it is at it */
		return true;
	default:
		return false;
	}
}

SIGSAFE uint64_t threads_snapshot(struct segment *s, struct thread *self, uint64_t now)
{
	uint64_t whole = now + WHOLE_NS;
	uint32_t high, left = 0;

	serial = atomic_load_explicit(&s->header->snapshot_serial, memory_order_relaxed) + 1;
	scan_all(s);
	high = atomic_load_explicit(&s->header->threads_high, memory_order_acquire);
	for (uint32_t i = 1; i < high; i++) {
		struct thread *t = other(s, i, self);

		if (t == NULL)
			continue;
		if (clock_monotonic() > whole) {
			look_in_passing(s, t, LOOK_THREADS);
			continue;
		}
		left += look_at(s, t, LOOK_THREADS, WAIT_NOT, false, NULL) == LOOK_ASKED;
	}
	/* who blocks the signal will not answer; the others may only wait for a processor, and have until the end */
	for (bool is_last = false; left > 0 && !is_last;) {
		await_answers(s, self, high, left, whole);
		is_last = clock_monotonic() >= whole;
		left = 0;
		for (uint32_t i = 1; i < high; i++) {
			struct thread *t = other(s, i, self);

			if (t != NULL && is_asked(t))
				left += ask_again(s, t, is_last);
		}
	}
	atomic_store_explicit(&s->header->snapshot_ns, now, memory_order_relaxed);
	atomic_store_explicit(&s->header->snapshot_serial, serial, memory_order_release);
	return HELPER_NEVER;
}
