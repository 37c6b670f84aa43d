#include "http/query.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "core/hex.h"

/* Up to @n bytes of @text; @plus: what a "+" stands for. Returns its length, all of it counted, or -1. */
static long decode(const char *text, size_t n, char plus, char *ret, size_t size)
{
	size_t length = 0;

	for (size_t i = 0; i < n; i++, length++) {
		char c = text[i] == '+' ? plus : text[i];

		if (text[i] == '%') {
			int high = i + 2 < n ? hex_digit(text[i + 1]) : -1;
			int low = i + 2 < n ? hex_digit(text[i + 2]) : -1;

			if (high < 0 || low < 0)
				return -1;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (length + 1 < size)
			ret[length] =
				c != '\0' ? c : '\1'; /* as good as any other that means nothing */
	}
	ret[length < size ? length : size - 1] = '\0';
	return (long)length;
}

int query_path(const char *uri, char *ret, size_t size)
{
	long n = decode(uri, strcspn(uri, "?"), '+', ret, size);

	return n < 0 || (size_t)n >= size ? -1 : (int)n;
}

bool query_get(const char *query, const char *name, char *ret, size_t size)
{
	char key[64];
	size_t n;

	for (const char *at = query; at != NULL; at = at[n] == '&' ? at + n + 1 : NULL) {
		const char *equals;
		size_t key_n;

		n = strcspn(at, "&");
		if (memchr(at, ';', n) != NULL)
			continue;
		equals = memchr(at, '=', n);
		key_n = equals != NULL ? (size_t)(equals - at) : n;
		if (decode(at, key_n, ' ', key, sizeof(key)) != (long)strlen(name) ||
		    strcmp(key, name) != 0)
			continue;
		if (equals == NULL) {
			ret[0] = '\0';
			return true;
		}
		if (decode(equals + 1, n - key_n - 1, ' ', ret, size) >= 0)
			return true;
	}
	ret[0] = '\0';
	return false;
}

int query_int(const char *text, int64_t *ret)
{
	bool is_negative = text[0] == '-';
	const char *at = text + (text[0] == '-' || text[0] == '+');
	uint64_t bound = (uint64_t)INT64_MAX + is_negative, n = 0;
	int r = 0;

	*ret = 0;
	if (*at == '\0')
		return -EINVAL;
	for (; *at != '\0'; at++) {
		if (*at < '0' || *at > '9')
			return -EINVAL;
		if (n > (bound - (uint64_t)(*at - '0')) / 10)
			r = -ERANGE;
		n = r == 0 ? n * 10 + (uint64_t)(*at - '0') : bound;
	}
	*ret = (int64_t)(is_negative ? 0 - n : n);
	return r;
}

int query_float(const char *text, double *ret)
{
	static locale_t plain;
	char *end;
	/* no blanks before it, no words but those that Go has */
	const char *allowed = "0123456789+-.eExXpPaAbBcCdDfFiInNtTyY";
	double n;

	*ret = 0;
	if (text[0] == '\0' || text[strspn(text, allowed)] != '\0')
		return -EINVAL;
	if (plain == NULL)
		plain = newlocale(LC_ALL_MASK, "C", NULL);
	n = plain != NULL ? strtod_l(text, &end, plain) : strtod(text, &end);
	if (*end != '\0')
		return -EINVAL;
	*ret = n;
	return 0;
}

uint64_t query_address(const char *text, size_t size)
{
	unsigned base = 10;
	uint64_t n = 0;
	size_t i = 0;

	if (size > 1 && text[0] == '0') {
		char c = text[1] | 0x20;

		base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
		i = c == 'x' || c == 'b' || c == 'o' ? 2 : 1;
	}
	if (i == size)
		return 0;
	for (; i < size; i++) {
		int digit = hex_digit(text[i]);

		if (text[i] == '_' && i > 0 && base != 10)
			continue;
		if (digit < 0 || (unsigned)digit >= base ||
		    n > (UINT64_MAX - (unsigned)digit) / base)
			return 0;
		n = n * base + (unsigned)digit;
	}
	return n;
}
