#include "preload/allocator.h"

#include <errno.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "core/arch.h"
#include "core/clock.h"
#include "core/dynamic.h"
#include "core/log.h"
#include "core/walk.h"
#include "preload/own_work.h"
#include "preload/real.h"
#include "tracer/user.h"

#define EVERY_NS (NS_PER_SECOND / 10)
#define SHARE \
	1000 /* it may take this part of the time: a process with 500 arenas is asked for 6 ms */
#define ROOM    (UINT64_C(64) << 10) /* of the stack; it takes 2 KiB, and 8 bytes for each arena */
#define FORKS   4
#define MIB_MAX 6

/* jemalloc's, of version 5: the name of a number as a few others, and what it is now. */
typedef int (*find_function)(const char *name, size_t *ret_mib, size_t *length);
typedef int (*ask_function)(const size_t *mib, size_t length, void *ret_old, size_t *old_size,
			    void *new, size_t new_size);

struct range {
	uintptr_t begin, end;
};

static struct allocator {
	/* set once, by allocator_find() */
	find_function find;
	ask_function ask;
	struct range file;         /* jemalloc's */
	struct range forks[FORKS]; /* of everybody's fork() */
	unsigned forks_n;

	_Atomic bool is_asking, is_refused;
	bool has_tables; /* jemalloc's, which it makes at the first question; for who asks */
	_Atomic uint64_t next_ns;
} allocator;

/* In the order in which jemalloc's own report has them. */
static const struct {
	const char *asked, *told;
} names[] = {
#define NAME(name)                              \
	{                                       \
		"stats." name, "jemalloc." name \
	}
	NAME("allocated"), NAME("active"), NAME("metadata"),
	NAME("resident"),  NAME("mapped"), NAME("retained"),
};
#define NAMES (sizeof(names) / sizeof(names[0]))

static bool is_due(void)
{
	return clock_monotonic() >= atomic_load_explicit(&allocator.next_ns, memory_order_relaxed);
}

static bool has(struct range range, uintptr_t address)
{
	return address >= range.begin && address < range.end;
}

/* All that the file has mapped. */
static struct range whole(const struct dl_phdr_info *info)
{
	struct range range = {UINTPTR_MAX, 0};

	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];
		uintptr_t begin = info->dlpi_addr + h->p_vaddr;

		if (h->p_type != PT_LOAD)
			continue;
		if (begin < range.begin)
			range.begin = begin;
		if (begin + h->p_memsz > range.end)
			range.end = begin + h->p_memsz;
	}
	return range;
}

static void note_fork(struct allocator *a, struct dynamic *d)
{
	uintptr_t at;
	const ElfW(Sym) *s = dynamic_find(d, "fork", &at);

	if (s == NULL)
		return;
	/* more than there is room for: nothing is safe */
	if (a->forks_n < FORKS)
		a->forks[a->forks_n] = (struct range){at, at + s->st_size};
	a->forks_n++;
}

static int visit(struct dl_phdr_info *info, size_t size, void *user)
{
	struct allocator *a = user;
	uintptr_t find, ask;
	struct dynamic d;

	(void)size;
	if (dynamic_read(&d, info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum) < 0)
		return 0;
	note_fork(a, &d);
	if (dynamic_contains(&d, (uintptr_t)real.malloc, PF_X) &&
	    dynamic_find(&d, "mallctlnametomib", &find) != NULL &&
	    dynamic_find(&d, "mallctlbymib", &ask) != NULL) {
		a->find = (find_function)find;
		a->ask = (ask_function)ask;
		a->file = whole(info);
	}
	return 0;
}

/*
 * Whether a thread with this stack may ask. Not where its call of malloc() comes from
 *
 *     a handler             that may have interrupted jemalloc, which would have served it from the thread's cache, without a lock
 *     inside of fork()      between jemalloc's own handlers all of its locks are held
 *     jemalloc itself       such as a function of the host's that it calls for memory
 *     another stack         which may be a small one
 *
 * nor where the stack's end is not known: it may be one of those.
 */
SIGSAFE static bool may_ask(struct segment *s, struct thread *t, const struct walk_result *stack)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	if (!trace_runs() || t != thread_self_block || walk_settings.way != WALK_AUTO ||
	    atomic_load_explicit(&allocator.is_refused, memory_order_relaxed) || !is_due())
		return false;
	if (here < t->stack_low + ROOM || here >= t->stack_high || stack->is_truncated)
		return false;
	for (uint32_t i = 0; i < stack->depth; i++) {
		uintptr_t at = FRAME_ADDRESS(stack->frames[i]);

		if (has(allocator.file, at))
			return false;
		for (unsigned j = 0; j < allocator.forks_n; j++)
			if (has(allocator.forks[j], at))
				return false;
	}
	return !walk_meets_handler(s, t, stack);
}

/* 0, or an errno: there is no such number, or it is not of this size. */
static int look_up(const char *name, void *ret, size_t size)
{
	size_t mib[MIB_MAX], length = MIB_MAX, got = size;
	int r = allocator.find(name, mib, &length);

	if (r == 0)
		r = allocator.ask(mib, length, ret, &got, NULL, 0);
	return r == 0 && got != size ? EINVAL : r;
}

/*
 * A function of the host's that jemalloc calls for memory, under its locks, may wait for a lock that this thread has. The
 * functions of its own lie, with their table, in its file.
 */
static bool has_strange_hooks(void)
{
	size_t mib[MIB_MAX], length = MIB_MAX;
	unsigned arenas;

	if (look_up("arenas.narenas", &arenas, sizeof(arenas)) != 0 ||
	    allocator.find("arena.0.extent_hooks", mib, &length) != 0)
		return true;
	for (unsigned i = 0; i < arenas; i++) {
		uintptr_t hooks = 0;
		size_t size = sizeof(hooks);

		mib[1] = i;
		/* EFAULT: it was taken away */
		if (allocator.ask(mib, length, &hooks, &size, NULL, 0) == 0 &&
		    !has(allocator.file, hooks))
			return true;
	}
	return false;
}

/* While a profile of jemalloc's own is written to a file, one of the locks is held. */
static bool has_profiler(void)
{
	bool is_on = false;

	return look_up("opt.prof", &is_on, sizeof(is_on)) == 0 && is_on;
}

static bool take_numbers(size_t ret[NAMES])
{
	uint64_t epoch = 1;
	size_t mib[MIB_MAX], length = MIB_MAX;

	if (has_profiler() || has_strange_hooks() || allocator.find("epoch", mib, &length) != 0 ||
	    allocator.ask(mib, length, NULL, NULL, &epoch, sizeof(epoch)) != 0)
		return false;
	for (unsigned i = 0; i < NAMES; i++)
		if (look_up(names[i].asked, &ret[i], sizeof(ret[i])) != 0)
			return false;
	return true;
}

/*
 * Signals wait: a handler that leaves by siglongjmp() would leave jemalloc locked. Not those that an instruction raises, nor the one
 * by which all system calls are seen: who has them blocked then is ended.
 */
#define BIT(sig) (UINT64_C(1) << ((sig)-1))
#define PUT_OFF \
	(~(BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGFPE) | BIT(SIGILL) | BIT(SIGTRAP) | BIT(SIGSYS)))

HOOKSAFE static void ask(void)
{
	uint64_t waiting = PUT_OFF, before = 0, begun_ns, pause_ns;
	size_t numbers[NAMES];
	bool is_told;

	if (atomic_exchange_explicit(&allocator.is_asking, true, memory_order_acquire))
		return;
	if (!is_due()) /* another thread was faster */
		goto out;
	/* of the processor: on a busy machine the clock says nothing about jemalloc */
	begun_ns = clock_read(CLOCK_THREAD_CPUTIME_ID);
	sys4(SYS_rt_sigprocmask, SIG_BLOCK, &waiting, &before, sizeof(waiting));
	own_work_begins();
	is_told = take_numbers(numbers);
	own_work_ends();
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
	for (unsigned i = 0; is_told && i < NAMES; i++)
		trace_counter(names[i].told, (int64_t)numbers[i]);
	if (!is_told)
		atomic_store_explicit(&allocator.is_refused, true, memory_order_relaxed);
	pause_ns = (clock_read(CLOCK_THREAD_CPUTIME_ID) - begun_ns) * SHARE;
	if (pause_ns < EVERY_NS || !allocator.has_tables)
		pause_ns = EVERY_NS;
	allocator.has_tables = true;
	atomic_store_explicit(&allocator.next_ns, clock_monotonic() + pause_ns,
			      memory_order_relaxed);
out:
	atomic_store_explicit(&allocator.is_asking, false, memory_order_release);
}

void allocator_find(void)
{
	static const struct heap_asker asker = {may_ask, ask};

	if (allocator.forks_n > 0)
		return;
	dl_iterate_phdr(visit, &allocator);
	if (allocator.ask == NULL || allocator.forks_n > FORKS)
		return;
	log_debug("heap: the allocator is jemalloc; its numbers are counters of the trace");
	heap_asker = &asker;
}

void allocator_forked(void)
{
	atomic_store_explicit(&allocator.is_asking, false, memory_order_relaxed);
	atomic_store_explicit(&allocator.next_ns, 0, memory_order_relaxed);
}
