/*
 * tap: a page of macros for tests that print the Test Anything Protocol, which meson reads.
 *
 *     int main(void)
 *     {
 *             plan_begin();
 *             ok(1 + 1 == 2, "arithmetic");
 *             is_u64(ring_size(&r), 8, "size after eight pushes");
 *             return plan_end();
 *     }
 */
#pragma once

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tap_count, tap_failed;

__attribute__((format(printf, 4, 5), unused)) static bool tap_ok(bool passed, const char *file,
								 int line, const char *format, ...)
{
	va_list args;

	tap_count++;
	tap_failed += !passed;
	printf("%sok %d - ", passed ? "" : "not ", tap_count);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	if (!passed)
		printf("# at %s:%d\n", file, line);
	fflush(stdout);
	return passed;
}

#define plan_begin()  setvbuf(stdout, NULL, _IOLBF, 0)
#define ok(cond, ...) tap_ok((cond), __FILE__, __LINE__, __VA_ARGS__)
#define note(...)     (printf("# "), printf(__VA_ARGS__), printf("\n"), fflush(stdout))
#define skip(...)     (printf("ok %d - # SKIP ", ++tap_count), printf(__VA_ARGS__), printf("\n"))
#define skip_all(...) (printf("1..0 # SKIP "), printf(__VA_ARGS__), printf("\n"), exit(0))

#define is_u64(got, want, ...)                                                                 \
	do {                                                                                   \
		uint64_t tap_got = (uint64_t)(got), tap_want = (uint64_t)(want);               \
		if (!ok(tap_got == tap_want, __VA_ARGS__))                                     \
			note("got %" PRIu64 " (0x%" PRIx64 "), wanted %" PRIu64 " (0x%" PRIx64 \
			     ")",                                                              \
			     tap_got, tap_got, tap_want, tap_want);                            \
	} while (0)

#define is_str(got, want, ...)                                                               \
	do {                                                                                 \
		const char *tap_got = (got), *tap_want = (want);                             \
		if (!ok(tap_got && tap_want && strcmp(tap_got, tap_want) == 0, __VA_ARGS__)) \
			note("got '%s', wanted '%s'", tap_got ? tap_got : "(null)",          \
			     tap_want ? tap_want : "(null)");                                \
	} while (0)

static inline int plan_end(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed != 0;
}
