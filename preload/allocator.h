/*
 * allocator: what jemalloc says of itself (`stats.*`), as counters of the trace.
 *
 * Its numbers stand still until somebody writes to `epoch`, which takes one lock of jemalloc's after the other. So nobody can
 * ask from a place where one of them may be held, and of the places that are ours there is one where none is that the host
 * does not take there itself: a thread whose call of malloc() has just been served. docs/adr/0015 has the rest.
 */
#pragma once

/*
 * Looks for jemalloc behind the process's malloc(), and has it asked where there is: from blocks that the heap profile samples, while a trace
 * runs. Normal context, the first time (it takes the loader's lock); after that it does nothing.
 */
void allocator_find(void);

/* In a child of fork: whoever was asking is not here. */
void allocator_forked(void);
