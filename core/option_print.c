#include "core/option.h"

#include <errno.h>
#include <string.h>

#include "core/option_text.h"

struct unit {
	const char *name;
	uint64_t factor;
};

/* clang-format off */

/* Largest first. In ring= a plain "m" could be a minute or a mebibyte. */
static const struct unit size_print[] = {{"g", 1 << 30}, {"m", 1 << 20}, {"k", 1 << 10}, {"", 1}};
static const struct unit ring_print[] = {
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"b", 1},
};
static const struct unit duration_print[] = {
	{"h", 3600000000000}, {"min", 60000000000}, {"s", 1000000000},
	{"ms", 1000000}, {"us", 1000}, {"ns", 1},
};
static const struct unit plain_print[] = {{"", 1}};
/* clang-format on */

/* @units ends with a factor of 1. */
static void add_quantity(struct text *t, uint64_t n, const struct unit *units)
{
	while (n % units->factor != 0 || (n == 0 && units->factor != 1))
		units++;
	add_number(t, n / units->factor, 1);
	add_text(t, units->name);
}

static const struct unit *units_to_print(enum option_kind kind)
{
	if (kind == OPTION_KIND_SIZE)
		return size_print;
	if (kind == OPTION_KIND_DURATION || kind == OPTION_KIND_WAIT || kind == OPTION_KIND_TRIGGER)
		return duration_print;
	return plain_print;
}

static void add_choices(struct text *t, const char *const *choices)
{
	for (; *choices != NULL; choices++) {
		add_text(t, *choices);
		if (choices[1] != NULL)
			add_text(t, ", ");
	}
}

int option_range(const struct option_word *word, char *buf, size_t size)
{
	struct text t = {.at = buf, .size = size};

	switch (word->kind) {
	case OPTION_KIND_RATE:
	case OPTION_KIND_COUNT:
	case OPTION_KIND_SIZE:
	case OPTION_KIND_DURATION:
	case OPTION_KIND_WAIT:
	case OPTION_KIND_TRIGGER:
		add_quantity(&t, word->min, units_to_print(word->kind));
		add_text(&t, " to ");
		add_quantity(&t, word->max, units_to_print(word->kind));
		add_text(&t, word->measure);
		break;
	case OPTION_KIND_CHOICE:
		add_choices(&t, word->choices);
		break;
	case OPTION_KIND_RING:
		add_quantity(&t, OPTION_RING_MIN_NS, duration_print);
		add_text(&t, " to ");
		add_quantity(&t, OPTION_RING_MAX_NS, duration_print);
		add_text(&t, ", or ");
		add_quantity(&t, OPTION_RING_MIN_BYTES, ring_print);
		add_text(&t, " to ");
		add_quantity(&t, OPTION_RING_MAX_BYTES, ring_print);
		break;
	case OPTION_KIND_NONE:
	case OPTION_KIND_PATTERN:
	case OPTION_KIND_LISTEN:
		break;
	}
	return finish_text(&t);
}

static void add_escaped(struct text *t, const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s == ',' || *s == '\\')
			add_char(t, '\\');
		add_char(t, *s);
	}
}

static void add_value(struct text *t, const struct option_word *word, const struct option_set *set)
{
	const void *field = (const char *)set + word->offset;

	add_char(t, '=');
	switch (word->kind) {
	case OPTION_KIND_NONE:
		break;
	case OPTION_KIND_RATE:
	case OPTION_KIND_COUNT:
	case OPTION_KIND_SIZE:
	case OPTION_KIND_DURATION:
		add_quantity(t, *(const uint64_t *)field, units_to_print(word->kind));
		break;
	case OPTION_KIND_WAIT:
		if (set->block_rate_ns != 0)
			add_text(t, "rate:");
		add_quantity(t, set->block_rate_ns != 0 ? set->block_rate_ns : set->block_ns,
			     duration_print);
		break;
	case OPTION_KIND_CHOICE:
		add_text(t, word->choices[*(const uint64_t *)field]);
		break;
	case OPTION_KIND_RING:
		if (set->ring_ns != 0)
			add_quantity(t, set->ring_ns, duration_print);
		else
			add_quantity(t, set->ring_bytes, ring_print);
		break;
	case OPTION_KIND_PATTERN:
	case OPTION_KIND_LISTEN:
		add_escaped(t, field);
		break;
	case OPTION_KIND_TRIGGER:
		add_escaped(t, set->trace_on);
		add_char(t, '>');
		add_quantity(t, set->trace_on_ns, duration_print);
		break;
	}
}

/* Does a profile have a value of its own, other than the default? */
static bool has_value(const struct option_word *word, const struct option_set *set,
		      const struct option_set *standard)
{
	size_t at = word->offset;

	if (word->kind == OPTION_KIND_WAIT && set->block_rate_ns != 0)
		return true;
	return word->kind != OPTION_KIND_NONE &&
	       memcmp((const char *)set + at, (const char *)standard + at, sizeof(uint64_t)) != 0;
}

int option_print(const struct option_set *set, char *buf, size_t size)
{
	struct text t = {.at = buf, .size = size};
	const struct option_word *w;
	struct option_set standard;

	option_defaults(&standard);
	for (w = option_words; w->name != NULL; w++) {
		uint64_t bit = 1ull << (w - option_words);

		if (w == &option_words[OPTION_ID_ALL] ||
		    ((option_is_setting(w) ? set->given : set->profiles) & bit) == 0)
			continue;
		add_text(&t, t.n > 0 ? "," : "");
		add_text(&t, w->name);
		if (option_is_setting(w) || has_value(w, set, &standard))
			add_value(&t, w, set);
	}
	return finish_text(&t);
}
