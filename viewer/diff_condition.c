#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "viewer/diff.h"

static const char *const measures[DIFF_MEASURES] = {
	[DIFF_TOTAL] = "total", [DIFF_COUNT] = "count", [DIFF_P50] = "p50",
	[DIFF_P99] = "p99",     [DIFF_MAX] = "max",     [DIFF_ERRORS] = "errors",
};

/* What @text begins with, as a whole word: how long it is, or 0. */
static size_t begins_with(const char *text, const char *word)
{
	size_t n = strlen(word);

	/* the end of the text, too */
	return strncmp(text, word, n) == 0 && strchr(".[<>", text[n]) != NULL ? n : 0;
}

static const char *parse_kind(const char *at, struct diff_condition *c)
{
	size_t n;

	for (unsigned i = 0; i < DIFF_OTHERS; i++) {
		n = begins_with(at, diff_kind_name(i));
		if (n > 0) {
			c->kind = (uint8_t)i;
			return at + n;
		}
	}
	return NULL;
}

static const char *parse_measure(const char *at, struct diff_condition *c)
{
	size_t n;

	c->measure = DIFF_TOTAL;
	if (*at != '.')
		return at;
	for (unsigned i = 0; i < DIFF_MEASURES; i++) {
		n = begins_with(at + 1, measures[i]);
		if (n > 0) {
			c->measure = (uint8_t)i;
			return at + 1 + n;
		}
	}
	return NULL;
}

/* What is in brackets, which may have brackets in it. */
static const char *parse_pattern(const char *at, struct diff_condition *c)
{
	const char *begin = at + 1;
	unsigned depth = 0;

	c->pattern[0] = '\0';
	if (*at != '[')
		return at;
	for (; *at != '\0'; at++) {
		depth += *at == '[';
		depth -= *at == ']';
		if (depth == 0)
			break;
	}
	if (*at != ']' || (size_t)(at - begin) >= sizeof(c->pattern) || at == begin)
		return NULL;
	memcpy(c->pattern, begin, (size_t)(at - begin));
	c->pattern[at - begin] = '\0';
	return at + 1;
}

static const char *parse_one(const char *text, struct diff_condition *c, struct why *why)
{
	const char *at = parse_kind(text, c), *next;

	if (at == NULL) {
		why_set(why,
			"--fail-if %.60s: threads.STATE, locks.wait, locks.hold, calls, tasks or "
			"regions "
			"was expected first",
			text);
		return NULL;
	}
	next = parse_measure(at, c);
	if (next == NULL) {
		why_set(why,
			"--fail-if %.60s: total, count, p50, p99, max or errors was expected at "
			"\"%.40s\"",
			text, at);
		return NULL;
	}
	at = next;
	next = parse_pattern(at, c);
	if (next == NULL) {
		why_set(why, "--fail-if %.60s: a pattern and ] were expected at \"%.40s\"", text,
			at);
		return NULL;
	}
	at = next;
	if (*at != '>' && *at != '<') {
		why_set(why, "--fail-if %.60s: > or < was expected at \"%.40s\"", text, at);
		return NULL;
	}
	next = limit_parse(at, &c->limit);
	if (next == NULL || c->limit.by == LIMIT_POINTS) { /* nothing here is a share */
		why_set(why,
			"--fail-if %.60s: 20%%, 1.5x, 10ms or a number was expected at \"%.40s\"",
			text, at + 1);
		return NULL;
	}
	if ((size_t)(next - text) >= sizeof(c->text)) {
		why_set(why, "--fail-if %.60s: is too long", text);
		return NULL;
	}
	memcpy(c->text, text, (size_t)(next - text));
	c->text[next - text] = '\0';
	return next;
}

int diff_parse(const char *text, struct diff_condition ret[DIFF_CONDITIONS_MAX], struct why *why)
{
	int n = 0;

	do {
		if (n == DIFF_CONDITIONS_MAX) {
			why_set(why, "--fail-if: more than %d conditions", DIFF_CONDITIONS_MAX);
			return -EINVAL;
		}
		ret[n] = (struct diff_condition){0};
		text = parse_one(text, &ret[n], why);
		if (text == NULL)
			return -EINVAL;
		n++;
	} while (*text++ == ',');
	return n;
}

static bool is_named(const struct diff_condition *c, const char *name)
{
	size_t n = strcspn(name, " ");
	char call[64];

	if (c->pattern[0] == '\0' || fnmatch(c->pattern, name, 0) == 0)
		return true;
	if (c->kind != DIFF_CALLS || n >= sizeof(call))
		return false;
	memcpy(call, name, n);
	call[n] = '\0';
	return fnmatch(c->pattern, call, 0) == 0;
}

bool diff_is_true(const struct diff_condition *c, const struct diff_side sides[2],
		  const struct diff_pair *pairs, uint32_t n, double ret[2])
{
	struct tally_row sums[2] = {0};

	for (uint32_t i = 0; i < n; i++) {
		if (pairs[i].kind != c->kind || !is_named(c, pairs[i].name))
			continue;
		for (unsigned k = 0; k < 2; k++)
			if (pairs[i].rows[k] != NULL)
				tally_merge(&sums[k], pairs[i].rows[k]);
	}
	for (unsigned k = 0; k < 2; k++)
		ret[k] = diff_value(&sums[k], (enum diff_measure)c->measure, sides[k].unit);
	return limit_is_passed(&c->limit, ret[0], ret[1]);
}
