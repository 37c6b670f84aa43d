#include "core/option.h"

#include <errno.h>
#include <string.h>

#include "core/option_text.h"

int option_check_pattern(const char *pattern, struct why *why)
{
	const char *s;

	for (s = pattern; *s != '\0'; s++) {
		if (*s != '%')
			continue;
		s++;
		if (*s == '\0' || strchr("npth%", *s) == NULL) {
			struct slice name = {s - 1, *s == '\0' ? 1 : 2};

			why_set(why,
				"out: unknown \"%s\" in the name; %%n is the program, %%p the pid, "
				"%%t the time, %%h the host, %%%% a percent sign",
				show(name).text);
			return -EINVAL;
		}
	}
	return 0;
}

/*
 * A name that others chose must stay one part of one path: no "/", no control character, not ".",
 * "..", or hidden.
 */
static void add_name(struct text *t, const char *name)
{
	const char *s;

	for (s = name; *s != '\0'; s++) {
		if (*s == '/' && s[1] != '\0')
			name = s + 1;
	}
	if (*name == '\0')
		name = "unknown";
	for (s = name; *s != '\0'; s++) {
		if (*s == '/' || is_control(*s) || (s == name && *s == '.'))
			add_char(t, '_');
		else
			add_char(t, *s);
	}
}

/*
 * UTC, as 20240229T235959Z. Not gmtime_r(): it takes a lock and reads the time zone.
 *
 * Days become a date as in Howard Hinnant's "chrono-compatible low-level date algorithms": years
 * start in March, so that the leap day is a year's last.
 */
static void add_time(struct text *t, int64_t unix_time_sec)
{
	uint64_t sec = unix_time_sec > 0 ? (uint64_t)unix_time_sec : 0;
	uint64_t day = sec / 86400 + 719468; /* since 0000-03-01 */
	uint64_t era = day / 146097;         /* of 400 years */
	uint64_t era_day = day % 146097;
	uint64_t era_year = (era_day - era_day / 1460 + era_day / 36524 - era_day / 146096) / 365;
	uint64_t year_day = era_day - (365 * era_year + era_year / 4 - era_year / 100);
	uint64_t month = (5 * year_day + 2) / 153; /* 0 is March */

	add_number(t, era * 400 + era_year + (month >= 10), 4);
	add_number(t, month < 10 ? month + 3 : month - 9, 2);
	add_number(t, year_day - (153 * month + 2) / 5 + 1, 2);
	add_char(t, 'T');
	add_number(t, sec % 86400 / 3600, 2);
	add_number(t, sec % 3600 / 60, 2);
	add_number(t, sec % 60, 2);
	add_char(t, 'Z');
}

int option_expand(const char *pattern, const struct option_names *names, char *buf, size_t size,
		  struct why *why)
{
	struct text t = {.at = buf, .size = size};
	int r;

	r = option_check_pattern(pattern, why);
	if (r < 0)
		return r;
	for (; *pattern != '\0'; pattern++) {
		if (*pattern != '%') {
			add_char(&t, *pattern);
			continue;
		}
		pattern++;
		if (*pattern == 'n')
			add_name(&t, names->program);
		else if (*pattern == 'h')
			add_name(&t, names->host);
		else if (*pattern == 'p')
			add_number(&t, names->pid > 0 ? (uint64_t)names->pid : 0, 1);
		else if (*pattern == 't')
			add_time(&t, names->unix_time_sec);
		else
			add_char(&t, '%');
	}
	r = finish_text(&t);
	if (r < 0) {
		why_set(why, "out: longer than %zu bytes once filled in", size > 0 ? size - 1 : 0);
		return -ENAMETOOLONG;
	}
	return r;
}
