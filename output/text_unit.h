/*
 * text_unit: numbers with units, as pprof prints them: 4096 bytes is "4kB", 1500000 nanoseconds
 * "1.50ms".
 *
 * Units of a family (bytes, time, GCU) convert into each other; any other unit stays as it is. The
 * unit "minimum" or "auto" asks for the largest one that leaves at least 1.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct unit_value {
	double value;
	const char *unit; /* "" when there is nothing to say */
};

/* The result's unit is a constant or @to. */
struct unit_value unit_scale(int64_t value, const char *from, const char *to);

/* Both units belong to one family, or are the same. */
bool unit_is_compatible(const char *a, const char *b);

struct unit_label {
	char number[344]; /* the longest double has 309 digits before the point */
	const char *unit;
};

struct unit_label unit_label(int64_t value, const char *from, const char *to);
void unit_print(FILE *to, int width,
		const struct unit_label *label); /* right-aligned, by characters */

/* @value as a share of @total, six characters and more. */
struct unit_percent {
	char text[32];
};

struct unit_percent unit_percent(int64_t value, int64_t total);

/* What Go does on overflow, where C has none of it defined. */
int64_t unit_abs(int64_t value);
int64_t unit_divide(int64_t value, int64_t divisor); /* divisor not 0 */
int64_t unit_truncate(double value);
