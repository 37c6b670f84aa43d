/*
 * doing: what a thread did for an interval, in words.
 *
 *     ran
 *     wanted a processor, woken by main
 *     waited for lock g_cache.lock, held by worker-1
 *     fsync 7:/var/log/app
 */
#pragma once

#include "viewer/names.h"
#include "viewer/story.h"

void doing_words(struct name *name, const struct tables *t, const struct interval *i);

/* "condition g_cache.wanted", "lock g_cache.lock": what a wait that began with an event of type @wait is for. */
void doing_object(struct name *name, const struct tables *t, uint8_t wait, uint32_t object);
/* "the end of worker-1": what a join waits for. */
void doing_end(struct name *name, const struct tables *t, uint32_t thread);
/* "fsync 7:/var/log/app"; @call is the number + 1. */
void doing_call(struct name *name, const struct tables *t, uint32_t call, uint32_t file);
/* What is outside of the program that a call of @file waits for: "disk", "peer", "timer"; NULL when that is not known. */
const char *doing_outside(const struct tables *t, uint32_t call, uint32_t file);
/* "  ; cache_get cache.c:41" behind @name, as events have it. */
void doing_where(struct name *name, const struct name *where);
