/*
 * wrap_alloc: the wrappers of malloc() and its like, and whether they are in use.
 */
#pragma once

/* Turns them on or off, as heap_watch (profiles/heap/heap.h) has it. After real_resolve(). Any context. */
void wrap_alloc_turn(void);
