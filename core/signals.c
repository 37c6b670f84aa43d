#include "core/signals.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "core/arch.h"
#include "core/signals_private.h"

/* glibc's sigaction() under its other name: the plain one may be our own wrapper's. */
extern int __sigaction(int sig, const struct sigaction *action, struct sigaction *old);

bool signals_is_taken(int sig)
{
	return sig > 0 && signals_find(sig) != NULL;
}

/*
 * Everything but what cannot wait. A host's handler that ran on top of ours could leave by longjmp(), and what ours had
 * begun would never be finished.
 */
static void fill_mask(sigset_t *set)
{
	sigfillset(set);
	sigdelset(set, SIGSEGV);
	sigdelset(set, SIGBUS);
	sigdelset(set, SIGFPE);
	sigdelset(set, SIGILL);
}

/*
 * What the kernel is told: the host's own wishes about interrupted calls and the alternate stack when it has a handler, for
 * its signals come the same way.
 */
static void install(int sig, const struct sigaction *host)
{
	struct sigaction action = {.sa_sigaction = signals_dispatch, .sa_flags = SA_SIGINFO};

	if (host->sa_handler == SIG_DFL || host->sa_handler == SIG_IGN)
		action.sa_flags |= SA_RESTART | SA_ONSTACK;
	else
		action.sa_flags |= host->sa_flags & (SA_RESTART | SA_ONSTACK);
	fill_mask(&action.sa_mask);
	__sigaction(sig, &action, NULL);
}

void signals_before_exec(void)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	for (int i = 0; i < SIGNALS_MAX; i++) {
		struct signals_taken *taken = &signals_taken[i];
		int sig = atomic_load_explicit(&taken->sig, memory_order_acquire);
		unsigned slot = atomic_load_explicit(&taken->current, memory_order_relaxed);

		if (sig != 0 && taken->host[slot & 1].sa_handler == SIG_IGN)
			__sigaction(sig, &ignore, NULL);
	}
}

void signals_after_exec(void)
{
	for (int i = 0; i < SIGNALS_MAX; i++) {
		struct signals_taken *taken = &signals_taken[i];
		int sig = atomic_load_explicit(&taken->sig, memory_order_acquire);
		unsigned slot = atomic_load_explicit(&taken->current, memory_order_relaxed);

		if (sig != 0 && taken->host[slot & 1].sa_handler == SIG_IGN)
			install(sig, &taken->host[slot & 1]);
	}
}

/* The rest of @taken is there already, or nobody looks at it yet. */
static int add_ours(struct signals_taken *taken, signals_ours ours)
{
	for (int i = 0; i < SIGNALS_OURS; i++) {
		signals_ours there = NULL;

		if (atomic_compare_exchange_strong_explicit(&taken->ours[i], &there, ours,
							    memory_order_acq_rel,
							    memory_order_acquire) ||
		    there == ours)
			return 0;
	}
	return -EMFILE;
}

int signals_take(int sig, signals_ours ours)
{
	struct signals_taken *taken = signals_find(sig);
	struct sigaction host;

	if (taken != NULL && signals_is_in_front(sig))
		return add_ours(taken, ours);
	if (taken == NULL)
		taken = signals_find(0);
	if (taken == NULL)
		return -EMFILE;
	if (__sigaction(sig, NULL, &host) < 0)
		return -errno;
	add_ours(taken, ours);
	taken->host[0] = taken->host[1] = host;
	atomic_store_explicit(&taken->sig, sig, memory_order_release); /* pairs: signals_find */
	install(sig, &host);
	return 0;
}

bool signals_is_in_front(int sig)
{
	struct sigaction action;

	return __sigaction(sig, NULL, &action) == 0 && (action.sa_flags & SA_SIGINFO) &&
	       action.sa_sigaction == signals_dispatch;
}

void signals_host_action(int sig, const struct sigaction *action, struct sigaction *ret_old)
{
	struct signals_taken *taken = signals_find(sig);
	unsigned slot = atomic_load_explicit(&taken->current, memory_order_relaxed);
	struct sigaction old = taken->host[slot & 1];

	if (action != NULL) {
		taken->host[(slot + 1) & 1] = *action;
		atomic_store_explicit(&taken->current, slot + 1,
				      memory_order_release); /* pairs: call_host */
		install(sig, action);
	}
	if (ret_old != NULL)
		*ret_old = old;
}
