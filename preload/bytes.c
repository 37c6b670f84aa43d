/*
 * memcpy() and its like for libcprof.so itself, seen by nobody else.
 *
 * A sanitizer's runtime stands in front of the C library's, and checks what they do. It does not see our atomics, so what two
 * threads copy and compare in the segment is a race to it, which it reports as the program's and ends it with a status of its own.
 * Nor are these for signal handlers there. And the C library's own take the widest registers there are, of which
 * tracer/syscalls saves no more than what this code touches: x87 and SSE.
 *
 * Built without builtins: the compiler would see a loop that copies, and call this.
 */
#include <stddef.h>
#include <stdint.h>

#define HIDDEN __attribute__((visibility("hidden")))

/* Above this the processor's own are faster than a loop. */
#define LONG 512

typedef uint64_t word __attribute__((aligned(1), may_alias));
typedef uint32_t half __attribute__((aligned(1), may_alias));
typedef uint64_t pair __attribute__((vector_size(16), aligned(1), may_alias));

HIDDEN void *memcpy(void *restrict to, const void *restrict from, size_t n);
HIDDEN void *memmove(void *to, const void *from, size_t n);
HIDDEN void *memset(void *to, int c, size_t n);
HIDDEN int memcmp(const void *left, const void *right, size_t n);
HIDDEN void *memchr(const void *bytes, int c, size_t n);
HIDDEN size_t strlen(const char *text);
HIDDEN int strcmp(const char *left, const char *right);

/* All is read before anything is written. */
static inline void move_short(char *to, const char *from, size_t n)
{
	if (n >= 16) {
		pair first = *(const pair *)from, last = *(const pair *)(from + n - 16);

		*(pair *)to = first;
		*(pair *)(to + n - 16) = last;
	} else if (n >= 8) {
		word first = *(const word *)from, last = *(const word *)(from + n - 8);

		*(word *)to = first;
		*(word *)(to + n - 8) = last;
	} else if (n >= 4) {
		half first = *(const half *)from, last = *(const half *)(from + n - 4);

		*(half *)to = first;
		*(half *)(to + n - 4) = last;
	} else if (n > 0) {
		char first = from[0], middle = from[n / 2], last = from[n - 1];

		to[0] = first;
		to[n / 2] = middle;
		to[n - 1] = last;
	}
}

static inline void move_forwards(char *to, const char *from, size_t n)
{
	pair last = *(const pair *)(from + n - 16);
	size_t i = 0;

	for (; n - i > 64; i += 64) {
		pair a = *(const pair *)(from + i), b = *(const pair *)(from + i + 16);
		pair c = *(const pair *)(from + i + 32), d = *(const pair *)(from + i + 48);

		*(pair *)(to + i) = a;
		*(pair *)(to + i + 16) = b;
		*(pair *)(to + i + 32) = c;
		*(pair *)(to + i + 48) = d;
	}
	for (; n - i > 16; i += 16)
		*(pair *)(to + i) = *(const pair *)(from + i);
	*(pair *)(to + n - 16) = last;
}

static inline void move_backwards(char *to, const char *from, size_t n)
{
	pair first = *(const pair *)from;

	for (; n > 64; n -= 64) {
		pair a = *(const pair *)(from + n - 16), b = *(const pair *)(from + n - 32);
		pair c = *(const pair *)(from + n - 48), d = *(const pair *)(from + n - 64);

		*(pair *)(to + n - 16) = a;
		*(pair *)(to + n - 32) = b;
		*(pair *)(to + n - 48) = c;
		*(pair *)(to + n - 64) = d;
	}
	for (; n > 16; n -= 16)
		*(pair *)(to + n - 16) = *(const pair *)(from + n - 16);
	*(pair *)to = first;
}

void *memmove(void *to, const void *from, size_t n)
{
	if (n <= 32)
		move_short(to, from, n);
	else if ((uintptr_t)to - (uintptr_t)from >= n) /* what is ahead is not written yet */
		move_forwards(to, from, n);
	else
		move_backwards(to, from, n);
	return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	void *ret = to;

	if (n < LONG)
		return memmove(to, from, n);
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	return ret;
}

void *memset(void *ret, int c, size_t n)
{
	uint64_t all = UINT64_C(0x0101010101010101) * (unsigned char)c;
	char *to = ret;

	if (n >= LONG) {
		__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(c) : "memory");
		return ret;
	}
	if (n >= 8) {
		for (size_t i = 0; i < n - 8; i += 8)
			*(word *)(to + i) = all;
		*(word *)(to + n - 8) = all;
	} else {
		for (size_t i = 0; i < n; i++)
			to[i] = (char)c;
	}
	return ret;
}

int memcmp(const void *left, const void *right, size_t n)
{
	const unsigned char *a = left, *b = right;
	size_t i = 0;

	while (n - i >= 32) {
		pair first = *(const pair *)(a + i) ^ *(const pair *)(b + i);
		pair second = *(const pair *)(a + i + 16) ^ *(const pair *)(b + i + 16);
		pair both = first | second;

		if ((both[0] | both[1]) != 0)
			break;
		i += 32;
	}
	while (n - i >= 8 && *(const word *)(a + i) == *(const word *)(b + i))
		i += 8;
	for (; i < n; i++)
		if (a[i] != b[i])
			return a[i] < b[i] ? -1 : 1;
	return 0;
}

void *memchr(const void *bytes, int c, size_t n)
{
	const unsigned char *at = bytes;

	for (; n > 0; at++, n--)
		if (*at == (unsigned char)c)
			return (void *)(uintptr_t)at;
	return NULL;
}

size_t strlen(const char *text)
{
	const char *end = text;

	while (*end != '\0')
		end++;
	return (size_t)(end - text);
}

int strcmp(const char *left, const char *right)
{
	for (; *left != '\0' && *left == *right; left++, right++)
		;
	return (unsigned char)*left - (unsigned char)*right;
}
