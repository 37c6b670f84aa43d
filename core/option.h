/*
 * option: the one parser of "cpu=250,heap=64k,out=DIR".
 *
 * The same text stands in CPROF=, after `cprof run -p` and in cprof_start(): words by commas, each
 * of them a profile with an optional value, or a setting. Everything that is known of a word is one
 * line of option_words[]: the parser, --help, cprof(7) and the "did you mean" of an error all read
 * that line.
 *
 *     text     =  word { "," word }        empty text asks for nothing
 *     word     =  name [ "=" value ]       each at most once
 *     rate     =  100 | 100hz
 *     size     =  4096 | 64k | 1m | 1g     KiB MiB GiB are the same; KB MB GB are powers of 1000
 *     duration =  10us                     ns us ms s m (or min) h, never without a unit
 *     wait     =  10us | rate:10us | rate:10000     the last in nanoseconds
 *     trigger  =  request>200ms            behind the last ">" a duration
 *
 * In the value of out=, http= and trace.on=, "\," is a comma and "\\" a backslash.
 *
 * Runs before the host's own constructors: no allocation, no stdio stream, no lock, nothing that
 * asks the locale.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/why.h"

/*
 * The place of a word in option_words[]. The profiles come first, so that their bit is 1 << place.
 */
enum option_id {
	OPTION_ID_CPU,
	OPTION_ID_WALL,
	OPTION_ID_HEAP,
	OPTION_ID_BLOCK,
	OPTION_ID_MUTEX,
	OPTION_ID_THREADS,
	OPTION_ID_THREADCREATE,
	OPTION_ID_TRACE,
	OPTION_ID_ALL,
	OPTION_ID_RING,
	OPTION_ID_OUT,
	OPTION_ID_HTTP,
	OPTION_ID_DEPTH,
	OPTION_ID_MEMORY,
	OPTION_ID_UNWIND,
	OPTION_ID_FOLLOW,
	OPTION_ID_SEED,
	OPTION_ID_BLOCK_IO,
	OPTION_ID_TRACE_ON,
	OPTION_ID_N,
};

/*
 * The same bits as CPROF_CPU and its like in include/cprof/cprof.h, then parts that a build may
 * lack.
 */
enum option_profile {
	OPTION_CPU = 1u << OPTION_ID_CPU,
	OPTION_WALL = 1u << OPTION_ID_WALL,
	OPTION_HEAP = 1u << OPTION_ID_HEAP,
	OPTION_BLOCK = 1u << OPTION_ID_BLOCK,
	OPTION_MUTEX = 1u << OPTION_ID_MUTEX,
	OPTION_THREADS = 1u << OPTION_ID_THREADS,
	OPTION_THREADCREATE = 1u << OPTION_ID_THREADCREATE,
	OPTION_TRACE = 1u << OPTION_ID_TRACE,
	OPTION_PROFILES = (1u << OPTION_ID_ALL) - 1, /* all of the above */
	OPTION_HTTP = 1u << 16,                      /* the endpoint */
};

enum option_trace {
	OPTION_TRACE_THREADS,
	OPTION_TRACE_LOCKS,
	OPTION_TRACE_SYSCALLS,
	OPTION_TRACE_SYSCALLS_FULL,
	OPTION_TRACE_ALL,
};

enum option_unwind {
	OPTION_UNWIND_AUTO,
	OPTION_UNWIND_FP,
	OPTION_UNWIND_LIBUNWIND,
};

/*
 * Values of one fixed width, so that a line of option_words[] needs no more than an offset to store
 * one.
 */
struct option_set {
	uint64_t profiles; /* bits of enum option_profile: what was asked for */
	uint64_t given;    /* 1 << id for each word in the text; ask option_is_given() */

	uint64_t cpu_hz, wall_hz;
	uint64_t heap_bytes; /* average between two samples */
	uint64_t block_ns;   /* shorter waits are not kept */
	uint64_t
		block_rate_ns; /* not 0: of shorter ones than this, some are, the longer the more; then block_ns is not used */
	uint64_t mutex_n; /* one contended release in so many */
	uint64_t trace;   /* an enum option_trace */

	uint64_t ring_ns, ring_bytes; /* at most one is set; both 0: a growing log */
	uint64_t depth;
	uint64_t memory_bytes;
	uint64_t unwind;      /* an enum option_unwind */
	uint64_t follow;      /* 0 or 1 */
	uint64_t seed;        /* 0: from the clock */
	uint64_t block_io;    /* 0 or 1 */
	uint64_t trace_on_ns; /* a region called @trace_on that lasts longer is worth a snapshot */

	char out[512];      /* pattern for option_expand() */
	char http[256];     /* "" when off */
	char trace_on[128]; /* "" when off */
};

enum option_kind {
	OPTION_KIND_NONE, /* takes no value */
	OPTION_KIND_RATE,
	OPTION_KIND_COUNT,
	OPTION_KIND_SIZE,
	OPTION_KIND_DURATION,
	OPTION_KIND_WAIT, /* a duration, or "rate:" and one or nanoseconds */
	OPTION_KIND_CHOICE,
	OPTION_KIND_RING,    /* a duration or a size */
	OPTION_KIND_PATTERN, /* a path with %n and its like */
	OPTION_KIND_LISTEN,  /* unix:PATH or loopback:PORT */
	OPTION_KIND_TRIGGER, /* a name, ">", a duration */
};

struct option_word {
	const char *name;
	const char *value;    /* what follows "=" in help, "HZ"; NULL: nothing may */
	const char *standard; /* the default as one would write it; NULL: none */
	const char *about;    /* one line for help and the manual */
	enum option_kind kind;
	unsigned needs;             /* bits of enum option_profile; all must be available */
	const char *noun, *measure; /* for errors: "rate" and "samples a second" */
	uint64_t min, max;
	const char *const
		*choices; /* OPTION_KIND_CHOICE, NULL at the end; the index is the value */
	size_t offset;    /* of the value in struct option_set */
};

/* In the order of enum option_id, ended by a NULL name. */
extern const struct option_word option_words[];

/* Bounds of ring=, which has two. */
#define OPTION_RING_MIN_NS    100000000ull
#define OPTION_RING_MAX_NS    86400000000000ull
#define OPTION_RING_MIN_BYTES (64ull << 10)
#define OPTION_RING_MAX_BYTES (4ull << 30)
#define OPTION_RING_NS        30000000000ull /* where trace.on= asks for one and none is given */

/* After "all" come the settings; what is before asks for profiles. */
static inline bool option_is_setting(const struct option_word *word)
{
	return word - option_words > OPTION_ID_ALL;
}

/* Long enough for what option_print() makes of any struct option_set. */
#define OPTION_TEXT_MAX 3072

/* Everything at its default, no profile asked for. */
void option_defaults(struct option_set *ret);

/*
 * Reads @text over the defaults. @available has the bits of enum option_profile that this build can
 * do: a word that needs another one is refused, and "all" means all of these.
 *
 * Returns 0, or -EINVAL with a sentence in @why and *ret untouched. An unknown word, a bad value
 * and a word given twice are all errors: what the user meant is not for us to guess.
 */
int option_parse(const char *text, unsigned available, struct option_set *ret, struct why *why);

/*
 * Adds one word, as if "@name=@value" had been at the end of the text; @value is taken as it is,
 * without escapes, and NULL when there is none. For programs with a flag beside the text, such as
 * -o. Returns as option_parse() does.
 */
int option_add(struct option_set *set, const char *name, const char *value, unsigned available,
	       struct why *why);

bool option_is_given(const struct option_set *set, enum option_id id);

/*
 * The text that option_parse() reads back to the same values: the words that were asked for, in the
 * order of option_words[], with "all" spelled out. Returns its length, or -ENOSPC.
 */
int option_print(const struct option_set *set, char *buf, size_t size);

/*
 * The range of @word's value, "1 to 10000 samples a second" or "yes, no"; "" when it has none.
 * Length or -ENOSPC.
 */
int option_range(const struct option_word *word, char *buf, size_t size);

/* Is every "%" of @pattern one of those below? 0, or -EINVAL with a sentence in @why. */
int option_check_pattern(const char *pattern, struct why *why);

/* What the names in an output pattern stand for. */
struct option_names {
	const char *program;   /* %n; the last part of a path is taken */
	const char *host;      /* %h */
	pid_t pid;             /* %p */
	int64_t unix_time_sec; /* %t, written as 20240229T235959Z */
};

/*
 * Fills in %n %p %t %h and %% of @pattern. A name never adds a "/" or a leading ".", whatever the
 * program is called. Returns the length, -EINVAL (an unknown %) or -ENAMETOOLONG, with a sentence
 * in @why.
 */
int option_expand(const char *pattern, const struct option_names *names, char *buf, size_t size,
		  struct why *why);
