#include "viewer/select.h"

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "viewer/names.h"

#define NS_PER_SECOND UINT64_C(1000000000)

/* "1.5" of a unit that is @scale ns: exact, with as many digits as there are. Returns what follows, or NULL. */
static const char *decimal(const char *text, uint64_t *ret_whole, uint64_t *ret_ns_of_second)
{
	uint64_t whole = 0, fraction = 0, digit_ns = NS_PER_SECOND / 10;
	const char *at = text;

	for (; *at >= '0' && *at <= '9'; at++) {
		if (whole > UINT64_MAX / 10 - 1)
			return NULL;
		whole = whole * 10 + (uint64_t)(*at - '0');
	}
	if (*at == '.') {
		for (at++; *at >= '0' && *at <= '9'; at++) {
			fraction += (uint64_t)(*at - '0') * digit_ns;
			digit_ns /= 10;
		}
	}
	*ret_whole = whole;
	*ret_ns_of_second = fraction;
	return at > text && !(at == text + 1 && *text == '.') ? at : NULL;
}

static int duration(const char *text, uint64_t *ret_ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{"s", NS_PER_SECOND}, {"", NS_PER_SECOND}, {"ms", 1000000},          {"us", 1000},
		{"µs", 1000},         {"ns", 1},           {"m", 60 * NS_PER_SECOND}};
	uint64_t whole, fraction;
	const char *unit = decimal(text, &whole, &fraction);

	for (size_t i = 0; unit != NULL && i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(unit, units[i].name) != 0)
			continue;
		if (whole > UINT64_MAX / 2 / units[i].ns)
			return -EINVAL;
		if (units[i].ns > NS_PER_SECOND)
			*ret_ns = whole * units[i].ns + fraction * (units[i].ns / NS_PER_SECOND);
		else
			*ret_ns = whole * units[i].ns + fraction / (NS_PER_SECOND / units[i].ns);
		return 0;
	}
	return -EINVAL;
}

int select_duration(const char *text, uint64_t *ret_ns, struct why *why)
{
	if (duration(text, ret_ns) == 0)
		return 0;
	why_set(why, "%s is no duration: 1.5s, 10ms, 3us or 800ns was expected", text);
	return -EINVAL;
}

/* "2026-11-21T12:03:04.5", with "Z", "+01:00" or nothing behind it: ns since 1970. */
static int wall_clock(const char *text, uint64_t *ret_ns)
{
	struct tm tm = {0};
	const char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	uint64_t whole = 0, fraction = 0;
	int hours, minutes, offset_s = 0, length = 0;
	time_t seconds;

	if (at == NULL)
		at = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);
	if (at == NULL)
		return -EINVAL;
	if (*at == '.') {
		at = decimal(at, &whole, &fraction);
		if (at == NULL)
			return -EINVAL;
	}
	if (*at == '+' || *at == '-') {
		if (sscanf(at + 1, "%2d:%2d%n", &hours, &minutes, &length) != 2)
			return -EINVAL;
		offset_s = (hours * 60 + minutes) * (*at == '+' ? 60 : -60);
		at += 1 + length;
	} else if (*at == 'Z') {
		at++;
	}
	if (*at != '\0')
		return -EINVAL;
	seconds = timegm(&tm) - offset_s;
	if (seconds < 0)
		return -EINVAL;
	*ret_ns = (uint64_t)seconds * NS_PER_SECOND + fraction;
	return 0;
}

int select_time(const char *text, const struct reader *r, uint64_t begun_ns, uint64_t relative_ns,
		uint64_t *ret_ns, struct why *why)
{
	uint64_t ns, origin;

	if (text[0] == '+' && duration(text + 1, &ns) == 0) {
		*ret_ns = relative_ns + ns;
		return 0;
	}
	if (duration(text, &ns) == 0) {
		*ret_ns = begun_ns + ns;
		return 0;
	}
	if (wall_clock(text, &ns) == 0) {
		if (!r->has_header) {
			why_set(why,
				"%s: a wall clock means nothing here, for the file's header is "
				"damaged; use seconds from the beginning",
				text);
			return -EINVAL;
		}
		origin = r->header.begun_realtime_ns;
		if (ns >= origin)
			*ret_ns = r->header.begun_monotonic_ns + (ns - origin);
		else
			*ret_ns = r->header.begun_monotonic_ns > origin - ns
					  ? r->header.begun_monotonic_ns - (origin - ns)
					  : 0;
		return 0;
	}
	why_set(why,
		"%s is no time: 1.5s, 250ms, 10us, 800ns, @TEXT or 2026-11-21T12:03:04 was "
		"expected",
		text);
	return -EINVAL;
}

int select_types(const char *list, const struct schema *schema, bool wanted[256], struct why *why)
{
	char item[SCHEMA_NAME + 8];

	memset(wanted, 0, 256 * sizeof(wanted[0]));
	while (*list != '\0') {
		size_t n = strcspn(list, ",");
		bool has_any = false;

		snprintf(item, sizeof(item), "%.*s", (int)(n < sizeof(item) ? n : sizeof(item) - 1),
			 list);
		for (unsigned i = 1; i < 256 && n > 0; i++) {
			if (schema->types[i].name[0] != '\0' &&
			    fnmatch(item, schema->types[i].name, 0) == 0)
				wanted[i] = has_any = true;
		}
		if (!has_any && n > 0) {
			why_set(why,
				"%s: no event is called that; 'cprof-trace FILE info' lists "
				"those "
				"that are there",
				item);
			return -EINVAL;
		}
		list += n + (list[n] == ',');
	}
	return 0;
}

struct select_pattern {
	char *text;
	uint32_t tid; /* 0: a name, or a pattern */
	bool is_name; /* of some thread */
	regex_t expression;
};

static bool is_some_name(const struct tables *t, const char *text)
{
	for (uint32_t i = 0; i < t->threads_n; i++)
		if (strcmp(tables_text(t, t->threads[i].name), text) == 0)
			return true;
	return false;
}

static int add_pattern(struct select_threads *s, const char *from, size_t n, struct why *why)
{
	struct select_pattern *patterns = realloc(s->patterns, (s->n + 1) * sizeof(*patterns)), *p;
	char *end;
	int error;

	if (patterns == NULL)
		return -ENOMEM;
	s->patterns = patterns;
	p = &patterns[s->n];
	*p = (struct select_pattern){.text = strndup(from, n)};
	if (p->text == NULL)
		return -ENOMEM;
	p->tid = (uint32_t)strtoul(p->text, &end, 10);
	if (end == p->text || *end != '\0')
		p->tid = 0;
	p->is_name = is_some_name(s->tables, p->text);
	if (p->tid == 0 && !p->is_name) {
		error = regcomp(&p->expression, p->text, REG_EXTENDED | REG_NOSUB);
		if (error != 0) {
			char text[120];

			regerror(error, &p->expression, text, sizeof(text));
			why_set(why, "--threads %s: is neither a thread's name nor a pattern: %s",
				p->text, text);
			free(p->text);
			return -EINVAL;
		}
	}
	s->n++;
	return 0;
}

int select_threads(struct select_threads *s, const char *list, const struct tables *t,
		   struct why *why)
{
	int r = 0;

	*s = (struct select_threads){.tables = t};
	while (*list != '\0' && r == 0) {
		size_t n = strcspn(list, ",");

		if (n > 0)
			r = add_pattern(s, list, n, why);
		list += n + (list[n] == ',');
	}
	if (r < 0)
		select_threads_fini(s);
	return r;
}

void select_threads_fini(struct select_threads *s)
{
	for (size_t i = 0; i < s->n; i++) {
		struct select_pattern *p = &s->patterns[i];

		if (p->tid == 0 && !p->is_name)
			regfree(&p->expression);
		free(p->text);
	}
	free(s->patterns);
	map_fini(&s->known);
	memset(s, 0, sizeof(*s));
}

static bool is_selected(const struct select_threads *s, uint32_t index)
{
	const struct table_thread *thread = tables_thread(s->tables, index);
	struct name name;
	size_t n;

	name_clear(&name);
	name_thread(&name, s->tables, index);
	n = name.n < sizeof(name.text) ? name.n : sizeof(name.text) - 1;
	name.text[n] = '\0';
	for (size_t i = 0; i < s->n; i++) {
		const struct select_pattern *p = &s->patterns[i];

		if (p->tid != 0  ? thread != NULL && thread->tid == p->tid
		    : p->is_name ? strcmp(p->text, name.text) == 0
				 : regexec(&p->expression, name.text, 0, NULL, 0) == 0)
			return true;
	}
	return false;
}

bool select_has_thread(struct select_threads *s, uint32_t index)
{
	uint32_t known;

	if (s->n == 0)
		return true;
	known = map_get(&s->known, index);
	if (known == MAP_NONE) {
		known = is_selected(s, index);
		map_set(&s->known, index, known);
	}
	return known != 0;
}
