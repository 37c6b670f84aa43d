#include "output/listing_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output/allocator.h"

struct text *text_create(int fd)
{
	struct text *t = malloc(sizeof(*t));

	if (t != NULL) {
		t->fd = fd;
		t->error = 0;
		t->n = t->bytes_n = 0;
	}
	return t;
}

static void flush(struct text *t)
{
	size_t at = 0;

	while (t->error == 0 && at < t->n) {
		ssize_t n = write(t->fd, t->bytes + at, t->n - at);

		if (n < 0 && errno != EINTR)
			t->error = -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	t->n = 0;
}

int text_end(struct text *t)
{
	int r;

	flush(t);
	r = t->error;
	free(t);
	return r;
}

void text_put_char(struct text *t, char c)
{
	if (t->n == sizeof(t->bytes))
		flush(t);
	t->bytes[t->n++] = c;
	t->bytes_n++;
}

void text_put(struct text *t, const char *text)
{
	while (*text != '\0')
		text_put_char(t, *text++);
}

void text_put_number(struct text *t, uint64_t n, unsigned base)
{
	char digits[20];
	unsigned count = 0;

	do
		digits[count++] = "0123456789abcdef"[n % base];
	while ((n /= base) != 0);
	while (count > 0)
		text_put_char(t, digits[--count]);
}

void text_put_value(struct text *t, int64_t value)
{
	if (value < 0)
		text_put_char(t, '-');
	text_put_number(t, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10);
}

void text_put_hex(struct text *t, uint64_t n)
{
	text_put(t, "0x");
	text_put_number(t, n, 16);
}

/* The control character at @at, C0 or C1; 0: another one. Names come from files and threads: anything may be in them. */
static unsigned control_at(const unsigned char *at, unsigned *ret_size)
{
	*ret_size = 1;
	if (at[0] < ' ' || at[0] == 0x7f)
		return at[0];
	if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f) {
		*ret_size = 2;
		return at[1];
	}
	return 0;
}

/* A name, on its line whatever is in it. */
void text_put_name(struct text *t, const char *name)
{
	const unsigned char *at = (const unsigned char *)name;

	while (*at != '\0') {
		unsigned size, control = control_at(at, &size);

		text_put_char(t, control != 0 ? '?' : (char)*at);
		at += control != 0 ? size : 1;
	}
}

/* As Go's %q. */
void text_put_quoted(struct text *t, const char *text)
{
	static const char letters[] = "abtnvfr"; /* from 7 on */
	const unsigned char *at = (const unsigned char *)text;
	unsigned size;

	text_put_char(t, '"');
	for (; *at != '\0'; at += size) {
		unsigned control = control_at(at, &size);

		if (control == 0) {
			if (*at == '"' || *at == '\\')
				text_put_char(t, '\\');
			text_put_char(t, (char)*at);
		} else if (control >= 7 && control < 7 + sizeof(letters) - 1) {
			text_put_char(t, '\\');
			text_put_char(t, letters[control - 7]);
		} else {
			text_put(t, size == 1 ? "\\x" : "\\u00");
			text_put_char(t, "0123456789abcdef"[control >> 4]);
			text_put_char(t, "0123456789abcdef"[control & 15]);
		}
	}
	text_put_char(t, '"');
}

void text_put_labels(struct text *t, const struct profile_sample *sample)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < sample->labels_n; i++) {
		const struct profile_label *label = &sample->labels[i];

		if (label->str == NULL)
			continue;
		text_put(t, n++ == 0 ? "# labels: {" : ", ");
		text_put_quoted(t, label->key);
		text_put_char(t, ':');
		text_put_quoted(t, label->str);
	}
	if (n > 0)
		text_put(t, "}\n");
}

/* The mapping's file, or NULL when the place is in none that has a path. */
const char *text_file_of(const struct profile *p, const struct profile_location *l)
{
	const char *file = l->mapping != PROFILE_NONE ? p->mappings[l->mapping].file : "";

	return file[0] != '\0' && strncmp(file, "//", 2) != 0 ? file : NULL;
}

/* file:line, or what else is known of where it is. */
void text_put_source(struct text *t, const struct profile *p, const struct profile_location *l,
		     const struct profile_line *line)
{
	const char *file = p->functions[line->function].file;

	if (file[0] != '\0') {
		text_put_name(t, file);
		text_put_char(t, ':');
		text_put_value(t, line->line);
	} else if (text_file_of(p, l) != NULL) {
		text_put_name(t, text_file_of(p, l));
	}
}

/* Stacks */

static void text_put_frame(struct text *t, const struct profile *p, uint32_t location)
{
	const struct profile_location *l = &p->locations[location];
	uint64_t base = profile_base(p, location);

	if (l->lines_n == 0) {
		text_put(t, "#\t");
		text_put_hex(t, l->address);
		text_put_char(t, '\n');
	}
	for (uint32_t i = 0; i < l->lines_n; i++) {
		const struct profile_line *line = &l->lines[i];

		text_put(t, "#\t");
		text_put_hex(t, l->address);
		text_put_char(t, '\t');
		text_put_name(t, p->functions[line->function].name);
		if (base != 0 && base <= l->address) {
			text_put_char(t, '+');
			text_put_hex(t, l->address - base);
		}
		if (p->functions[line->function].file[0] != '\0' || text_file_of(p, l) != NULL)
			text_put_char(t, '\t');
		text_put_source(t, p, l, line);
		text_put_char(t, '\n');
	}
}

/* Code of the allocator, on the way to which are those who ask. */
static bool is_allocator(const struct profile *p, uint32_t location)
{
	const struct profile_location *l = &p->locations[location];

	return l->lines_n > 0 &&
	       allocator_has(p->functions[l->lines[l->lines_n - 1].function].system_name);
}

void text_put_stack(struct text *t, const struct profile *p, const struct profile_sample *sample,
		    bool hides_allocators)
{
	uint32_t first = 0;

	text_put_char(t, '@');
	for (uint32_t i = 0; i < sample->locations_n; i++) {
		text_put_char(t, ' ');
		text_put_hex(t, p->locations[sample->locations[i]].address + 1);
	}
	text_put_char(t, '\n');
	text_put_labels(t, sample);
	while (hides_allocators && first < sample->locations_n &&
	       is_allocator(p, sample->locations[first]))
		first++;
	if (first == sample->locations_n)
		first = 0;
	for (uint32_t i = first; i < sample->locations_n; i++)
		text_put_frame(t, p, sample->locations[i]);
	text_put_char(t, '\n');
}

/* As their hexadecimal digits compare, without writing them: in front of the first one that differs, longer is later. */
static int compare_as_text(uint64_t a, uint64_t b)
{
	unsigned a_shift = (unsigned)__builtin_clzll(a | 1) & ~3u;
	unsigned b_shift = (unsigned)__builtin_clzll(b | 1) & ~3u;

	if (a << a_shift != b << b_shift)
		return a << a_shift < b << b_shift ? -1 : 1;
	return (a_shift < b_shift) - (a_shift > b_shift);
}

static int compare_labels(const struct profile_sample *a, const struct profile_sample *b)
{
	for (uint32_t i = 0; i < a->labels_n && i < b->labels_n; i++) {
		int r = strcmp(a->labels[i].key, b->labels[i].key);

		if (r == 0 && a->labels[i].str != NULL && b->labels[i].str != NULL)
			r = strcmp(a->labels[i].str, b->labels[i].str);
		if (r != 0)
			return r;
	}
	return (a->labels_n > b->labels_n) - (a->labels_n < b->labels_n);
}

int text_compare_stacks(const struct profile *p, const struct profile_sample *a,
			const struct profile_sample *b)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < a->locations_n && i < b->locations_n; i++)
		r = compare_as_text(p->locations[a->locations[i]].address + 1,
				    p->locations[b->locations[i]].address + 1);
	if (r == 0)
		r = (a->locations_n > b->locations_n) - (a->locations_n < b->locations_n);
	if (r == 0)
		r = compare_labels(a, b);
	return r != 0 ? r : (a > b) - (a < b);
}
