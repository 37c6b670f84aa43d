/*
 * sched: when the threads of a process got a processor and lost it, as the kernel itself recorded it.
 *
 *     CPU 0  thread 7 in … thread 7 out, blocked … thread 9 in …      ┐
 *     CPU 1  thread 8 in … thread 8 out, preempted … thread 8 in …    ├→ sched_drain() → one call for each
 *     …      one ring for each processor                              ┘
 *
 * The process that is watched does nothing for it and holds nothing of it. Whoever may read its memory may watch it, without
 * privilege up to perf_event_paranoid 2 (docs/adr/0012-switches-are-read-from-outside.md): threads and child processes that
 * it makes later are watched, too, each record says whose it is.
 *
 * Always true:
 *   - Events of one processor come in the order of their times. Between processors nothing is promised.
 *   - A full ring never holds up anybody: the kernel drops records and counts them, and the count comes as a SCHED_LOST where
 *     the hole is.
 *   - Rings are all of one size: SCHED_RING_BYTES, less where there are many processors or the kernel does not lend as much.
 *     A record of a switch is 24 bytes, a switch is two of them, so at 50,000 switches a second on one processor 512 KiB
 *     last 218 ms, and after 109 ms, at half, whoever waits is woken. Locked memory: that, and a page, for each processor.
 *
 * What ends it: the exit of the last thread, and exec of a file with rights of its own (set-user-ID, or not readable): the
 * kernel takes such a process out, and a SCHED_ENDED of its last thread comes although it lives on. Its relatives stay.
 * prctl(PR_SET_DUMPABLE), a change of user, namespaces and seccomp filters change nothing once it is open. Processors that
 * come online later are not watched, nor those outside the cpuset of launcher and program.
 *
 * What it costs the program: about 1 us a switch. A thread that is made gets an event for each processor: 2 us each to make
 * and end it, and more than a kilobyte of the kernel's memory.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/context.h"
#include "core/why.h"

#define SCHED_RING_BYTES \
	(UINT32_C(512) << 10) /* with its page within the usual perf_event_mlock_kb of 516 */
#define SCHED_RINGS_BYTES \
	(UINT64_C(32) << 20) /* all together: beyond 64 processors rings get smaller */
#define SCHED_RING_LEAST \
	(UINT32_C(16) << 10) /* 7 ms at 50,000 switches a second: better than nothing */

enum sched_kind {
	SCHED_IN = 1, /* the thread runs from now on */
	SCHED_OUT,    /* and no more; @reason */
	SCHED_BORN, /* made by @parent_pid, @parent_tid, who runs here; where it runs itself is told by its first SCHED_IN */
	SCHED_ENDED, /* runs no more, and was not taken off by a SCHED_OUT */
	SCHED_NAMED, /* @name; with @is_exec the process is another program now, and all its other threads are gone */
	SCHED_LOST, /* @lost records between @since_ns and @time_ns; of which process, nobody knows */
};

struct sched_event {
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	uint32_t pid,
		tid; /* as whoever opened it sees them: a process in a namespace of its own may know itself by others */
	uint32_t cpu;
	uint8_t kind;
	uint8_t reason; /* enum trace_out_reason */
	bool is_exec;
	uint32_t parent_pid, parent_tid;
	uint64_t lost, since_ns;
	char name[16];
};

struct sched;
typedef void (*sched_each)(void *user, const struct sched_event *event);

enum sched_flag {
	SCHED_ON_EXEC = 1 << 0, /* nothing before the process, which is about to, calls exec */
	SCHED_THREADS =
		1 << 1, /* not the child processes; before Linux 5.13 they come all the same */
};

/*
 * Watches all threads of @pid, 0 for this process, and all that they make from now on. @ring_bytes 0: as much as is good;
 * else a power of two.
 *
 * 0, or a negative errno with @why: -EPERM or -EACCES (not permitted), -ENOSYS (no perf), -ESRCH (it is gone), -EMFILE.
 */
int sched_open(pid_t pid, unsigned flags, uint32_t ring_bytes, struct sched **ret, struct why *why);
void sched_close(struct sched *s); /* NULL is fine */

/* In a child of fork, which has the files but not the rings. */
void sched_forked(struct sched *s);

/* What is less than it should be, in one line, such as smaller rings; empty when all is well. */
void sched_shortcomings(const struct sched *s, struct why *ret);

unsigned sched_rings(const struct sched *s);
uint32_t sched_ring_bytes(const struct sched *s);

/* A file that becomes readable when a ring is half full: at most so long after the last drain that nothing is lost. */
int sched_wait_fd(const struct sched *s);

/*
 * True when many threads end, each of which wakes whoever waits for the file, to no purpose: then better sleep
 * SCHED_SLEEP_MS than wait. Told anew by each drain.
 */
bool sched_wakes_often(const struct sched *s);
#define SCHED_SLEEP_MS 10 /* a ring lasts that long at a million switches a second */

/* Calls @each for what was recorded up to now. One thread at a time. */
SIGSAFE void sched_drain(struct sched *s, sched_each each, void *user);

/* The same for the last time: asks the kernel, too, what it lost and has not told, having nothing to tell after it. */
SIGSAFE void sched_drain_last(struct sched *s, sched_each each, void *user);

/* True when all that was watched is gone and drained: nothing will come any more. Known for processes that had one thread when
 * they were opened. */
SIGSAFE bool sched_is_over(const struct sched *s);
