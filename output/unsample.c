#include "output/unsample.h"

#include <math.h>

/* Numbers that nobody can have counted become the largest there is. */
static int64_t round_down(double value)
{
	return value < 0x1p63 ? (int64_t)value : INT64_MAX;
}

void unsample(uint64_t mean, int64_t *blocks, int64_t *bytes)
{
	double scale;

	if (mean <= 1)
		return;
	if (*blocks <= 0 || *bytes <= 0) {
		*blocks = *bytes = 0;
		return;
	}
	scale = 1 / (1 - exp(-((double)*bytes / (double)*blocks) / (double)mean));
	*blocks = round_down((double)*blocks * scale);
	*bytes = round_down((double)*bytes * scale);
}
