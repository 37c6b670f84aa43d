#include "output/out.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void out_init(struct out *o, int fd, bool has_colour)
{
	o->fd = fd;
	o->sink = NULL;
	o->context = NULL;
	o->error = 0;
	o->has_colour = has_colour;
	o->n = 0;
}

void out_init_sink(struct out *o, int (*sink)(void *context, const void *bytes, size_t size),
		   void *context)
{
	out_init(o, -1, false);
	o->sink = sink;
	o->context = context;
}

int out_flush(struct out *o)
{
	const char *at = o->buffer;

	if (o->sink != NULL && o->n > 0 && o->error == 0) {
		o->error = o->sink(o->context, o->buffer, o->n);
		o->n = 0;
	}
	while (o->n > 0 && o->error == 0) {
		ssize_t n = write(o->fd, at, o->n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			o->error = -errno;
			break;
		}
		at += n;
		o->n -= (size_t)n;
	}
	o->n = 0;
	return o->error;
}

/* Room for @n bytes, which are few. */
static char *room(struct out *o, size_t n)
{
	if (o->n + n > sizeof(o->buffer))
		out_flush(o);
	return o->buffer + o->n;
}

void out_pieces(struct out *o, const char *bytes, size_t size)
{
	while (size > 0) {
		char *to = room(o, 1);
		size_t n = sizeof(o->buffer) - o->n;

		n = n < size ? n : size;
		memcpy(to, bytes, n);
		o->n += n;
		bytes += n;
		size -= n;
	}
}

void out_text(struct out *o, const char *text)
{
	out_bytes(o, text, strlen(text));
}

void out_char(struct out *o, char c)
{
	*room(o, 1) = c;
	o->n++;
}

void out_format(struct out *o, const char *format, ...)
{
	char text[1024];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n > 0)
		out_bytes(o, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

void out_u64(struct out *o, uint64_t value)
{
	char digits[20];
	size_t n = sizeof(digits);

	do {
		digits[--n] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	out_bytes(o, digits + n, sizeof(digits) - n);
}

void out_s64(struct out *o, int64_t value)
{
	if (value < 0)
		out_char(o, '-');
	out_u64(o, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void out_hex(struct out *o, uint64_t value)
{
	char digits[18];
	size_t n = sizeof(digits);

	do {
		digits[--n] = "0123456789abcdef"[value & 15];
		value >>= 4;
	} while (value > 0);
	digits[--n] = 'x';
	digits[--n] = '0';
	out_bytes(o, digits + n, sizeof(digits) - n);
}

void out_grouped(struct out *o, uint64_t value)
{
	char text[32];
	size_t n = sizeof(text);
	unsigned digits = 0;

	do {
		if (digits > 0 && digits % 3 == 0)
			text[--n] = ',';
		text[--n] = (char)('0' + value % 10);
		value /= 10;
		digits++;
	} while (value > 0);
	out_bytes(o, text + n, sizeof(text) - n);
}

void out_seconds(struct out *o, uint64_t ns)
{
	char digits[10];
	uint64_t rest = ns % 1000000000;

	out_u64(o, ns / 1000000000);
	for (unsigned i = 9; i > 0; i--) {
		digits[i] = (char)('0' + rest % 10);
		rest /= 10;
	}
	digits[0] = '.';
	out_bytes(o, digits, sizeof(digits));
}

/* @value of a unit that is @scale of the smallest, with three digits, but all before the point. */
static void three_digits(struct out *o, uint64_t value, uint64_t scale)
{
	unsigned digits = value < scale * 9995 / 1000 ? 2 : value < scale * 9995 / 100 ? 1 : 0;
	uint64_t power = digits == 2   ? 100
			 : digits == 1 ? 10
				       : 1,
		 number = (value * power + scale / 2) / scale;

	out_u64(o, number / power);
	if (digits == 0)
		return;
	out_char(o, '.');
	if (digits == 2)
		out_char(o, (char)('0' + number / 10 % 10));
	out_char(o, (char)('0' + number % 10));
}

void out_duration(struct out *o, uint64_t ns)
{
	if (ns < 1000) {
		out_u64(o, ns);
		out_text(o, "ns");
	} else if (ns < 999500) {
		three_digits(o, ns, 1000);
		out_text(o, "us");
	} else if (ns < 999500000) {
		three_digits(o, ns, 1000000);
		out_text(o, "ms");
	} else {
		three_digits(o, ns, 1000000000);
		out_text(o, "s");
	}
}

void out_size(struct out *o, uint64_t bytes)
{
	static const char *const units[] = {" KiB", " MiB", " GiB", " TiB"};
	uint64_t scale = 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		out_u64(o, bytes);
		out_text(o, " bytes");
		return;
	}
	while (unit < 3 && bytes / scale >= 1000) {
		scale *= 1024;
		unit++;
	}
	three_digits(o, bytes, scale);
	out_text(o, units[unit]);
}

/* How many bytes the UTF-8 character at @at has; 0 when it is none, or steers a terminal. */
static size_t character(const unsigned char *at, size_t left)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = at[0] < 0x80 ? 1 : at[0] < 0xc0 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	uint32_t code;

	if (n == 1)
		return at[0] >= 0x20 && at[0] != 0x7f;
	if (n == 0 || n > left || at[0] > 0xf4)
		return 0;
	code = at[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (at[i] & 0x3f);
	}
	if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) || code < 0xa0)
		return 0;
	/* marks that turn the direction of what follows */
	if ((code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069))
		return 0;
	return n;
}

static void escaped(struct out *o, const char *bytes, size_t size, bool is_word)
{
	const unsigned char *at = (const unsigned char *)bytes, *end = at + size, *plain = at;

	while (at < end) {
		size_t n = character(at, (size_t)(end - at));

		if (n > 0 && *at != '\\' && !(is_word && *at == ' ')) {
			at += n;
			continue;
		}
		out_bytes(o, (const char *)plain, (size_t)(at - plain));
		out_text(o, "\\x");
		out_char(o, "0123456789abcdef"[*at >> 4]);
		out_char(o, "0123456789abcdef"[*at & 15]);
		plain = ++at;
	}
	out_bytes(o, (const char *)plain, (size_t)(at - plain));
}

void out_name(struct out *o, const char *bytes, size_t size)
{
	escaped(o, bytes, size, false);
}

void out_word(struct out *o, const char *bytes, size_t size)
{
	if (size == 0)
		out_char(o, '-');
	escaped(o, bytes, size, true);
}

unsigned out_width(const char *at, size_t *ret_bytes)
{
	/* what is wide everywhere, and marks that are drawn over what is before them */
	static const struct {
		uint32_t first, last;
		unsigned width;
	} others[] = {{0x300, 0x36f, 0},   {0x1100, 0x115f, 2},   {0x200b, 0x200f, 0},
		      {0x20d0, 0x20ff, 0}, {0x2e80, 0xa4cf, 2},   {0xac00, 0xd7a3, 2},
		      {0xf900, 0xfaff, 2}, {0xfe00, 0xfe0f, 0},   {0xfe30, 0xfe6f, 2},
		      {0xff00, 0xff60, 2}, {0x1f300, 0x1f64f, 2}, {0x20000, 0x3fffd, 2}};
	const unsigned char *bytes = (const unsigned char *)at;
	unsigned more = bytes[0] < 0xc0 ? 0 : bytes[0] < 0xe0 ? 1 : bytes[0] < 0xf0 ? 2 : 3;
	uint32_t code = more == 0 ? bytes[0] : bytes[0] & (0x3fu >> more);

	for (unsigned i = 1; i <= more; i++)
		code = code << 6 | (bytes[i] & 0x3f);
	*ret_bytes = more + 1;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (code >= others[i].first && code <= others[i].last)
			return others[i].width;
	return 1;
}

void out_json(struct out *o, const char *bytes, size_t size)
{
	const unsigned char *at = (const unsigned char *)bytes, *end = at + size;

	out_char(o, '"');
	while (at < end) {
		size_t n = character(at, (size_t)(end - at));

		if (n == 0 && *at >= 0x80) {
			out_text(o, "\\ufffd");
			n = 1;
		} else if (n == 0) {
			out_format(o, "\\u%04x", *at);
			n = 1;
		} else {
			if (*at == '"' || *at == '\\')
				out_char(o, '\\');
			out_bytes(o, (const char *)at, n);
		}
		at += n;
	}
	out_char(o, '"');
}

void out_csv(struct out *o, const char *bytes, size_t size)
{
	size_t i;

	for (i = 0; i < size && strchr(",\"\r\n", bytes[i]) == NULL; i++)
		;
	if (i == size) {
		out_bytes(o, bytes, size);
		return;
	}
	out_char(o, '"');
	for (i = 0; i < size; i++) {
		if (bytes[i] == '"')
			out_char(o, '"');
		out_char(o, bytes[i]);
	}
	out_char(o, '"');
}

void out_colour(struct out *o, enum out_colour colour)
{
	static const char *const codes[] = {"\033[0m",  "\033[1m",  "\033[2m", "\033[31m",
					    "\033[32m", "\033[33m", "\033[34m"};

	if (o->has_colour)
		out_text(o, codes[colour]);
}
