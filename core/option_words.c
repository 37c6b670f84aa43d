#include "core/option.h"

static const char *const trace_levels[] = {
	"threads", "locks", "syscalls", "syscalls:full", "all", NULL,
};
static const char *const unwinders[] = {"auto", "fp", "libunwind", NULL};
static const char *const yes_no[] = {"no", "yes", NULL};
static const char *const off_on[] = {"off", "on", NULL};

#define FIELD(name) .offset = offsetof(struct option_set, name)

/* clang-format off */
const struct option_word option_words[] = {
	[OPTION_ID_CPU] = {
		.name = "cpu", .value = "HZ", .standard = "100",
		.about = "where CPU time goes; samples a second of CPU time",
		.kind = OPTION_KIND_RATE, .needs = OPTION_CPU, FIELD(cpu_hz),
		.noun = "rate", .measure = " samples a second", .min = 1, .max = 10000,
	},
	[OPTION_ID_WALL] = {
		.name = "wall", .value = "HZ", .standard = "99",
		.about = "where time goes, running or waiting; looks a second",
		.kind = OPTION_KIND_RATE, .needs = OPTION_WALL, FIELD(wall_hz),
		.noun = "rate", .measure = " looks a second", .min = 1, .max = 1000,
	},
	[OPTION_ID_HEAP] = {
		.name = "heap", .value = "BYTES", .standard = "512k",
		.about = "who allocates, who keeps; one sample in so many bytes",
		.kind = OPTION_KIND_SIZE, .needs = OPTION_HEAP, FIELD(heap_bytes),
		.noun = "size", .measure = " bytes between samples", .min = 1, .max = 1 << 30,
	},
	[OPTION_ID_BLOCK] = {
		.name = "block", .value = "DURATION", .standard = "10us",
		.about = "who waited; waits of at least so long, or rate:NS",
		.kind = OPTION_KIND_WAIT, .needs = OPTION_BLOCK, FIELD(block_ns),
		.noun = "shortest wait", .measure = "", .min = 1, .max = 3600000000000,
	},
	[OPTION_ID_MUTEX] = {
		.name = "mutex", .value = "N", .standard = "10",
		.about = "who made others wait; one contended release in N",
		.kind = OPTION_KIND_COUNT, .needs = OPTION_MUTEX, FIELD(mutex_n),
		.noun = "number", .measure = "", .min = 1, .max = 1000000,
	},
	[OPTION_ID_THREADS] = {
		.name = "threads",
		.about = "what every thread is doing now",
		.kind = OPTION_KIND_NONE, .needs = OPTION_THREADS,
	},
	[OPTION_ID_THREADCREATE] = {
		.name = "threadcreate",
		.about = "who starts threads",
		.kind = OPTION_KIND_NONE, .needs = OPTION_THREADCREATE,
	},
	[OPTION_ID_TRACE] = {
		.name = "trace", .value = "LEVEL", .standard = "all",
		.about = "what happened, in order, on every thread",
		.kind = OPTION_KIND_CHOICE, .needs = OPTION_TRACE, FIELD(trace),
		.noun = "level", .choices = trace_levels,
	},
	[OPTION_ID_ALL] = {
		.name = "all",
		.about = "every profile that this version has",
		.kind = OPTION_KIND_NONE,
	},
	[OPTION_ID_RING] = {
		.name = "ring", .value = "TIME|BYTES",
		.about = "keep only the end of the trace",
		.kind = OPTION_KIND_RING, .needs = OPTION_TRACE,
	},
	[OPTION_ID_OUT] = {
		.name = "out", .value = "PATTERN", .standard = "cprof.%n.%p",
		.about = "output directory; %n program, %p pid, %t time, %h host, %%",
		.kind = OPTION_KIND_PATTERN, FIELD(out),
	},
	[OPTION_ID_HTTP] = {
		.name = "http", .value = "LISTEN",
		.about = "serve profiles at unix:PATH or 127.0.0.1:PORT",
		.kind = OPTION_KIND_LISTEN, .needs = OPTION_HTTP, FIELD(http),
	},
	[OPTION_ID_DEPTH] = {
		.name = "depth", .value = "N", .standard = "128",
		.about = "frames kept of a stack",
		.kind = OPTION_KIND_COUNT, FIELD(depth),
		.noun = "depth", .measure = " frames", .min = 1, .max = 1024,
	},
	[OPTION_ID_MEMORY] = {
		.name = "memory", .value = "BYTES", .standard = "64m",
		.about = "bound of the memory used in a process",
		.kind = OPTION_KIND_SIZE, FIELD(memory_bytes),
		.noun = "bound", .measure = " bytes", .min = 1 << 20, .max = 4ull << 30,
	},
	[OPTION_ID_UNWIND] = {
		.name = "unwind", .value = "HOW", .standard = "auto",
		.about = "how stacks are walked: auto, fp or libunwind",
		.kind = OPTION_KIND_CHOICE, FIELD(unwind),
		.noun = "way to walk", .choices = unwinders,
	},
	[OPTION_ID_FOLLOW] = {
		.name = "follow", .value = "yes|no", .standard = "yes",
		.about = "profile child processes too",
		.kind = OPTION_KIND_CHOICE, FIELD(follow),
		.noun = "answer", .choices = yes_no,
	},
	[OPTION_ID_SEED] = {
		.name = "seed", .value = "N", .standard = "0",
		.about = "samples of the heap that repeat from run to run; 0: not",
		.kind = OPTION_KIND_COUNT, FIELD(seed),
		.noun = "seed", .measure = "", .min = 0, .max = INT64_MAX,
	},
	[OPTION_ID_BLOCK_IO] = {
		.name = "block.io", .value = "on|off", .standard = "off",
		.about = "block keeps waits for files and sockets too",
		.kind = OPTION_KIND_CHOICE, .needs = OPTION_BLOCK, FIELD(block_io),
		.noun = "answer", .choices = off_on,
	},
	[OPTION_ID_TRACE_ON] = {
		.name = "trace.on", .value = "REGION>DURATION",
		.about = "a snapshot of the trace when a region lasts longer",
		.kind = OPTION_KIND_TRIGGER, .needs = OPTION_TRACE,
		.measure = "", .min = 1000, .max = 3600000000000,
	},
	[OPTION_ID_N] = {.name = NULL},
};
/* clang-format on */
