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
#define X(result, name, parameters, arguments) result(*name) parameters;
#include "preload/wrapped.def"
	int (*prctl)(int option, ...);
	int (*clone)(int (*fn)(void *), void *stack, int flags, void *arg, ...);
};
extern struct real real;

/* A variable of its own: the wrapper is in assembly. */
extern long (*real_syscall)(long number, ...);

void real_resolve(void);
