#include "tracer/syscalls/record.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>

#include "tracer/chunk.h"
#include "tracer/syscalls/record_slow.h"

#define NUMBERS       512
#define CLOSE_ON_EXEC 4 /* CLOSE_RANGE_CLOEXEC, which headers do not have everywhere */

/*
 * Of each call: which of its arguments (from 1) is a file, and which three are worth keeping; whether it may wait for long, or
 * never come back, and what it does to descriptors.
 */
enum record_does {
	DOES_OPEN = 1,     /* its result */
	DOES_OPEN_PAIR,    /* the two in the array that is its first argument */
	DOES_OPEN_SOCKETS, /* or its fourth */
	DOES_DUP_TO,       /* over another, unless it is the same */
	DOES_FCNTL,
	DOES_CLOSE,
	DOES_CLOSE_RANGE,
	DOES_CONNECT, /* and so gives it a name */
	DOES_BIND,
};
struct record_call {
	uint8_t file, a, b, c;
	uint8_t may_wait, does;
	uint8_t path, other_path; /* those that are names of files */
};

#define CALL(name, ...) [SYS_##name] = {__VA_ARGS__}
static const struct record_call calls[NUMBERS] = {
	CALL(read, .file = 1, .a = 3, .may_wait = 1),
	CALL(write, .file = 1, .a = 3),
	CALL(pread64, .file = 1, .a = 3, .b = 4),
	CALL(pwrite64, .file = 1, .a = 3, .b = 4),
	CALL(readv, .file = 1, .a = 3, .may_wait = 1),
	CALL(writev, .file = 1, .a = 3),
	CALL(preadv, .file = 1, .a = 3, .b = 4),
	CALL(pwritev, .file = 1, .a = 3, .b = 4),
	CALL(preadv2, .file = 1, .a = 3, .b = 4),
	CALL(pwritev2, .file = 1, .a = 3, .b = 4),
	CALL(copy_file_range, .file = 1, .a = 3, .b = 5),
	CALL(sync_file_range, .file = 1, .a = 2, .b = 3, .may_wait = 1),
	CALL(lseek, .file = 1, .a = 2, .b = 3),
	CALL(fstat, .file = 1),
	CALL(getdents64, .file = 1, .a = 3),
	CALL(fcntl, .file = 1, .a = 2, .b = 3, .does = DOES_FCNTL),
	CALL(ioctl, .file = 1, .a = 2),
	CALL(fsync, .file = 1, .may_wait = 1),
	CALL(fdatasync, .file = 1, .may_wait = 1),
	CALL(ftruncate, .file = 1, .a = 2),
	CALL(fallocate, .file = 1, .a = 2, .b = 3, .c = 4),
	CALL(flock, .file = 1, .a = 2, .may_wait = 1),
	CALL(mmap, .file = 5, .a = 2, .b = 3, .c = 4),
	CALL(munmap, .a = 2),
	CALL(mprotect, .a = 2, .b = 3),
	CALL(madvise, .a = 2, .b = 3),
	CALL(brk, .a = 1),
	CALL(open, .a = 2, .b = 3, .path = 1, .does = DOES_OPEN),
	CALL(openat, .file = 1, .a = 3, .b = 4, .path = 2, .does = DOES_OPEN),
	CALL(openat2, .file = 1, .path = 2, .does = DOES_OPEN),
	CALL(creat, .a = 2, .path = 1, .does = DOES_OPEN),
	CALL(stat, .path = 1),
	CALL(lstat, .path = 1),
	CALL(newfstatat, .file = 1, .a = 4, .path = 2),
	CALL(statx, .file = 1, .a = 3, .b = 4, .path = 2),
	CALL(statfs, .path = 1),
	CALL(access, .a = 2, .path = 1),
	CALL(faccessat, .file = 1, .a = 3, .path = 2),
	CALL(faccessat2, .file = 1, .a = 3, .b = 4, .path = 2),
	CALL(readlink, .a = 3, .path = 1),
	CALL(readlinkat, .file = 1, .a = 4, .path = 2),
	CALL(chdir, .path = 1),
	CALL(mkdir, .a = 2, .path = 1),
	CALL(mkdirat, .file = 1, .a = 3, .path = 2),
	CALL(rmdir, .path = 1),
	CALL(unlink, .path = 1),
	CALL(unlinkat, .file = 1, .a = 3, .path = 2),
	CALL(rename, .path = 1, .other_path = 2),
	CALL(renameat, .file = 1, .path = 2, .other_path = 4),
	CALL(renameat2, .file = 1, .a = 5, .path = 2, .other_path = 4),
	CALL(link, .path = 1, .other_path = 2),
	CALL(linkat, .file = 1, .a = 5, .path = 2, .other_path = 4),
	CALL(symlink, .path = 1, .other_path = 2),
	CALL(symlinkat, .file = 2, .path = 1, .other_path = 3),
	CALL(mknod, .a = 2, .path = 1),
	CALL(mknodat, .file = 1, .a = 3, .path = 2),
	CALL(chmod, .a = 2, .path = 1),
	CALL(fchmodat, .file = 1, .a = 3, .path = 2),
	CALL(chown, .a = 2, .b = 3, .path = 1),
	CALL(lchown, .a = 2, .b = 3, .path = 1),
	CALL(fchownat, .file = 1, .a = 3, .b = 4, .c = 5, .path = 2),
	CALL(truncate, .a = 2, .path = 1),
	CALL(utimensat, .file = 1, .a = 4, .path = 2),
	CALL(getxattr, .a = 4, .path = 1),
	CALL(setxattr, .a = 4, .b = 5, .path = 1),
	CALL(inotify_add_watch, .file = 1, .a = 3, .path = 2),
	CALL(open_by_handle_at, .a = 3, .does = DOES_OPEN),
	CALL(close, .file = 1, .does = DOES_CLOSE),
	CALL(close_range, .a = 1, .b = 2, .c = 3, .does = DOES_CLOSE_RANGE),
	CALL(pipe, .does = DOES_OPEN_PAIR),
	CALL(pipe2, .a = 2, .does = DOES_OPEN_PAIR),
	CALL(socketpair, .a = 1, .b = 2, .c = 3, .does = DOES_OPEN_SOCKETS),
	CALL(dup, .file = 1, .does = DOES_OPEN),
	CALL(dup2, .file = 1, .a = 2, .does = DOES_DUP_TO),
	CALL(dup3, .file = 1, .a = 2, .b = 3, .does = DOES_DUP_TO),
	CALL(socket, .a = 1, .b = 2, .c = 3, .does = DOES_OPEN),
	CALL(accept, .file = 1, .may_wait = 1, .does = DOES_OPEN),
	CALL(accept4, .file = 1, .a = 4, .may_wait = 1, .does = DOES_OPEN),
	CALL(connect, .file = 1, .a = 3, .may_wait = 1, .does = DOES_CONNECT),
	CALL(bind, .file = 1, .does = DOES_BIND),
	CALL(listen, .file = 1, .a = 2, .does = DOES_BIND),
	CALL(shutdown, .file = 1, .a = 2),
	CALL(sendto, .file = 1, .a = 3, .b = 4),
	CALL(recvfrom, .file = 1, .a = 3, .b = 4, .may_wait = 1),
	CALL(sendmsg, .file = 1, .a = 3),
	CALL(sendmmsg, .file = 1, .a = 3, .b = 4),
	CALL(recvmmsg, .file = 1, .a = 3, .b = 4, .may_wait = 1),
	CALL(recvmsg, .file = 1, .a = 3, .may_wait = 1),
	CALL(setsockopt, .file = 1, .a = 2, .b = 3),
	CALL(getsockopt, .file = 1, .a = 2, .b = 3),
	CALL(sendfile, .file = 2, .a = 1, .b = 4),
	CALL(splice, .file = 1, .a = 3, .b = 5, .may_wait = 1),
	CALL(poll, .a = 2, .b = 3, .may_wait = 1),
	CALL(ppoll, .a = 2, .may_wait = 1),
	CALL(select, .a = 1, .may_wait = 1),
	CALL(pselect6, .a = 1, .may_wait = 1),
	CALL(epoll_create, .a = 1, .does = DOES_OPEN),
	CALL(epoll_create1, .a = 1, .does = DOES_OPEN),
	CALL(epoll_ctl, .file = 1, .a = 2, .b = 3),
	CALL(epoll_wait, .file = 1, .a = 3, .b = 4, .may_wait = 1),
	CALL(epoll_pwait, .file = 1, .a = 3, .b = 4, .may_wait = 1),
	CALL(epoll_pwait2, .file = 1, .a = 3, .may_wait = 1),
	CALL(eventfd, .a = 1, .does = DOES_OPEN),
	CALL(eventfd2, .a = 1, .b = 2, .does = DOES_OPEN),
	CALL(timerfd_create, .a = 1, .b = 2, .does = DOES_OPEN),
	CALL(timerfd_settime, .file = 1, .a = 2),
	CALL(signalfd, .does = DOES_OPEN),
	CALL(signalfd4, .a = 4, .does = DOES_OPEN),
	CALL(inotify_init, .does = DOES_OPEN),
	CALL(inotify_init1, .a = 1, .does = DOES_OPEN),
	CALL(fanotify_init, .a = 1, .b = 2, .does = DOES_OPEN),
	CALL(userfaultfd, .a = 1, .does = DOES_OPEN),
	CALL(perf_event_open, .a = 2, .b = 3, .c = 5, .does = DOES_OPEN),
	CALL(io_uring_setup, .a = 1, .does = DOES_OPEN),
	CALL(mq_open, .a = 2, .does = DOES_OPEN),
	CALL(memfd_create, .a = 2, .does = DOES_OPEN),
	CALL(pidfd_open, .a = 1, .b = 2, .does = DOES_OPEN),
	CALL(pidfd_getfd, .file = 1, .a = 2, .b = 3, .does = DOES_OPEN),
	CALL(futex, .a = 2, .b = 3, .may_wait = 1),
	CALL(nanosleep, .may_wait = 1),
	CALL(clock_nanosleep, .a = 1, .b = 2, .may_wait = 1),
	CALL(wait4, .a = 1, .b = 3, .may_wait = 1),
	CALL(waitid, .a = 1, .b = 2, .c = 4, .may_wait = 1),
	CALL(execve, .may_wait = 1), /* it does not come back */
	CALL(execveat, .file = 1, .a = 5, .may_wait = 1),
	CALL(pause, .may_wait = 1),
	CALL(rt_sigsuspend, .may_wait = 1),
	CALL(rt_sigtimedwait, .may_wait = 1),
	CALL(msgrcv, .a = 3, .may_wait = 1),
	CALL(semop, .a = 1, .may_wait = 1),
	CALL(semtimedop, .a = 1, .may_wait = 1),
	CALL(kill, .a = 1, .b = 2),
	CALL(tgkill, .a = 1, .b = 2, .c = 3),
	CALL(rt_sigaction, .a = 1),
	CALL(rt_sigprocmask, .a = 1),
	CALL(prctl, .a = 1),
	CALL(exit, .a = 1, .may_wait = 1),
	CALL(exit_group, .a = 1, .may_wait = 1),
	CALL(clone, .a = 1, .may_wait = 1),
	CALL(clone3, .may_wait = 1),
	CALL(vfork, .may_wait = 1),
};
#undef CALL

/*
 * The instance of each descriptor, 0: none yet. Above are those that nobody can tell apart. IS_CLOSING: whoever closes it has
 * not come back. Another thread may get the number before that, and then ends what was there.
 */
#define FILES      65536
#define IS_CLOSING (UINT32_C(1) << 31)
static _Atomic uint32_t files[FILES];
static _Atomic uint32_t
	files_high; /* from here on none ever had one: to look would be 64 pages that nobody needs */

SIGSAFE void record_begin(void)
{
	uint32_t high = atomic_load_explicit(&files_high, memory_order_relaxed);

	for (uint32_t i = 0; i < high; i++)
		if (atomic_load_explicit(&files[i], memory_order_relaxed) != 0)
			atomic_store_explicit(&files[i], 0, memory_order_relaxed);
}

static void raise_high(uint32_t number)
{
	uint32_t high = atomic_load_explicit(&files_high, memory_order_relaxed);

	while (number >= high &&
	       !atomic_compare_exchange_weak_explicit(&files_high, &high, number + 1,
						      memory_order_relaxed, memory_order_relaxed))
		;
}

/* Vector registers as the host has them, around what may use them. */
struct vectors {
	uint8_t bytes[512];
} __attribute__((aligned(16)));

static inline void save(struct vectors *v)
{
	__asm__ volatile("fxsave64 %0" : "=m"(*v));
}

static inline void restore(const struct vectors *v)
{
	__asm__ volatile("fxrstor64 %0" : : "m"(*v));
}

/*
 * The host's stack may be a signal's, just large enough for its own. What the slow ways below take of it, from here on, is 2 KiB:
 * where there is less they are left out, for this time.
 */
#define SLOW_BYTES 2560

static bool is_tight(void)
{
	const struct thread *self = thread_self_block;
	uintptr_t here = arch_stack_pointer();
	stack_t signals;

	if (likely(self != NULL && here > self->stack_low && here < self->stack_high))
		return false;
	return sys2(SYS_sigaltstack, NULL, &signals) == 0 && (signals.ss_flags & SS_ONSTACK) &&
	       here - (uintptr_t)signals.ss_sp < SLOW_BYTES;
}

static uint64_t argument(const struct syscall_frame *f, uint8_t which)
{
	return which != 0 ? (uint64_t)f->args[which - 1] : 0;
}

__attribute__((noinline)) static void write_slowly(unsigned type, uint64_t ticks,
						   const uint64_t *arguments, unsigned n)
{
	struct vectors v;

	save(&v);
	record_write(type, ticks, arguments, n);
	restore(&v);
}

/* What does not simply fit behind the last one, or was followed by more. */
__attribute__((noinline)) static void write_otherwise(bool is_done, unsigned type, uint64_t ticks,
						      const uint64_t *arguments, unsigned n)
{
	if (is_done)
		trace_unpark(&trace_here);
	else if (!is_tight())
		write_slowly(type, ticks, arguments, n);
	else
		trace_give_up(&trace_here, ticks);
}

/* An event of numbers, as trace_write_here(). */
__attribute__((always_inline)) static inline void write_event(unsigned type, uint64_t ticks,
							      const uint64_t *arguments, unsigned n)
{
	struct trace_here *here = &trace_here;
	struct trace_chunk *c = trace_chunk_of(here);
	uint64_t word =
		c != NULL ? atomic_load_explicit(&c->word, memory_order_relaxed) : CHUNK_CLOSED;
	uint64_t since = (ticks - CHUNK_TICKS(word)) & CHUNK_TICKS_MASK, fresh;
	bool is_done = false;
	uint8_t *at;

	if (likely(here->writer == 0 && !(word & CHUNK_CLOSED) &&
		   CHUNK_USED(word) + TRACE_EVENT_MAX <= c->room && since <= CHUNK_TICKS_BACK)) {
		at = c->bytes + CHUNK_USED(word);
		here->writer = arch_stack_pointer();
		here->end = at + TRACE_EVENT_MAX;
		atomic_signal_fence(memory_order_seq_cst);
		if (likely(atomic_load_explicit(&c->word, memory_order_relaxed) == word)) {
			*at++ = (uint8_t)type;
			at = trace_encode(at, since);
#pragma GCC unroll 8
			for (unsigned i = 0; i < n; i++)
				at = trace_encode(at, arguments[i]);
			fresh = (CHUNK_TICKS(word) + since) << 16 | (uint64_t)(at - c->bytes);
			atomic_thread_fence(memory_order_release); /* pairs: the reader's load */
			is_done = arch_swap_here(&c->word, &word, fresh);
		}
		atomic_signal_fence(memory_order_seq_cst);
		here->writer = 0;
		if (likely(is_done && here->parked == NULL))
			return;
	}
	write_otherwise(is_done, type, ticks, arguments, n);
}

__attribute__((noinline)) static uint32_t new_instance_of(int number, int other)
{
	uint32_t instance, known = 0;
	struct vectors v;

	save(&v);
	instance = record_file(number, other);
	restore(&v);
	raise_high((uint32_t)number);
	if (instance == 0 ||
	    atomic_compare_exchange_strong_explicit(&files[number], &known, instance,
						    memory_order_relaxed, memory_order_relaxed))
		return instance;
	/* another thread has met it at the same time */
	write_event(TRACE_FD_CLOSE_EVENT, trace_ticks(), (uint64_t[]){instance}, 1);
	return known & ~IS_CLOSING;
}

/* Descriptors are ints, whatever stands in the upper half. */
static uint32_t instance_of(int number)
{
	uint32_t known;

	if (number < 0 || number >= FILES)
		return 0;
	known = atomic_load_explicit(&files[number], memory_order_relaxed);
	if (likely(known != 0))
		return known & ~IS_CLOSING;
	return is_tight() ? 0 : new_instance_of(number, -1);
}

__attribute__((noinline)) static uint32_t stack_of(const struct syscall_frame *f)
{
	struct vectors v;
	uint32_t stack;

	save(&v);
	stack = record_stack(f);
	restore(&v);
	return stack;
}

__attribute__((noinline)) static void write_path(uintptr_t address, uint64_t ticks)
{
	struct vectors v;

	save(&v);
	record_path(address, ticks);
	restore(&v);
}

/* A child that the C library has made inside of a call, about to become another program: user.h. */
static void meet_child(long number)
{
	uint64_t arguments[2] = {0, trace_here.makes_child - 1};

	if (number != SYS_execve && number != SYS_execveat)
		return;
	arguments[0] = (uint64_t)sys1(SYS_getpid, 0);
	write_event(TRACE_FORK_EVENT, trace_ticks(), arguments, 2);
	trace_here.makes_child = 0;
}

/* Not the host's doing, or another process's. */
static inline bool is_left_out(const struct syscall_frame *f)
{
	if (!trace_is_on(TRACE_LEVEL_SYSCALLS) || trace_here.sync.paused != 0 ||
	    (unsigned long)f->number >= NUMBERS)
		return true;
	if (likely(!syscall_frame_is_childs()))
		return false;
	if (trace_here.makes_child != 0)
		meet_child(f->number);
	return true;
}

#define IS_BEGUN (UINT64_C(1) << 63) /* in a frame's state, above the ticks */

static void begin_close(int number)
{
	uint32_t instance;

	if (number < 0 || number >= FILES)
		return;
	instance = atomic_load_explicit(&files[number], memory_order_relaxed);
	if (instance != 0)
		atomic_compare_exchange_strong_explicit(&files[number], &instance,
							instance | IS_CLOSING, memory_order_relaxed,
							memory_order_relaxed);
}

__attribute__((noinline)) static void write_exit(uint64_t ticks)
{
	struct vectors v;

	save(&v);
	record_exit(ticks);
	restore(&v);
}

static void record_enter(struct syscall_frame *f)
{
	struct trace_thread *record = trace_record_of(&trace_here);
	const struct record_call *call;
	uint64_t ticks;

	f->state = 0;
	if (is_left_out(f))
		return;
	call = &calls[f->number];
	ticks = trace_ticks();
	f->state = ticks != 0 ? ticks : 1;
	if (record != NULL)
		atomic_store_explicit(&record->operation, ticks << 16 | ((uint64_t)f->number + 1),
				      memory_order_relaxed);
	/* what does not come back, or not soon, is said before */
	if (call->may_wait) {
		uint64_t arguments[5] = {
			(uint64_t)f->number,
			call->file != 0 ? instance_of((int)argument(f, call->file)) : 0,
			argument(f, call->a), argument(f, call->b), argument(f, call->c)};

		write_event(TRACE_SYSCALL_BEGIN_EVENT, ticks, arguments, 5);
		if (f->number == SYS_exit && trace_here.is_leaving)
			write_exit(ticks);
		f->state |= IS_BEGUN;
	}
	if (call->does == DOES_CLOSE)
		begin_close((int)f->args[0]);
}

static void end_instance(uint32_t number, uint64_t ticks)
{
	uint32_t instance = atomic_exchange_explicit(&files[number], 0, memory_order_relaxed);

	if (instance != 0)
		write_event(TRACE_FD_CLOSE_EVENT, ticks, (uint64_t[]){instance & ~IS_CLOSING}, 1);
}

/* What had the number has been closed by this, or unseen. @other: of the other socket of a pair, else -1. */
static void opened(long number, int other, uint64_t ticks)
{
	if (number < 0 || number >= FILES)
		return;
	end_instance((uint32_t)number, ticks);
	if (!is_tight())
		new_instance_of((int)number, other);
}

/* What is being closed, 0: it had no instance, or its number is another's by now. */
static uint32_t closing(int number)
{
	uint32_t instance = number >= 0 && number < FILES
				    ? atomic_load_explicit(&files[number], memory_order_relaxed)
				    : 0;

	return instance & IS_CLOSING ? instance & ~IS_CLOSING : 0;
}

static void closed_range(const struct syscall_frame *f, uint64_t ticks)
{
	uint32_t last = (uint32_t)f->args[1];
	uint32_t high = atomic_load_explicit(&files_high, memory_order_relaxed);

	if (f->args[2] & CLOSE_ON_EXEC)
		return;
	for (uint32_t i = (uint32_t)f->args[0]; i <= last && i < high; i++)
		if (atomic_load_explicit(&files[i], memory_order_relaxed) != 0)
			end_instance(i, ticks);
}

__attribute__((noinline)) static void write_name(const struct syscall_frame *f, uint32_t instance,
						 bool has_peer)
{
	struct vectors v;

	save(&v);
	record_socket((int)f->args[0], instance, has_peer ? (const void *)f->args[1] : NULL,
		      has_peer ? (uint32_t)f->args[2] : 0);
	restore(&v);
}

static void named(const struct syscall_frame *f, bool has_peer)
{
	uint32_t instance = instance_of((int)f->args[0]);

	if (instance != 0 && !is_tight())
		write_name(f, instance, has_peer);
}

/* What the call has done to descriptors. What the kernel has read or written of the host's is there. */
static void follow_files(const struct syscall_frame *f, enum record_does does, uint64_t ticks)
{
	const int *pair = (const int *)f->args[does == DOES_OPEN_PAIR ? 0 : 3];
	/* a connection that is under way */
	bool is_begun = does == DOES_CONNECT && f->result == -EINPROGRESS;

	/* whatever it says, it is not open any more */
	if (does == DOES_CLOSE && closing((int)f->args[0]) != 0)
		end_instance((uint32_t)f->args[0], ticks);
	if (f->result < 0 && !is_begun)
		return;
	switch (does) {
	case DOES_OPEN:
		opened(f->result, -1, ticks);
		break;
	case DOES_OPEN_PAIR:
	case DOES_OPEN_SOCKETS:
		opened(pair[0], does == DOES_OPEN_SOCKETS ? pair[1] : -1, ticks);
		opened(pair[1], does == DOES_OPEN_SOCKETS ? pair[0] : -1, ticks);
		break;
	case DOES_DUP_TO:
		if (f->result != (int)f->args[0])
			opened(f->result, -1, ticks);
		break;
	case DOES_FCNTL:
		if ((int)f->args[1] == F_DUPFD || (int)f->args[1] == F_DUPFD_CLOEXEC)
			opened(f->result, -1, ticks);
		break;
	case DOES_CLOSE_RANGE:
		closed_range(f, ticks);
		break;
	case DOES_CONNECT:
	case DOES_BIND:
		named(f, does == DOES_CONNECT);
		break;
	case DOES_CLOSE:
		break;
	}
}

/* True when it is kept for later: struct trace_early. */
static bool is_early(const struct syscall_frame *f, const struct record_call *call, uint64_t ticks,
		     uint64_t took)
{
	struct trace_here *here = &trace_here;

	if (likely(here->index != 0 || thread_self_block != NULL) || here->early_n == TRACE_EARLY ||
	    call->file != 0 || call->b != 0 || call->does != 0 || took > UINT32_MAX)
		return false;
	here->early[here->early_n++] = (struct trace_early){ticks, argument(f, call->a), f->result,
							    (uint32_t)f->number, (uint32_t)took};
	return true;
}

static void record_leave(struct syscall_frame *f)
{
	struct trace_thread *record = trace_record_of(&trace_here);
	const struct record_call *call;
	uint64_t ticks, begun = f->state & ~IS_BEGUN, took;
	uint32_t stack = 0, instance;

	if (f->state == 0 || is_left_out(f))
		return;
	call = &calls[f->number];
	ticks = trace_ticks();
	took = ticks > begun ? ticks - begun : 0;
	if (record != NULL)
		atomic_store_explicit(&record->operation, 0, memory_order_relaxed);
	if (!(f->state & IS_BEGUN) && unlikely(is_early(f, call, ticks, took)))
		return;
	if (unlikely(took >= record_long_ticks) && !is_tight())
		stack = stack_of(f);
	if (f->state & IS_BEGUN) {
		write_event(TRACE_SYSCALL_END_EVENT, ticks,
			    (uint64_t[]){(uint64_t)f->number, trace_zigzag(f->result), stack}, 3);
	} else {
		instance = call->file != 0 && call->does != DOES_CLOSE
				   ? instance_of((int)argument(f, call->file))
				   : 0;
		if (call->does == DOES_CLOSE)
			instance = closing((int)f->args[0]);
		if (call->path != 0 && !is_tight()) {
			write_path((uintptr_t)argument(f, call->path), ticks);
			if (call->other_path != 0)
				write_path((uintptr_t)argument(f, call->other_path), ticks);
		}
		write_event(TRACE_SYSCALL_EVENT, ticks,
			    (uint64_t[]){(uint64_t)f->number, took, trace_zigzag(f->result),
					 instance, argument(f, call->a), argument(f, call->b),
					 argument(f, call->c), stack},
			    8);
	}
	if (call->does != 0)
		follow_files(f, call->does, ticks);
}

const struct syscall_probe record_probe = {record_enter, record_leave};
