/*
 * format: the trace log, as it lies in a file. All that who writes and who reads have in common; docs/trace-format.md says
 * it in words.
 *
 *     skippable frame   struct trace_file_header
 *     skippable frame   struct trace_block_header  ┐ one block
 *     LZ4 frame         its payload                ┘
 *     …
 *     skippable frame   the footer's header, LZ4 frame, and struct trace_trailer (a skippable frame of its own)
 *
 * Everything is little endian. A payload is a row of records, each of unsigned LEB128 numbers; signed ones are zigzag.
 */
#pragma once

#include <stdint.h>

#define TRACE_MAJOR 2 /* 1 had no TRACE_BLOCK_STEPS */
#define TRACE_MINOR 0

#define TRACE_SKIPPABLE_MAGIC UINT32_C(0x184D2A5C) /* of LZ4's sixteen: ours */
#define TRACE_LZ4_MAGIC       UINT32_C(0x184D2204)

#define TRACE_FILE_MAGIC    "CPROFTRC"
#define TRACE_BLOCK_MAGIC   "CPB1"
#define TRACE_TRAILER_MAGIC "CPROFEND"

#define TRACE_RAW_MAX (UINT32_C(1) << 20) /* of a block's payload, unpacked */
#define TRACE_ALL     UINT32_MAX          /* thread index of what belongs to the process */
#define TRACE_STATES  8

/* From this number on they are reserved for threads that only the kernel told of: docs/trace-format.md, "Processors". */
#define TRACE_THREAD_FOREIGN (UINT32_C(1) << 24)

/* In the first skippable frame. Followed by nothing: what else there is to say stands in a metadata block. */
struct trace_file_header {
	char magic[8];
	uint16_t major, minor;
	uint32_t header_bytes;
	uint8_t uuid[16];
	uint64_t begun_monotonic_ns, begun_realtime_ns;
	uint32_t pid;
	uint32_t flags; /* TRACE_HAS_… */
	uint32_t level; /* what was asked for: TRACE_LEVEL_… */
	uint32_t crc;   /* CRC-32C of the header without this */
};

/* What the recording could see. What is not set is missing from the trace, or only partly there. */
enum trace_has {
	TRACE_HAS_WRAPPERS = 1 << 0,     /* calls of libc's functions from other files */
	TRACE_HAS_SITES = 1 << 1,        /* system calls inside libraries, by their instructions */
	TRACE_HAS_ALL_SYSCALLS = 1 << 2, /* and all others, by syscall user dispatch */
	TRACE_HAS_SWITCHES = 1 << 3,     /* the kernel's own records of switches */
	TRACE_HAS_SCHEDSTAT = 1 << 4,    /* deltas in their place */
	TRACE_HAS_SAMPLES = 1 << 5,      /* stacks of the cpu profile */
	TRACE_IS_RING = 1 << 6,          /* only the end of what was recorded */
	TRACE_IS_TSC = 1 << 7, /* stamps are the processor's counter, fitted to CLOCK_MONOTONIC */
};

enum trace_level {
	TRACE_LEVEL_THREADS = 1 << 0,
	TRACE_LEVEL_LOCKS = 1 << 1,
	TRACE_LEVEL_SYSCALLS = 1 << 2,
	TRACE_LEVEL_SCHED = 1 << 3,
};

enum trace_block_kind {
	TRACE_BLOCK_EVENTS = 1,
	TRACE_BLOCK_STRINGS, /* id, length, bytes (the only thing that is not a number) */
	TRACE_BLOCK_STACKS, /* id, depth, then each frame, leaf first, as signed difference to the last; see TRACE_FRAME_… */
	TRACE_BLOCK_OBJECTS, /* id, kind, flags, address, generation, name str, site frame, born ns since the beginning */
	TRACE_BLOCK_MODULES, /* id, start, end, file offset, bias, path str, build id str (hex), flags */
	TRACE_BLOCK_SYMBOLS, /* frame word, n, then n times: function str, file str, line; innermost first */
	TRACE_BLOCK_THREADS, /* index, tid, pthread address, parent index, name str, begun ns since the beginning */
	TRACE_BLOCK_SCHEMA,   /* type, name str, argument text str, pair, template str */
	TRACE_BLOCK_METADATA, /* key str, value str */
	TRACE_BLOCK_FOOTER, /* kind, offset, thread, first ns, last ns, events: of each block before it */
	TRACE_BLOCK_FILES, /* fd instance, number, kind, name str: what a reader that begins in the middle needs */
	TRACE_BLOCK_KINDS,
};

/*
 * A frame is module << 48 | address. Of module TRACE_FRAME_NAMED, the address is a str to show in its place (a function of the
 * kernel, say), or 0: the walk could not go on, or was cut, here.
 */
#define TRACE_FRAME_ADDRESS(frame) ((frame)&UINT64_C(0xffffffffffff))
#define TRACE_FRAME_MODULE(frame)  ((uint32_t)((frame) >> 48)) /* 0: none that is known */
#define TRACE_FRAME_NAMED          UINT32_C(0xffff)

enum trace_block_flag {
	TRACE_BLOCK_LAST = 1 << 0,      /* of its thread */
	TRACE_BLOCK_AFTER_GAP = 1 << 1, /* events were lost before it */
	TRACE_BLOCK_STARTS = 1 << 2,    /* the first of a generation */
	TRACE_BLOCK_SWITCHES = 1 << 3,  /* of a processor, not of a thread: thread is its number */
	TRACE_BLOCK_STEPS = 1 << 4,     /* arguments `order` are steps: struct trace_steps */
};

/*
 * An argument `order` grows for as long as its object is used, and LZ4 finds nothing in it. So a block has how far it went since the
 * last one that was known, in the block, of an object whose number has the same remainder: 0 when it is not known, else 1 and the
 * difference in zigzag. At a block's beginning all are 0.
 */
#define TRACE_STEPS 16

struct trace_steps {
	uint64_t last[TRACE_STEPS];
};

static inline uint64_t trace_step(struct trace_steps *s, uint64_t object, uint64_t order)
{
	uint64_t *last = &s->last[object % TRACE_STEPS], step = order - *last;

	if (order == 0)
		return 0;
	*last = order;
	return (step << 1 ^ -(step >> 63)) + 1;
}

/* The other way. */
static inline uint64_t trace_step_order(struct trace_steps *s, uint64_t object, uint64_t step)
{
	uint64_t *last = &s->last[object % TRACE_STEPS];

	if (step-- == 0)
		return 0;
	*last += step >> 1 ^ -(step & 1);
	return *last;
}

/*
 * In the skippable frame before each LZ4 frame. Followed by @summary_bytes of numbers: for each of TRACE_STATES the ns in it,
 * then for each class of events (enum trace_class) how many. Times are CLOCK_MONOTONIC; an event's is
 *
 *     first_ns + t * (last_ns - first_ns) / span          t: the sum of the differences up to it, in ticks
 *
 * with span 0 for a block whose events are all of one moment. A duration in ticks is n * tick_fs / 10^6 ns.
 */
struct trace_block_header {
	char magic[4];
	uint16_t header_bytes; /* this struct and the summary */
	uint8_t kind, flags;
	uint32_t generation;
	uint32_t thread;
	uint32_t sequence; /* of the thread's blocks, from 0: a hole is a lost block */
	uint32_t raw_bytes, stored_bytes; /* of the payload; of the LZ4 frame */
	uint32_t events;                  /* or records */
	uint64_t first_ns, last_ns, span;
	uint32_t needs_strings, needs_stacks, needs_objects,
		needs_modules; /* ids that must be known to read this: below these */
	uint64_t
		lost_before; /* events of the thread that were lost between its last block and this */
	uint32_t
		recorder_ns; /* of CPU time that whoever empties the chunks took since the block of events before */
	uint32_t
		tick_fs; /* a tick in 10^-15 s, for arguments of kind ticks; of kind t above only roughly */
	uint32_t summary_bytes;
	uint32_t crc; /* CRC-32C of the header without this, with the summary */
};

/* The last skippable frame, when the file was ended properly. */
struct trace_trailer {
	char magic[8];
	uint64_t footer_offset; /* of the footer's block header frame, from the file's beginning */
	uint32_t end_reason;    /* enum trace_end */
	uint32_t end_value;     /* an exit status, a signal */
	uint32_t reserved, crc;
};

enum trace_end {
	TRACE_END_UNKNOWN,
	TRACE_END_STOPPED,
	TRACE_END_EXITED,
	TRACE_END_SIGNAL,
	TRACE_END_DISK_FULL,
	TRACE_END_EXEC,
	TRACE_END_SNAPSHOT,
};

/* The states of a thread; what a summary adds up. */
enum trace_state {
	TRACE_UNKNOWN,
	TRACE_RUNNING,
	TRACE_RUNNABLE,
	TRACE_LOCK,
	TRACE_WAIT, /* condition, semaphore, barrier, once, join */
	TRACE_SYSCALL,
	TRACE_IDLE,
	TRACE_SPIN,
};

enum trace_class {
	TRACE_CLASS_THREAD,
	TRACE_CLASS_SYSCALL,
	TRACE_CLASS_SYNC,
	TRACE_CLASS_SCHED,
	TRACE_CLASS_SAMPLE,
	TRACE_CLASS_USER,
	TRACE_CLASS_BOOK,
	TRACE_CLASSES,
};

/*
 * The events. X(number, NAME, "name", class, number of the event that this one ends or 0, "argument:kind …")
 *
 * Kinds: u number, s signed, ticks a duration in the block's ticks, ns, str, stk (0 none), obj, thr (index, 0 none), fd (a
 * file's instance, 0 none), task, addr, err (0 or an errno), mode (1 exclusive, 2 shared), res (signed: what a system call returns).
 * 0 is "unknown" for everything that is an id, a mode or a reason. An argument may be added at the end, in a new minor.
 *
 * On the way from the program to the file an argument of kind str is the text itself, behind its length.
 */
#define TRACE_EVENTS(X)                                                                            \
	X(1, THREAD_CREATE, "thread.create", THREAD, 0, "thread:thr start:addr stack:stk")         \
	X(2, THREAD_START, "thread.start", THREAD, 0, "tid:u pthread:addr parent:thr name:str")    \
	X(3, THREAD_NAME, "thread.name", THREAD, 0, "name:str")                                    \
	X(4, THREAD_EXIT, "thread.exit", THREAD, 0, "reason:u")                                    \
	X(5, JOIN_BEGIN, "join.begin", THREAD, 0, "thread:thr stack:stk")                          \
	X(6, JOIN_END, "join.end", THREAD, 5, "result:err")                                        \
	X(7, THREAD_DETACH, "thread.detach", THREAD, 0, "thread:thr")                              \
	X(8, FORK, "fork", THREAD, 0, "pid:u stack:stk")                                           \
	X(9, EXEC, "exec", THREAD, 0, "path:str result:err")                                       \
	X(10, PROCESS_EXIT, "process.exit", THREAD, 0, "code:s signal:u")                          \
	X(11, THREAD_STATUS, "thread.status", THREAD, 0,                                           \
	  "state:u reason:u object:obj task:task since:ticks held:u regions:u")                    \
	X(12, STATUS_HELD, "status.held", THREAD, 0, "object:obj mode:mode since:ticks")           \
	X(13, STATUS_REGION, "status.region", THREAD, 0, "name:str")                               \
	X(16, SYSCALL_BEGIN, "syscall.begin", SYSCALL, 0, "number:u fd:fd a:u b:u c:u")            \
	X(17, SYSCALL_END, "syscall.end", SYSCALL, 16, "number:u result:res stack:stk")            \
	X(18, SYSCALL, "syscall", SYSCALL, 0,                                                      \
	  "number:u took:ticks result:res fd:fd a:u b:u c:u stack:stk")                            \
	X(19, SYSCALL_PATH, "syscall.path", SYSCALL, 0, "path:str")                                \
	X(24, FD_OPEN, "fd.open", SYSCALL, 0, "fd:fd number:u kind:u name:str")                    \
	X(25, FD_CLOSE, "fd.close", SYSCALL, 0, "fd:fd")                                           \
	X(26, FD_NAME, "fd.name", SYSCALL, 0, "fd:fd name:str number:u kind:u")                    \
	X(32, LOCK_WAIT, "lock.wait.begin", SYNC, 0, "object:obj mode:mode holder:thr stack:stk")  \
	X(33, LOCK_ACQUIRED, "lock.acquired", SYNC, 32,                                            \
	  "object:obj mode:mode order:u waited:ticks")                                             \
	X(34, LOCK_FAILED, "lock.failed", SYNC, 32, "object:obj mode:mode result:err")             \
	X(35, LOCK_RELEASED, "lock.released", SYNC, 0,                                             \
	  "object:obj mode:mode order:u held:ticks waiters:u stack:stk")                           \
	X(36, LOCK_PAIR, "lock.pair", SYNC, 0, "object:obj")                                       \
	X(37, LOCK_HELD, "lock.held", SYNC, 0, "object:obj mode:mode held:ticks")                  \
	X(38, LOCK_PAIR_SHARED, "lock.pair.shared", SYNC, 0, "object:obj")                         \
	X(40, COND_WAIT, "cond.wait.begin", SYNC, 0, "object:obj mutex:obj timed:u stack:stk")     \
	X(41, COND_END, "cond.wait.end", SYNC, 40, "object:obj result:err order:u")                \
	X(42, COND_SIGNAL, "cond.signal", SYNC, 0, "object:obj broadcast:u order:u stack:stk")     \
	X(44, SEM_WAIT, "sem.wait.begin", SYNC, 0, "object:obj stack:stk")                         \
	X(45, SEM_END, "sem.wait.end", SYNC, 44, "object:obj result:err order:u")                  \
	X(46, SEM_POST, "sem.post", SYNC, 0, "object:obj order:u stack:stk")                       \
	X(48, BARRIER_WAIT, "barrier.wait.begin", SYNC, 0, "object:obj order:u stack:stk")         \
	X(49, BARRIER_END, "barrier.wait.end", SYNC, 48, "object:obj serial:u order:u")            \
	X(50, ONCE_BEGIN, "once.begin", SYNC, 0, "object:obj stack:stk")                           \
	X(51, ONCE_END, "once.end", SYNC, 50, "object:obj ran:u")                                  \
	X(52, FUTEX_WAIT, "futex.wait.begin", SYNC, 0, "object:obj operation:u value:u stack:stk") \
	X(53, FUTEX_END, "futex.wait.end", SYNC, 52, "object:obj result:err")                      \
	X(54, FUTEX_WAKE, "futex.wake", SYNC, 0,                                                   \
	  "object:obj operation:u asked:u woken:res stack:stk")                                    \
	X(55, ONCE_RUN, "once.run", SYNC, 0, "object:obj")                                         \
	X(56, OBJECT_DESTROY, "object.destroy", SYNC, 0, "object:obj")                             \
	X(64, SCHED_OUT, "sched.out", SCHED, 0, "thread:thr reason:u")                             \
	X(65, SCHED_IN, "sched.in", SCHED, 0, "thread:thr")                                        \
	X(66, SCHED_DELTA, "sched.delta", SCHED, 0,                                                \
	  "ran:ns waited:ns slices:u voluntary:u involuntary:u")                                   \
	X(67, CPU, "cpu", SCHED, 0, "cpu:u")                                                       \
	X(72, CPU_SAMPLE, "sample.cpu", SAMPLE, 0, "stack:stk weight:ns cpu:u thread:thr")         \
	X(73, WALL_SAMPLE, "sample.wall", SAMPLE, 0, "stack:stk state:u weight:ns")                \
	X(74, HEAP_SAMPLE, "heap", SAMPLE, 0,                                                      \
	  "live_bytes:u live_objects:u allocated_bytes:u freed_bytes:u mapped_bytes:u "            \
	  "rss_bytes:u")                                                                           \
	X(75, ALLOC_LARGE, "alloc.large", SAMPLE, 0, "size:u address:addr stack:stk")              \
	X(76, COUNTER, "counter", SAMPLE, 0, "name:str value:s")                                   \
	X(80, SIGNAL, "signal", THREAD, 0, "number:u")                                             \
	X(81, LIBRARY, "library", THREAD, 0, "opened:u path:str")                                  \
	X(96, TASK_BEGIN, "task.begin", USER, 0, "task:task parent:task type:str stack:stk")       \
	X(97, TASK_END, "task.end", USER, 96, "task:task")                                         \
	X(98, TASK_SWITCH, "task.switch", USER, 0, "task:task")                                    \
	X(99, REGION_BEGIN, "region.begin", USER, 0, "name:str task:task stack:stk")               \
	X(100, REGION_END, "region.end", USER, 99, "name:str")                                     \
	X(101, LOG, "log", USER, 0, "category:str message:str task:task")                          \
	X(102, FLOW_BEGIN, "flow.begin", USER, 0, "flow:u name:str")                               \
	X(103, FLOW_STEP, "flow.step", USER, 0, "flow:u name:str")                                 \
	X(104, FLOW_END, "flow.end", USER, 102, "flow:u name:str")                                 \
	X(105, ATTRIBUTE, "attribute", USER, 0, "key:str value:str")                               \
	X(106, LABELS, "labels", USER, 0, "labels:str")                                            \
	X(112, CLOCK_SYNC, "clock.sync", BOOK, 0, "monotonic:u realtime:u boottime:u tsc:u")       \
	X(113, LOST, "lost", BOOK, 0, "count:u first:u last:u reason:u")                           \
	X(114, THROTTLE, "throttle", BOOK, 0, "class:u on:u limit:u")                              \
	X(115, CONFIG, "config", BOOK, 0, "key:str value:str")

enum trace_event_type {
#define TRACE_EVENT_NUMBER(number, NAME, text, class, ends, arguments) \
	TRACE_##NAME##_EVENT = number,
	TRACE_EVENTS(TRACE_EVENT_NUMBER)
#undef TRACE_EVENT_NUMBER
};

#define TRACE_ARGUMENTS_MAX 8
#define TRACE_TYPE_USER     192 /* to 255: not ours */

enum trace_object_kind {
	TRACE_OBJECT_UNKNOWN,
	TRACE_OBJECT_MUTEX,
	TRACE_OBJECT_RWLOCK,
	TRACE_OBJECT_SPIN,
	TRACE_OBJECT_COND,
	TRACE_OBJECT_SEM,
	TRACE_OBJECT_BARRIER,
	TRACE_OBJECT_ONCE,
	TRACE_OBJECT_FUTEX,
	TRACE_OBJECT_USER,
};

enum trace_object_flag {
	TRACE_OBJECT_MADE_AT = 1 << 0, /* its name is that of the place where it was made */
};

enum trace_module_flag {
	TRACE_MODULE_IS_OURS = 1 << 0,    /* libcprof.so: its frames are not the host's */
	TRACE_MODULE_IS_RUNTIME = 1 << 1, /* libc, libstdc++ and their like */
	TRACE_MODULE_MAY_CLOSE = 1 << 2,  /* opened while the program ran */
};

enum trace_fd_kind {
	TRACE_FD_UNKNOWN,
	TRACE_FD_FILE,
	TRACE_FD_PIPE,
	TRACE_FD_SOCKET, /* name: what it is connected or bound to */
	TRACE_FD_EVENT,
	TRACE_FD_TIMER,
	TRACE_FD_EPOLL,
	TRACE_FD_SIGNAL,
	TRACE_FD_INOTIFY,
	TRACE_FD_MEMORY,
	TRACE_FD_OTHER,
};

enum trace_exit_reason {
	TRACE_EXIT_UNKNOWN,
	TRACE_EXIT_RETURN,
	TRACE_EXIT_CANCELLED,
	TRACE_EXIT_PROCESS, /* the process ended */
	TRACE_EXIT_LOST,    /* it is gone, and nothing said how */
};

enum trace_out_reason {
	TRACE_OUT_UNKNOWN,
	TRACE_OUT_PREEMPTED,
	TRACE_OUT_BLOCKED,
	TRACE_OUT_ENDED, /* the thread: a dead one's last switch is not recorded */
};

enum trace_lost_reason {
	TRACE_LOST_UNKNOWN,
	TRACE_LOST_FULL,   /* no free buffer */
	TRACE_LOST_NESTED, /* in a handler that interrupted the change of buffers */
	TRACE_LOST_BLOCK,  /* a block that could not be written */
	TRACE_LOST_KERNEL, /* records of switches */
};
