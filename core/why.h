/*
 * why: the sentence that goes with a refused input.
 *
 * A negative errno tells a program that something failed; a person needs what, where, what was expected and what to
 * do next. Functions that read what others wrote take a struct why and fill it when they return a negative errno.
 */
#pragma once

#include <stdarg.h>
#include <stdio.h>

struct why {
	char text[320];
};

__attribute__((format(printf, 2, 3))) static inline void why_set(struct why *why,
								 const char *format, ...)
{
	va_list args;

	if (why == NULL)
		return;
	va_start(args, format);
	vsnprintf(why->text, sizeof(why->text), format, args);
	va_end(args);
}
