/*
 * out: text on its way to a file, a pipe or a terminal; many small pieces of it, quickly.
 *
 * What is in a trace or a profile comes from somebody else's program, and names may have anything in them: newlines, quotes, what a terminal
 * takes for a command. Each function that writes a text says what becomes of such bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define OUT_BYTES (64 << 10)

struct out {
	int fd;
	/* where it goes instead of to @fd, when there is one: 0 or a negative errno, which is @error */
	int (*sink)(void *context, const void *bytes, size_t size);
	void *context; /* of the sink */
	int error; /* the first negative errno of write(); nothing is written from then on. -EPIPE: nobody reads any more */
	bool has_colour;
	size_t n;
	char buffer[OUT_BYTES];
};

void out_init(struct out *o, int fd, bool has_colour);
void out_init_sink(struct out *o, int (*sink)(void *context, const void *bytes, size_t size),
		   void *context);
/* Writes what is left. Returns 0 or o->error. */
int out_flush(struct out *o);

/* The same in pieces, as the buffer has room. */
void out_pieces(struct out *o, const char *bytes, size_t size);

static inline void out_bytes(struct out *o, const char *bytes, size_t size)
{
	if (size > sizeof(o->buffer) - o->n) {
		out_pieces(o, bytes, size);
		return;
	}
	memcpy(o->buffer + o->n, bytes, size);
	o->n += size;
}

void out_text(struct out *o, const char *text);
void out_char(struct out *o, char c);
__attribute__((format(printf, 2, 3))) void out_format(struct out *o, const char *format, ...);

void out_u64(struct out *o, uint64_t value);
void out_s64(struct out *o, int64_t value);
void out_hex(struct out *o, uint64_t value);     /* 0x1f */
void out_grouped(struct out *o, uint64_t value); /* 3,141,592 */

/* 1.204118233: all digits of @ns. */
void out_seconds(struct out *o, uint64_t ns);
/* 1.23ms: a unit and three significant digits. */
void out_duration(struct out *o, uint64_t ns);
/* 18.2 MiB */
void out_size(struct out *o, uint64_t bytes);

/* What is not printable, not UTF-8, or a backslash, becomes \x1b. */
void out_name(struct out *o, const char *bytes, size_t size);
/* The same, and blanks too: one word, so that columns stay columns. "" becomes "-". */
void out_word(struct out *o, const char *bytes, size_t size);
/* How many columns of a terminal the character at @at takes, and how many bytes it has, in what the two above have made. */
unsigned out_width(const char *at, size_t *ret_bytes);
/* How many columns out_name() takes for it; @scratch has then what that makes of its first 4096 bytes. */
unsigned out_columns(struct out *scratch, const char *bytes, size_t size);
/* The same into @columns at most; what is cut ends with "…", or "~". Returns the columns it took. */
unsigned out_cut(struct out *o, struct out *scratch, const char *bytes, size_t size,
		 unsigned columns, bool is_ascii);
/* A string of JSON with its quotes; what is not UTF-8 becomes U+FFFD. */
void out_json(struct out *o, const char *bytes, size_t size);
/* A field of RFC 4180, with quotes when it needs them. */
void out_csv(struct out *o, const char *bytes, size_t size);

/* Colours, where there are any. */
enum out_colour { OUT_PLAIN, OUT_BOLD, OUT_DIM, OUT_RED, OUT_GREEN, OUT_YELLOW, OUT_BLUE };
void out_colour(struct out *o, enum out_colour colour);
