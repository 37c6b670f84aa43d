/*
 * Wrappers that share signals with the host.
 *
 * sigaction() and its like for a signal that we took change what the host wants, not what the kernel has. A mask that blocks
 * (nearly) everything, as programs put on their worker threads, is let through without our signals, or those threads could
 * never be sampled; asked for its mask, the thread sees what it set. A host that blocks SIGPROF among a few others means
 * it, and is obeyed: the thread's clocks stand still meanwhile.
 */
#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "core/look.h"
#include "core/signals.h"
#include "core/wait.h"
#include "cprof/cprof.h"
#include "preload/handlers.h"
#include "preload/process.h"
#include "preload/real.h"
#include "profiles/cpu/cpu.h"

static bool is_shared(int sig)
{
	return signals_is_taken(sig) && process_is_ours(segment_live());
}

/* With a stub in the handler's place while a trace runs: handlers.h. */
static int set_action(int sig, const struct sigaction *action, struct sigaction *old)
{
	struct sigaction wanted, ours;
	bool is_again = false;
	unsigned now;
	int r;

	if (sig <= 0 || sig > SIGRTMAX)
		return real.sigaction(sig, action, old);
	if (action != NULL)
		wanted = *action; /* @old may be the same memory */
	do {
		now = handlers_now();
		if (action != NULL) {
			ours = wanted;
			ours.sa_handler = handlers_stand_in(sig, wanted.sa_handler);
		}
		r = real.sigaction(sig, action != NULL ? &ours : NULL, is_again ? NULL : old);
		is_again = true;
	} while (action != NULL && r == 0 && !handlers_are_same(now));
	if (old != NULL && r == 0)
		old->sa_handler = handlers_host(old->sa_handler);
	return r;
}

CPROF_PUBLIC int sigaction(int sig, const struct sigaction *action, struct sigaction *old)
{
	if (!is_shared(sig))
		return set_action(sig, action, old);
	signals_host_action(sig, action, old);
	if (old != NULL)
		old->sa_handler = handlers_host(old->sa_handler);
	return 0;
}

static sighandler_t set_handler(int sig, sighandler_t handler, int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags}, old;

	sigemptyset(&action.sa_mask);
	if (handler == SIG_ERR) {
		errno = EINVAL;
		return SIG_ERR;
	}
	signals_host_action(sig, &action, &old);
	return handlers_host(old.sa_handler);
}

static sighandler_t set_simply(sighandler_t (*set)(int sig, sighandler_t handler), int sig,
			       sighandler_t handler)
{
	unsigned now = handlers_now();
	sighandler_t old = set(sig, handlers_stand_in(sig, handler));

	while (old != SIG_ERR && !handlers_are_same(now)) {
		now = handlers_now();
		set(sig, handlers_stand_in(sig, handler));
	}
	return handlers_host(old);
}

CPROF_PUBLIC sighandler_t signal(int sig, sighandler_t handler)
{
	return is_shared(sig) ? set_handler(sig, handler, SA_RESTART)
			      : set_simply(real.signal, sig, handler);
}

CPROF_PUBLIC sighandler_t ssignal(int sig, sighandler_t handler)
{
	return signal(sig, handler);
}

CPROF_PUBLIC sighandler_t sysv_signal(int sig, sighandler_t handler)
{
	return __sysv_signal(sig, handler);
}

CPROF_PUBLIC sighandler_t __sysv_signal(int sig, sighandler_t handler)
{
	return is_shared(sig) ? set_handler(sig, handler, (int)(SA_RESETHAND | SA_NODEFER))
			      : set_simply(real.__sysv_signal, sig, handler);
}

CPROF_PUBLIC sighandler_t sigset(int sig, sighandler_t handler)
{
	sigset_t one;
	bool was_blocked;

	if (!is_shared(sig))
		return set_simply(real.sigset, sig, handler);
	sigemptyset(&one);
	sigaddset(&one, sig);
	if (handler == SIG_HOLD) {
		struct sigaction old;
		sigset_t before;

		signals_host_action(sig, NULL, &old);
		pthread_sigmask(SIG_BLOCK, &one, &before);
		return sigismember(&before, sig) == 1 ? SIG_HOLD : handlers_host(old.sa_handler);
	}
	handler = set_handler(sig, handler, 0);
	if (handler != SIG_ERR) {
		sigset_t before;

		pthread_sigmask(SIG_UNBLOCK, &one, &before);
		was_blocked = sigismember(&before, sig) == 1;
		if (was_blocked)
			return SIG_HOLD;
	}
	return handler;
}

CPROF_PUBLIC int sigignore(int sig)
{
	if (!is_shared(sig))
		return real.sigignore(sig);
	set_handler(sig, SIG_IGN, 0);
	return 0;
}

CPROF_PUBLIC int siginterrupt(int sig, int interrupts)
{
	struct sigaction action;

	if (!is_shared(sig))
		return real.siginterrupt(sig, interrupts);
	signals_host_action(sig, NULL, &action);
	action.sa_flags = interrupts ? action.sa_flags & ~SA_RESTART : action.sa_flags | SA_RESTART;
	signals_host_action(sig, &action, NULL);
	return 0;
}

/* Signals 1 to 31 but the two that cannot be blocked. */
static int count_blocked(const sigset_t *set)
{
	int n = 0;

	for (int sig = 1; sig < 32; sig++)
		n += sigismember(set, sig) == 1;
	return n;
}

static unsigned view_of(const sigset_t *set)
{
	return (sigismember(set, SIGPROF) == 1 ? SIGNALS_PROF : 0u) |
	       (sigismember(set, SIGTRAP) == 1 ? SIGNALS_TRAP : 0u);
}

/*
 * The calling thread will have @held blocked. Nothing of ours may be pending then: sigpending() and signalfd() would show it,
 * and the kernel would drop one of the host's own beside it. A mask that comes back by siglongjmp() is not noticed: the
 * thread is sampled again from its next call on, and what is not is counted.
 */
static void hold(unsigned held)
{
	struct thread *t = thread_self_block;

	if (t != NULL && atomic_load_explicit(&t->held, memory_order_relaxed) != held)
		cpu_hold(t, held);
}

static unsigned held_now(void)
{
	const struct thread *t = thread_self_block;

	return t != NULL ? atomic_load_explicit(&t->held, memory_order_relaxed) : 0;
}

static int set_mask(int (*real_call)(int, const sigset_t *, sigset_t *), int how,
		    const sigset_t *set, sigset_t *old)
{
	unsigned before = signals_host_blocks, after = before, held = held_now();
	sigset_t changed;
	int r;

	if (!is_shared(SIGPROF))
		return real_call(how, set, old);
	if (set != NULL) {
		unsigned view = view_of(set);

		changed = *set;
		if (how == SIG_UNBLOCK) {
			after = before & ~view;
		} else if (count_blocked(set) >= SIGNALS_NEARLY_ALL ||
			   (how == SIG_SETMASK && before != 0)) {
			/* the second: a thread that puts back the mask it was shown */
			after = how == SIG_BLOCK ? before | view : view;
			sigdelset(&changed, SIGPROF);
			if (signals_is_taken(SIGTRAP))
				sigdelset(&changed, SIGTRAP);
			else
				after &= ~(unsigned)SIGNALS_TRAP;
		} else if (how == SIG_SETMASK) {
			after = 0;
		}
		set = &changed;
		if (how == SIG_BLOCK)
			held |= view_of(set);
		else if (how == SIG_UNBLOCK)
			held &= ~view_of(set);
		else
			held = view_of(set);
		hold(held & held_now()); /* what goes on does so before, what stops after */
	}
	r = real_call(how, set, old);
	if (r != 0)
		return r;
	hold(held);
	/* a thread that runs with the signal blocked would let the scout's strike another, in the middle of a wait */
	if (set != NULL && how != SIG_UNBLOCK && sigismember(set, SIGPROF) == 1)
		cpu_scout_stop();
	signals_host_blocks = (unsigned char)after;
	if (old != NULL && (before & SIGNALS_PROF))
		sigaddset(old, SIGPROF);
	if (old != NULL && (before & SIGNALS_TRAP))
		sigaddset(old, SIGTRAP);
	return 0;
}

CPROF_PUBLIC int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	return set_mask(real.pthread_sigmask, how, set, old);
}

CPROF_PUBLIC int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	return set_mask(real.sigprocmask, how, set, old);
}

static bool is_blocked(int sig)
{
	sigset_t mask;

	return real.pthread_sigmask(SIG_BLOCK, NULL, &mask) != 0 || sigismember(&mask, sig) == 1;
}

#define RAISE_TRIES 100 /* one in thousands meets a signal of ours */

/*
 * A signal for the calling thread has come when the call that sends it returns. Where one of ours was pending, because the
 * thread was kept from running inside the call, the kernel has dropped the host's: it is sent again. To another thread this
 * cannot be told from here (Known limits in CHANGELOG.md).
 */
static int send_to_self(int sig, int (*send)(pthread_t self, int sig))
{
	unsigned seen = signals_host_seen;
	int r = send(pthread_self(), sig);

	for (int i = 0; r == 0 && i < RAISE_TRIES && signals_host_seen == seen && !is_blocked(sig);
	     i++)
		r = send(pthread_self(), sig);
	return r;
}

static int by_raise(pthread_t self, int sig)
{
	(void)self;
	return real.raise(sig);
}

CPROF_PUBLIC int raise(int sig)
{
	return is_shared(sig) ? send_to_self(sig, by_raise) : real.raise(sig);
}

CPROF_PUBLIC int gsignal(int sig)
{
	return raise(sig);
}

CPROF_PUBLIC int pthread_kill(pthread_t thread, int sig)
{
	return is_shared(sig) && pthread_equal(thread, pthread_self())
		       ? send_to_self(sig, real.pthread_kill)
		       : real.pthread_kill(thread, sig);
}

/*
 * A host that waits for all signals, or for SIGPROF, would be handed ours: those that came due while it went into the call,
 * or while it had them blocked.
 */
static int wait_for_hosts(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
	/* a hundred years are as good as for ever, and do not overflow */
	uint64_t wait_ns = timeout == NULL ? 0
			   : timeout->tv_sec < INT64_C(3153600000)
				   ? clock_of_timespec(*timeout)
				   : UINT64_C(3153600000) * NS_PER_SECOND;
	uint64_t until = clock_monotonic() + wait_ns;
	struct timespec left = clock_to_timespec(wait_ns);
	int sig;

	for (;;) {
		sig = real.sigtimedwait(set, info, timeout != NULL ? &left : NULL);
		if (sig <= 0 || !signals_is_taken(sig) ||
		    !(cpu_on_dequeued(sig, info) || look_on_dequeued(sig, info)))
			return sig;
		if (timeout != NULL) {
			uint64_t now = clock_monotonic();

			left = clock_to_timespec(until > now ? until - now : 0);
		}
	}
}

static bool waits_for_ours(const sigset_t *set)
{
	return (sigismember(set, SIGPROF) == 1 && is_shared(SIGPROF)) ||
	       (sigismember(set, SIGTRAP) == 1 && is_shared(SIGTRAP));
}

/* Neither goes on by itself after a signal: who looks at threads has to know. */
__attribute__((noinline)) static int wait_in_sigtimedwait(const sigset_t *set, siginfo_t *info,
							  const struct timespec *timeout)
{
	SHOWING(WAIT_SYSCALL + SYS_rt_sigtimedwait, real.sigtimedwait, NULL);
	return real.sigtimedwait(set, info, timeout);
}

__attribute__((noinline)) static int wait_in_sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
	SHOWING(WAIT_SYSCALL + SYS_rt_sigtimedwait, real.sigwaitinfo, NULL);
	return real.sigwaitinfo(set, info);
}

CPROF_PUBLIC int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
	siginfo_t own;

	if (!waits_for_ours(set) ||
	    (timeout != NULL && (timeout->tv_sec < 0 || timeout->tv_nsec < 0)))
		return wait_in_sigtimedwait(set, info, timeout);
	return wait_for_hosts(set, info != NULL ? info : &own, timeout);
}

CPROF_PUBLIC int sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
	siginfo_t own;

	return waits_for_ours(set) ? wait_for_hosts(set, info != NULL ? info : &own, NULL)
				   : wait_in_sigwaitinfo(set, info);
}

CPROF_PUBLIC int sigwait(const sigset_t *set, int *sig)
{
	siginfo_t info;
	int r, saved = errno;

	if (!waits_for_ours(set))
		return real.sigwait(set, sig);
	do
		r = wait_for_hosts(set, &info, NULL);
	while (r < 0 && errno == EINTR); /* as glibc's */
	if (r < 0) {
		r = errno;
		errno = saved;
		return r;
	}
	*sig = r;
	return 0;
}
