#include "compare/limit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *limit_parse(const char *text, struct limit *ret)
{
	static const struct {
		const char *unit;
		int by;
		double scale;
	} units[] = {{"%", LIMIT_PERCENT, 0.01},  {"pp", LIMIT_POINTS, 0.01},
		     {"x", LIMIT_TIMES, 1},       {"ns", LIMIT_ABSOLUTE, 1},
		     {"us", LIMIT_ABSOLUTE, 1e3}, {"ms", LIMIT_ABSOLUTE, 1e6},
		     {"s", LIMIT_ABSOLUTE, 1e9},  {"", LIMIT_ABSOLUTE, 1}};
	struct limit l = {.is_below = *text == '<'};
	bool has_sign;
	char *end;
	size_t n;

	if (*text != '>' && *text != '<')
		return NULL;
	text += 1 + strspn(text + 1, " ");
	has_sign = *text == (l.is_below ? '-' : '+');
	text += has_sign;
	if (*text < '0' || *text > '9')
		return NULL;
	l.value = strtod(text, &end);
	n = strcspn(end, ",");
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strlen(units[i].unit) != n || strncmp(units[i].unit, end, n) != 0)
			continue;
		l.by = units[i].by;
		l.value *= units[i].scale;
		if (!isfinite(l.value) ||
		    (has_sign && l.by != LIMIT_PERCENT && l.by != LIMIT_POINTS))
			return NULL;
		*ret = l;
		return end + n;
	}
	return NULL;
}

bool limit_is_passed(const struct limit *l, double before, double now)
{
	double sign = l->is_below ? -1 : 1, limit;

	switch (l->by) {
	case LIMIT_PERCENT:
		limit = before * (1 + sign * l->value);
		break;
	case LIMIT_POINTS:
		limit = before + sign * l->value;
		break;
	case LIMIT_TIMES:
		limit = before * l->value;
		break;
	default:
		limit = l->value;
		break;
	}
	return l->is_below ? now < limit : now > limit;
}
