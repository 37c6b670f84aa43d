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

int signals_take(int sig, signals_ours ours)
{
	struct signals_taken *taken = signals_find(sig);
	struct sigaction action = {.sa_sigaction = signals_dispatch,
				   .sa_flags = SA_RESTART | SA_SIGINFO | SA_ONSTACK};
	struct sigaction host;

	if (taken != NULL && signals_is_in_front(sig))
		return 0;
	if (taken == NULL)
		taken = signals_find(0);
	if (taken == NULL)
		return -EMFILE;
	if (__sigaction(sig, NULL, &host) < 0)
		return -errno;
	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGPROF);
	sigaddset(&action.sa_mask, SIGTRAP);
	taken->ours = ours;
	taken->host[0] = taken->host[1] = host;
	atomic_store_explicit(&taken->sig, sig, memory_order_release); /* pairs: signals_find */
	return __sigaction(sig, &action, NULL) < 0 ? -errno : 0;
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
		atomic_store_explicit(&taken->current, slot + 1, memory_order_release); /* pairs: call_host */
	}
	if (ret_old != NULL)
		*ret_old = old;
}
