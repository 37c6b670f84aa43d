#include "core/helper.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "core/clock.h"
#include "core/helper_private.h"
#include "core/lock.h"

#define PAGE        4096u
#define STACK_BYTES (128u << 10)
#define BLOCK_BYTES \
	(64u        \
	 << 10) /* thread-local variables below the thread pointer: the C library and we need a few KiB */
#define ABOVE_BYTES PAGE /* above it: the thread's own structure, of which we use three words */
#define ALL_BYTES   (PAGE + STACK_BYTES + BLOCK_BYTES + ABOVE_BYTES)

static struct lock starting = {.rank = LOCK_HELPER};

/* Offsets of the thread pointer's block that compilers know: itself, itself again, the stack protector's word. */
enum { TCB_SELF = 0, TCB_THREAD = 16, TCB_CANARY = 40, TCB_POINTER_GUARD = 48 };

static uintptr_t thread_pointer(void)
{
	uintptr_t self;

	__asm__("movq %%fs:0, %0" : "=r"(self));
	return self;
}

static void fill_block(uint8_t *pointer)
{
	uintptr_t mine = thread_pointer(), at = (uintptr_t)pointer;

	memset(pointer - BLOCK_BYTES, 0, BLOCK_BYTES + ABOVE_BYTES);
	memcpy(pointer + TCB_SELF, &at, sizeof(at));
	memcpy(pointer + TCB_THREAD, &at, sizeof(at));
	memcpy(pointer + TCB_CANARY, (const void *)(mine + TCB_CANARY), sizeof(uintptr_t));
	memcpy(pointer + TCB_POINTER_GUARD, (const void *)(mine + TCB_POINTER_GUARD),
	       sizeof(uintptr_t));
}

/* Our variables lie within the block, whatever else the program's libraries have there. */
static bool block_is_large_enough(void)
{
	uintptr_t mine = thread_pointer();

	return mine - (uintptr_t)&thread_self_block < BLOCK_BYTES &&
	       mine - (uintptr_t)&errno < BLOCK_BYTES;
}

/*
 * clone() with a stack of its own: the child must not return from here, so what it does first is in assembly. @tid is set
 * before anybody can see the thread, and cleared, with a wake-up, when its memory is free again.
 */
static long clone_thread(uint8_t *stack_top, uint8_t *pointer, _Atomic int32_t *shown_tid,
			 _Atomic int32_t *tid, void (*main)(void))
{
	unsigned long flags = CLONE_VM | CLONE_THREAD | CLONE_SIGHAND | CLONE_SYSVSEM |
			      CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
	register void *r10 __asm__("r10") = tid;
	register void *r8 __asm__("r8") = pointer;
	register void (*r12)(void) __asm__("r12") = main;
	long ret;

	__asm__ volatile("syscall\n\t"
			 "testq %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xorl %%ebp, %%ebp\n\t"
			 "call *%%r12\n\t"
			 "ud2\n"
			 "1:"
			 : "=a"(ret)
			 : "0"((long)SYS_clone), "D"(flags), "S"(stack_top), "d"(shown_tid),
			   "r"(r10), "r"(r8), "r"(r12)
			 : "rcx", "r11", "memory");
	return ret;
}

static int run_thread(struct segment *s, struct why *why)
{
	unsigned long all = ~0ul, before;
	struct thread *t;
	uint8_t *pointer;
	long tid;

	if (arch_is_translated()) {
		why_set(why, "valgrind lets no thread be made that the C library does not know");
		return -ENOTSUP;
	}
	if (helper.memory == NULL) {
		void *memory = mmap(NULL, ALL_BYTES, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (memory == MAP_FAILED) {
			why_set(why, "no memory for a helper thread");
			return -ENOMEM;
		}
		mprotect(memory, PAGE, PROT_NONE);
		helper.memory = memory;
	}
	if (!block_is_large_enough()) {
		why_set(why, "the program's thread-local variables leave no room for ours");
		return -ENOTSUP;
	}
	t = thread_reserve(s);
	if (t == NULL) {
		why_set(why, "no thread record is free for the helper thread; raise memory=");
		return -EAGAIN;
	}
	pointer = helper.memory + PAGE + STACK_BYTES + BLOCK_BYTES;
	fill_block(pointer);
	helper.segment = s;
	helper.thread = t;
	atomic_store_explicit(&helper.is_ending, 0, memory_order_relaxed);
	atomic_store_explicit(&t->record->flags, THREAD_IS_OURS, memory_order_relaxed);
	memcpy(t->record->name, "cprof", 6);
	thread_set_ours(t);
	/* a signal must not find it before it has blocked them: it inherits the mask */
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
	atomic_store_explicit(&helper.tid, -1, memory_order_relaxed);
	tid = clone_thread(helper.memory + PAGE + STACK_BYTES, pointer, &t->record->tid,
			   &helper.tid, helper_main);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
	if (tid < 0) {
		helper.thread = NULL;
		atomic_store_explicit(&helper.tid, 0, memory_order_relaxed);
		thread_release(s, t);
		why_set(why, "cannot make a helper thread: %s", strerrordesc_np((int)-tid));
		return (int)tid;
	}
	t->tid = (int)tid;
	atomic_store_explicit(&s->header->own_tids[OWN_HELPER], t->tid, memory_order_relaxed);
	return 0;
}

static void wake(struct segment *s)
{
	atomic_fetch_add_explicit(&s->header->helper_wake, 1, memory_order_seq_cst);
	sys3(SYS_futex, &s->header->helper_wake, FUTEX_WAKE, 1);
}

/* Waits for the kernel to say that the thread is gone. Its record becomes free. */
static void end_thread(struct segment *s, uint64_t wait_ns)
{
	uint64_t until = clock_monotonic() + wait_ns;
	int32_t seen;

	if (helper.thread == NULL)
		return;
	atomic_store_explicit(&helper.is_ending, 1, memory_order_seq_cst);
	wake(s);
	while ((seen = atomic_load_explicit(&helper.tid, memory_order_acquire)) != 0) {
		uint64_t now = clock_monotonic();
		struct timespec left = clock_to_timespec(until > now ? until - now : 0);

		if (now >= until)
			return; /* it ends when it gets to it; the next start waits for it */
		sys4(SYS_futex, &helper.tid, FUTEX_WAIT, seen, &left);
	}
	/* its memory is free; the kernel counts it among the process's threads a little longer */
	while (sys3(SYS_tgkill, sys1(SYS_getpid, 0), helper.thread->tid, 0) == 0 &&
	       clock_monotonic() < until)
		sys1(SYS_sched_yield, 0);
	thread_release(s, helper.thread);
	helper.thread = NULL;
}

static bool has_jobs(void)
{
	for (unsigned i = 0; i < HELPER_JOBS; i++)
		if (atomic_load_explicit(&helper.jobs[i].run, memory_order_acquire) != NULL)
			return true;
	return false;
}

int helper_start(struct segment *s, enum helper_job_id id, helper_job job, uint64_t first_ns,
		 struct why *why)
{
	int r = 0;

	lock_take(&starting);
	atomic_store_explicit(&helper.jobs[id].next_ns, first_ns, memory_order_relaxed);
	atomic_store_explicit(&helper.jobs[id].run, job, memory_order_release);
	if (helper.thread != NULL && !helper_is_caller() &&
	    atomic_load_explicit(&helper.is_ending, memory_order_relaxed))
		end_thread(s, NS_PER_SECOND); /* an earlier one that has not got to it yet */
	if (helper.thread == NULL)
		r = run_thread(s, why);
	else
		wake(s);
	if (r < 0)
		atomic_store_explicit(&helper.jobs[id].run, NULL, memory_order_release);
	lock_give(&starting);
	return r;
}

void helper_stop(struct segment *s, enum helper_job_id id)
{
	lock_take(&starting);
	if (atomic_exchange_explicit(&helper.jobs[id].run, NULL, memory_order_seq_cst) != NULL) {
		if (has_jobs())
			thread_wait_outside(s, NULL, NS_PER_SECOND / 10);
		else
			end_thread(
				s,
				NS_PER_SECOND); /* a filter may be next, under which it cannot be */
	}
	lock_give(&starting);
}

int helper_call(struct segment *s, enum helper_job_id id, uint64_t wait_ns)
{
	uint64_t until = clock_monotonic() + wait_ns;
	uint32_t mine = atomic_fetch_add_explicit(&helper.jobs[id].asked, 1, memory_order_seq_cst) +
			1,
		 done;

	if (atomic_load_explicit(&helper.tid, memory_order_acquire) == 0)
		return -EAGAIN; /* paused, or it could not be made */
	wake(s);
	while ((int32_t)((done = atomic_load_explicit(&helper.jobs[id].done,
						      memory_order_acquire)) -
			 mine) < 0) {
		uint64_t now = clock_monotonic();
		struct timespec left = clock_to_timespec(until > now ? until - now : 0);

		if (now >= until)
			return -ETIMEDOUT;
		sys4(SYS_futex, &helper.jobs[id].done, FUTEX_WAIT_PRIVATE, done, &left);
	}
	return 0;
}

void helper_pause(struct segment *s)
{
	lock_take(&starting);
	end_thread(s, NS_PER_SECOND / 10);
	lock_give(&starting);
}

void helper_resume(struct segment *s)
{
	struct why why;

	lock_take(&starting);
	if (helper.thread != NULL) /* it was in the middle of something */
		end_thread(s, NS_PER_SECOND);
	if (has_jobs() && helper.thread == NULL)
		run_thread(s, &why); /* else the profiles show that they stood still */
	lock_give(&starting);
}

void helper_look_around(struct segment *s)
{
	if (atomic_load_explicit(&helper.tid, memory_order_relaxed) == 0)
		return;
	atomic_store_explicit(&helper.look_soon, HELPER_LOOKS_SOON, memory_order_release);
	wake(s);
}

void helper_forked(void)
{
	uint8_t *memory = helper.memory;

	helper = (struct helper){.memory = memory};
	starting = (struct lock){.rank = LOCK_HELPER};
}
