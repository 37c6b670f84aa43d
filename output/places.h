/*
 * places: from the words of a stack to the locations of a profile: module, function, file and line. Each distinct word is
 * looked up once.
 *
 * Frames of libcprof.so are not the host's: they are left out, unless a stack has no others.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/segment.h"
#include "output/profile.h"
#include "output/symbols.h"

struct places;

/* @symbols NULL: addresses only. What is found goes into @p, whose error says when there was no memory. */
struct places *places_create(const struct segment *s, struct symbols *symbols, struct profile *p);
void places_destroy(struct places *x); /* NULL is fine */

/* Gives the program its mapping: pprof takes the first one for it. */
void places_begin_with_program(struct places *x);

/*
 * Frames of the allocator at the leaf end of a stack are left out, too: whoever asked for the memory is the leaf. Not when
 * there are no others.
 */
void places_leave_out_allocators(struct places *x);

/* A location without an address, which is @name and nothing else. */
uint32_t places_named(struct places *x, const char *name);

/* The name of samples that found no room in a table. */
#define PLACES_FULL "[lost: tables full]"

/*
 * The locations of a stack, leaf first. They are kept until the next call. Id 0 is that of a stack that found no room: the
 * one location says so. False when the id leads to no stack, or to one that is deeper than any walk: @ret is empty then.
 */
struct places_stack {
	uint32_t *locations, n;
};
bool places_stack(struct places *x, unsigned generation, uint32_t stack, struct places_stack *ret);

/* The labels of a set, without those that make no sense; returns how many. */
#define PLACES_LABELS LABEL_SET_PAIRS
uint32_t places_labels(struct places *x, uint32_t set, struct profile_label ret[PLACES_LABELS]);
