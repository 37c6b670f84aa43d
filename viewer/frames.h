/*
 * frames: what the words of a trace's stacks are: functions, files, lines. Out of the trace's own symbols, else whatever the
 * resolver finds. Each word is looked up once.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "viewer/names.h"

#define FRAMES_DEPTH_MAX 2048 /* of a stack; the frames beyond, at its root, are left out */

struct frame_line {
	const char *function, *system_name, *file; /* never NULL */
	int64_t line, start_line;                  /* 0: not known */
};

struct frame {
	uint64_t word;
	const struct frame_line *lines;    /* innermost first */
	uint32_t n;                        /* 0: nothing is known */
	uint32_t number;                   /* from 1 on, without holes */
	const struct table_module *module; /* NULL: none */
	bool has_lines;                    /* its module has files and lines, and inlined calls */
};

struct frames;

/* @t stays the caller's, and so does its resolver, which lives longer; NULL: no file is looked into. 0 or -ENOMEM. */
int frames_create(struct frames **ret, const struct tables *t);
void frames_destroy(struct frames *f); /* NULL is fine */

/* NULL: out of memory. What is returned stays until frames_destroy(). */
const struct frame *frames_get(struct frames *f, uint64_t word);

/* The one of that number. */
const struct frame *frames_nth(const struct frames *f, uint32_t number);

/*
 * The words of a stack, leaf first, until the next call. Frames of libcprof.so are not the host's: they are left out, unless a
 * stack has no others. Returns how many.
 */
uint32_t frames_stack(struct frames *f, uint32_t stack, const uint64_t **ret);

/* "cache_get", else "libc.so.6+0x2a4f0", else "0x7f…". */
void frames_function(struct name *name, const struct tables *t, const struct frame *frame,
		     uint32_t line);
/* The innermost line of it, and where: "cache_get cache.c:41". */
void frames_top(struct name *name, const struct tables *t, const struct frame *frame);
