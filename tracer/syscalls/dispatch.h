/*
 * dispatch: see dispatch_sig.c. What calls_sig.c and sites.c ask of it.
 */
#pragma once

#include <signal.h>

#include "tracer/syscalls/site.h"

#define DISPATCH_ACTIONS 4

struct site_dispatch {
	bool is_on;
	uintptr_t start, end; /* this library's code */
	_Atomic uint64_t calls;
};
extern struct site_dispatch site_dispatch;

struct dispatch_thread {
	uint8_t byte; /* the kernel reads it at each call */
	bool is_let_through;
	uint8_t depth;
	int32_t tid; /* armed; 0: not */
	/* what sigaction() gets in place of the host's: handlers may come in between with calls of their own */
	struct dispatch_action {
		uintptr_t words[4];
		bool had_it;
	} actions[DISPATCH_ACTIONS];
};
extern __thread struct dispatch_thread dispatch_thread __attribute__((tls_model("initial-exec")));

/* 0, or a negative errno: -EINVAL where the kernel has no such thing. The calling thread is armed. */
int dispatch_start(void);
void dispatch_stop(void);

/* The calling thread alone; each new one does so by itself. */
int dispatch_arm(void);
void dispatch_disarm(void);

/* Around the calls that have to do with it (MASKS in calls_sig.c). What the first returns is for the second. */
long dispatch_enter(struct syscall_frame *f);
void dispatch_leave(struct syscall_frame *f, long kept);
void dispatch_again(void);
