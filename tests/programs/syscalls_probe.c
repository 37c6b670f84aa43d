#include "tests/programs/syscalls_probe.h"

#include <stdatomic.h>

static void count(_Atomic uint64_t *of)
{
	atomic_fetch_add_explicit(of, 1, memory_order_relaxed);
}

void seen_enter(struct syscall_frame *f)
{
	count(&seen_table->entered[(unsigned long)f->number % SEEN_NUMBERS]);
	if (syscall_frame_is_childs())
		count(&seen_table->childs);
	f->state = (uint64_t)f->number ^ (uint64_t)f->args[0] ^ syscall_frame_sp(f) ^
		   syscall_frame_pc(f);
}

void seen_leave(struct syscall_frame *f)
{
	count(&seen_table->left[(unsigned long)f->number % SEEN_NUMBERS]);
	if (f->state != ((uint64_t)f->number ^ (uint64_t)f->args[0] ^ syscall_frame_sp(f) ^
			 syscall_frame_pc(f)))
		count(&seen_table->unpaired);
}

static __thread struct {
	uint64_t begun, took;
} events[512] __attribute__((tls_model("initial-exec")));
static __thread unsigned position __attribute__((tls_model("initial-exec")));

static inline uint64_t stamp(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

void seen_enter_timed(struct syscall_frame *f)
{
	f->state = stamp();
}

void seen_leave_timed(struct syscall_frame *f)
{
	unsigned i = position++ % 512;

	events[i].begun = f->state;
	events[i].took = (stamp() - f->state) << 9 | (uint64_t)f->number;
}
