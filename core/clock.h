/*
 * clock: the clocks we read, all in nanoseconds.
 */
#pragma once

#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

#include "core/arch.h"

#define NS_PER_SECOND UINT64_C(1000000000)

static inline uint64_t clock_of_timespec(struct timespec t)
{
	return (uint64_t)t.tv_sec * NS_PER_SECOND + (uint64_t)t.tv_nsec;
}

static inline struct timespec clock_to_timespec(uint64_t ns)
{
	return (struct timespec){(time_t)(ns / NS_PER_SECOND), (long)(ns % NS_PER_SECOND)};
}

/* Any kernel clock by system call; 0 when the kernel does not know it. Signal safe. */
static inline uint64_t clock_read(clockid_t clock)
{
	struct timespec t = {0, 0};

	return sys2(SYS_clock_gettime, clock, &t) == 0 ? clock_of_timespec(t) : 0;
}

/* The CPU clock of thread @tid of this process (clock_getcpuclockid's encoding for threads). */
static inline clockid_t clock_of_thread(int tid)
{
	return (clockid_t)((~(unsigned)tid << 3) | 6);
}

/* Monotonic and wall clock through the vdso. Signal safe. */
static inline uint64_t clock_monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return clock_of_timespec(t);
}

static inline uint64_t clock_realtime(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return clock_of_timespec(t);
}
