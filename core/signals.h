/*
 * signals: taking a signal politely.
 *
 * Our handler stands in front. What is ours it takes; what is not goes to the action that the host wants for the
 * signal, with its mask and flags, as if we were not there. Calls of sigaction() and its like for such a signal change
 * what the host wants and leave our handler where it is (preload/wrap_signal.c).
 */
#pragma once

#include <signal.h>
#include <stdbool.h>

#include "core/context.h"

/* True: the signal was ours. Runs in the handler. */
typedef bool (*signals_ours)(int sig, siginfo_t *info, void *ucontext);

/*
 * True when the stack that the handler runs on has room for all that a sample may need. An alternate stack of the least size
 * that the kernel allows has not.
 */
SIGSAFE bool signals_has_room(const void *ucontext);

/* The host's SIG_IGN for taken signals, put into the kernel before exec, where it is inherited; and taken back. */
void signals_before_exec(void);
void signals_after_exec(void);

/*
 * Installs our handler for @sig in front of the host's, and adds @ours to those that are asked. Once is enough; 0 or a
 * negative errno.
 */
int signals_take(int sig, signals_ours ours);
bool signals_is_taken(int sig);

/* The kernel's action is still our handler: false when the host took the signal back by a raw system call. */
bool signals_is_in_front(int sig);

/* A call that @sig interrupts goes on afterwards, where it can. */
SIGSAFE bool signals_restarts(int sig);

/* sigaction() as the host should see it, for a taken signal. */
void signals_host_action(int sig, const struct sigaction *action, struct sigaction *ret_old);

/*
 * What the host believes to have blocked on this thread although it is not: see preload/wrap_signal.c.
 * A foreign signal that arrives in that state is kept pending.
 */
#define SIGNALS_NEARLY_ALL \
	24 /* of 31: programs leave out the synchronous ones, and a few of their own */
#define SIGNALS_PROF 1u
#define SIGNALS_TRAP 2u
extern __thread unsigned char signals_host_blocks __attribute__((tls_model("initial-exec")));

/* Called before the host's handler for a taken signal is; NULL: nobody wants to know. Signal context. */
extern void (*signals_host_runs)(int sig, void (*handler)(int sig));

/* Signals that were not ours and came to this thread: handled, ignored or kept pending. Wraps. */
extern __thread unsigned signals_host_seen __attribute__((tls_model("initial-exec")));
