#include <errno.h>
#include <sys/syscall.h>

#include "core/arch.h"
#include "core/clock.h"
#include "core/stacks.h"
#include "core/walk.h"
#include "profiles/heap/heap_private.h"
#include "profiles/heap/live.h"

_Atomic unsigned heap_watch;
_Atomic uint16_t heap_filter[1u << HEAP_FILTER_BITS];
struct heap_settings heap_settings;

__thread uint64_t heap_left __attribute__((tls_model("initial-exec")));
__thread uint64_t heap_samples __attribute__((tls_model("initial-exec")));
static __thread uint64_t random_state __attribute__((tls_model("initial-exec")));
static __thread unsigned paused __attribute__((tls_model("initial-exec")));

/* The filter may say that a block is there that is not, never the other way. */

static void filter_change(uintptr_t address, int blocks)
{
	_Atomic uint16_t *word = heap_filter_at(address);
	uint16_t was = atomic_load_explicit(word, memory_order_relaxed), is;

	do {
		if ((was & HEAP_FILTER_COUNT) == HEAP_FILTER_COUNT)
			return;
		is = (uint16_t)((was + (unsigned)blocks) & HEAP_FILTER_COUNT) |
		     (uint16_t)((was & ~HEAP_FILTER_COUNT) ^ HEAP_FILTER_TAG(address));
	} while (!atomic_compare_exchange_weak_explicit(word, &was, is, memory_order_relaxed,
							memory_order_relaxed));
}

static void filter_add(uintptr_t address)
{
	filter_change(address, 1);
}

static void filter_remove(uintptr_t address)
{
	filter_change(address, -1);
}

/* Looks closer than heap_may_be_live(), before the live set is: that is seldom in any cache. */
static bool filter_has(uintptr_t address)
{
	unsigned word = atomic_load_explicit(heap_filter_at(address), memory_order_relaxed);

	return (word & HEAP_FILTER_COUNT) > 1 || word == (1u | HEAP_FILTER_TAG(address));
}

/*
 * What the live set keeps of a block: its size, and the number of its row. A block of a tebibyte and more is
 * counted as one.
 */
#define SIZE_BITS     40
#define SIZE_MAX_KEPT ((UINT64_C(1) << SIZE_BITS) - 1)

static uint64_t pack(const struct table_slot *slot, const uint8_t *slots, uint32_t stride,
		     uint64_t size)
{
	uint64_t index = (uint64_t)((const uint8_t *)slot - slots) / stride;

	return index << SIZE_BITS | size;
}

static void add(struct table_slot *slot, unsigned blocks, uint64_t size)
{
	atomic_fetch_add_explicit(&slot->values[blocks], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&slot->values[blocks + 1], size, memory_order_relaxed);
}

static void add_freed(struct segment *s, uint64_t what)
{
	const struct segment_place *place = segment_place(s, SEGMENT_TABLE_HEAP, SEGMENT_LASTING);
	uint64_t index = what >> SIZE_BITS;

	if (index < place->count)
		add((struct table_slot *)(s->base + place->offset + index * place->stride),
		    HEAP_FREED, what & SIZE_MAX_KEPT);
}

/* The block is in use from now on. Its row: @stack with @labels. */
static void count(struct segment *s, uint32_t stack, uint32_t labels, uint64_t address,
		  uint64_t size)
{
	const struct segment_place *place = segment_place(s, SEGMENT_TABLE_HEAP, SEGMENT_LASTING);
	struct table_slot *slot = NULL;

	if (size > SIZE_MAX_KEPT)
		size = SIZE_MAX_KEPT;
	if (stack != 0)
		slot = table_slot(s, SEGMENT_TABLE_HEAP, SEGMENT_LASTING, stack,
				  heap_row_labels(labels, size));
	if (slot == NULL) {
		segment_count_lost(s, stack == 0 ? LOST_STACKS_FULL : LOST_TABLE_FULL, 1);
		atomic_fetch_add_explicit(&s->header->runs[RUN_HEAP].lost, 1, memory_order_relaxed);
		return;
	}
	add(slot, HEAP_ALLOCATED, size);
	/* before it can be found: it is the caller's alone until the allocation returns */
	filter_add((uintptr_t)address);
	if (!live_put(s, address, pack(slot, s->base + place->offset, place->stride, size))) {
		filter_remove((uintptr_t)address);
		add(slot, HEAP_FREED, size);
		segment_count_lost(s, LOST_LIVE, 1);
	}
}

static void record(struct segment *s, uint64_t address, size_t size)
{
	const struct thread *self = thread_self_block;
	uint32_t labels =
		self != NULL ? atomic_load_explicit(&self->record->labels, memory_order_relaxed)
			     : 0;
	const struct heap_asker *asker = heap_asker;
	struct walk_result stack;
	struct thread *t;

	if (!walk_has_room(self)) {
		segment_count_lost(s, LOST_HEAP_ROOM, 1);
		return;
	}
	t = thread_begin(s);
	if (t == NULL)
		return;
	stack = walk_here(s, t);
	count(s, stacks_intern(s, SEGMENT_LASTING, stack.frames, stack.depth), labels, address,
	      size);
	if (asker != NULL && !asker->may(s, t, &stack))
		asker = NULL;
	thread_done(s, t);
	if (asker != NULL)
		asker->ask();
}

/* The distance to the next sample, from the start of the block that is due or from behind it. */
static void draw(void)
{
	heap_samples++;
	if (heap_settings.mean <= 1) /* every block, those of no bytes too */
		heap_left = 0;
	else
		heap_left = 1 + (uint64_t)sample_gap(&random_state, heap_settings.mean);
}

/* A number that the thread has in every run in which threads are started in the same order; else one that no other has. */
static uint64_t number_of(const struct thread *t)
{
	if (t != NULL && t->number != 0)
		return t->number;
	return UINT64_C(1) << 32 |
	       atomic_fetch_add_explicit(&heap_settings.strangers, 1, memory_order_relaxed);
}

__attribute__((noinline)) SIGSAFE static bool is_due(size_t size)
{
	if (likely(random_state != 0)) {
		draw();
		return true;
	}
	/* a thread's first: nothing was drawn for it yet */
	random_state = random_seed(heap_settings.seed ^ number_of(thread_self_block));
	draw();
	if (heap_passes(size))
		return false;
	draw();
	return true;
}

static void sample(uint64_t address, size_t size)
{
	/* pairs: heap_start release. Wrappers look at allocations, too, when only frees are followed. */
	unsigned watches = atomic_load_explicit(&heap_watch, memory_order_acquire);
	struct segment *s = segment_live();
	int saved = errno;

	if (is_due(size) && (watches & HEAP_SAMPLES) && address != 0 && s != NULL && paused == 0)
		record(s, address, size);
	errno = saved;
}

SIGSAFE void *heap_sample(void *p, size_t size)
{
	sample((uintptr_t)p, size);
	return p;
}

SIGSAFE struct heap_taken heap_take(uintptr_t address)
{
	struct segment *s = segment_live();
	struct heap_taken taken = {0, false};

	if (s == NULL || address == 0 || !filter_has(address) ||
	    !live_take(s, address, &taken.what))
		return taken;
	filter_remove(address);
	taken.is_there = true;
	return taken;
}

SIGSAFE void heap_taken_is_free(struct heap_taken taken)
{
	struct segment *s = segment_live();

	if (s != NULL)
		add_freed(s, taken.what);
}

SIGSAFE void heap_put_back(struct heap_taken taken, uintptr_t address)
{
	struct segment *s = segment_live();

	if (s == NULL)
		return;
	filter_add(address);
	if (live_put(s, address, taken.what))
		return;
	filter_remove(address);
	add_freed(s, taken.what);
	segment_count_lost(s, LOST_LIVE, 1);
}

SIGSAFE void heap_forget(uintptr_t address)
{
	struct heap_taken taken = heap_take(address);

	if (taken.is_there)
		heap_taken_is_free(taken);
}

#define POOL (UINT64_C(1) << 63) /* no address of a process has it */

SIGSAFE void heap_pool_alloc(const void *p, size_t size)
{
	if (!(heap_watches() & HEAP_SAMPLES) || p == NULL)
		return;
	if (!heap_passes(size))
		sample((uintptr_t)p | POOL, size);
}

SIGSAFE void heap_pool_free(const void *p)
{
	if (p != NULL && (heap_watches() & HEAP_FOLLOWS))
		heap_forget((uintptr_t)p | POOL);
}

SIGSAFE void heap_pause(void)
{
	paused++;
}

SIGSAFE void heap_resume(void)
{
	paused--;
}

void heap_forget_thread(void)
{
	random_state = 0;
	heap_left = 0;
}
