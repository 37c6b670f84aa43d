/*
 * sentence: what a thread did for a while, in words:
 *
 *     worker-3 waited 4.21ms for mutex g_cache.lock, held by worker-1, at cache_get cache.c:41
 */
#pragma once

#include "viewer/names.h"
#include "viewer/story.h"

/*
 * Adds the sentence of an interval. It was from @begin_ns to @end_ns, which may be more than what a range has left of it;
 * @is_longer: and more than that. All names are as the trace has them: print it by name_out().
 */
void sentence_interval(struct name *name, const struct tables *t, const struct interval *i,
		       uint64_t begin_ns, uint64_t end_ns, bool is_longer);

/* The end of it: " for mutex g_cache.lock, held by worker-1, at cache_get cache.c:41" */
void sentence_what(struct name *name, const struct tables *t, const struct interval *i);

/* "mutex g_cache.lock", "mutex@0x55d0c8" */
void sentence_object(struct name *name, const struct tables *t, uint64_t object);
/* 4.21ms */
void sentence_duration(struct name *name, uint64_t ns);
