#include "core/signals.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/arch.h"
#include "core/signals_private.h"

__thread unsigned char signals_host_blocks __attribute__((tls_model("initial-exec")));

struct signals_taken signals_taken[SIGNALS_MAX];

SIGSAFE struct signals_taken *signals_find(int sig)
{
	for (int i = 0; i < SIGNALS_MAX; i++)
		if (atomic_load_explicit(&signals_taken[i].sig, memory_order_acquire) == sig)
			return &signals_taken[i];
	return NULL;
}

/* Signal @sig again, with the default action: it ends the process, as it would have without us. */
static void die_as_usual(int sig)
{
	struct kernel_sigaction default_action = {0};

	sys4(SYS_rt_sigaction, sig, &default_action, NULL, 8);
	sys3(SYS_tgkill, sys1(SYS_getpid, 0), sys1(SYS_gettid, 0), sig);
}

static void call_host(struct signals_taken *taken, int sig, siginfo_t *info, void *ucontext)
{
	unsigned slot = atomic_load_explicit(&taken->current, memory_order_acquire); /* pairs: signals_host_action */
	struct sigaction action = taken->host[slot & 1];
	unsigned long mask, before;

	if (action.sa_handler == SIG_IGN || signals_host_blocks)
		return;
	if (action.sa_handler == SIG_DFL) {
		die_as_usual(sig);
		return;
	}
	if (action.sa_flags & (int)SA_RESETHAND)
		taken->host[slot & 1].sa_handler = SIG_DFL;
	memcpy(&mask, &action.sa_mask, sizeof(mask));
	sys4(SYS_rt_sigprocmask, SIG_BLOCK, &mask, &before, 8);
	if (action.sa_flags & SA_SIGINFO)
		action.sa_sigaction(sig, info, ucontext);
	else
		action.sa_handler(sig);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, 8);
}

SIGSAFE void signals_dispatch(int sig, siginfo_t *info, void *ucontext)
{
	struct signals_taken *taken = signals_find(sig);
	int saved = errno;

	if (taken != NULL && !taken->ours(sig, info, ucontext)) {
		errno = saved;
		call_host(taken, sig, info, ucontext);
		return; /* errno is the host's handler's affair */
	}
	errno = saved;
}
