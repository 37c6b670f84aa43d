/*
 * Functions of every shape that a compiler makes, for the tests that walk the stack at each of their instructions.
 * Built as a shared library several times, with other flags each time.
 */
#include <alloca.h>
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/programs/walk_places.h"

static volatile int sink;
static volatile double sink_double;

#ifdef __clang__ /* which makes no clones */
#define APART __attribute__((noinline))
#else
#define APART __attribute__((noinline, noclone))
#endif

APART static int leaf(int a, int b)
{
	return a * 31 + b;
}

APART static int many_registers(int a, int b, int c, int d)
{
	int e = leaf(a, b), f = leaf(b, c), g = leaf(c, d), h = leaf(d, a), i = leaf(e, f);

	return leaf(e, f) + leaf(g, h) + leaf(i, a) + b + c + d + e + f + g + h;
}

APART static int recursion(int n)
{
	return n == 0 ? leaf(1, 2) : recursion(n - 1) + n;
}

APART static int on_alloca(int n)
{
	char *text = alloca((size_t)n * 3 + 1);

	memset(text, 'x', (size_t)n * 3);
	text[n * 3] = '\0';
	return (int)strlen(text) + leaf(n, n);
}

APART static int realigned(int n)
{
	alignas(64) volatile char block[128];

	for (int i = 0; i < 128; i++)
		block[i] = (char)(i + n);
	return block[n & 127] + leaf(n, 1);
}

APART static int realigned_alloca(int n)
{
	alignas(64) volatile char block[64];
	char *more = alloca((size_t)(n & 63) + 16);

	more[0] = (char)n;
	block[n & 63] = (char)leaf(n, more[0]);
	return block[n & 63] + leaf(more[0], n);
}

APART static int realigned_arguments(int a, int b, int c, int d, int e, int f, int g, int h, int i)
{
	alignas(32) volatile int sum[8] = {a, b, c, d, e, f, g, h};

	return leaf(sum[i & 7], i);
}

typedef double wide __attribute__((vector_size(32)));

APART static double vectors(int n)
{
	wide sum = {0, 0, 0, 0};

	for (int i = 0; i < n; i++) {
		wide x = {i, i + 1.0, i + 2.0, i + 3.0};

		sum += x * (wide){1.5, 2.5, 3.5, 4.5};
		if (i % 4 == 3)
			sum[0] += leaf(i, n);
	}
	return sum[0] + sum[3];
}

APART static int big_frame(int n)
{
	volatile char block[20000];

	block[0] = (char)n;
	block[sizeof(block) - 1] = (char)leaf(n, 2);
	return block[0] + block[sizeof(block) - 1];
}

APART static int tail_target(int a, int b)
{
	return leaf(b, a) + 1;
}

APART static int tail_call(int a, int b)
{
	if (a & 1)
		return tail_target(b, a);
	return leaf(b + 1, a);
}

__attribute__((cold, noinline)) static int seldom(int n)
{
	return leaf(n, 13);
}

APART static int hot_and_cold(int n)
{
	int sum = leaf(n, 1);

	if (__builtin_expect(n % 7 == 0, 0)) {
		sum += seldom(n);
		sum += seldom(sum);
	}
	return sum + leaf(sum, 2);
}

APART static int jumps(int n)
{
	switch (n % 9) {
	case 0:
		return leaf(n, 1);
	case 1:
		return many_registers(n, 1, 2, 3);
	case 2:
		return 7;
	case 3:
		return leaf(n, 2) + leaf(n, 3);
	case 4:
		return on_alloca(n & 15);
	case 5:
		return tail_call(n, 1);
	case 6:
		return (int)(n * 1.5);
	case 7:
		return recursion(2);
	default:
		return -n;
	}
}

APART static int variadic(int n, ...)
{
	va_list args;
	double sum = 0;

	va_start(args, n);
	for (int i = 0; i < n; i++)
		sum += va_arg(args, double);
	va_end(args);
	return (int)sum;
}

static int compare(const void *a, const void *b)
{
	return leaf(*(const int *)a, 0) - leaf(*(const int *)b, 0);
}

static jmp_buf back;

/* Its last instruction is a call: the return address belongs to the function behind it. */
__attribute__((noreturn, noinline)) static void leave(int n)
{
	longjmp(back, n);
}

APART static int never_returns(int n)
{
	if (n > 0)
		leave(n);
	return 0;
}

static void shapes(void *unused)
{
	for (int i = 0; i < 9; i++) {
		sink += many_registers(i, 2, 3, 4);
		sink += recursion(i) + on_alloca(i * 7) + realigned(i) + realigned_alloca(i);
		sink += realigned_arguments(i, 1, 2, 3, 4, 5, 6, 7, i);
		sink_double += vectors(i + 5);
		sink += tail_call(i, i + 1) + hot_and_cold(i) + jumps(i);
		sink += variadic(3, 1.0, 2.0, (double)i) + (i < 2 ? big_frame(i) : 0);
	}
}

static void jumps_back(void *unused)
{
	for (volatile int i = 1; i < 6; i++)
		if (setjmp(back) == 0)
			sink += never_returns(i);
}

static void sorts(void *unused)
{
	int numbers[48], key = 17;

	for (int i = 0; i < 48; i++)
		numbers[i] = i * 37 % 48;
	qsort(numbers, 48, sizeof(numbers[0]), compare);
	sink += bsearch(&key, numbers, 48, sizeof(numbers[0]), compare) != NULL;
}

/* Each function of another library for the first time: through the loader when it binds late. */
static void binds(void *unused)
{
	char text[128];
	struct tm tm;
	time_t now = 1000000;

	snprintf(text, sizeof(text), "%d %s %g %p", 42, "forty-two", 4.2, (void *)&now);
	sink += (int)strtol("123", NULL, 10) + (int)strcspn(text, "f") + (int)strspn(text, "42 ");
	sink += atoi("77") + abs(-4) + (gmtime_r(&now, &tm) != NULL);
	sink += (int)strftime(text, sizeof(text), "%Y-%m-%d", &tm);
	sink_double += strtod("2.5e3", NULL);
	sink += (int)strtoul("ff", NULL, 16) + (strstr(text, "70") != NULL) +
		(strpbrk(text, "-") != NULL);
	free(strdup(text));
}

const struct walk_place walk_places[] = {
	{"binds", binds}, {"shapes", shapes},    {"binds again", binds},
	{"sorts", sorts}, {"jumps", jumps_back}, {0},
};
