/*
 * The C side of symbols_cxx.cc: static helpers that are inlined into several callers, a function
 * with a cold part, one in hand-written assembly, weak and aliased names, a nested block with
 * variables, a constructor.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__asm__(".pushsection .text\n"
	".globl by_hand\n"
	".type by_hand, @function\n"
	"by_hand:\n"
	"	nop\n"
	"inside_by_hand:\n"
	"	nop\n"
	"	ret\n"
	".size by_hand, . - by_hand\n"
	".popsection\n");
void by_hand(void);

static inline unsigned mix(unsigned a, unsigned b)
{
	a ^= b * 2654435761u;
	return (a << 7) | (a >> 25);
}

static unsigned digest(const char *text, size_t n)
{
	unsigned sum = 0;

	for (size_t i = 0; i < n; i++)
		sum = mix(sum, (unsigned char)text[i]);
	return sum;
}

__attribute__((noinline)) static unsigned split(const char *text)
{
	unsigned sum = 0;

	for (const char *p = text; *p != '\0'; p += strcspn(p, " ") + 1) {
		size_t n = strcspn(p, " ");

		if (__builtin_expect(n > 1000000, 0)) {
			fprintf(stderr, "a very long word of %zu bytes\n", n);
			abort();
		}
		sum += digest(p, n);
		if (p[n] == '\0')
			break;
	}
	return sum;
}

__attribute__((weak)) int __weak_name(int x)
{
	return x + (int)mix((unsigned)x, 1);
}
int strong_name(int x) __attribute__((alias("__weak_name")));

__attribute__((constructor)) static void first(void)
{
	if (getenv("SYMBOLS_C_LOUD") != NULL)
		puts("first");
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int main(int argc, char **argv)
{
	unsigned sum = 0;

	by_hand();
	qsort(argv + 1, (size_t)(argc - 1), sizeof(*argv), compare);
	for (int i = 0; i < argc; i++)
		sum = mix(sum, split(argv[i]));
	printf("%u %d\n", sum, strong_name(argc));
	return 0;
}
