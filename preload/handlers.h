/*
 * handlers: the host's own signal handlers, noted in the trace when they are called.
 *
 * In the kernel's table stands a stub in the handler's place. It notes the signal and jumps on: the handler has the stack, the
 * arguments and the way back that the kernel gave it, and may leave by longjmp(). Everything else of the action (flags,
 * mask, restorer) is the host's, and belongs to its handler at any moment, for a stub leads to one handler for ever: nothing
 * of ours has to change together with the kernel's table. SA_RESETHAND is the kernel's affair, too.
 *
 *     kernel ──→ stub 3: note ──→ handlers_behind[3], where the host's handler is, once and for all
 *
 * Stubs are put in when a trace runs. While none ever did, all there is to do is to remember what the host sets: only a
 * handler that came by the C library's functions gets one. Who asks by these is told its own handler; by a raw system call it would
 * find the stub, and so would, by one, who never came here.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* What is to stand in the kernel's table for the host's @handler of @sig: a stub, or the handler itself. Any context. */
sighandler_t handlers_stand_in(int sig, sighandler_t handler);

/* The host's handler for what was found in the kernel's table. */
sighandler_t handlers_host(sighandler_t found);

/*
 * A trace begins: handlers that were set before get their stubs. Who sets one at the same moment does so again when
 * handlers_are_same() says that it must, with what handlers_now() was before. Normal context, one caller at a time.
 */
void handlers_traced(void);

/* In a child of fork: another thread of the parent's may have been in the middle of that. */
void handlers_forked(void);
unsigned handlers_now(void);
bool handlers_are_same(unsigned before);

/* For core/signals.h: of signals that we share with the host. */
void handlers_shared(int sig, sighandler_t handler);
