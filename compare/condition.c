#include "compare/condition.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

static const struct measure {
	const char *word;
	bool is_all;
	enum runs_sum sum;
	enum compare_scale scale;
} measures[] = {
	{"flat", false, RUNS_FLAT, SCALE_DEFAULT},
	{"flat_share", false, RUNS_FLAT, SCALE_SHARE},
	{"flat_total", false, RUNS_FLAT, SCALE_TOTAL},
	{"cum", false, RUNS_CUM, SCALE_DEFAULT},
	{"cum_share", false, RUNS_CUM, SCALE_SHARE},
	{"cum_total", false, RUNS_CUM, SCALE_TOTAL},
	{"total", true, RUNS_CUM, SCALE_TOTAL},
};

static const struct measure *measure_at(const char *text, size_t n)
{
	for (size_t i = 0; i < sizeof(measures) / sizeof(measures[0]); i++)
		if (strlen(measures[i].word) == n && memcmp(measures[i].word, text, n) == 0)
			return &measures[i];
	return NULL;
}

/* The last of > and <: a function's name may have some before. */
static const char *find_limit(const char *text)
{
	const char *above = strrchr(text, '>'), *below = strrchr(text, '<');

	return above == NULL || (below != NULL && below > above) ? below : above;
}

static const char *without_blanks(const char *begin, const char *end)
{
	while (end > begin && end[-1] == ' ')
		end--;
	return end;
}

int condition_parse(const char *text, struct condition *ret, struct why *why)
{
	struct condition c = {.text = text};
	const char *at = find_limit(text), *end, *behind;
	const struct measure *m;
	size_t n = strcspn(text, ":<> ");

	m = measure_at(text, n);
	if (m == NULL) {
		why_set(why,
			"-fail-on %.80s: flat, cum, flat_share, cum_share, flat_total, cum_total "
			"or "
			"total was expected first",
			text);
		return -EINVAL;
	}
	c.is_all = m->is_all;
	c.sum = m->sum;
	c.scale = m->scale;
	if (at == NULL) {
		why_set(why, "-fail-on %.80s: > or < was expected, as in %.*s>+10%%", text, (int)n,
			text);
		return -EINVAL;
	}
	end = without_blanks(text, at);
	if (text[n] == ':') {
		n++;
		if (m->is_all || end <= text + n ||
		    (size_t)(end - text) - n >= sizeof(c.function)) {
			why_set(why,
				m->is_all ? "-fail-on %.80s: total is of all functions"
					  : "-fail-on %.80s: a function's name or pattern, of 1 to "
					    "255 "
					    "bytes, was expected behind the colon",
				text);
			return -EINVAL;
		}
		memcpy(c.function, text + n, (size_t)(end - text) - n);
		c.is_name = strpbrk(c.function, "*?[") == NULL;
	} else if (end != text + n) {
		why_set(why, "-fail-on %.80s: : or > or < was expected at \"%.40s\"", text,
			text + n);
		return -EINVAL;
	}
	behind = limit_parse(at, &c.limit);
	if (behind == NULL || *behind != '\0' || c.limit.by == LIMIT_ABSOLUTE) {
		why_set(why,
			"-fail-on %.80s: %c%c10%%, %c%c2pp or %c1.5x was expected at \"%.40s\"",
			text, *at, *at == '>' ? '+' : '-', *at, *at == '>' ? '+' : '-', *at, at);
		return -EINVAL;
	}
	if (c.limit.by == LIMIT_TIMES &&
	    (c.limit.is_below ? c.limit.value > 1 : c.limit.value < 1)) {
		why_set(why,
			"-fail-on %.80s: %s was expected behind %c: this is true where nothing "
			"changes",
			text, c.limit.is_below ? "1x or less" : "1x or more", *at);
		return -EINVAL;
	}
	if (c.limit.by == LIMIT_POINTS && c.scale == SCALE_DEFAULT)
		c.scale = SCALE_SHARE; /* points are of nothing else */
	if (c.limit.by == LIMIT_POINTS && c.scale == SCALE_TOTAL) {
		why_set(why, "-fail-on %.80s: pp are of shares; %c%c10%% or %c1.5x was expected",
			text, *at, *at == '>' ? '+' : '-', *at);
		return -EINVAL;
	}
	*ret = c;
	return 0;
}

bool condition_concerns(const struct condition *c, const char *function)
{
	return c->function[0] == '\0' || strcmp(c->function, function) == 0 ||
	       (!c->is_name && fnmatch(c->function, function, 0) == 0);
}
