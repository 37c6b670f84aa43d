/*
 * option_text: reading and writing short texts for core/option*.c, where neither the heap, a lock
 * nor the locale may be asked.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A part of somebody's text; not terminated. */
struct slice {
	const char *at;
	size_t n;
};

static inline struct slice slice_of(const char *text)
{
	return (struct slice){text, strlen(text)};
}

/* The first @n bytes of @s go to the result, the rest stays. */
static inline struct slice cut(struct slice *s, size_t n)
{
	struct slice head = {s->at, n};

	s->at += n;
	s->n -= n;
	return head;
}

/* Where @c first is in @s, or the end. */
static inline size_t find_char(struct slice s, char c)
{
	size_t i;

	for (i = 0; i < s.n && s.at[i] != c; i++)
		;
	return i;
}

/* tolower() asks the locale. */
static inline char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

static inline bool is_equal(struct slice s, const char *text)
{
	return strlen(text) == s.n && memcmp(s.at, text, s.n) == 0;
}

static inline bool is_equal_nocase(struct slice s, const char *text)
{
	size_t i;

	for (i = 0; i < s.n && text[i] != '\0' && lower(s.at[i]) == lower(text[i]); i++)
		;
	return i == s.n && text[i] == '\0';
}

/*
 * Somebody's text on its way into an error: of bounded length, on one line, harmless to a terminal.
 */
struct shown {
	char text[64];
};

static inline struct shown show(struct slice s)
{
	struct shown shown;
	bool is_long = s.n >= sizeof(shown.text);
	size_t n = is_long ? sizeof(shown.text) - 4 : s.n;
	size_t i;

	for (i = 0; i < n; i++)
		shown.text[i] =
			is_control(s.at[i]) || (unsigned char)s.at[i] >= 0x80 ? '?' : s.at[i];
	memcpy(shown.text + n, is_long ? "..." : "", is_long ? 4 : 1);
	return shown;
}

/* A text that grows in a caller's buffer and remembers that it did not fit. */
struct text {
	char *at;
	size_t n, size;
	bool is_cut;
};

static inline void add_char(struct text *t, char c)
{
	if (t->n + 1 < t->size)
		t->at[t->n++] = c;
	else
		t->is_cut = true;
}

static inline void add_text(struct text *t, const char *s)
{
	for (; *s != '\0'; s++)
		add_char(t, *s);
}

static inline void add_number(struct text *t, uint64_t n, int width)
{
	char digits[20];
	int i = 0;

	do {
		digits[i++] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0 || i < width);
	while (i > 0)
		add_char(t, digits[--i]);
}

static inline int finish_text(struct text *t)
{
	if (t->size > 0)
		t->at[t->n] = '\0';
	return t->is_cut || t->size == 0 ? -ENOSPC : (int)t->n;
}
