/*
 * What look.c and look_sig.c share.
 */
#pragma once

#include "core/look.h"

extern _Atomic(look_sink) look_sinks[LOOK_KINDS];

SIGSAFE bool look_on_signal(int sig, siginfo_t *info, void *ucontext);

/* Takes a question back without a word; false when the answer has begun, or there was none. */
SIGSAFE bool look_forget(struct thread *t, enum look_for who);
