/*
 * The table of taken signals, shared by signals.c and signals_sig.c.
 */
#pragma once

#include <signal.h>
#include <stdatomic.h>

#include "core/signals.h"

#define SIGNALS_MAX  4
#define SIGNALS_OURS 2 /* the CPU sampler, and looks at threads */

struct signals_taken {
	_Atomic int sig;          /* 0 free */
	_Atomic unsigned current; /* which of @host holds; the other is written */
	_Atomic(signals_ours) ours[SIGNALS_OURS];
	struct sigaction host[2];
};
extern struct signals_taken signals_taken[SIGNALS_MAX];

/* What the kernel's rt_sigaction reads. */
struct kernel_sigaction {
	void *handler;
	unsigned long flags;
	void *restorer;
	unsigned long mask;
};

SIGSAFE struct signals_taken *signals_find(int sig);
SIGSAFE void signals_dispatch(int sig, siginfo_t *info, void *ucontext);
