/*
 * listeners: several of them hear one story, each what it wants, in their order.
 */
#pragma once

#include "viewer/story.h"

#define LISTENERS_MAX 8

struct listeners {
	struct story_listener list[LISTENERS_MAX];
	unsigned n;
};

void listeners_add(struct listeners *l, struct story_listener listener);
/* @l, to which nobody is added any more, must outlive it. */
struct story_listener listeners_all(struct listeners *l);
