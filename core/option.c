#include "core/option.h"

#include <errno.h>
#include <string.h>

#include "core/option_text.h"

#define MAX_DISTANCE 2  /* two slips of the finger; more is another word */
#define NEAR_MAX     24 /* no word is longer; nothing this long is near one */

struct unit {
	const char *name;
	uint64_t factor;
};

/* clang-format off */
static const struct unit size_units[] = {
	{"", 1}, {"b", 1},
	{"k", 1 << 10}, {"kib", 1 << 10}, {"kb", 1000},
	{"m", 1 << 20}, {"mib", 1 << 20}, {"mb", 1000000},
	{"g", 1 << 30}, {"gib", 1 << 30}, {"gb", 1000000000},
	{NULL, 0},
};

/* The first is for what may be written without one. */
static const struct unit rate_duration_units[] = {
	{"", 1}, {"ns", 1}, {"us", 1000},
	{"\xc2\xb5s", 1000}, {"\xce\xbcs", 1000}, /* both letters that look like a mu */
	{"ms", 1000000}, {"s", 1000000000},
	{"m", 60000000000}, {"min", 60000000000}, {"h", 3600000000000},
	{NULL, 0},
};

static const struct unit *const duration_units = rate_duration_units + 1;

static const struct unit rate_units[] = {{"", 1}, {"hz", 1}, {NULL, 0}};
static const struct unit count_units[] = {{"", 1}, {NULL, 0}};
/* clang-format on */

/*
 * How many letters to insert, drop, change or swap with their neighbour; more than NEAR_MAX for a
 * long @s.
 */
static unsigned edit_distance(struct slice s, const char *word)
{
	unsigned char rows[3][NEAR_MAX + 1];
	size_t n = strlen(word), i, j;

	if (s.n > NEAR_MAX || n > NEAR_MAX)
		return NEAR_MAX + 1;
	for (j = 0; j <= n; j++)
		rows[0][j] = (unsigned char)j;
	for (i = 1; i <= s.n; i++) {
		unsigned char *now = rows[i % 3], *last = rows[(i + 2) % 3],
			      *before = rows[(i + 1) % 3];

		now[0] = (unsigned char)i;
		for (j = 1; j <= n; j++) {
			char a = lower(s.at[i - 1]), b = word[j - 1];
			unsigned best = last[j - 1] + (a != b);

			if (last[j] + 1u < best)
				best = last[j] + 1u;
			if (now[j - 1] + 1u < best)
				best = now[j - 1] + 1u;
			if (i > 1 && j > 1 && a == word[j - 2] && lower(s.at[i - 2]) == b &&
			    before[j - 2] + 1u < best)
				best = before[j - 2] + 1u;
			now[j] = (unsigned char)best;
		}
	}
	return rows[s.n % 3][n];
}

static bool is_beginning(struct slice s, const char *word)
{
	size_t i;

	for (i = 0; i < s.n && word[i] != '\0' && lower(s.at[i]) == word[i]; i++)
		;
	return i == s.n;
}

/*
 * How far @s is from meaning @word; more than NEAR_MAX when it does not. Two slips in a word of
 * three letters leave nothing of it, three letters of the beginning are enough.
 */
static unsigned distance(struct slice s, const char *word)
{
	unsigned d = edit_distance(s, word);

	if (d <= MAX_DISTANCE && 2 * d < strlen(word))
		return d;
	return s.n >= 3 && is_beginning(s, word) ? MAX_DISTANCE : NEAR_MAX + 1;
}

static const struct option_word *find_word(struct slice name)
{
	const struct option_word *w;

	for (w = option_words; w->name != NULL; w++) {
		if (is_equal(name, w->name))
			return w;
	}
	return NULL;
}

static const char *nearest_word(struct slice name)
{
	const struct option_word *w;
	const char *best = NULL;
	unsigned best_distance = NEAR_MAX;

	for (w = option_words; w->name != NULL; w++) {
		if (distance(name, w->name) < best_distance) {
			best_distance = distance(name, w->name);
			best = w->name;
		}
	}
	return best;
}

static const char *nearest_choice(struct slice value, const char *const *choices)
{
	const char *best = NULL;
	unsigned best_distance = NEAR_MAX;

	for (; *choices != NULL; choices++) {
		if (distance(value, *choices) < best_distance) {
			best_distance = distance(value, *choices);
			best = *choices;
		}
	}
	return best;
}

static int refuse_word(struct slice item, struct slice name, struct why *why)
{
	const char *near = nearest_word(name);
	const struct option_word *w;
	struct text t;
	char all[160];

	if (near != NULL) {
		why_set(why, "unknown word \"%s\" in \"%s\"; did you mean \"%s\"?", show(name).text,
			show(item).text, near);
		return -EINVAL;
	}
	t = (struct text){.at = all, .size = sizeof(all)};
	for (w = option_words; w->name != NULL; w++) {
		add_char(&t, ' ');
		add_text(&t, w->name);
	}
	finish_text(&t);
	why_set(why, "unknown word \"%s\"; the words are%s", show(name).text, all);
	return -EINVAL;
}

static int refuse_missing(const struct option_word *word, unsigned available, struct why *why)
{
	const struct option_word *w;
	struct text t;
	char names[160];

	t = (struct text){.at = names, .size = sizeof(names)};
	for (w = option_words; w < &option_words[OPTION_ID_ALL]; w++) {
		if ((w->needs & available) == 0)
			continue;
		add_text(&t, t.n > 0 ? ", " : "");
		add_text(&t, w->name);
	}
	add_text(&t, t.n > 0 ? "" : "no profile");
	finish_text(&t);
	why_set(why, "%s: not in this version; available: %s", word->name, names);
	return -EINVAL;
}

/* The range of @word for an error; it fits. */
static struct shown show_range(const struct option_word *word)
{
	struct shown shown;

	option_range(word, shown.text, sizeof(shown.text));
	return shown;
}

/*
 * A number and its unit. Returns 0, -EINVAL (no number), -ENOENT (not one of @units) or -ERANGE
 * (not in 64 bits). A duration's units keep their case: 10m and 10M differ in ring=.
 */
static int parse_quantity(struct slice value, const struct unit *units, bool is_nocase,
			  uint64_t *ret)
{
	uint64_t n = 0;
	size_t i;
	bool is_big = false;

	for (i = 0; i < value.n && is_digit(value.at[i]); i++)
		is_big |= __builtin_mul_overflow(n, 10, &n) ||
			  __builtin_add_overflow(n, (uint64_t)(value.at[i] - '0'), &n);
	if (i == 0)
		return -EINVAL;
	cut(&value, i);
	for (; units->name != NULL; units++) {
		if (is_nocase ? is_equal_nocase(value, units->name) : is_equal(value, units->name))
			break;
	}
	if (units->name == NULL)
		return -ENOENT;
	if (is_big || __builtin_mul_overflow(n, units->factor, &n))
		return -ERANGE;
	*ret = n;
	return 0;
}

/* What a number's unit may be, and what to say of another one. */
struct unit_rule {
	const struct unit *units;
	bool is_nocase;
	const char *advice;
};

static struct unit_rule rule_of(enum option_kind kind)
{
	switch (kind) {
	case OPTION_KIND_RATE:
		return (struct unit_rule){rate_units, true, "write the number alone or with hz"};
	case OPTION_KIND_SIZE:
		return (struct unit_rule){size_units, true,
					  "write k, m or g after the number, or nothing for bytes"};
	case OPTION_KIND_DURATION:
	case OPTION_KIND_WAIT:
		return (struct unit_rule){duration_units, false,
					  "write ns, us, ms, s, m or h after the number"};
	default:
		return (struct unit_rule){count_units, false, "write the number alone"};
	}
}

/* A number of @word's; @prefix stands before it in the text, and @noun is what it is then. */
static int parse_number_after(const struct option_word *word, const char *prefix, const char *noun,
			      struct unit_rule rule, struct slice value, uint64_t *ret,
			      struct why *why)
{
	struct slice unit = value;
	uint64_t n = 0;
	int r;

	r = parse_quantity(value, rule.units, rule.is_nocase, &n);
	if (r == -EINVAL) {
		why_set(why, "%s=%s%s: the %s must be a whole number, %s, such as %s=%s%s",
			word->name, prefix, show(value).text, noun, show_range(word).text,
			word->name, prefix, word->standard);
	} else if (r == -ENOENT) {
		while (unit.n > 0 && is_digit(unit.at[0]))
			cut(&unit, 1);
		if (unit.n > 0)
			why_set(why, "%s=%s%s: unknown unit \"%s\"; %s, such as %s=%s%s",
				word->name, prefix, show(value).text, show(unit).text, rule.advice,
				word->name, prefix, word->standard);
		else
			why_set(why, "%s=%s: the unit is missing; %s, such as %s=%s", word->name,
				show(value).text, rule.advice, word->name, word->standard);
	} else if (r == -ERANGE || n < word->min || n > word->max) {
		why_set(why, "%s=%s%s: the %s must be %s, such as %s=%s%s", word->name, prefix,
			show(value).text, noun, show_range(word).text, word->name, prefix,
			word->standard);
		r = -ERANGE;
	}
	if (r < 0)
		return -EINVAL;
	*ret = n;
	return 0;
}

static int parse_number(const struct option_word *word, struct slice value, uint64_t *ret,
			struct why *why)
{
	return parse_number_after(word, "", word->noun, rule_of(word->kind), value, ret, why);
}

/* As SetBlockProfileRate() of Go has it, with the prefix: then a plain number is of nanoseconds. Without, a threshold. */
static int parse_wait(const struct option_word *word, struct slice value, struct option_set *set,
		      struct why *why)
{
	static const struct unit_rule rule = {
		rate_duration_units, false,
		"write ns, us, ms, s, m or h after the number, or nothing for nanoseconds"};
	static const char prefix[] = "rate:";
	size_t n = sizeof(prefix) - 1;

	if (value.n < n || memcmp(value.at, prefix, n) != 0)
		return parse_number(word, value, &set->block_ns, why);
	cut(&value, n);
	if (value.n == 0) {
		why_set(why, "%s=%s: a value is expected: %s=%sNS, such as %s=%s%s", word->name,
			prefix, word->name, prefix, word->name, prefix, word->standard);
		return -EINVAL;
	}
	return parse_number_after(word, prefix, "rate", rule, value, &set->block_rate_ns, why);
}

static int parse_choice(const struct option_word *word, struct slice value, uint64_t *ret,
			struct why *why)
{
	const char *near = nearest_choice(value, word->choices);
	uint64_t i;

	for (i = 0; word->choices[i] != NULL; i++) {
		if (is_equal(value, word->choices[i])) {
			*ret = i;
			return 0;
		}
	}
	if (near != NULL)
		why_set(why, "%s=%s: unknown %s; did you mean \"%s\"?", word->name,
			show(value).text, word->noun, near);
	else
		why_set(why, "%s=%s: the %s must be one of %s", word->name, show(value).text,
			word->noun, show_range(word).text);
	return -EINVAL;
}

static int parse_ring(const struct option_word *word, struct slice value, struct option_set *set,
		      struct why *why)
{
	uint64_t ns = 0, bytes = 0;
	bool is_time = parse_quantity(value, duration_units, false, &ns) == 0;
	bool is_size = parse_quantity(value, size_units, true, &bytes) == 0;

	if (is_time && is_size) {
		why_set(why, "%s=%s: minutes or mebibytes? write min or MiB", word->name,
			show(value).text);
		return -EINVAL;
	}
	/* A bare number has no unit to tell a time from a size. */
	if (is_size && is_digit(value.at[value.n - 1]))
		is_size = false;
	if (is_time && ns >= OPTION_RING_MIN_NS && ns <= OPTION_RING_MAX_NS) {
		set->ring_ns = ns;
		return 0;
	}
	if (is_size && bytes >= OPTION_RING_MIN_BYTES && bytes <= OPTION_RING_MAX_BYTES) {
		set->ring_bytes = bytes;
		return 0;
	}
	why_set(why, "%s=%s: a time or a size is expected, with its unit: %s", word->name,
		show(value).text, show_range(word).text);
	return -EINVAL;
}

static int keep_text(const struct option_word *word, struct slice value, char *field, size_t size,
		     struct why *why);

/* A name may have any ">" but the last. */
static int parse_trigger(const struct option_word *word, struct slice value, struct option_set *set,
			 struct why *why)
{
	struct slice name = value, limit;
	uint64_t ns = 0;

	while (name.n > 0 && name.at[name.n - 1] != '>')
		name.n--;
	limit = (struct slice){value.at + name.n, value.n - name.n};
	if (name.n < 2 || parse_quantity(limit, duration_units, false, &ns) < 0 || ns < word->min ||
	    ns > word->max) {
		why_set(why,
			"%s=%s: a region's name and how long it may last are expected, %s, such as "
			"%s=request>200ms",
			word->name, show(value).text, show_range(word).text, word->name);
		return -EINVAL;
	}
	name.n--;
	set->trace_on_ns = ns;
	return keep_text(word, name, set->trace_on, sizeof(set->trace_on), why);
}

#define UNIX_PATH_MAX 107 /* sun_path less its end */

/* The digits after the last ":"; 0 asks for any free port. */
static bool is_port(struct slice s)
{
	uint64_t port;

	return s.n > 0 && s.n <= 5 && parse_quantity(s, count_units, false, &port) == 0 &&
	       port <= 65535;
}

static int check_listen(const struct option_word *word, struct slice value, struct why *why)
{
	static const char *const loopbacks[] = {"127.0.0.1:", "[::1]:"};
	struct slice address;
	size_t i;

	if (value.n >= 5 && memcmp(value.at, "unix:", 5) == 0) {
		if (value.n > 5 && value.n - 5 <= UNIX_PATH_MAX)
			return 0;
		why_set(why, "%s=%s: the path of a socket has 1 to %d bytes", word->name,
			show(value).text, UNIX_PATH_MAX);
		return -EINVAL;
	}
	address = (struct slice){value.at, find_char(value, '?')};
	for (i = 0; i < sizeof(loopbacks) / sizeof(loopbacks[0]); i++) {
		size_t n = strlen(loopbacks[i]);

		if (address.n > n && memcmp(address.at, loopbacks[i], n) == 0) {
			cut(&address, n);
			if (is_port(address))
				return 0;
			why_set(why, "%s=%s%s: the port must be 0 to 65535", word->name,
				loopbacks[i], show(address).text);
			return -EINVAL;
		}
	}
	if (address.n < value.n)
		return 0; /* what it says of tokens and keys is looked at when it is opened */
	why_set(why,
		"%s=%s: unix:PATH, 127.0.0.1:PORT or [::1]:PORT is expected; any other address "
		"needs ?token=FILE&cert=FILE&key=FILE behind it",
		word->name, show(value).text);
	return -EINVAL;
}

/* Copies @value to @field, which has @size bytes, after what every kind of text must be. */
static int keep_text(const struct option_word *word, struct slice value, char *field, size_t size,
		     struct why *why)
{
	size_t i;

	if (value.n >= size) {
		why_set(why, "%s: longer than %zu bytes", word->name, size - 1);
		return -EINVAL;
	}
	for (i = 0; i < value.n; i++) {
		if (is_control(value.at[i])) {
			why_set(why, "%s=%s: control character 0x%02x", word->name,
				show(value).text, (unsigned)value.at[i]);
			return -EINVAL;
		}
	}
	memset(field, 0, size);
	memcpy(field, value.at, value.n);
	return 0;
}

/* @value without its escapes. */
static int parse_value(const struct option_word *word, struct slice value, struct option_set *set,
		       struct why *why)
{
	uint64_t *number = (uint64_t *)((char *)set + word->offset);
	int r;

	if (word->kind != OPTION_KIND_NONE && value.n == 0) {
		why_set(why, "%s=: a value is expected: %s=%s", word->name, word->name,
			word->value);
		return -EINVAL;
	}
	switch (word->kind) {
	case OPTION_KIND_NONE:
		why_set(why, "%s=%s: %s takes no value", word->name, show(value).text, word->name);
		return -EINVAL;
	case OPTION_KIND_RATE:
	case OPTION_KIND_COUNT:
	case OPTION_KIND_SIZE:
	case OPTION_KIND_DURATION:
		return parse_number(word, value, number, why);
	case OPTION_KIND_WAIT:
		return parse_wait(word, value, set, why);
	case OPTION_KIND_CHOICE:
		return parse_choice(word, value, number, why);
	case OPTION_KIND_RING:
		return parse_ring(word, value, set, why);
	case OPTION_KIND_PATTERN:
		r = keep_text(word, value, set->out, sizeof(set->out), why);
		return r < 0 ? r : option_check_pattern(set->out, why);
	case OPTION_KIND_LISTEN:
		r = check_listen(word, value, why);
		return r < 0 ? r : keep_text(word, value, set->http, sizeof(set->http), why);
	case OPTION_KIND_TRIGGER:
		return parse_trigger(word, value, set, why);
	}
	return -EINVAL;
}

/* One word of the text; @value is NULL when there is no "=". */
static int apply(const struct option_word *word, const struct slice *value, unsigned available,
		 struct option_set *set, struct why *why)
{
	uint64_t bit = 1ull << (word - option_words);
	int r;

	if ((word->needs & available) != word->needs)
		return refuse_missing(word, available, why);
	if ((set->given & bit) != 0) {
		why_set(why, "%s: given twice", word->name);
		return -EINVAL;
	}
	if (value == NULL && option_is_setting(word)) {
		why_set(why, "%s: a value is expected: %s=%s", word->name, word->name, word->value);
		return -EINVAL;
	}
	if (value != NULL) {
		r = parse_value(word, *value, set, why);
		if (r < 0)
			return r;
	}
	set->given |= bit;
	/* what is worth a snapshot is worth a ring */
	if (set->trace_on_ns != 0 && !option_is_given(set, OPTION_ID_RING))
		set->ring_ns = OPTION_RING_NS;
	else if (word == &option_words[OPTION_ID_RING] && set->ring_bytes != 0)
		set->ring_ns = 0;
	if (word == &option_words[OPTION_ID_ALL])
		set->profiles |= available & OPTION_PROFILES;
	else if (!option_is_setting(word))
		set->profiles |= bit;
	return 0;
}

void option_defaults(struct option_set *ret)
{
	const struct option_word *w;

	memset(ret, 0, sizeof(*ret));
	for (w = option_words; w->name != NULL; w++) {
		if (w->standard != NULL)
			parse_value(w, slice_of(w->standard), ret, NULL);
	}
}

/* Only these can hold a comma. */
static bool has_escapes(const struct option_word *word)
{
	return word->kind == OPTION_KIND_PATTERN || word->kind == OPTION_KIND_LISTEN ||
	       word->kind == OPTION_KIND_TRIGGER;
}

/*
 * Takes a value with escapes off @rest, up to a bare comma. Returns its length in @buf, or -ENOSPC.
 */
static int cut_escaped(struct slice *rest, char *buf, size_t size)
{
	struct text t = {.at = buf, .size = size};

	while (rest->n > 0 && rest->at[0] != ',') {
		if (rest->at[0] == '\\' && rest->n > 1 &&
		    (rest->at[1] == ',' || rest->at[1] == '\\'))
			cut(rest, 1);
		add_char(&t, cut(rest, 1).at[0]);
	}
	return finish_text(&t);
}

/* The first word of @rest, which is then at its comma or its end. */
static int parse_word(struct slice *rest, unsigned available, struct option_set *set,
		      struct why *why)
{
	char unescaped[sizeof(set->out)];
	struct slice item, name, value;
	const struct option_word *word;
	bool has_value;
	int n;

	item = (struct slice){rest->at, find_char(*rest, ',')};
	name = cut(rest, find_char(item, '='));
	has_value = name.n < item.n;
	word = find_word(name);
	if (word == NULL)
		return refuse_word(item, name, why);
	if (!has_value)
		return apply(word, NULL, available, set, why);

	cut(rest, 1);
	if (!has_escapes(word)) {
		value = cut(rest, item.n - name.n - 1);
		return apply(word, &value, available, set, why);
	}
	n = cut_escaped(rest, unescaped, sizeof(unescaped));
	if (n < 0) {
		why_set(why, "%s: longer than %zu bytes", word->name, sizeof(unescaped) - 1);
		return -EINVAL;
	}
	value = (struct slice){unescaped, (size_t)n};
	return apply(word, &value, available, set, why);
}

int option_parse(const char *text, unsigned available, struct option_set *ret, struct why *why)
{
	struct slice rest = slice_of(text);
	struct option_set set;
	int r;

	option_defaults(&set);
	while (rest.n > 0) {
		if (rest.at[0] == ',') {
			why_set(why, "empty word in \"%s\"", show(slice_of(text)).text);
			return -EINVAL;
		}
		r = parse_word(&rest, available, &set, why);
		if (r < 0)
			return r;
		if (rest.n == 0)
			break;
		cut(&rest, 1);
		if (rest.n == 0) {
			why_set(why, "\"%s\" ends with a comma", show(slice_of(text)).text);
			return -EINVAL;
		}
	}
	*ret = set;
	return 0;
}

int option_add(struct option_set *set, const char *name, const char *value, unsigned available,
	       struct why *why)
{
	const struct option_word *word = find_word(slice_of(name));
	struct option_set changed = *set;
	struct slice slice;
	int r;

	if (word == NULL)
		return refuse_word(slice_of(name), slice_of(name), why);
	slice = slice_of(value != NULL ? value : "");
	r = apply(word, value != NULL ? &slice : NULL, available, &changed, why);
	if (r < 0)
		return r;
	*set = changed;
	return 0;
}

bool option_is_given(const struct option_set *set, enum option_id id)
{
	return (set->given & 1ull << id) != 0;
}
