/*
 * real: the functions behind our wrappers.
 *
 * Each pointer starts out at a function that looks all of them up and calls on, because other libraries'
 * constructors may call a wrapper before ours has run. Wrappers never ask whether they are ready.
 */
#pragma once

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

struct real {
#define X(result, name, parameters, arguments) result (*name) parameters;
#include "preload/wrapped.def"
	int (*clone)(int (*fn)(void *), void *stack, int flags, void *arg, ...);
};
extern struct real real;

void real_resolve(void);
