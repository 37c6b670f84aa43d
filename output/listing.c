#include "output/listing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"

#define BUFFER_BYTES (64 << 10)
#define STACKS_MAX \
	((uint64_t)256 << 20) /* bytes of text, after which threads go without their stacks */

/* Text on its way to a file. The first error is kept; what comes after it goes nowhere. */
struct text {
	int fd, error;
	uint64_t bytes_n; /* all, also those that are written already */
	size_t n;
	char bytes[BUFFER_BYTES];
};

static struct text *text_create(int fd)
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

static int text_end(struct text *t)
{
	int r;

	flush(t);
	r = t->error;
	free(t);
	return r;
}

static void put_char(struct text *t, char c)
{
	if (t->n == BUFFER_BYTES)
		flush(t);
	t->bytes[t->n++] = c;
	t->bytes_n++;
}

static void put(struct text *t, const char *text)
{
	while (*text != '\0')
		put_char(t, *text++);
}

static void put_number(struct text *t, uint64_t n, unsigned base)
{
	char digits[20];
	unsigned count = 0;

	do
		digits[count++] = "0123456789abcdef"[n % base];
	while ((n /= base) != 0);
	while (count > 0)
		put_char(t, digits[--count]);
}

static void put_value(struct text *t, int64_t value)
{
	if (value < 0)
		put_char(t, '-');
	put_number(t, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10);
}

static void put_hex(struct text *t, uint64_t n)
{
	put(t, "0x");
	put_number(t, n, 16);
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
static void put_name(struct text *t, const char *name)
{
	const unsigned char *at = (const unsigned char *)name;

	while (*at != '\0') {
		unsigned size, control = control_at(at, &size);

		put_char(t, control != 0 ? '?' : (char)*at);
		at += control != 0 ? size : 1;
	}
}

/* As Go's %q. */
static void put_quoted(struct text *t, const char *text)
{
	static const char letters[] = "abtnvfr"; /* from 7 on */
	const unsigned char *at = (const unsigned char *)text;
	unsigned size;

	put_char(t, '"');
	for (; *at != '\0'; at += size) {
		unsigned control = control_at(at, &size);

		if (control == 0) {
			if (*at == '"' || *at == '\\')
				put_char(t, '\\');
			put_char(t, (char)*at);
		} else if (control >= 7 && control < 7 + sizeof(letters) - 1) {
			put_char(t, '\\');
			put_char(t, letters[control - 7]);
		} else {
			put(t, size == 1 ? "\\x" : "\\u00");
			put_char(t, "0123456789abcdef"[control >> 4]);
			put_char(t, "0123456789abcdef"[control & 15]);
		}
	}
	put_char(t, '"');
}

static void put_labels(struct text *t, const struct profile_sample *sample)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < sample->labels_n; i++) {
		const struct profile_label *label = &sample->labels[i];

		if (label->str == NULL)
			continue;
		put(t, n++ == 0 ? "# labels: {" : ", ");
		put_quoted(t, label->key);
		put_char(t, ':');
		put_quoted(t, label->str);
	}
	if (n > 0)
		put(t, "}\n");
}

/* The mapping's file, or NULL when the place is in none that has a path. */
static const char *file_of(const struct profile *p, const struct profile_location *l)
{
	const char *file = l->mapping != PROFILE_NONE ? p->mappings[l->mapping].file : "";

	return file[0] != '\0' && strncmp(file, "//", 2) != 0 ? file : NULL;
}

/* file:line, or what else is known of where it is. */
static void put_source(struct text *t, const struct profile *p, const struct profile_location *l,
		       const struct profile_line *line)
{
	const char *file = p->functions[line->function].file;

	if (file[0] != '\0') {
		put_name(t, file);
		put_char(t, ':');
		put_value(t, line->line);
	} else if (file_of(p, l) != NULL) {
		put_name(t, file_of(p, l));
	}
}

/* debug=1 */

static void put_frame(struct text *t, const struct profile *p, uint32_t location)
{
	const struct profile_location *l = &p->locations[location];
	uint64_t base = profile_base(p, location);

	if (l->lines_n == 0) {
		put(t, "#\t");
		put_hex(t, l->address);
		put_char(t, '\n');
	}
	for (uint32_t i = 0; i < l->lines_n; i++) {
		const struct profile_line *line = &l->lines[i];

		put(t, "#\t");
		put_hex(t, l->address);
		put_char(t, '\t');
		put_name(t, p->functions[line->function].name);
		if (base != 0 && base <= l->address) {
			put_char(t, '+');
			put_hex(t, l->address - base);
		}
		if (p->functions[line->function].file[0] != '\0' || file_of(p, l) != NULL)
			put_char(t, '\t');
		put_source(t, p, l, line);
		put_char(t, '\n');
	}
}

static void put_stack(struct text *t, const struct profile *p, const struct profile_sample *sample)
{
	for (uint32_t i = 0; i < p->sample_types_n; i++) {
		put_value(t, sample->values[i]);
		put_char(t, ' ');
	}
	put_char(t, '@');
	for (uint32_t i = 0; i < sample->locations_n; i++) {
		put_char(t, ' ');
		put_hex(t, p->locations[sample->locations[i]].address + 1);
	}
	put_char(t, '\n');
	put_labels(t, sample);
	for (uint32_t i = 0; i < sample->locations_n; i++)
		put_frame(t, p, sample->locations[i]);
	put_char(t, '\n');
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

/* The largest first, then by the text behind their values. */
static int compare_samples(const void *left, const void *right, void *user)
{
	const struct profile *p = user;
	const struct profile_sample *a = &p->samples[*(const uint32_t *)left];
	const struct profile_sample *b = &p->samples[*(const uint32_t *)right];
	int r = 0;

	if (a->values[0] != b->values[0])
		return a->values[0] > b->values[0] ? -1 : 1;
	for (uint32_t i = 0; r == 0 && i < a->locations_n && i < b->locations_n; i++)
		r = compare_as_text(p->locations[a->locations[i]].address + 1,
				    p->locations[b->locations[i]].address + 1);
	if (r == 0)
		r = (a->locations_n > b->locations_n) - (a->locations_n < b->locations_n);
	if (r == 0)
		r = compare_labels(a, b);
	return r != 0 ? r : (a > b) - (a < b);
}

static void put_totals(struct text *t, const struct profile *p, const char *name)
{
	put_name(t, name);
	put(t, " profile: total");
	for (uint32_t c = 0; c < p->sample_types_n; c++) {
		uint64_t sum = 0;

		for (uint32_t i = 0; i < p->samples_n; i++)
			sum += (uint64_t)p->samples[i].values[c];
		put_char(t, ' ');
		put_value(t, (int64_t)sum);
	}
	put_char(t, '\n');
	if (p->sample_types_n < 2)
		return;
	/* numbers that are no mere counts need a name; Go has no such text, and pprof does not read it */
	put_char(t, '#');
	for (uint32_t c = 0; c < p->sample_types_n; c++) {
		put_char(t, ' ');
		put_name(t, p->sample_types[c].type);
		put_char(t, '/');
		put_name(t, p->sample_types[c].unit);
	}
	put_char(t, '\n');
}

int listing_stacks(const struct profile *p, const char *name, int fd)
{
	uint32_t *order = calloc((size_t)p->samples_n + 1, sizeof(*order));
	struct text *t = text_create(fd);

	if (t == NULL || order == NULL) {
		free(t);
		free(order);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < p->samples_n; i++)
		order[i] = i;
	if (p->samples_n > 0 && p->sample_types_n > 0)
		qsort_r(order, p->samples_n, sizeof(*order), compare_samples, (void *)p);
	put_totals(t, p, name);
	for (uint32_t i = 0; i < p->samples_n && t->error == 0; i++)
		put_stack(t, p, &p->samples[order[i]]);
	free(order);
	return text_end(t);
}

/* debug=2 */

/* Three digits and a unit; from a minute on as Go has it. */
static void put_time(struct text *t, uint64_t ns)
{
	static const struct {
		uint64_t ns;
		const char *name;
	} units[] = {{NS_PER_SECOND, "s"}, {1000000, "ms"}, {1000, "us"}, {1, "ns"}};
	unsigned i = 0;
	uint64_t rest;

	if (ns >= 60 * NS_PER_SECOND) {
		put_number(t, ns / (60 * NS_PER_SECOND), 10);
		put(t, " minutes");
		return;
	}
	while (ns < units[i].ns && units[i].ns > 1)
		i++;
	rest = ns % units[i].ns * 100 / units[i].ns;
	put_number(t, ns / units[i].ns, 10);
	if (ns < 100 * units[i].ns && units[i].ns > 1) {
		put_char(t, '.');
		put_char(t, (char)('0' + rest / 10));
		if (ns < 10 * units[i].ns)
			put_char(t, (char)('0' + rest % 10));
	}
	put(t, units[i].name);
}

static void put_head(struct text *t, const struct reading_thread *thread, const char *state)
{
	put(t, "thread ");
	if (thread->tid != 0)
		put_value(t, thread->tid);
	else
		put_char(t, '?');
	put(t, " [");
	put(t, state);
	if (thread->channel[0] != '\0') {
		put(t, ", ");
		put_name(t, thread->channel);
	}
	if (thread->for_ns != 0) {
		put(t, ", ");
		put_time(t, thread->for_ns);
	}
	put(t, "] ");
	put_quoted(t, thread->name);
	put(t, ":\n");
}

static void put_place(struct text *t, const struct profile *p, uint32_t location)
{
	const struct profile_location *l = &p->locations[location];
	uint64_t base = profile_base(p, location);

	if (l->lines_n == 0) {
		put_hex(t, l->address);
		if (file_of(p, l) != NULL) {
			put(t, "\n\t");
			put_name(t, file_of(p, l));
			if (base <= l->address) {
				put(t, " +");
				put_hex(t, l->address - base);
			}
		}
		put_char(t, '\n');
	}
	for (uint32_t i = 0; i < l->lines_n; i++) {
		const struct profile_line *line = &l->lines[i];

		put_name(t, p->functions[line->function].name);
		put(t, l->address != 0 ? "(...)\n" : "\n"); /* without an address: no function */
		if (p->functions[line->function].file[0] == '\0' && file_of(p, l) == NULL)
			continue;
		put_char(t, '\t');
		put_source(t, p, l, line);
		if (base != 0 && base <= l->address) {
			put(t, " +");
			put_hex(t, l->address - base);
		}
		put_char(t, '\n');
	}
}

int listing_threads(const struct profile *p, const struct reading_thread *threads, int fd)
{
	struct text *t = text_create(fd);

	if (t == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->samples_n && t->error == 0; i++) {
		const struct profile_sample *sample = &p->samples[i];
		char buffer[WAIT_NAME_SIZE];
		const char *state = wait_name(threads[i].state, buffer);

		if (i > 0)
			put_char(t, '\n');
		put_head(t, &threads[i], state);
		if (t->bytes_n > STACKS_MAX) {
			put(t, "\t(no stacks from here on: the text is long enough)\n");
			continue;
		}
		put_labels(t, sample);
		for (uint32_t j = 0; j < sample->locations_n; j++)
			put_place(t, p, sample->locations[j]);
	}
	return text_end(t);
}
