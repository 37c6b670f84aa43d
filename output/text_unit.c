#include <ctype.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "output/profile.h"
#include "output/text_unit.h"

struct unit {
	const char *name;
	const char *aliases[3];
	double factor;
};

/*
 * One table for each family, smallest unit first, with the unit for values below it. Source of the
 * names and factors: google/pprof, internal/measurement. The hour has no short form because pprof
 * has none.
 */
struct family {
	struct unit units[9];
	struct unit fallback;
};

static const struct family families[] = {
	{
		{{"B", {"b", "byte"}, 1},
		 {"kB", {"kb", "kbyte", "kilobyte"}, 0x1p10},
		 {"MB", {"mb", "mbyte", "megabyte"}, 0x1p20},
		 {"GB", {"gb", "gbyte", "gigabyte"}, 0x1p30},
		 {"TB", {"tb", "tbyte", "terabyte"}, 0x1p40},
		 {"PB", {"pb", "pbyte", "petabyte"}, 0x1p50}},
		{.name = "B", .factor = 1},
	},
	{
		{{"ns", {"ns", "nanosecond"}, 1},
		 {"us", {"\u03bcs", "us", "microsecond"}, 1e3},
		 {"ms", {"ms", "millisecond"}, 1e6},
		 {"s", {"s", "sec", "second"}, 1e9},
		 {"hrs", {"hour", "hr"}, 3600e9}},
		{.name = "s", .factor = 1e9},
	},
	{
		{{"n*GCU", {"nanogcu"}, 1e-9},
		 {"u*GCU", {"microgcu"}, 1e-6},
		 {"m*GCU", {"milligcu"}, 1e-3},
		 {"GCU", {"gcu"}, 1},
		 {"k*GCU", {"kilogcu"}, 1e3},
		 {"M*GCU", {"megagcu"}, 1e6},
		 {"G*GCU", {"gigagcu"}, 1e9},
		 {"T*GCU", {"teragcu"}, 1e12},
		 {"P*GCU", {"petagcu"}, 1e15}},
		{.name = "GCU", .factor = 1},
	},
};

#define FAMILIES_N (sizeof(families) / sizeof(families[0]))
#define UNITS_N    (sizeof(families[0].units) / sizeof(families[0].units[0]))

/* The unit that people call @name, in any case and number. */
static const struct unit *find_unit(const struct family *family, const char *name)
{
	char lower[16];
	size_t i, j, n = strlen(name);

	if (n >= sizeof(lower)) /* longer than any alias */
		return NULL;
	for (i = 0; i <= n; i++)
		lower[i] = (char)tolower((unsigned char)name[i]);
	if (n > 2 && lower[n - 1] == 's')
		lower[n - 1] = '\0';
	for (i = 0; i < UNITS_N && family->units[i].name != NULL; i++)
		for (j = 0; j < 3 && family->units[i].aliases[j] != NULL; j++)
			if (strcmp(family->units[i].aliases[j], lower) == 0)
				return &family->units[i];
	return NULL;
}

static bool is_automatic(const char *unit)
{
	return strcmp(unit, "minimum") == 0 || strcmp(unit, "auto") == 0;
}

static struct unit_value scale_within(const struct family *family, double value, const char *to)
{
	const struct unit *unit = &family->fallback, *found = NULL;
	size_t i;

	if (is_automatic(to)) {
		for (i = 0; i < UNITS_N && family->units[i].name != NULL; i++)
			if (value / family->units[i].factor >= 1.0)
				found = &family->units[i];
	} else {
		found = find_unit(family, to);
	}
	if (found != NULL)
		unit = found;
	return (struct unit_value){value / unit->factor, unit->name};
}

struct unit_value unit_scale(int64_t value, const char *from, const char *to)
{
	static const char *const quiet[] = {"count", "sample", "unit", "minimum", "auto"};
	const struct unit *unit;
	struct unit_value result;
	size_t i;

	if (value < 0 && value != INT64_MIN) {
		result = unit_scale(-value, from, to);
		result.value = -result.value;
		return result;
	}
	for (i = 0; i < FAMILIES_N; i++) {
		unit = find_unit(&families[i], from);
		if (unit != NULL)
			return scale_within(&families[i], (double)value * unit->factor, to);
	}
	for (i = 0; i < sizeof(quiet) / sizeof(quiet[0]); i++)
		if (strcmp(to, quiet[i]) == 0)
			return (struct unit_value){(double)value, ""};
	return (struct unit_value){(double)value, to};
}

bool unit_is_compatible(const char *a, const char *b)
{
	size_t i;

	if (strcmp(a, b) == 0)
		return true;
	for (i = 0; i < FAMILIES_N; i++)
		if (find_unit(&families[i], a) != NULL && find_unit(&families[i], b) != NULL)
			return true;
	return false;
}

struct unit_label unit_label(int64_t value, const char *from, const char *to)
{
	struct unit_value scaled = unit_scale(value, from, to);
	struct unit_label label = {.unit = scaled.unit};
	size_t n;

	n = (size_t)snprintf(label.number, sizeof(label.number), "%.2f", scaled.value);
	if (n > 3 && n < sizeof(label.number) && strcmp(label.number + n - 3, ".00") == 0)
		label.number[n - 3] = '\0';
	if (strcmp(label.number, "0") == 0 || strcmp(label.number, "-0") == 0) {
		strcpy(label.number, "0");
		label.unit = "";
	}
	return label;
}

void unit_print(FILE *to, int width, const struct unit_label *label)
{
	size_t n = strlen(label->number) + profile_columns(label->unit, strlen(label->unit));

	fprintf(to, "%*s%s%s", n < (size_t)width ? width - (int)n : 0, "", label->number,
		label->unit);
}

struct unit_percent unit_percent(int64_t value, int64_t total)
{
	struct unit_percent percent;
	double ratio = 0;

	if (total != 0)
		ratio = fabs((double)value / (double)total) * 100;
	if (ratio >= 99.95 && ratio <= 100.05)
		strcpy(percent.text, "  100%");
	else if (ratio >= 1.0)
		snprintf(percent.text, sizeof(percent.text), "%5.2f%%", ratio);
	else
		snprintf(percent.text, sizeof(percent.text), "%5.2g%%", ratio);
	return percent;
}

int64_t unit_abs(int64_t value)
{
	return value < 0 && value != INT64_MIN ? -value : value;
}

int64_t unit_divide(int64_t value, int64_t divisor)
{
	if (divisor == -1)
		return (int64_t)(0 - (uint64_t)value);
	return value / divisor;
}

int64_t unit_truncate(double value)
{
	if (!(value > -0x1p63 && value < 0x1p63))
		return INT64_MIN;
	return (int64_t)value;
}
