/*
 * host: what the programs with known answers share: their own CPU clock, work that the compiler keeps, and the truth as JSON.
 */
#ifndef HOST_H
#define HOST_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef __clang__ /* which makes no clones */
#define KEEP __attribute__((noinline, used))
#else
#define KEEP __attribute__((noinline, noclone, used))
#endif
#define MS INT64_C(1000000)

__attribute__((unused)) static int64_t host_clock(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

#define thread_ns()  host_clock(CLOCK_THREAD_CPUTIME_ID)
#define process_ns() host_clock(CLOCK_PROCESS_CPUTIME_ID)

static volatile uint64_t host_sink;

/* About 100 microseconds in user code, so that reading clocks between is a small part. Several threads at once: no race. */
__attribute__((unused)) static void host_spin(void)
{
	uint64_t x = __atomic_load_n(&host_sink, __ATOMIC_RELAXED) | 1;

	for (int i = 0; i < 60000; i++)
		x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
	__atomic_store_n(&host_sink, x, __ATOMIC_RELAXED);
}

/* A function of this name that burns @ns of its thread's CPU time, and returns how much it was exactly. */
#define BURNER(name)                                                  \
	KEEP static int64_t name(int64_t ns)                          \
	{                                                             \
		int64_t begun = thread_ns(), now;                     \
                                                                      \
		do {                                                  \
			host_spin();                                  \
			now = thread_ns();                            \
		} while (now < begun + ns);                           \
		__asm__ volatile("" ::: "memory"); /* no tail call */ \
		return now - begun;                                   \
	}

/* On standard output, past any buffer. */
__attribute__((unused)) static void host_print_ns(const char *what, const char *key, int64_t ns)
{
	char line[160];
	int n = snprintf(line, sizeof(line), "{\"what\": \"%s\", \"%s\": %lld}\n", what, key,
			 (long long)ns);

	fflush(stdout);
	if (fwrite(line, 1, (size_t)n, stdout) == (size_t)n)
		fflush(stdout);
}

/* The CPU time of the process up to here. */
#define host_print_clock(what) host_print_ns((what), "process_ns", process_ns())

#endif
