/*
 * watch: somebody who waits for long work: is told how far it is, and may end it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct watch {
	/* Called often; @total is in the unit of @done. Returns true to end the work. */
	bool (*step)(void *context, uint64_t done, uint64_t total);
	void *context;
};

static inline bool watch_step(const struct watch *watch, uint64_t done, uint64_t total)
{
	return watch != NULL && watch->step(watch->context, done, total);
}
