/*
 * chunk: where threads write their events, and whoever empties them reads.
 *
 * A thread fills one chunk of the segment after the other. All that is written of a chunk stands in one word, which only
 * that thread changes:
 *
 *     word = ticks of the last event << 16 | closed << 15 | bytes used
 *
 * An event is written behind what is used, and then the word is replaced if it is what it was: a handler of the host's that
 * came in between and wrote an event of its own makes the writer begin again. So an event is there as a whole or not at all,
 * also when the process is killed in the middle of one, and the reader never waits for the writer, nor the writer for the
 * reader.
 *
 * Such a handler leaves out the bytes that the interrupted writer is at, for that one goes on writing there before it notices:
 * a gap, of which there may be a few in a chunk. When the chunk has no room left, it takes a new one and leaves the old one to
 * the writer, who closes it (parked).
 *
 *     free ──taken by a thread──→ open ──full, or its thread ends──→ closed ──emptied──→ free
 *
 * Where nobody empties them, and the end of what happens is wanted, a thread that finds none free takes one of the oldest closed
 * ones, whose serial is 0 until it is whole again.
 *
 * The reader (drain.h) may read an open chunk as far as its word says, and again later from there. It alone frees chunks. When
 * none is free, events are counted (struct trace_thread) and the first one after says so.
 *
 * An event in a chunk is as in a file (format.h), but for text: an argument of kind str is its length and its bytes.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "core/arch.h"
#include "core/clock.h"
#include "core/segment.h"
#include "core/thread.h"
#include "tracer/format.h"

#define CHUNK_TICKS(word) ((word) >> 16)
#define CHUNK_CLOSED      (UINT64_C(1) << 15)
#define CHUNK_USED(word)  ((uint32_t)((word)&0x7fff))
#define CHUNK_TICKS_MASK  ((UINT64_C(1) << 48) - 1) /* 16 days between two events */
#define CHUNK_TICKS_BACK \
	(CHUNK_TICKS_MASK - (UINT64_C(1) << 40)) /* an hour and a half before the last one */

#define CHUNK_GAPS 4

enum chunk_flag {
	CHUNK_LAST = 1, /* its thread has ended */
};

struct trace_chunk {
	_Atomic uint64_t serial; /* of those taken, from 1: set last, when the rest is right */
	_Atomic uint64_t word;
	uint64_t first_ticks; /* what the first event's difference is to; all 64 bits of it */
	uint32_t thread;      /* of the trace */
	int32_t tid;
	uint32_t sequence; /* of this thread's chunks */
	uint32_t record;   /* index of the thread's record */
	_Atomic uint32_t flags;
	uint32_t room;                     /* bytes */
	_Atomic uint32_t gaps[CHUNK_GAPS]; /* begin << 16 | end, 0: none. They may overlap */
	uint8_t bytes[];
};
_Static_assert(sizeof(struct trace_chunk) == 64, "chunks are a whole number of cache lines");

#define TRACE_HELD_MAX    8
#define TRACE_REGIONS_MAX 16

/* What is known of a thread besides its events; beside its struct thread_record. */
struct trace_thread {
	_Atomic uint32_t thread; /* its number in the trace, 0: none */
	uint32_t sequence;

	/* the system call it is in: its ticks << 16 | number + 1; 0: none. What was lost since the last event that was not. */
	_Atomic uint64_t operation;
	_Atomic uint64_t lost, lost_first, lost_last;
	_Atomic uint64_t task; /* that it works for, 0: none */

	/* the locks it holds, as far as there is room: those with a number. Written by itself */
	_Atomic uint32_t held_n;    /* places that were ever used */
	_Atomic uint32_t held_more; /* locks that found none, ever */
	struct trace_held {
		_Atomic uint32_t object; /* 0: free */
		uint32_t mode;
		uint64_t since; /* ticks */
		uint64_t
			written; /* the chunk's word right after it was taken: nothing was written since */
	} held[TRACE_HELD_MAX];

	/* the regions it is in, outermost first, as string ids; those beyond are only counted */
	_Atomic uint32_t regions_n;
	_Atomic uint32_t regions[TRACE_REGIONS_MAX];
	_Atomic uint64_t
		regions_ns[TRACE_REGIONS_MAX]; /* when it began: those of trace.on= alone */
};
_Static_assert(sizeof(struct trace_thread) <= TRACE_THREAD_STRIDE, "as the segment has it");

/*
 * The objects that a thread had to do with last: object.h. Handlers fill it, too: it is written as a whole, and who reads it has
 * the number before he looks whether it is the right one.
 */
#define TRACE_CACHE 8
struct trace_cached {
	uint64_t address;
	uint32_t number, age;
};
_Static_assert(sizeof(struct trace_cached) == 16 && offsetof(struct trace_cached, age) == 12,
	       "arch_store_pair_here() writes it");

/* What sync.h knows of a thread and readers need not. */
#define TRACE_WAITS 4 /* one in each handler that interrupted one */
struct trace_sync {
	/* the locks of trace_thread.held: SYNC_LOCK() of each, below 1 << 16: this place is free */
	uint64_t locks[TRACE_HELD_MAX];
	uint8_t is_slow
		[TRACE_CACHE]; /* it took long until this place had another one: by place in the cache */
	uint32_t paused;       /* at work for cprof */
	uint32_t epoch;        /* of the trace that all this is of */
	uint32_t short_waits; /* one after the other, for locks */
	uint64_t refused;     /* the lock that the last try was in vain for */

	uint32_t waits_n; /* those it is in */
	struct trace_sync_wait {
		uint32_t code;
		const void *wait; /* the wrapper's struct wait */
		uint32_t object;
	} waits[TRACE_WAITS];
};

/*
 * System calls that a thread made before it had a number: those of the C library, before the routine that knows which thread
 * it is. They are written behind its thread.start.
 */
#define TRACE_EARLY 4
struct trace_early {
	uint64_t ticks, argument;
	int64_t result;
	uint32_t number, took;
};

/*
 * The calling thread's; all 0 before its first event. In a child of fork it is the parent's until trace_forget_thread().
 *
 * A handler changes @chunk, and one that forks leaves neither @chunk nor @thread in the child, which goes on from where it came:
 * who uses them reads them once, trace_chunk_of() and trace_record_of().
 */
struct trace_here {
	struct trace_chunk *chunk, *parked;
	struct trace_thread *thread;
	uint32_t index;       /* its number, TRACE_ENDED after its last word */
	uint32_t makes_child; /* the stack of who is at it + 1; 0: no more: user.h */
	uint16_t early_n;
	bool is_leaving;     /* its last call is its end */
	uint32_t is_turning; /* taking another chunk */
	uintptr_t writer;    /* the stack pointer of who writes at the moment, 0: nobody */
	const uint8_t *end;  /* it writes before this */
	struct trace_cached objects[TRACE_CACHE];
	struct trace_sync sync;
	struct trace_early early[TRACE_EARLY];
};
#define TRACE_ENDED UINT32_MAX
extern __thread struct trace_here trace_here __attribute__((tls_model("initial-exec")));

SIGSAFE static inline struct trace_chunk *trace_chunk_of(const struct trace_here *here)
{
	return __atomic_load_n(&here->chunk, __ATOMIC_RELAXED);
}

SIGSAFE static inline struct trace_thread *trace_record_of(const struct trace_here *here)
{
	return __atomic_load_n(&here->thread, __ATOMIC_RELAXED);
}

/* The bits of enum trace_level that are on in this process: 0 in a child of fork, by whatever call. */
SIGSAFE static inline uint32_t trace_level(void)
{
	const struct segment_live *live = segment_live_page;

	return live != NULL ? atomic_load_explicit(&live->trace_level, memory_order_relaxed) : 0;
}

SIGSAFE static inline bool trace_is_on(uint32_t level)
{
	return unlikely(trace_level() & level);
}

/* While something is on. */
SIGSAFE static inline uint64_t trace_ticks(void)
{
	const struct segment_live *live = segment_live_page;

	return ((likely(live->trace_is_counter) ? arch_counter() : clock_monotonic()) -
		live->trace_base) >>
	       live->trace_shift;
}

/* How many are @ns, near enough for a threshold. Takes 0.05 ms. Normal context. */
uint64_t trace_ticks_of(uint64_t ns);

#define TRACE_NUMBER_MAX 10 /* bytes */
#define TRACE_EVENT_MAX  (1 + TRACE_NUMBER_MAX * (1 + TRACE_ARGUMENTS_MAX))
#define TRACE_TEXT_MAX   1024 /* of one event, all its texts together; longer ones are cut */

SIGSAFE static inline uint8_t *trace_encode(uint8_t *at, uint64_t number)
{
	for (; unlikely(number >= 0x80); number >>= 7)
		*at++ = (uint8_t)(number | 0x80);
	*at++ = (uint8_t)number;
	return at;
}

SIGSAFE static inline uint64_t trace_zigzag(int64_t number)
{
	return (uint64_t)number << 1 ^ (uint64_t)(number >> 63);
}

/*
 * A chunk with @bytes of room at least becomes the thread's. False when there is none, or too many writers were interrupted at
 * a time like this. @is_nested: there is one.
 */
SIGSAFE bool trace_turn(struct trace_here *here, uint64_t ticks, uint32_t bytes, bool is_nested);

/*
 * Who was interrupted in writing by the one that writes now: @before, or 0 when that one will never go on, because a handler
 * left it by longjmp(). *@end, up to which it writes, is NULL then, unless it is not quite sure.
 */
SIGSAFE uintptr_t trace_interrupted(const struct trace_here *here, uintptr_t before,
				    const uint8_t **end);

/*
 * Where to write @bytes, when it is not simply behind what is used of the thread's chunk: that is full, or somebody writes up to
 * @end: @before, who is interrupted, or one who most likely never goes on (0). False: nowhere, and the event is counted as lost.
 */
struct trace_place {
	struct trace_chunk *chunk;
	uint64_t word;
	uint8_t *at;
};
SIGSAFE bool trace_find_place(struct trace_here *here, uintptr_t before, const uint8_t *end,
			      uint32_t bytes, uint64_t ticks, struct trace_place *ret);

/*
 * Who is interrupted each time would never come to an end, in a program that steps through itself with a handler that writes.
 * The event is counted as lost. Returns 0.
 */
#define TRACE_TRIES_MAX 16
SIGSAFE uint64_t trace_give_up(struct trace_here *here, uint64_t ticks);

/* Nobody writes in the parked chunk any more. */
SIGSAFE void trace_unpark(struct trace_here *here);

SIGSAFE static inline void trace_count_lost(struct trace_thread *t, uint64_t ticks)
{
	if (atomic_load_explicit(&t->lost, memory_order_relaxed) == 0)
		atomic_store_explicit(&t->lost_first, ticks, memory_order_relaxed);
	atomic_store_explicit(&t->lost_last, ticks, memory_order_relaxed);
	atomic_fetch_add_explicit(&t->lost, 1, memory_order_relaxed);
}

struct trace_text {
	const char *text;
	uint32_t length, before; /* it is the argument with this number */
};

/* As memcpy(), without a call for names as they are. */
SIGSAFE static inline void trace_copy(uint8_t *to, const char *from, uint32_t length)
{
	if (unlikely(length > 16)) {
		memcpy(to, from, length);
	} else if (length >= 8) {
		__builtin_memcpy(to, from, 8);
		__builtin_memcpy(to + length - 8, from + length - 8, 8);
	} else if (length >= 4) {
		__builtin_memcpy(to, from, 4);
		__builtin_memcpy(to + length - 4, from + length - 4, 4);
	} else {
		for (uint32_t i = 0; i < length; i++)
			to[i] = (uint8_t)from[i];
	}
}

/* trace_write_text() in line: for events that come all the time, with what is constant of them known to the compiler. */
SIGSAFE __attribute__((always_inline)) static inline uint64_t trace_write_here(
	unsigned type, uint64_t ticks, const uint64_t *arguments, unsigned n,
	const struct trace_text *texts, unsigned texts_n)
{
	struct trace_here *here = &trace_here;
	uintptr_t before = here->writer;
	const uint8_t *end = here->end;
	uint32_t bytes = TRACE_EVENT_MAX;
	uint64_t fresh;

	for (unsigned i = 0; i < texts_n; i++)
		bytes += texts[i].length;
	here->writer = arch_stack_pointer();
	atomic_signal_fence(memory_order_seq_cst);
	for (unsigned attempts = 0;; attempts++) {
		struct trace_chunk *c = trace_chunk_of(here);
		uint64_t word = c != NULL ? atomic_load_explicit(&c->word, memory_order_relaxed)
					  : CHUNK_CLOSED;
		uint64_t since;
		unsigned t = 0;
		uint8_t *at;

		if (unlikely(attempts == TRACE_TRIES_MAX)) {
			fresh = trace_give_up(here, ticks);
			break;
		}
		if (unlikely(before != 0 || word & CHUNK_CLOSED ||
			     CHUNK_USED(word) + bytes > c->room)) {
			struct trace_place place;

			before = trace_interrupted(here, before, &end);
			fresh = 0;
			if (!trace_find_place(here, before, end, bytes, ticks, &place))
				break;
			c = place.chunk;
			word = place.word;
			at = place.at;
		} else {
			at = c->bytes + CHUNK_USED(word);
		}
		since = (ticks - CHUNK_TICKS(word)) & CHUNK_TICKS_MASK;
		if (unlikely(since > CHUNK_TICKS_BACK)) /* a handler's came before it */
			since = 0;
		here->end = at + bytes;
		atomic_signal_fence(memory_order_seq_cst);
		/* a handler that came before it knew of the end wrote here */
		if (unlikely(atomic_load_explicit(&c->word, memory_order_relaxed) != word))
			continue;
		*at++ = (uint8_t)type;
		at = trace_encode(at, since);
#pragma GCC unroll 8
		for (unsigned i = 0; i < n; i++) {
			if (t < texts_n && texts[t].before == i) {
				at = trace_encode(at, texts[t].length);
				trace_copy(at, texts[t].text, texts[t].length);
				at += texts[t++].length;
			} else {
				at = trace_encode(at, arguments[i]);
			}
		}
		fresh = (CHUNK_TICKS(word) + since) << 16 | (uint64_t)(at - c->bytes);
		/* what it leads to is there before it; on this thread's side no more than the compiler's order is needed */
		atomic_thread_fence(
			memory_order_release); /* pairs: the reader's load of the word */
		if (likely(arch_swap_here(&c->word, &word, fresh)))
			break;
	}
	atomic_signal_fence(memory_order_seq_cst);
	here->end = end;
	here->writer = before;
	if (unlikely(here->parked != NULL) && before == 0)
		trace_unpark(here);
	return fresh;
}

/*
 * Writes an event of @ticks, or of the last one's when that was later. @arguments are as in the schema; @texts, in their order,
 * take the places of those of kind str. errno is kept. Returns the chunk's word after it, 0 when it is lost.
 */
SIGSAFE static inline uint64_t trace_write_text(unsigned type, uint64_t ticks,
						const uint64_t *arguments, unsigned n,
						const struct trace_text *texts, unsigned texts_n)
{
	return trace_write_here(type, ticks, arguments, n, texts, texts_n);
}

/* The same without texts: TRACE_WRITE(TRACE_LOCK_PAIR_EVENT, ticks, object). */
#define TRACE_WRITE(type, ticks, ...)                                      \
	trace_write_text((type), (ticks), (const uint64_t[]){__VA_ARGS__}, \
			 sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), NULL, 0)

/* The stack of the calling thread as it is in the host's code, as a number of the trace's; 0: none. Hook context. @callee: the function that the host called. */
SIGSAFE uint32_t trace_stack(uintptr_t callee);

/* The calling thread's own; NULL when it has no record, or no more. */
SIGSAFE struct trace_thread *trace_own(void);

/* The thread's number, made known with a thread.start if it was not; 0 when it has none. */
SIGSAFE uint32_t trace_thread_number(struct segment *s, struct thread *t);

/* The number that the creator of @t gave it, now that it has its record; 0: none. */
SIGSAFE void trace_set_number(struct segment *s, struct thread *t, uint32_t number);

/* The calling thread has its thread.start from here on, whether it ever writes anything else or not. */
SIGSAFE void trace_begin_thread(void);

/* The calling thread writes no more: its chunk is closed, for good when it @ends: what comes after that is left out. */
SIGSAFE void trace_close(bool ends);

/* Whoever empties the chunks looks at once. */
SIGSAFE void trace_wake_reader(struct segment *s);

/* In a child of fork. */
SIGSAFE void trace_forget_thread(void);
